// The strokes as a row of small pictures, newest first. Only those in sight are in the page, so ten thousand cost nothing.
import { pathOf } from './svg.js';

const STEP_PX = 38;
const INSIDE_PX = 26, MARGIN_PX = 3;
const SPARE = 4;
const MAX_POINTS = 60;

export class StrokeList {
  /** on: {hover(stroke or null), select(stroke or null), remove(stroke)}; names: ink -> what it is called. */
  constructor(element, { names, on }) {
    Object.assign(this, { element, names, on, row: element.firstElementChild });
    this.strokes = [];
    this.chips = new Map();
    this.selected = null;
    element.addEventListener('scroll', () => this.later());
    element.addEventListener('click', ({ target }) => this.clicked(target));
    element.addEventListener('keydown', (e) => this.moved(e));
    for (const name of ['pointerover', 'focusin']) element.addEventListener(name, ({ target }) => on.hover(this.of(target)));
    for (const name of ['pointerleave', 'focusout']) element.addEventListener(name, () => on.hover(null));
    new ResizeObserver(() => this.later()).observe(element);
  }

  show(strokes) {
    this.strokes = strokes;
    if (this.selected && !strokes.includes(this.selected)) this.select(null);
    this.later();
  }

  later() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.draw(); });
  }

  draw() {
    const count = this.strokes.length, first = Math.max(0, Math.floor(this.element.scrollLeft / STEP_PX) - SPARE);
    const last = Math.min(count, first + Math.ceil(this.element.clientWidth / STEP_PX) + 2 * SPARE), seen = new Set();
    this.row.style.width = `${count * STEP_PX}px`;
    for (let place = first; place < last; place++) {
      const stroke = this.strokes[count - 1 - place];
      seen.add(stroke.id);
      this.put(stroke, place, count - place, place === first);
    }
    for (const [id, chip] of this.chips) if (!seen.has(id)) { chip.remove(); this.chips.delete(id); }
  }

  /** entry: the one that Tab comes to; from there the arrow keys go on. */
  put(stroke, place, number, entry) {
    let chip = this.chips.get(stroke.id);
    if (!chip) {
      chip = makeChip(stroke);
      this.chips.set(stroke.id, chip);
      this.row.append(chip);
    }
    const name = `Stroke ${number}, ${this.names[stroke.ink] ?? 'other ink'}`, [look, drop] = chip.children;
    chip.style.left = `${place * STEP_PX}px`;
    look.title = name;
    look.tabIndex = entry || stroke === this.selected ? 0 : -1;
    look.setAttribute('aria-label', name);
    look.setAttribute('aria-pressed', String(stroke === this.selected));
    drop.setAttribute('aria-label', `Delete stroke ${number}`);
  }

  of(target) {
    const id = Number(target.closest?.('.os-stroke')?.dataset.id);
    return this.strokes.find((stroke) => stroke.id === id) ?? null;
  }

  clicked(target) {
    const stroke = this.of(target);
    if (!stroke) return;
    if (target.closest('.os-stroke-drop')) this.on.remove(stroke);
    else this.select(stroke === this.selected ? null : stroke);
  }

  select(stroke) {
    this.selected = stroke;
    this.on.select(stroke);
    this.later();
  }

  removeSelected() { if (this.selected) this.on.remove(this.selected); }

  /** Arrow keys go along the row, which is drawn newest first. */
  moved(e) {
    const way = { ArrowLeft: 1, ArrowRight: -1 }[e.key], stroke = way && this.of(e.target), next = stroke && this.strokes[this.strokes.indexOf(stroke) + way];
    if (!next) return;
    e.preventDefault();
    this.element.scrollLeft = (this.strokes.length - 1 - this.strokes.indexOf(next)) * STEP_PX - this.element.clientWidth / 2;
    this.select(next);
    this.draw();
    this.chips.get(next.id)?.firstElementChild.focus({ preventScroll: true });
  }
}

function makeChip(stroke) {
  const chip = document.createElement('div');
  chip.className = 'os-stroke';
  chip.dataset.id = stroke.id;
  chip.innerHTML = `<button type="button" class="os-stroke-look">${preview(stroke)}</button><button type="button" class="os-stroke-drop" title="Delete this stroke" tabindex="-1">`
    + '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="m7 7 10 10M17 7 7 17"/></svg></button>';
  return chip;
}

/** The stroke, thinned out and fitted into a chip. */
function preview({ ink, points, box }) {
  const every = 3 * Math.max(1, Math.ceil(points.length / 3 / MAX_POINTS)), thin = [];
  for (let i = 0; i < points.length; i += every) thin.push(...points.slice(i, i + 3));
  if (thin.at(-3) !== points.at(-3)) thin.push(...points.slice(-3));
  const side = Math.max(box[2] - box[0], box[3] - box[1], 24), k = (INSIDE_PX - 2 * MARGIN_PX) / side, [left, top] = [(box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2];
  const fitted = thin.map((value, i) => (i % 3 === 2 ? value : MARGIN_PX + (value - (i % 3 ? top : left)) * k));
  return `<svg viewBox="0 0 ${INSIDE_PX} ${INSIDE_PX}" aria-hidden="true"><path fill="none" stroke="${ink}" stroke-width="${Math.min(9, Math.max(1.5, points[2] * k)).toFixed(2)}" stroke-linecap="round" stroke-linejoin="round" d="${pathOf(fitted)}"/></svg>`;
}
