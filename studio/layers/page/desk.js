// What the whole tab works on: a document with its history, the selection, the stage, and what panels may do. See ../desk.md.
import { flattened } from './compose.js';
import { boundsOf } from './geometry.js';
import { History } from './history.js';
import { Images } from './images.js';
import { Live } from './live.js';
import { outline } from './proofing.js';
import { Saving } from './saving.js';
import { Select } from './select.js';
import * as server from './server.js';
import { above, copyOf, edit, empty, find, freeName, freeze, grouped, groupOf, insert, isGroup, layerOf, leavesOf, nodesOf, placeOf, remove, reorder, tooMuch, topmost, ungrouped } from './stack.js';
import { View } from './view.js';

export class Desk {
  /** element: of the tab; mint(): a token of the live socket; tell(text, kind, action): the notice. */
  constructor({ element, mint, tell, config }) {
    Object.assign(this, { element, mint, tell, config, selection: [], heard: new Map(), shown_: null, tools: [], marks: [], base: config.base, name: '', id: null });
    this.history = new History(empty(1024, 1024));
    this.images = new Images(server.pictureURL, (id) => { this.view.later(); this.tellAll('pictures', id); });
    this.saving = new Saving(server.ask, { state: (state, words) => this.tellAll('saved', { state, words }), stale: (error) => this.tellAll('stale', error), gone: (error) => this.tellAll('gone', error) });
    this.chooser = new Select(this);
    this.view = new View(element.querySelector('.ol-stage'), this.images, {
      zoom: (zoom) => this.tellAll('zoom', zoom), pointer: (kind, x, y, e) => this.point(kind, x, y, e), cursor: () => this.cursor(),
    });
    this.view.overlay = (ink, view) => { this.chooser.overlay(ink, view); outline(ink, view, this.marks); this.held?.overlay?.(ink, view); };
    this.view.show(this.stack);
  }

  // ---- telling and hearing

  on(what, fn) {
    if (!this.heard.has(what)) this.heard.set(what, new Set());
    this.heard.get(what).add(fn);
    return () => this.heard.get(what).delete(fn);
  }

  tellAll(what, value) { for (const fn of [...this.heard.get(what) ?? []]) fn(value); }

  note(text, action) { this.tell(text, 'done', action); }

  error(text, action) { this.tell(text, 'error', action); }

  // ---- the document

  get stack() { return this.history.stack; }

  /** What is on the stage: a preview, or the document. */
  get shown() { return this.shown_ ?? this.stack; }

  /** Take a document up: {id, name, revision, stack}. */
  take(document) {
    const kept = this.saving.begin(document), stack = kept ? kept.stack : document.stack;
    Object.assign(this, { id: document.id, name: kept?.name ?? document.name, shown_: null, selection: [] });
    this.release();
    this.history.reset(freeze(stack));
    this.view.fitted = true;
    this.mark([]);
    this.view.show(this.stack);
    this.view.fit();
    for (const what of ['document', 'stack', 'selection']) this.tellAll(what);
    if (kept) { this.saving.change(this.name, this.stack); this.note('Changes that had not reached the studio were brought back.'); }
  }

  rename(name) {
    this.name = name.trim() || 'Untitled';
    this.saving.change(this.name, this.stack);
    this.tellAll('document');
  }

  /** One undo step. Returns whether it was taken. */
  change(label, fn, { key, select } = {}) {
    const next = fn(this.stack), wrong = next === this.stack ? '' : tooMuch(next);
    this.shown_ = null;
    if (wrong) this.error(wrong);
    if (wrong || next === this.stack) { this.view.show(this.stack); return false; }
    this.history.now.selection = this.selection;
    this.history.add(freeze(next), label, { key });
    if (select) this.selection = select;
    this.settled(!!select);
    return true;
  }

  settled(chosen = false) {
    const before = this.selection.length;
    this.mark([]);
    this.selection = this.selection.filter((id) => find(this.stack, id));
    this.view.show(this.stack);
    this.saving.change(this.name, this.stack);
    this.tellAll('stack');
    if (chosen || before !== this.selection.length) this.tellAll('selection');
  }

  undo() { this.step(this.history.undo(), 'Undone'); }

  redo() { this.step(this.history.redo(), 'Done again'); }

