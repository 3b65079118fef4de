// What was made and waits to be kept: shown on the stage with a bar under it, compared by a swipe, kept as a step of the history or let go.
import { el } from '../../layers/page/dom.js';

const COMPARED = 'onestroke.edit.compare';
const SEEN_PX = 64;

export class Offers {
  constructor(bench, element) {
    Object.assign(this, { bench, now: null, compared: localStorage.getItem(COMPARED) === 'yes' });
    this.says = el('span.oe-offer-says');
    this.swipe = el('button.os-btn', { type: 'button', title: 'Before and after, with a handle (C)', onclick: () => this.compare(!this.compared) }, 'Compare');
    this.drop = el('button.os-btn', { type: 'button', title: 'Let it go (Esc)', onclick: () => this.end('drop') }, 'Discard');
    this.keep = el('button.os-btn.is-first', { type: 'button', title: 'A step of the history (Enter)', onclick: () => this.end('keep') }, 'Keep');
    this.box = el('.oe-offer', { hidden: true, role: 'region', 'aria-label': 'Result' }, this.says, this.swipe, this.drop, this.keep);
    element.append(this.box);
  }

  /** offer: {before, after: {picture or after, width, height}, mask, title, done, all, keep(), drop()} or null. */
  async show(offer) {
    const { bench } = this;
    this.now = offer;
    this.box.hidden = !offer;
    if (!offer) { bench.swipe(null); bench.showMask(null); bench.preview(null); return; }
    const picture = offer.after.picture ?? offer.after.after;
    this.says.textContent = offer.title || 'Done';
    this.keep.textContent = offer.done > 1 ? `Keep ${offer.done} steps` : 'Keep';
    await bench.bitmap(picture).catch(() => null);                            // so that the stage does not blink
    if (this.now !== offer) return;
    bench.preview({ picture, width: offer.after.width, height: offer.after.height });
    this.compare(this.compared, false);
  }

  compare(on, keep = true) {
    this.compared = on;
    this.swipe.setAttribute('aria-pressed', String(on));
    if (keep) localStorage.setItem(COMPARED, on ? 'yes' : 'no');
    const { now, bench } = this;
    if (!now) return;
    bench.swipe(on ? { before: now.before.picture ?? now.before, after: now.after.picture ?? now.after.after } : null);
    if (on && now.mask && !now.seen) this.across(now);
  }

  /** The handle starts where the change is. */
  async across(offer) {
    offer.seen = true;
    const bitmap = await this.bench.bitmap(offer.mask).catch(() => null);
    if (!bitmap || this.now !== offer) return;
    const ink = new OffscreenCanvas(SEEN_PX, 1).getContext('2d');
    ink.drawImage(bitmap, 0, 0, SEEN_PX, 1);
    const row = ink.getImageData(0, 0, SEEN_PX, 1).data;
    let [sum, at] = [0, 0];
    for (let x = 0; x < SEEN_PX; x++) { sum += row[4 * x]; at += row[4 * x] * (x + 0.5); }
    if (sum) { this.bench.stage.share = at / sum / SEEN_PX; this.bench.stage.later(); }
  }

  end(how) {
    const offer = this.now;
    if (!offer) return;
    this.now = null;
    offer[how]();
    if (!this.now) this.show(null);
  }

  /** Put aside while something else has the stage. */
  hide(hidden) { this.box.hidden = hidden || !this.now; }
}
