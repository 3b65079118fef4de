// Talking to the studio: JSON, files, tasks that take long. Every failure is an Error whose message is for people; `lost` when nobody answered.
import { declaredSize } from '../../live/page/pictures.js';

const LOST = 'The studio does not answer. Nothing is lost: your work stays in this page. Try again when it is back.';
const TRIES_MS = [400, 1600];

const sending = (body, more) => ({ method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), ...more });
const named = ({ name }) => (name ? `“${name}”` : 'That picture');

export class Server {
  /** place: where the routes of a tab lie, such as 'studio/layers/'. */
  constructor(place) {
    this.place = place;
    for (const name of ['address', 'pictureURL', 'ask', 'upload', 'open', 'task', 'save']) this[name] = this[name].bind(this);
  }

  address(path) { return new URL(this.place + path, document.baseURI).href; }

  pictureURL(id, side) { return this.address(`picture/${id}${side ? `?side=${side}` : ''}`); }

  async answered(path, options) {
    let answer;
    try {
      answer = await fetch(this.address(path), options);
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw Object.assign(new Error(LOST), { lost: true });
    }
    if (answer.ok) return answer;
    const words = await answer.json().then(({ error }) => error, () => '');
    throw Object.assign(new Error(words || `The studio could not do that (${answer.status}).`), { status: answer.status, lost: answer.status >= 502 });
  }

  /** GET without a body, POST with one; method: another one. */
  async ask(path, body, method, more = {}) {
    const options = body === undefined ? { method: method ?? 'GET', ...more } : sending(body, { ...(method && { method }), ...more });
    return (await this.answered(path, options)).json();
  }

  /** A file to the studio; tried again a few times while nobody answers. */
  async sent(path, blob) {
    for (let turn = 0; ; turn++) {
      try {
        return await (await this.answered(path, { method: 'POST', headers: { 'Content-Type': 'application/octet-stream' }, body: blob })).json();
      } catch (error) {
        if (!error.lost || turn >= TRIES_MS.length) throw error;
        await new Promise((done) => setTimeout(done, TRIES_MS[turn]));
      }
    }
  }

  /** A picture of any kind -> {id, width, height, notes}. What is too large is said before it is sent. */
  async upload(blob, limits) {
    checkBytes(blob, limits);
    const size = await declaredSize(blob).catch(() => null);
    if (size && size[0] * size[1] > limits.picture_px) {
      throw new Error(`${named(blob)} is ${size[0].toLocaleString('en')} × ${size[1].toLocaleString('en')} pixels; up to ${Math.floor(limits.picture_px / 1e6)} megapixels can be placed. Make it smaller and try again.`);
    }
    return this.sent('picture', blob);
  }

  /** A file with layers, or a picture -> the new document. */
  async open(blob, limits) {
    checkBytes(blob, limits);
    return this.sent(`open?name=${encodeURIComponent(blob.name ?? '')}`, blob);
  }

  /** Run a task: its outcome, or an Error. onProgress(done, total, what); onPart(part) for what it tells on the way; an aborted signal
   * cancels it there too. */
  async task(id, body, { onProgress, onPart, signal } = {}) {
    const answer = await this.answered(`task/${id}`, sending(body, { signal }));
    let outcome = null;
    for await (const line of lines(answer.body)) {
      if (line.progress) onProgress?.(...line.progress);
      if (line.part) onPart?.(line.part);
      if (line.error) throw new Error(line.error);
      if (line.outcome) ({ outcome } = line);
    }
    if (!outcome) throw Object.assign(new Error(LOST), { lost: true });
    return outcome;
  }

  /** Write the document in a format; the browser saves it. Returns the file's name. */
  async save(format, body) {
    const answer = await this.answered(`export/${format}`, sending(body)), blob = await answer.blob();
    const name = decodeURIComponent(/filename\*=UTF-8''([^;]+)/.exec(answer.headers.get('content-disposition') ?? '')?.[1] ?? `picture.${format}`);
    const link = document.createElement('a'), url = URL.createObjectURL(blob);
    Object.assign(link, { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    return { name, bytes: blob.size };
  }
}

function checkBytes(blob, { file_bytes: most }) {
  if (blob.size > most) throw new Error(`${named(blob)} has ${(blob.size / 2 ** 20).toFixed(0)} MB; up to ${most / 2 ** 20} MB can be opened.`);
  if (!blob.size) throw new Error(`${named(blob)} is empty.`);
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read().catch((error) => { throw error.name === 'AbortError' ? error : Object.assign(new Error(LOST), { lost: true }); });
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const part of parts) if (part.trim()) yield JSON.parse(part);
  }
}
