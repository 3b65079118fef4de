// The document is kept at the studio a moment after every change, and in this browser until the studio has said that it has it.
const SOON_MS = 400;
const RETRY_MS = [1000, 15_000];

export class Saving {
  /** ask(path, body, method); on: {state(state, words), stale(error), gone()}. States: saved, saving, waiting. field: what the document's
   * content is called; room: where this browser keeps it meanwhile. */
  constructor(ask, on, { field = 'stack', room = 'onestroke.layers.unsaved.' } = {}) {
    Object.assign(this, { ask, on, field, room, document: null, wish: null, running: false, retry: RETRY_MS[0] });
    addEventListener('pagehide', () => { if (this.wish) this.send(true).catch(() => {}); });
    addEventListener('online', () => this.again());
  }

  /** Another document: {id, name, revision, and its content}. What this browser had not got through is brought back: the values to go on with, or null. */
  begin(document) {
    this.document = { id: document.id, revision: document.revision };
    [this.wish, this.retry] = [null, RETRY_MS[0]];
    clearTimeout(this.timer);
    const kept = readKept(this.room + document.id);
    this.state('saved');
    return kept && kept.revision === document.revision && JSON.stringify(kept[this.field]) !== JSON.stringify(document[this.field]) ? kept : null;
  }

  get clean() { return !this.wish && !this.running; }

  change(name, content) {
    this.wish = { name, [this.field]: content };
    this.state('saving');
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), SOON_MS);
    clearTimeout(this.keeper);
    this.keeper = setTimeout(() => this.keep(), 50);
  }

  /** Until the studio has it, this browser does. */
  keep() {
    if (!this.wish) return;
    try {
      localStorage.setItem(this.room + this.document.id, JSON.stringify({ ...this.wish, revision: this.document.revision }));
    } catch { /* full or forbidden: the studio is the keeper anyway */ }
  }

  async flush() {
    if (!this.wish || this.running || !this.document) return;
    this.running = true;
    const wish = this.wish, mine = this.document;
    try {
      await this.send();
      this.retry = RETRY_MS[0];
      if (this.document === mine && this.wish === wish) this.done();
    } catch (error) {
      if (this.document === mine) this.failed(error);
    } finally {
      this.running = false;
    }
    if (this.document === mine && this.wish && this.wish !== wish) this.flush();
  }

  async send(last = false) {
    const mine = this.document, card = await this.ask(`document/${mine.id}`, { ...this.wish, revision: mine.revision }, 'PUT', last ? { keepalive: true } : {});
    mine.revision = card.revision;
  }

  done() {
    this.wish = null;
    clearTimeout(this.keeper);
    localStorage.removeItem(this.room + this.document.id);
    this.state('saved');
  }

  failed(error) {
    if (error.status === 409) { this.state('waiting', 'Changed in another window'); this.on.stale(error); return; }
    if (error.status === 404) { this.state('waiting', 'Deleted in another window'); this.on.gone(error); return; }
    this.keep();
    this.state('waiting', error.lost ? 'Not saved: the studio does not answer. Trying again' : `Not saved: ${error.message}`);
    if (!error.lost) return;
    this.timer = setTimeout(() => this.flush(), this.retry);
    this.retry = Math.min(RETRY_MS[1], this.retry * 2);
  }

  /** Now, because the line may be back. */
  again() {
    if (!this.wish) return;
    clearTimeout(this.timer);
    this.flush();
  }

  /** Write over what another window saved. */
  overwrite(revision) {
    this.document.revision = revision;
    this.again();
  }

  forget() {
    if (this.document) localStorage.removeItem(this.room + this.document.id);
    this.wish = null;
  }

  state(state, words = { saved: 'Saved', saving: 'Saving …' }[state]) { this.on.state(state, words); }
}

function readKept(place) {
  try {
    return JSON.parse(localStorage.getItem(place));
  } catch {
    return null;
  }
}
