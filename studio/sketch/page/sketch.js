// The sketch tab's page: vector strokes under the hand, and the picture that follows them.
import { Stage } from '../../live/page/stage.js';
import { inSight } from '../../live/page/view.js';
import { Drawing, packFrames, strokesOf, unpackFrames } from './drawing.js';
import { Finding } from './finding.js';
import { SketchHand } from './hand.js';
import { Importing } from './importing.js';
import { StrokeList } from './list.js';
import { Marks } from './marks.js';
import { Objects } from './objects.js';
import { Reference } from './reference.js';
import { makeStroke, pack, unpack } from './strokes.js';
import { fromSvg, toSvg } from './svg.js';

const FOLDS = ['off', 'mirror', 'radial'];
const FOLD_TITLES = { off: 'Symmetry off', mirror: 'Symmetry: left and right', radial: 'Symmetry: four times round' };
const WORDS = { sketch: 'Say what the lines are', colour: 'Say what the line art shows', scene: 'Say what is behind the objects' };
const REFERENCE = 'Drop, paste or press to load';
const ONION = 25;
const SEEN = 500;
const LIKE = 40;

class Sketch extends Stage {
  constructor(parts) {
    super(parts);
    this.settings = { onion: ONION, symmetry: 'off', objects: [], mode: 'sketch', ...this.settings };
    this.shown = () => { this.dress(); parts.changed(); };
    this.seen = new Map();                                                  // number of a message -> the strokes it told of
    this.behind = new Map();                                                // frame -> the strokes it was made from
    this.marks = new Marks(this.find('.os-marks'));
    this.onion = this.find('.os-onion').getContext('2d');
    this.furnish();
    this.heed();
  }

  furnish() {
    const { inks, annotators = [] } = this.config, { lines, find, found, invent } = this.server, error = (text) => this.notice(text, 'error');
    this.list = new StrokeList(this.find('.os-strokes'), { names: inkNames(inks),
      on: { hover: (s) => this.marks.point(s), select: (s) => this.marks.choose(s), remove: (s) => { this.marks.point(null); this.paper.remove(s.id); } } });
    this.objects = new Objects(this.find('.os-objects'), { inks: inks.objects, on: { change: (objects) => this.alter({ objects }), choose: () => this.hand.hold('pen') } });
    this.reference = new Reference(this.find('.os-ref'), { change: () => this.referred(), error });
    this.importing = new Importing(this.find('.os-import'), { annotators, lines: (asked) => lines({ ...asked, base: this.settings.base ?? this.config.defaults.base }), on: { take: (rows, replace) => this.bring(rows.map((points) => ({ ink: this.penInk, points })), replace), error } });
    this.invents = invent;
    this.finding = new Finding(this.find('.os-find'), { find, found, on: { take: (url) => this.reference.take(url), error } });
  }

  heed() {
    this.element.addEventListener('click', ({ target }) => {
      const mode = target.closest('[data-turn]')?.dataset.turn;
      if (mode) this.turn(mode);
    });
    this.find('.os-onion-size').addEventListener('input', ({ target }) => { this.alter({ onion: Number(target.value) }); this.dress(); });
  }

  // ---- what a stage asks of its tab

  get places() { return { socket: this.config.socket, settings: 'onestroke.sketch', database: 'onestroke-sketch', meter: '#os-sketch-meter' }; }

  get titles() { return { sketch: 'Following your lines', colour: 'Colouring your line art', scene: 'Following your scene', text: 'Following your words' }; }

  get own() { return ['mode', 'objects', 'onion', 'symmetry']; }

  get sheet() { return this.find('.os-sheet'); }

  makePaper(canvas, changed) { return new Drawing(canvas, changed, { under: this.config.inks.block }); }

  makeHand() { return new SketchHand(this); }

  makeActions() {
    return { ...super.makeActions(), mirror: () => this.fold(), onion: () => this.flip(), seek: () => this.seek(), read: () => this.read(), invent: () => this.invent(), lock: () => this.lock(), export: () => this.export() };
  }

  /** A tab that nobody has opened yet asks the server for nothing. */
  async start() {
    await inSight(this.element);
    await super.start();
  }

  record() { return { strokes: pack(this.paper.strokes.list), reference: this.reference.image, behind: packFrames(this.behind) }; }

  adopt({ strokes, reference, behind, client }) {
    if (strokes) this.paper.adopt(unpack(strokes));
    this.reference.show(reference);
    if (behind && client === this.client) this.behind = unpackFrames(behind);      // another page's frames have numbers of their own
  }

