// What a workbench tab works on: one picture with its history, the stage, and what panels may do. See ../bench.md.
import { Images } from '../../layers/page/images.js';
import { Saving } from '../../layers/page/saving.js';
import { added, after, amended, before, empty, gone, path, stepFrom, stepOf, trimmed } from './history.js';
import { Mask } from './mask.js';
import { Masking } from './masking.js';
import { Stage } from './stage.js';

const SEEN_KEPT = 200;

export class Bench {
  /** element: of the tab; server: of its routes; tell(text, kind, action): the notice; name: of the tab. */
  constructor({ element, server, tell, config, name }) {
    Object.assign(this, { element, server, tell, config, name, base: config.base, heard: new Map(), tools: [], id: null, title: '', history: empty(), seen: [], shown: null, limits: config.limits });
    this.stageElement = element.querySelector('.ow-stage');
    [this.right, this.head] = ['.ow-right', '.ow-head'].map((name) => element.querySelector(name));
    this.images = new Images(server.pictureURL, () => this.stage.later());
    this.saving = new Saving(server.ask, { state: (state, words) => this.tellAll('saved', { state, words }), stale: (error) => this.tellAll('stale', error), gone: (error) => this.tellAll('gone', error) }, { field: 'history', room: 'onestroke.work.unsaved.' });
    this.stage = new Stage(this.stageElement, this.images, { zoom: (zoom) => this.tellAll('zoom', zoom), pointer: (kind, x, y, e) => this.point(kind, x, y, e), cursor: () => this.cursor() });
    this.stage.overlay = (ink, view) => { this.tellOverlays(ink, view); this.held?.overlay?.(ink, view); };
    this.overlays = new Set();
  }

  // ---- telling and hearing

  on(what, fn) {
    if (!this.heard.has(what)) this.heard.set(what, new Set());
    this.heard.get(what).add(fn);
    return () => this.heard.get(what).delete(fn);
  }

  tellAll(what, value) {
    if (what === 'shown') { this.panel = value; this.swipe(null); }
    for (const fn of [...this.heard.get(what) ?? []]) fn(value);
  }

  note(text, action) { this.tell(text, 'done', action); }

  error(text, action) { this.tell(text, 'error', action); }

  // ---- the document

  get step() { return stepOf(this.history, this.history.now); }

  get parent() { return this.step?.parent ? stepOf(this.history, this.step.parent) : null; }

  get path() { return path(this.history); }

  /** Take a document up: {id, name, revision, history}. */
  take(document) {
    const kept = this.saving.begin(document), history = kept ? kept.history : document.history;
    Object.assign(this, { id: document.id, title: kept?.name ?? document.name, history, seen: [history.now], shown: null });
    this.stage.previewing = false;
    this.compare(false);
    this.stage.fitted = true;
    this.stage.propose(null);
    this.show();
    this.tellAll('document');
    if (kept) { this.saving.change(this.title, this.history); this.note('Changes that had not reached the studio were brought back.'); }
  }

  rename(name) {
    this.title = name.trim() || 'Untitled';
    this.saving.change(this.title, this.history);
    this.tellAll('named');
  }

  /** One undo step; the picture before it stays in the history. Returns the step. */
  commit({ parent = this.history.now, label, title = label ?? 'Step', ...given }) {
    const step = stepFrom({ ...given, title, parent, tab: this.name });
    this.turn(added(this.history, step), true);
    return step;
  }

  /** Change a step in place: another of its alternatives. */
  amend(id, changes) { if (stepOf(this.history, id)) this.turn(amended(this.history, id, changes), false); }

  go(id) { if (stepOf(this.history, id) && id !== this.history.now) this.turn(gone(this.history, id), stepOf(this.history, id).parent === this.history.now); }

  undo() { this.along(before(this.history), 'Undone', this.step?.title); }

  redo() { const next = after(this.history, this.seen); this.along(next, 'Done again', next && stepOf(this.history, next).title); }

  along(id, words, title) {
    if (!id) return;
    this.go(id);
    this.tell(`${words}: ${title}`, 'brief');
  }

  get redoable() { return !!after(this.history, this.seen); }

  turn(history, keep) {
    const nothing = !this.step;
    this.history = history;
    this.seen = [...this.seen.filter((id) => id !== history.now), history.now].slice(-SEEN_KEPT);
    this.shown = null;
    this.stage.previewing = false;
    if (nothing) this.stage.fitted = true;
    this.show(keep);
    this.saving.change(this.title, history);
  }

  show(keep = false) {
    this.stage.set(this.shown ?? this.step, keep);
    this.element.classList.toggle('is-empty', !this.step);
    if (this.comparing) this.compare(true);
    this.tellAll('step', this.step);
  }

  /** Another picture on the stage, until null or the next step: {picture, width, height, before}. */
  preview(picture) {
    if (!picture && !this.shown) return;
    this.shown = picture;
    this.stage.previewing = !!picture;
    this.stage.set(picture ?? this.step, true);
    this.element.classList.toggle('is-preview', !!picture);
  }

  /** Small JSON that is kept with the document and is no step. */
  draft(key, value) {
    const own = `${this.name}.${key}`, { draft } = this.history;
    if (value === undefined) return draft[own] ?? null;
    if (JSON.stringify(draft[own] ?? null) === JSON.stringify(value)) return value;
    const { [own]: _, ...rest } = draft;
    this.history = { ...this.history, draft: value === null ? rest : { ...rest, [own]: value } };
    if (this.id) this.saving.change(this.title, this.history);
    return value;
  }