  step(what, words) {
    if (!what) return;
    this.shown_ = null;
    this.selection = this.history.now.selection.length ? this.history.now.selection : this.selection;
    this.settled(true);
    this.tell(`${words}: ${what.label.toLowerCase()}`, 'brief');
  }

  /** Outlines places, [{words, said, box, layer}], until the document changes. */
  mark(marks) {
    if (!marks.length && !this.marks.length) return;
    this.marks = marks;
    this.view.later();
    this.tellAll('marks', marks);
  }

  preview(stack) {
    this.shown_ = stack;
    this.view.show(this.shown);
    this.tellAll('preview');
  }

  // ---- the selection

  select(ids) {
    const known = new Set(nodesOf(this.stack).map((node) => node.id)), next = [...new Set(ids)].filter((id) => known.has(id));
    if (next.length === this.selection.length && next.every((id, i) => id === this.selection[i])) return;
    this.selection = next;
    this.view.later();
    this.tellAll('selection');
  }

  node(id) { return find(this.shown, id); }

  selected(stack = this.stack) { return this.selection.map((id) => find(stack, id)).filter(Boolean); }

  /** The layers in the selection, bottom to top. */
  leaves(stack = this.stack) { return topmost(stack, this.selection).flatMap(leavesOf); }

  // ---- layers

  layer(given) { return layerOf({ ...given, place: given.place ?? this.place(given.width, given.height) }); }

  /** A place for a new picture: in the middle of what is in sight, no larger than the canvas. */
  place(width, height) {
    const { extent } = this.stack, k = Math.min(1, extent.width / width, extent.height / height), size = { width: width * k, height: height * k }, { left, top, right, bottom } = this.view.region;
    const [x0, x1, y0, y1] = [Math.max(0, left), Math.min(extent.width, right), Math.max(0, top), Math.min(extent.height, bottom)], clamp = (v, side, most) => Math.min(most - side / 2, Math.max(side / 2, v));
    const round = (v, side) => Math.round(v - side / 2) + side / 2;
    return placeOf({ x: round(clamp((x0 + x1) / 2, size.width, extent.width), size.width), y: round(clamp((y0 + y1) / 2, size.height, extent.height), size.height), ...size });
  }

  /** Where new layers go: above the topmost of the selection, or on top. */
  get above() {
    const top = topmost(this.stack, this.selection).at(-1);
    return top ? above(this.stack, top.id) : {};
  }

  insert(layers, { label = 'Add', name = '' } = {}) {
    const named = layers.map((node) => ({ ...node, name: freeName(this.stack, node.name) })), nodes = name ? [groupOf(freeName(this.stack, name), named)] : named;
    return this.change(label, (stack) => insert(stack, nodes, this.above), { select: nodes.map((node) => node.id) });
  }

  remove() {
    const ids = topmost(this.stack, this.selection).filter((node) => leavesOf(node).some((leaf) => !leaf.locked) || !leavesOf(node).length).map((node) => node.id);
    if (this.selection.length && !ids.length) { this.error('Locked layers are not deleted. Unlock them first.'); return; }
    if (ids.length) this.change(ids.length > 1 ? `Delete ${ids.length} layers` : 'Delete', (stack) => remove(stack, ids), { select: [] });
  }

  duplicate() {
    const nodes = topmost(this.stack, this.selection);
    if (!nodes.length) return;
    const copies = nodes.map((node) => copyOf(node, freeName(this.stack, node.name)));
    this.change('Duplicate', (stack) => insert(stack, copies, this.above), { select: copies.map((node) => node.id) });
  }

  group() {
    const made = grouped(this.stack, this.selection, freeName(this.stack, 'Group'));
    if (made) this.change('Group', () => made[0], { select: [made[1].id] });
  }

  ungroup() {
    const groups = this.selected().filter(isGroup);
    if (groups.length) this.change('Ungroup', (stack) => ungrouped(stack, groups.map((group) => group.id)), { select: groups.flatMap((group) => group.layers.map((node) => node.id)) });
  }

  reorder(way) { if (this.selection.length) this.change({ up: 'Bring forward', down: 'Send back', top: 'Bring to front', bottom: 'Send to back' }[way], (stack) => reorder(stack, this.selection, way)); }