  opened() { if (this.reference.image) this.wire.sendBytes(this.reference.message); }

  followed(header) { this.element.dataset.follows = header.mode; }

  drawn(box) {
    super.drawn(box);
    if (this.paper.stroke?.brush.eraser) this.wire.flush();                 // painted a frame after the hand moved, so nobody else sends it
  }

  settled() {
    super.settled();
    this.list.show(this.paper.strokes.list);
  }

  /** The picture lies under the lines too. */
  paint(bitmap) {
    super.paint(bitmap);
    const { width, height } = this.onion.canvas;
    this.onion.clearRect(0, 0, width, height);
    this.onion.drawImage(bitmap, 0, 0, width, height);
  }

  // ---- modes, objects, reference

  get mode() { return this.settings?.mode ?? 'sketch'; }

  /** The ink of the pen: in a scene the colour of the object in hand. */
  get penInk() { return this.mode === 'scene' ? this.objects.ink : this.config.inks.detail; }

  alter(values) {
    this.settings = { ...this.settings, ...values };
    this.store.settings = this.settings;
    this.tell();
  }

  turn(mode) {
    this.alter({ mode });
    this.dress();
    if (mode === 'scene' && !this.settings.objects.length) this.objects.add();
  }

  /** Show the settings that live on the page. */
  dress() {
    const { mode, onion, symmetry, objects } = this.settings;
    this.element.dataset.mode = mode;
    for (const button of this.element.querySelectorAll('[data-turn]')) button.setAttribute('aria-pressed', String(button.dataset.turn === mode));
    this.element.style.setProperty('--onion', onion / 100);
    this.find('.os-onion-size').value = onion;
    this.dressFold(symmetry);
    this.dressReference();
    this.dressPair();
    if (JSON.stringify(objects) !== JSON.stringify(this.objects.all)) this.objects.show(objects);
    this.element.closest('.os-main')?.querySelector('.os-prompt textarea')?.setAttribute('placeholder', WORDS[mode]);
    this.hand.hold(mode !== 'sketch' && this.hand.tool === 'block' ? 'pen' : this.hand.tool);
  }

  /** Whether the chosen model looks at a reference at all; one that came after the page was opened may. */
  dressReference() {
    const { bases, defaults, references } = this.config, { base = defaults.base } = this.settings;
    this.find('.os-ref-none').textContent = references.includes(base) || !bases.includes(base) ? REFERENCE : 'This model looks at none';
  }

  /** The pair of the chosen model, "" where it has none. */
  get pair() { return (this.config.pairs ?? {})[this.settings.base ?? this.config.defaults.base] ?? ''; }

  dressPair() { for (const button of this.element.querySelectorAll('.os-for-pair')) button.hidden = !this.pair; }

  change(values) {
    super.change(values);
    this.dressReference();
    this.dressPair();
  }

  dressFold(symmetry) {
    const button = this.find('[data-do=mirror]');
    this.paper.symmetry = symmetry;
    this.marks.fold(symmetry);
    button.dataset.fold = symmetry;
    button.setAttribute('aria-pressed', String(symmetry !== 'off'));
    button.setAttribute('aria-label', FOLD_TITLES[symmetry]);
    button.title = `${FOLD_TITLES[symmetry]} (M)`;
  }

  fold() {
    if (this.paper.stroke) return;
    this.alter({ symmetry: FOLDS[(FOLDS.indexOf(this.settings.symmetry) + 1) % FOLDS.length] });
    this.dress();
  }

  /** The onion skin off, or back to where it was. */
  flip() {
    const { onion, onionBefore = ONION } = this.settings;
    this.alter(onion ? { onion: 0, onionBefore: onion } : { onion: onionBefore || ONION });
    this.dress();
  }

  /** Another reference, or none: it has no number of its own, so the settings follow it to be answered. */
  referred() {
    this.wire.sendBytes(this.reference.message);
    this.wire.sendSettings(performance.now());
    this.settled();
  }

  // ---- pictures from outside, and to it

  async load(file) {
    if (!file || this.find('dialog:modal')) return;
    if (file.type !== 'image/svg+xml') { await this.importing.open(file, this.paper.blank); return; }
    try {
      const { strokes, left } = fromSvg(await file.text(), { ink: (color) => this.inkOf(color), width: 3 });
      if (!strokes.length) throw new Error(`“${file.name}” has no lines in it. Only shapes are read, not pictures or text inside an SVG.`);
      this.bring(strokes, false);
      if (left) this.notice(`${left.toLocaleString('en')} shapes were too many and are left out.`, 'warn');
    } catch (error) {
      this.notice(error.message, 'error');
    }
  }

