// Cut the thing out of the chosen layer; clicks and strokes on the stage say what to keep and what to drop, and show at once.
import { el, busy } from '../dom.js';
import { chips, slider } from '../making.js';

const COLOURS = { keep: 'rgba(20, 150, 70, .85)', drop: 'rgba(210, 40, 50, .85)' }, SETTLE_MS = 60, LEAST_STEP = 2;
const px = (v) => `${Math.round(10 * v) / 10} px`, size = (bytes) => (bytes ? ` · ${(bytes / 1e6).toFixed(0)} MB` : '');

/** One session of cutting: the strokes on one layer, and the newest preview of them. */
class Cutting {
  constructor(desk, asked, told) { Object.assign(this, { desk, asked, told, strokes: [], layer: null, anew: false, shown: null, release: null }); }

  /** The layer that is chosen, if it is a single picture; another one begins anew. */
  follow() {
    const leaves = this.desk.leaves(), layer = leaves.length === 1 ? leaves[0] : null;
    if (layer?.id === this.layer) return;
    this.forget();
    this.layer = layer?.id ?? null;
    this.told.chosen(layer);
  }

  forget() {
    clearTimeout(this.timer);
    this.ending?.abort();
    Object.assign(this, { strokes: [], anew: false });
    this.before();
  }

  /** The document as it is. */
  before() {
    if (this.shown) this.desk.preview(null);
    this.shown = null;
  }

  all(quick) { return { ...this.asked(), layer: this.layer, strokes: this.strokes.map(({ points, keep, width_px }) => ({ points, keep, width_px })), anew: this.anew, quick }; }

  later() {
    clearTimeout(this.timer);
    if (this.layer) this.timer = setTimeout(() => this.look(), SETTLE_MS);
  }

  /** The newest wins: a look that is under way is called off. */
  async look() {
    this.ending?.abort();
    const ending = this.ending = new AbortController(), layer = this.layer, began = performance.now();
    this.told.state('Looking …');
    const outcome = await this.desk.run('cutout', this.all(true), { apply: false, signal: ending.signal });
    if (ending.signal.aborted || layer !== this.layer) return;
    this.told.state(outcome ? `Shown in ${((performance.now() - began) / 1000).toFixed(2)} s. The full size comes with Cut out.` : '');
    if (!outcome) return;
    const [made] = outcome.layers;
    await this.desk.bitmap(made.picture).catch(() => null);                  // so that the stage does not blink
    if (layer !== this.layer || this.ending !== ending) return;
    this.shown = made;
    this.show();
  }

  show() {
    const swap = (node) => (node.layers ? { ...node, layers: node.layers.map(swap) } : node.id === this.layer ? { ...node, picture: this.shown.picture, place: this.shown.place } : node);
    if (this.shown) this.desk.preview({ ...this.desk.stack, layers: this.desk.stack.layers.map(swap) });
  }

  /** The stage's pointer marks, as long as this panel is the one in use. */
  mark(keep, width) {
    let stroke = null;
    const pointer = (kind, x, y, event) => {
      if (!this.layer) return;
      if (kind === 'down') {
        stroke = { points: [[x, y]], keep: keep() !== Boolean(event.altKey), width_px: width() };
        this.strokes.push(stroke);
      } else if (kind === 'move' && stroke) {
        const [lx, ly] = stroke.points.at(-1);
        if (Math.hypot(x - lx, y - ly) * this.desk.view.zoom >= LEAST_STEP) stroke.points.push([x, y]);
      } else if (kind === 'up' && stroke) {
        stroke = null;
        this.told.count();
        this.later();
      }
      this.desk.view.later();
    };
    this.release = this.desk.tool({ pointer, cursor: 'crosshair', overlay: (ink, view) => this.overlay(ink, view), released: () => this.told.released() });
  }

  overlay(ink, view) {
    ink.lineCap = ink.lineJoin = 'round';
    for (const { points, keep, width_px } of this.strokes) {
      ink.strokeStyle = COLOURS[keep ? 'keep' : 'drop'];
      ink.lineWidth = Math.max(width_px, 3 / view.zoom);
      ink.globalAlpha = 0.55;
      ink.beginPath();
      points.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
      if (points.length === 1) ink.lineTo(points[0][0] + 0.01, points[0][1]);
      ink.stroke();
    }
    ink.globalAlpha = 1;
  }
}

/** What cuts, and how to get what is not here. */
function choice(cutters, onchange) {
  const here = cutters.filter((one) => one.here), away = cutters.filter((one) => !one.here);
  const list = el('select', { 'aria-label': 'How', onchange }, here.map((one) => el('option', { value: one.id }, `${one.title}${size(one.bytes)}`)));
  const more = away.length ? el('details', {}, el('summary', {}, `${away.length} more, not on this machine`),
    away.map((one) => el('p.ol-note', {}, el('b', {}, `${one.title}${size(one.bytes)}`), `. ${one.cure}`))) : null;
  return { list, more };
}