  /** A larger or smaller canvas; what lies on it stays where it is from the middle, or grows along. */
  resize(width, height, scale) {
    const { extent } = this.stack, [kx, ky] = [width / extent.width, height / extent.height], k = Math.min(kx, ky);
    const to = (place) => (scale ? { ...place, width: place.width * k, height: place.height * k, x: width / 2 + (place.x - extent.width / 2) * k, y: height / 2 + (place.y - extent.height / 2) * k }
      : { ...place, x: place.x + Math.round((width - extent.width) / 2), y: place.y + Math.round((height - extent.height) / 2) });
    const ids = nodesOf(this.stack).filter((node) => !isGroup(node)).map((node) => node.id);
    this.change('Canvas size', (stack) => ({ ...edit(stack, ids, (leaf) => ({ place: to(leaf.place) })), extent: { width, height } }));
  }

  // ---- the studio

  ask(path, body) { return server.ask(path, body); }

  pictureURL(id, side) { return server.pictureURL(id, side); }

  bitmap(id) { return this.images.whole(id); }

  upload(blob) { return server.upload(blob, this.config.limits); }

  /** The whole document, or some of its nodes, as an OffscreenCanvas. */
  flattened(scale = 1, nodes = undefined) { return flattened(this.stack, this.images, scale, nodes); }

  async run(taskId, asked = {}, { onProgress, onPart, apply = true, label, signal } = {}) {
    try {
      const body = { document: this.stack, base: this.base, asked: { layers: [...this.selection], ...asked } }, outcome = await server.task(taskId, body, { onProgress, onPart, signal });
      if (outcome.notes.length) this.tell(outcome.notes.join(' '), 'info');
      if (apply && outcome.layers.length) this.apply(outcome, label ?? this.config.tasks.find((task) => task.id === taskId)?.title ?? 'Make');
      this.mark(outcome.marks);
      return freeze(outcome);
    } catch (error) {
      if (error.name !== 'AbortError') this.error(error.message);
      return null;
    }
  }

  /** One for one when there are as many as they replace: then the new ones have the old ones' ids and places in the stack. then(stack): what
   *  else changes in the same step. */
  apply({ layers, replaces, group, bottom = false }, label = 'Make', then = (stack) => stack) {
    const gone = replaces.filter((id) => find(this.stack, id));
    if (!group && gone.length && gone.length === layers.length) {
      const by = new Map(gone.map((id, i) => [id, layers[i]]));
      this.change(label, (stack) => then(edit(stack, gone, (old) => ({ ...by.get(old.id), id: old.id, visible: old.visible, locked: old.locked ?? false }))), { select: gone });
      return;
    }
    const rest = remove(this.stack, gone), named = layers.map((layer) => ({ ...layer, name: freeName(rest, layer.name) }));
    const nodes = group ? [groupOf(freeName(rest, group), layers)] : named, ids = nodes.map((node) => node.id);
    this.change(label, (stack) => then(remove(insert(stack, nodes, gone.length ? above(stack, highest(stack, gone)) : bottom ? { at: 0 } : this.above), gone)), { select: ids });
  }

  live(heard) { return new Live(this, this.mint, heard); }

  ghost(ghost) {
    this.view.ghost = ghost;
    this.element.classList.toggle('has-ghost', !!ghost);
    this.view.later();
  }

  // ---- tools

  /** The tool that has the pointer, when it is not the choosing one. */
  get held() { return this.tools.at(-1) ?? null; }

  tool(tool) {
    this.release();
    this.tools = [tool];
    this.cursor(tool.cursor);
    this.view.later();
    return () => { if (this.held === tool) this.release(); };
  }

  release() {
    const tool = this.held;
    this.tools = [];
    tool?.released?.();
    this.cursor();
    this.view.later();
  }

  point(kind, x, y, e) {
    if (!this.held) { this.chooser.pointer(kind, x, y, e); return; }
    this.held.pointer(kind === 'cancel' ? 'up' : kind, x, y, e);
    this.view.later();
  }

  cursor(name) {
    if (name !== undefined) this.wanted = name;
    this.view.frame.style.cursor = this.view.panning ? 'grabbing' : this.view.spaceHeld ? 'grab' : this.held?.cursor ?? this.wanted ?? 'default';
  }

  /** The box around what is chosen, or null. */
  get bounds() { return boundsOf(this.leaves().map((leaf) => leaf.place)); }
}

/** Of some ids the one that lies highest. */
function highest(stack, ids) {
  const order = nodesOf(stack).map((node) => node.id);
  return ids.toSorted((a, b) => order.indexOf(a) - order.indexOf(b)).at(-1);
}

