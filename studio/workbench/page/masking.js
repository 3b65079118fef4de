// The tools that draw a mask: a bar over the stage, the pointer, keys. One mask is edited at a time.
import { el, icon } from '../../layers/page/dom.js';
import { Mask } from './mask.js';

const TOOLS = [
  ['brush', 'Brush (B)', 'M14.6 13.2 20.4 5a1.7 1.7 0 0 0-2.400-2.400L9.8 8.400m4.8 4.8a6 6 0 0 0-4.8-4.8m4.8 4.8c.6 4.6-3.2 7.8-11.1 7.3 2.4-1.600 1.7-3 2.1-5.400a4.6 4.6 0 0 1 4.2-6.700'],
  ['lasso', 'Lasso (L)', 'M7 17.500c-2.400-1.100-4-3-4-5.500C3 8 7 5 12 5s9 3 9 7-4 7-9 7c-1 0-2-.1-2.900-.3M7 17.500a2 2 0 1 0 2 1.200c-.2 2-1.500 3.300-3.500 3.300'],
  ['rect', 'Rectangle (R)', 'M4 6h16v12H4z'],
  ['thing', 'Click on a thing (W)', 'm5 19 9-9m1.500-6v3M14 5.500h3M19 9v2m-1-1h2M11 3v2m-1-1h2'],
  ['colour', 'Click on a colour (C)', 'M12 3.500s6 6.300 6 10.500a6 6 0 0 1-12 0C6 9.800 12 3.500 12 3.500z'],
];
const KEYS = { b: 'brush', l: 'lasso', r: 'rect', w: 'thing', c: 'colour' };
const CURSOR = { brush: 'none', lasso: 'crosshair', rect: 'crosshair', thing: 'crosshair', colour: 'crosshair' };
const LEAST_PX = 1.5, BAR_PX = 34, SEAL = '#d24a31';

export class Masking {
  /** given: {mask, ops, onchange(this), things, key, on: the picture meant when it is not that of the step}. See ../bench.md. */
  constructor(bench, { on = null, mask = null, ops = null, onchange = () => {}, things = true, key = '' } = {}) {
    Object.assign(this, { bench, on, onchange, key, tool: 'brush', adding: true, size: Number(localStorage.getItem('onestroke.work.brush')) || 40, drag: null });
    this.bar = this.furnish(things);
    bench.stageElement.append(this.bar);
    bench.stage.room(BAR_PX);
    this.offs = [bench.on('step', () => this.anew())];
    const kept = key ? bench.draft(key) : null;
    this.anew(ops ?? (mask ? [{ kind: 'picture', id: mask }] : kept?.step === bench.step?.id ? kept?.ops : null) ?? []);
    this.take();
  }

  /** For the picture that is shown now; what was marked on another one is no longer meant, unless it is as large. */
  anew(ops = null) {
    const { bench, picture: step } = this, same = this.mask && step && this.mask.width === step.width && this.mask.height === step.height;
    const kept = ops ?? (same ? this.mask.ops : []);
    this.mask = step ? new Mask(step, (id) => bench.bitmap(id), () => this.looks()) : null;
    bench.stage.tint = this.mask?.canvas ?? null;
    this.mask?.set(kept).then(() => this.told(), (error) => bench.error(error.message));
  }

  looks() {
    if (this.bench.stage.tint !== this.mask?.canvas && this.bar.isConnected) this.bench.stage.tint = this.mask?.canvas ?? null;
    this.bench.stage.later();
  }

  told() {
    const { bench, mask, key } = this;
    if (!mask) return;
    if (key) bench.draft(key, mask.ops.length ? { step: bench.step?.id, ops: mask.ops } : null);
    this.find('undo').disabled = !mask.ops.length;
    for (const name of ['clear', 'invert']) this.find(name).disabled = !mask.ops.length && name === 'clear';
    this.onchange(this);
    bench.tellAll('mask', this);
  }

  /** What is marked: {picture, width, height}. */
  get picture() { return this.on ?? this.bench.step; }

  // ---- what others ask and do

  get empty() { return this.mask?.empty ?? true; }