/** The knobs of the edge; `changed` after each. */
function edge(changed) {
  const box = (title, checked, hint) => { const input = el('input', { type: 'checkbox', checked, onchange: changed }); return { input, field: el('label.ol-field.is-line', { title: hint }, input, title) }; };
  const feather = slider('Feather', { min: 0, max: 30, step: 0.5, value: 0, say: px, oninput: changed });
  const shift = slider('Choke or spread', { min: -10, max: 10, step: 0.5, value: 0, say: px, oninput: changed, hint: 'Left: the edge moves inwards' });
  const side = chips([['inwards', 'Inwards'], ['both', 'Both'], ['outwards', 'Outwards']], 'both', changed, 'Side of the feather');
  const clean = box('Take the background’s colour out of the edge', true, 'Decontaminate'), islands = box('Keep small separate pieces', false, ''), holes = box('Fill holes', false, 'Most holes are real: a handle, a ring');
  const trim = box('Trim to what is left', false, 'The layer becomes as small as the thing');
  return { parts: [feather.field, side.box, shift.field, clean.field, islands.field, holes.field, trim.field],
    asked: () => ({ feather: feather.value(), feather_side: side.value(), shift: shift.value(), decontaminate: clean.input.checked, islands: islands.input.checked, fill_holes: holes.input.checked, trim: trim.input.checked }) };
}

export default {
  id: 'cutout', title: 'Cut out', order: 20,
  build(root, desk) {
    const state = el('p.ol-note', { 'aria-live': 'polite' }), knobs = edge(() => cutting.later()), how = choice(desk.config.cutters ?? [], () => cutting.later());
    const mode = chips([['keep', 'Keep'], ['drop', 'Drop']], 'keep', () => take(), 'What a click says'), brush = slider('Brush', { min: 2, max: 80, step: 1, value: 14, say: px });
    const button = (title, onclick, words = {}) => el('button.os-btn', { type: 'button', onclick, disabled: true, ...words }, title);
    const first = button('Cut out', () => finish()), undo = button('Undo mark', () => { cutting.strokes.pop(); told.count(); cutting.later(); desk.view.later(); });
    const anew = button('Begin anew', () => { cutting.forget(); cutting.anew = true; told.count(); cutting.later(); }), before = button('Before (hold)', () => {}, {});
    first.classList.add('is-first', 'is-wide');
    const marking = el('button.os-btn', { type: 'button', 'aria-pressed': 'false', onclick: () => (cutting.release ? cutting.release() : take()) }, 'Mark');
    const told = {
      state: (words) => { state.textContent = words; },
      count: () => { undo.disabled = !cutting.strokes.length; },
      released: () => { cutting.release = null; marking.setAttribute('aria-pressed', 'false'); },
      chosen: (layer) => {
        for (const one of [first, anew, before]) one.disabled = !layer;
        told.count();
        state.textContent = layer ? `“${layer.name}”: click on what to keep or to drop, or just Cut out.` : 'Choose one layer with a picture.';
      },
    };
    const cutting = new Cutting(desk, () => ({ method: how.list.value, ...knobs.asked() }), told);
    const take = () => { if (cutting.release) return; cutting.mark(() => mode.value() === 'keep', () => brush.value()); marking.setAttribute('aria-pressed', 'true'); };
    const finish = () => busy(first, root, async (given) => {
      const asked = cutting.all(false);
      cutting.forget();                                                      // what was marked is kept by the layer from now on
      const done = await desk.run('cutout', asked, { ...given, label: 'Cut out' });
      told.count();
      state.textContent = done ? 'Cut out. Mark more to correct it; Undo brings the whole picture back.' : '';
      if (!done) cutting.strokes = asked.strokes;
    });
    before.addEventListener('pointerdown', () => desk.preview(null));
    for (const end of ['pointerup', 'pointerleave', 'pointercancel']) before.addEventListener(end, () => cutting.show());
    root.append(el('label.ol-field', {}, 'How', how.list), how.more ?? '', mode.box, brush.field, el('.ol-row', {}, marking, undo), el('.ol-row', {}, anew, before),
      el('details', { open: true }, el('summary', {}, 'Edge'), ...knobs.parts), first, state,
      el('p.ol-note', {}, 'Alt while clicking says the opposite. The layer remembers its whole picture.'));
    desk.on('selection', () => cutting.follow());
    desk.on('document', () => { cutting.layer = undefined; cutting.follow(); });
    desk.on('shown', (id) => { if (id !== 'cutout') { cutting.before(); cutting.release?.(); } else { cutting.follow(); if (cutting.layer) take(); } });
    cutting.layer = undefined;
    cutting.follow();
    if (cutting.layer) take();
  },
};