  /** strokes: [{ink, points}]; as one undo step. */
  bring(strokes, replace) {
    const made = strokes.map(({ ink, points }) => makeStroke(ink, points));
    if (replace) this.paper.replace(made);
    else this.paper.add(made);
    this.notice(`${made.length.toLocaleString('en')} ${made.length === 1 ? 'stroke' : 'strokes'} brought in. Undo takes them back.`, 'done');
  }

  /** Any CSS colour -> the ink it was meant to be; lines of other colours are drawn with the pen. */
  inkOf(color) {
    const { inks } = this.config, wanted = rgbOf(color), near = (ink) => Math.hypot(...rgbOf(ink).map((v, i) => v - wanted[i]));
    const [best] = [inks.detail, inks.block, ...inks.objects].sort((a, b) => near(a) - near(b));
    return near(best) < LIKE ? best : this.penInk;
  }

  async take() {
    if (this.strip.current) await this.importing.open(this.strip.current.blob, this.paper.blank);
  }

  async read() {
    if (this.strip.current) await this.importing.open(this.strip.current.blob, this.paper.blank, { how: `pair:${this.pair}` });
    else this.notice('There is no picture yet to read lines off.', 'warn');
  }

  /** A picture and its lines, from the words alone. */
  async invent() {
    const button = this.find('[data-do=invent]'), { prompt, style, seed, steps, base } = { ...this.config.defaults, ...this.settings };
    button.disabled = true;
    try {
      const { error, picture, ...found } = await this.invents({ prompt, style, seed, steps, base });
      if (error) throw new Error(error);
      const blob = await (await fetch(picture)).blob();
      await this.importing.open(blob, this.paper.blank, { found, taken: () => this.reference.read(blob) });
    } catch (error) {
      this.notice(error.message || 'The studio did not answer. Try again.', 'error');
    } finally {
      button.disabled = false;
    }
  }

  /** The picture on show becomes the reference: its look stays while the drawing goes on. */
  async lock() {
    if (!this.strip.current) { this.notice('There is no picture yet whose look could stay.', 'warn'); return; }
    await this.reference.read(this.strip.current.blob);
  }

  seek() {
    if (this.paper.blank) { this.notice('Draw something first, then pictures that look like it can be found.', 'warn'); return; }
    this.paper.refresh();
    this.finding.look(this.paper.canvas.toDataURL());
  }

  export() {
    if (this.paper.blank) { this.notice('There is no stroke to save yet.', 'warn'); return; }
    const link = document.createElement('a'), url = URL.createObjectURL(new Blob([toSvg(this.paper.strokes.list, this.config.inks.block)], { type: 'image/svg+xml' }));
    Object.assign(link, { href: url, download: 'onestroke-sketch.svg' });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  // ---- which strokes a frame was made from

  numbered(seq) {
    this.seen.set(seq, this.paper.snapshot());
    if (this.seen.size > SEEN) this.seen.delete(this.seen.keys().next().value);
  }

  frame(header, blob) {
    if (header.t === 'frame') { this.behind.set(header.id, this.strokesAt(header.seq)); this.saveSoon(); }
    super.frame(header, blob);
  }

  /** The strokes told of by the newest message up to `seq`; those of older ones are forgotten. */
  strokesAt(seq) {
    const told = [...this.seen.keys()].filter((n) => n <= seq), newest = told.pop();
    for (const old of told) this.seen.delete(old);
    return this.seen.get(newest);
  }

  message(m) {
    if (m.t === 'gone') for (const id of m.frames) this.behind.delete(id);
    super.message(m);
  }

  async redraw({ frame }) {
    const strokes = this.behind.get(frame);
    if (!strokes) return 'Back at the words and seed of that frame. Its strokes were lost with the last reload, so the drawing stays.';
    this.paper.replace(strokesOf(strokes));
    return undefined;
  }
}

const inkNames = (inks) => ({ [inks.detail]: 'pen', [inks.block]: 'block brush', ...Object.fromEntries(inks.objects.map((ink, i) => [ink, `object ${i + 1}`])) });

const probe = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });

/** A CSS colour -> [r, g, b]; black for what is none. */
function rgbOf(color) {
  probe.fillStyle = '#000000';
  probe.fillStyle = color;
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}

/** Called by Gradio when the stage is in the page. */
export function start(parts) {
  const sketch = new Sketch(parts);
  window.onestroke = Object.assign(window.onestroke ?? {}, { sketch });
  return sketch.start();
}