  get share() { return this.mask?.share ?? 0; }

  get ops() { return this.mask?.ops ?? []; }

  /** Uploads what was drawn when it has changed; null for nothing. */
  async id() {
    const { mask } = this;
    if (!mask || mask.empty) return null;
    mask.kept ??= this.bench.upload(await mask.blob()).then(({ id }) => id);
    try {
      return await mask.kept;
    } catch (error) {
      mask.kept = null;
      throw error;
    }
  }

  set(id) { return this.mask?.set(id ? [{ kind: 'picture', id }] : []).then(() => this.told()); }

  clear() { return this.mark({ kind: 'clear' }); }

  invert() { return this.mark({ kind: 'invert' }); }

  undo() { return this.mask?.undo().then(() => this.told()); }

  redo() { return this.mask?.redo().then(() => this.told()); }

  async mark(op) {
    if (!this.mask) return;
    await this.mask.add(op);
    this.told();
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    for (const off of this.offs) off();
    this.bar.remove();
    this.bench.stage.room(0);
    if (this.bench.stage.tint === this.mask?.canvas) this.bench.stage.tint = null;
    this.letGo?.();
    this.bench.stage.later();
  }

  // ---- the bar

  find(name) { return this.bar.querySelector(`[data-mark=${name}]`); }

  furnish(things) {
    const tools = TOOLS.filter(([id]) => things || !['thing', 'colour'].includes(id)).map(([id, title, path]) => el('button.ol-icon', { type: 'button', 'data-tool': id, title, 'aria-label': title, 'aria-pressed': String(id === this.tool), onclick: () => this.choose(id) }, icon(path)));
    const size = el('input', { type: 'range', min: '0', max: '100', value: String(toSlider(this.size)), 'aria-label': 'Size of the brush', title: 'Size of the brush  [  ]', oninput: () => this.resize(fromSlider(Number(size.value))) });
    const how = (adds, title, words) => el('button', { type: 'button', 'data-adds': String(adds), 'aria-pressed': String(adds === this.adding), title, onclick: () => this.sign(adds) }, words);
    const act = (name, title, path, run) => el('button.ol-icon', { type: 'button', 'data-mark': name, title, 'aria-label': title, onclick: run }, icon(path));
    this.slider = size;
    const bar = el('.ow-marks', { role: 'toolbar', 'aria-label': 'Mark what may change' }, tools, el('span.ow-signs', { role: 'group', 'aria-label': 'What a mark does' }, how(true, 'Add to the mask', '+'), how(false, 'Take away from the mask (hold Alt)', '−')), size,
      act('undo', 'Undo the last mark', 'M8 5 4 9l4 4M4 9h10a5.500 5.500 0 0 1 0 11h-4', () => this.undo()), act('invert', 'Invert the mask', 'M12 3a9 9 0 0 1 0 18zM12 3a9 9 0 0 0 0 18', () => this.invert()),
      act('clear', 'Clear the mask', 'M4 7h16M9 7V4h6v3m3 0-1 13H7L6 7', () => this.clear()));
    for (const name of ['pointerdown', 'wheel', 'dblclick', 'pointermove']) bar.addEventListener(name, (e) => e.stopPropagation());
    return bar;
  }

  choose(tool) {
    this.tool = tool;
    for (const button of this.bar.querySelectorAll('[data-tool]')) button.setAttribute('aria-pressed', String(button.dataset.tool === tool));
    this.take();
  }

  sign(adding) {
    this.adding = adding;
    for (const button of this.bar.querySelectorAll('[data-adds]')) button.setAttribute('aria-pressed', String((button.dataset.adds === 'true') === adding));
  }

  /** In screen px, so that a brush is as large as it looks at any zoom. */
  resize(size) {
    this.size = Math.min(400, Math.max(2, size));
    this.slider.value = String(toSlider(this.size));
    localStorage.setItem('onestroke.work.brush', String(Math.round(this.size)));
    this.bench.stage.later();
  }