  // ---- before and after

  /** {before, after, box} of pictures, or null. */
  swipe(swiping) {
    this.comparing = false;
    this.stage.swipe(swiping);
    this.tellAll('swipe', !!swiping);
  }

  /** This step against the one before it. */
  compare(on = !this.comparing) {
    const { step, parent } = this, can = on && step && parent;
    this.stage.swipe(can ? { before: parent.picture, after: step.picture, box: step.before.length ? step.before : null } : null);
    this.comparing = on && !!step && (can ? true : this.comparing);
    if (!can) this.comparing = false;
    this.tellAll('swipe', !!can);
  }

  // ---- the studio

  ask(what, body) { return this.server.ask(what, body); }

  pictureURL(id, side) { return this.server.pictureURL(id, side); }

  bitmap(id) { return this.images.whole(id); }

  upload(blob) { return this.server.upload(blob, this.limits); }

  /** A file as a new document. */
  async load(file, name = file.name) {
    const { id, width, height, notes } = await this.upload(file), title = (name ?? '').replace(/\.[^.]+$/, '').slice(0, 200) || 'Picture';
    await this.begin({ picture: id, width, height, title, notes, asked: { file: name ?? '' } });
    if (notes.length) this.tell(notes.join(' '), 'info');
  }

  /** A new document whose first step is this picture; an empty one is filled. */
  async begin(first) {
    if (!this.step && this.id) {
      if (this.title === 'Untitled') this.title = first.title;
      this.commit({ ...first, parent: '' });
      this.tellAll('document');
      return;
    }
    const step = stepFrom({ ...first, tab: this.name });
    this.take(await this.server.ask('documents', { name: first.title, history: { steps: [step], now: step.id } }));
    this.tellAll('opened');
  }

  async run(taskId, asked = {}, { onProgress, onPart, signal } = {}) {
    try {
      const body = { history: trimmed(this.history), base: this.base, asked }, outcome = await this.server.task(taskId, body, { onProgress, onPart, signal });
      if (outcome.notes.length) this.tell(outcome.notes.join(' '), 'info');
      return outcome;
    } catch (error) {
      if (error.name !== 'AbortError') this.error(error.message);
      return null;
    }
  }

  /** Run a task that makes pictures of this step, and take the first one up: {pictures: [{picture, width, height}], ...}. Returns the step, or null. */
  async make(taskId, asked, { title, more = {}, ...how } = {}) {
    const { id: from } = this.step ?? {}, document = this.id, outcome = await this.run(taskId, asked, how);
    if (!outcome || this.id !== document) return null;
    const [first] = outcome.pictures;
    await this.bitmap(first.picture).catch(() => null);                       // so that the stage does not blink
    return this.commit({ ...first, title: first.title ?? title, asked: { task: taskId, base: this.base, ...asked, ...first.asked }, notes: outcome.notes, parent: from, before: first.before ?? outcome.before ?? [],
      more: { ...more, ...outcome.more, seconds: outcome.seconds, ...(outcome.pictures.length > 1 && { others: outcome.pictures }) } });
  }

  // ---- masks

  /** The tools that draw a mask, over the stage until close(). */
  editMask(given) {
    this.masking?.close();
    this.masking = new Masking(this, given);
    return this.masking;
  }

  /** A kept mask as a tint only. */
  async showMask(id) {
    if (!id || !this.step) { this.stage.tint = null; this.stage.later(); return; }
    const mask = new Mask(this.step, (one) => this.bitmap(one), () => this.stage.later());
    await mask.set([{ kind: 'picture', id }]);
    this.stage.tint = mask.canvas;
    this.stage.later();
  }

  // ---- tools

  /** Something drawn over the stage as long as it stays: fn(ink, view). Returns remove(). */
  overlay(fn) {
    this.overlays.add(fn);
    this.stage.later();
    return () => { this.overlays.delete(fn); this.stage.later(); };
  }

  tellOverlays(ink, view) { for (const fn of this.overlays) { ink.save(); fn(ink, view); ink.restore(); } }

  get held() { return this.tools.at(-1) ?? null; }

  /** The stage's pointer, in px of the picture: {pointer(kind, x, y, event), cursor, overlay(ink, view), released()}. Returns release(). */
  tool(tool) {
    this.release();
    this.tools = [tool];
    this.cursor();
    this.stage.later();
    return () => { if (this.held === tool) this.release(); };
  }

  release() {
    const tool = this.held;
    this.tools = [];
    tool?.released?.();
    this.cursor();
    this.stage.later();
  }

  point(kind, x, y, e) {
    if (!this.held || !this.step) { this.panning(kind, e); return; }
    this.held.pointer(kind, x, y, e);
    this.stage.later();
  }

  /** Without a tool the picture is dragged. */
  panning(kind, e) {
    if (kind === 'down') this.from = e;
    if (kind === 'move' && this.from) { this.stage.panBy(e.clientX - this.from.clientX, e.clientY - this.from.clientY); this.from = e; }
    if (kind === 'up' || kind === 'cancel') this.from = null;
    this.cursor();
  }

  cursor(name) {
    const tool = this.held;
    if (name !== undefined && tool) tool.cursor = name;
    this.stageElement.style.cursor = this.stage.panning || this.from ? 'grabbing' : this.stage.spaceHeld || !tool ? 'grab' : tool.cursor ?? 'default';
  }
}
