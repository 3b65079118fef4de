// The history as a strip of small pictures, oldest first; those of other branches are pale.
import { el } from '../../layers/page/dom.js';
import { strip } from './history.js';

const SIDE = 128;

export class Strip {
  constructor(place, bench) {
    Object.assign(this, { place, bench });
    for (const what of ['step', 'document']) bench.on(what, () => this.draw());
    place.addEventListener('keydown', (e) => this.key(e));
    place.addEventListener('wheel', (e) => { if (!e.deltaX) { place.scrollLeft += e.deltaY; e.preventDefault(); } }, { passive: false });
  }

  draw() {
    const { bench, place } = this, all = strip(bench.history, bench.seen), focused = place.contains(document.activeElement);
    place.replaceChildren(...all.map((one, n) => this.card(one, n)));
    place.hidden = !all.length;
    const now = place.querySelector('[aria-selected=true]');
    if (focused) now?.focus();
    if (now) place.scrollLeft = Math.max(0, now.offsetLeft + now.offsetWidth / 2 - place.clientWidth / 2);
  }

  card({ step, on, ahead, now }, n) {
    const said = `${step.title}, ${step.width} by ${step.height} pixels${on || ahead ? '' : ', another branch'}`;
    return el(`button.ow-step${on ? '' : ahead ? '.is-ahead' : '.is-off'}`, { type: 'button', role: 'option', 'aria-selected': String(now), 'aria-label': said, title: [said, ...step.notes].join('\n'), tabindex: now ? '0' : '-1', 'data-step': step.id, onclick: () => this.bench.go(step.id) },
      el('img', { src: this.bench.pictureURL(step.picture, SIDE), alt: '', draggable: false, loading: 'lazy' }), el('span', {}, `${n + 1}. ${step.title}`));
  }

  key(e) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key], at = [...this.place.children].indexOf(document.activeElement), next = by && this.place.children[at + by];
    if (!next) return;
    e.preventDefault();
    e.stopPropagation();
    next.focus();
    this.bench.go(next.dataset.step);
  }
}