  /** Whether it was one of ours. */
  key_(e) {
    const key = e.key.toLowerCase();
    if (KEYS[key] && this.bar.querySelector(`[data-tool=${KEYS[key]}]`)) { this.choose(KEYS[key]); return true; }
    if (key === '[' || key === ']') { this.resize(this.size * (key === '[' ? 1 / 1.2 : 1.2)); return true; }
    return false;
  }

  // ---- the pointer

  take() {
    this.letGo = this.bench.tool({ pointer: (kind, x, y, e) => this.pointer(kind, x, y, e), cursor: CURSOR[this.tool], overlay: (ink, view) => this.overlay(ink, view), masking: this, released: () => {} });
  }

  pointer(kind, x, y, e) {
    this.at = [x, y];
    const { drag, mask } = this, add = this.adding !== Boolean(e.altKey);
    if (!mask) return;
    if (kind === 'down' && ['thing', 'colour'].includes(this.tool)) { this.select(x, y, add, e); return; }
    if (kind === 'down') { this.drag = { points: [[x, y]], add, width_px: this.size / this.bench.stage.zoom }; if (this.tool === 'brush') mask.sketch({ kind: 'brush', ...this.drag }); }
    if (kind === 'move' && drag) this.drawTo(drag, x, y);
    if ((kind === 'up' || kind === 'cancel') && drag) this.finish(drag, kind === 'cancel');
    this.bench.stage.later();
  }

  drawTo(drag, x, y) {
    const [lx, ly] = drag.points.at(-1);
    if (Math.hypot(x - lx, y - ly) * this.bench.stage.zoom < LEAST_PX) return;
    drag.points.push([Math.round(10 * x) / 10, Math.round(10 * y) / 10]);
    if (this.tool === 'brush') this.mask.sketch({ kind: 'brush', points: drag.points.slice(-2), add: drag.add, width_px: drag.width_px });
  }

  finish(drag, cancelled) {
    this.drag = null;
    const [first, last] = [drag.points[0], drag.points.at(-1)];
    if (cancelled) { this.mask.redraw(); return; }
    if (this.tool === 'brush') this.mark({ kind: 'brush', ...drag });
    else if (this.tool === 'lasso' && drag.points.length > 2) this.mark({ kind: 'lasso', points: drag.points, add: drag.add });
    else if (this.tool === 'rect' && drag.points.length > 1) this.mark({ kind: 'rect', box: [...first, ...last], add: drag.add });
  }

  /** A thing, or what has the colour that was pressed on, found by the studio. */
  async select(x, y, add) {
    const { bench, tool, picture: step } = this;
    if (x < 0 || y < 0 || x >= step.width || y >= step.height || this.busy) return;
    this.busy = true;
    bench.tell('Looking for it …', 'brief');
    try {
      const { mask } = await bench.ask('select', { picture: step.picture, x, y, how: tool });
      if (this.picture?.picture === step.picture) await this.mark({ kind: 'picture', id: mask, add });
    } catch (error) {
      bench.error(error.message);
    } finally {
      this.busy = false;
    }
  }

  overlay(ink, { zoom }) {
    const px = 1 / zoom, { drag, at } = this;
    ink.strokeStyle = SEAL;
    ink.lineWidth = 1.5 * px;
    if (this.tool === 'brush' && at) ring(ink, at, this.size / 2 * px, px);
    if (!drag || this.tool === 'brush') return;
    ink.setLineDash([5 * px, 4 * px]);
    ink.beginPath();
    if (this.tool === 'rect') { const [a, b] = [drag.points[0], drag.points.at(-1)]; ink.rect(a[0], a[1], b[0] - a[0], b[1] - a[1]); } else drag.points.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
    ink.stroke();
    ink.setLineDash([]);
  }
}

function ring(ink, [x, y], radius, px) {
  for (const [style, width] of [['rgba(255, 255, 255, .9)', 3], [SEAL, 1.5]]) {
    ink.strokeStyle = style;
    ink.lineWidth = width * px;
    ink.beginPath();
    ink.arc(x, y, radius, 0, 7);
    ink.stroke();
  }
}

const toSlider = (size) => Math.round(100 * Math.log(size / 2) / Math.log(200));
const fromSlider = (value) => 2 * 200 ** (value / 100);
