// A mask that is changed on the stage: the workbench's tools, words to find things by, and a bar to end it.
import { el, icon } from '../../layers/page/dom.js';

const BRUSH = 'M4 20c4-1 5-3 6-6l8-9 2 2-9 8c-3 1-5 2-7 5z';

export class Masking {
  /** tab: what panels get. */
  constructor(tab, element) {
    Object.assign(this, { tab, now: null });
    this.words = el('input', { type: 'text', placeholder: 'Find by words: the hat', 'aria-label': 'Find by words', onkeydown: (e) => { e.stopPropagation(); if (e.key === 'Enter') this.find(); if (e.key === 'Escape') this.end(false); } });
    this.says = el('span.oe-offer-says');
    this.box = el('.oe-offer.oe-masking', { hidden: true, role: 'region', 'aria-label': 'Mask' }, this.words, el('button.os-btn', { type: 'button', onclick: () => this.find() }, 'Find'), this.says,
      el('button.os-btn', { type: 'button', onclick: () => this.end(false) }, 'Cancel'), el('button.os-btn.is-first', { type: 'button', onclick: () => this.end(true) }, 'Done'));
    element.append(this.box);
  }

  /** picture: {picture, width, height}, what the mask lies on; mask: id or null; done(id or null). */
  open({ picture, mask, words = '', done }) {
    const { bench } = this.tab;
    this.end(false);
    this.tab.offers.hide(true);
    bench.swipe(null);
    bench.preview(picture.picture === bench.step?.picture ? null : picture);
    this.now = { picture, done, mask: bench.editMask({ on: picture, mask, onchange: () => {}, things: true, key: '' }) };
    this.words.value = words;
    this.says.textContent = '';
    this.box.hidden = false;
  }

  async find() {
    const { now, tab } = this, words = this.words.value.trim();
    if (!now || !words) return;
    this.says.textContent = 'Looking …';
    try {
      const found = await tab.task('find', { picture: now.picture.picture, words, how: tab.how() });
      if (this.now !== now) return;
      this.says.textContent = found.there ? `${Math.round(100 * found.score)} % sure` : `No ${words} seen; this is the best guess.`;
      now.mask.set(found.mask);
    } catch (error) {
      this.says.textContent = error.message;
    }
  }

  async end(taken) {
    const { now, tab } = this;
    if (!now) return;
    this.now = null;
    this.box.hidden = true;
    let id = null;
    try {
      id = taken && !now.mask.empty ? await now.mask.id() : null;
    } catch (error) { tab.error(error.message); }
    now.mask.close();
    tab.offers.show(tab.offers.now);
    if (taken) now.done(id);
  }
}

/** A place in a panel for a mask of the picture: {box, mask, clear()}. */
export function maskSlot(tab, { says = 'The whole picture', onchange = () => {}, words = () => '' }) {
  const face = el('span.oe-mask-shot'), told = el('span'), draw = el('button.os-btn', { type: 'button', onclick: () => tab.picture && tab.masking.open({ picture: tab.picture, mask: mine.mask, words: words(), done: (id) => set(id) }) }), gone = el('button.ol-quiet', { type: 'button', onclick: () => set(null) }, 'Clear');
  const mine = { mask: null, box: el('.oe-mask', {}, face, el('span.oe-mask-says', {}, el('b', {}, 'Where'), told), draw, gone), clear: () => { if (mine.mask) { mine.mask = null; show(); } } };
  const set = (id) => { mine.mask = id; show(); onchange(id); };
  const show = () => {
    face.replaceChildren(mine.mask ? el('img', { src: tab.pictureURL(mine.mask, 128), alt: 'Your mask' }) : icon(BRUSH));
    told.textContent = mine.mask ? 'your mask' : says;
    draw.textContent = mine.mask ? 'Change' : 'Draw';
    gone.hidden = !mine.mask;
  };
  show();
  return mine;
}
