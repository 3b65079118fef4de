// A picture from outside becomes strokes: shown with the lines found in it, before they are taken.
import { SIDE } from '../../live/page/paper.js';
import { readPicture } from '../../live/page/pictures.js';
import { pathOf } from './svg.js';

const LINE_PX = 2.5;
const VIEW_PX = 320;

export class Importing {
  /** annotators: [{id, title}]; lines({picture, how}): the server's answer; on: {take(rows of points, replace), error(text)}. */
  constructor(dialog, { annotators, lines, on }) {
    Object.assign(this, { dialog, lines, on, note: dialog.querySelector('.os-import-note'), how: dialog.querySelector('select') });
    this.view = dialog.querySelector('canvas').getContext('2d');
    this.buttons = ['add', 'replace'].map((value) => dialog.querySelector(`[value=${value}]`));
    this.how.replaceChildren(...annotators.map(({ id, title }) => new Option(title, id)));
    this.how.addEventListener('change', () => this.ask());
    dialog.addEventListener('close', () => this.closed());
    this.asked = 0;
  }

  /** file: any picture; empty: whether the drawing is; how: an annotator to begin with; found: {strokes, note} that came with the picture;
   *  taken(): after the lines are. */
  async open(file, empty, { how, found, taken } = {}) {
    let bitmap;
    try {
      bitmap = await readPicture(file);
    } catch (error) {
      this.on.error(error.message);
      return;
    }
    this.picture = fitted(bitmap);
    bitmap.close();
    this.dialog.returnValue = 'no';
    this.buttons[0].hidden = empty;
    this.buttons[1].textContent = empty ? 'Use these lines' : 'Replace the drawing';
    if (how && [...this.how.options].some(({ value }) => value === how)) this.how.value = how;
    this.taken = taken;
    if (!this.dialog.open) this.dialog.showModal();
    if (found) this.given(found);
    else await this.ask();
  }

  /** Lines that came with the picture. */
  given(answer) {
    this.asked += 1;
    this.take(answer);
  }

  async ask() {
    const mine = ++this.asked;
    this.found = [];
    this.tell('Looking for lines …');
    this.show();
    const answer = await this.lines({ picture: this.picture.toDataURL(), how: this.how.value }).catch(() => ({ error: 'The studio did not answer. Try again.' }));
    if (mine === this.asked && this.dialog.open) this.take(answer);
  }

  take(answer) {
    this.found = (answer.strokes ?? []).filter((row) => row.length >= 2 && row.length % 2 === 0 && row.every(Number.isFinite));
    const count = this.found.length;
    this.tell(answer.error ?? [`${count.toLocaleString('en')} ${count === 1 ? 'stroke' : 'strokes'} found.`, answer.note].filter(Boolean).join(' '), !!answer.error);
    this.show();
  }

  tell(text, wrong = false) {
    this.note.textContent = text;
    this.note.classList.toggle('is-wrong', wrong);
    for (const button of this.buttons) button.disabled = !this.found.length;
  }

  /** The picture, faint, and the lines on it. */
  show() {
    const { view } = this, { width, height } = this.picture, k = VIEW_PX / Math.max(width, height);
    view.globalAlpha = 1;
    view.fillStyle = '#ffffff';
    view.fillRect(0, 0, VIEW_PX, VIEW_PX);
    view.globalAlpha = this.found.length ? 0.3 : 1;
    view.drawImage(this.picture, (VIEW_PX - width * k) / 2, (VIEW_PX - height * k) / 2, width * k, height * k);
    view.globalAlpha = 1;
    view.save();
    view.scale(VIEW_PX / SIDE, VIEW_PX / SIDE);
    view.lineWidth = LINE_PX;
    view.lineCap = view.lineJoin = 'round';
    for (const row of this.found) view.stroke(new Path2D(pathOf(widened(row))));
    view.restore();
  }

  closed() {
    this.asked += 1;
    const how = this.dialog.returnValue;
    if (['add', 'replace'].includes(how) && this.found.length) { this.on.take(this.found.map(widened), how === 'replace'); this.taken?.(); }
    this.found = [];
  }
}

/** [x, y, ...] -> [x, y, width, ...]. */
const widened = (row) => Array.from({ length: 3 * row.length / 2 }, (_, i) => (i % 3 === 2 ? LINE_PX : row[2 * Math.floor(i / 3) + i % 3]));

/** The picture on white, its long side at most twice the canvas's. */
function fitted(bitmap) {
  const k = Math.min(1, 2 * SIDE / Math.max(bitmap.width, bitmap.height)), canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * k)));
  const ink = canvas.getContext('2d');
  ink.fillStyle = '#ffffff';
  ink.fillRect(0, 0, canvas.width, canvas.height);
  ink.imageSmoothingQuality = 'high';
  ink.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}
