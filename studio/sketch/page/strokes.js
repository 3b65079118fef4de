// The drawing as vectors: a list of strokes, every change of it undoable. Knows nothing of pixels or the page.
import { bounds, cut, overlap } from './geometry.js';

const HISTORY_STEPS = 1000;
const MANY = 1000;

let made = 0;

/** A stroke never changes; what alters it puts others in its place. points: flat [x, y, width, ...] in canvas pixels. */
export function makeStroke(ink, points) {
  const flat = Float32Array.from(points);
  return Object.freeze({ id: ++made, ink, points: flat, box: bounds(flat) });
}

/** Is this something that can be drawn? */
const sound = ({ points }) => points.length >= 3 && points.length % 3 === 0 && points.every(Number.isFinite);

/** A change is a row of splices {at, out, in}; undo runs them backwards, the other way round. */
export class Strokes {
  constructor() {
    this.list = [];
    this.past = [];
    this.future = [];
    this.open = null;
    this.version = 0;
  }

  // ---- changes; each is one undo step

  add(strokes) { return this.change([{ at: this.list.length, out: [], in: strokes.filter(sound) }]); }

  clear() { return this.change([{ at: 0, out: [...this.list], in: [] }]); }

  remove(id) {
    const at = this.list.findIndex((stroke) => stroke.id === id);
    return at < 0 ? null : this.change([{ at, out: [this.list[at]], in: [] }]);
  }

  /** Other strokes in place of all. */
  replace(strokes) { return this.change([{ at: 0, out: [...this.list], in: strokes.filter(sound) }]); }

  /** Strokes without an undo step, as when a page comes back. */
  adopt(strokes) { return this.run([{ at: 0, out: [...this.list], in: strokes.filter(sound) }]); }

  /** Everything until close() is one step. */
  begin() { this.open = []; }

  /** Returns all that changed since begin(). */
  close() {
    const step = this.open ?? [];
    this.open = null;
    if (step.length) this.remember(step);
    return { gone: step.flatMap((splice) => splice.out), come: step.flatMap((splice) => splice.in), appended: false };
  }

  /** Take the open step back; returns what changed. */
  abandon() {
    const step = this.open ?? [];
    this.open = null;
    return this.run(backwards(step));
  }

  /** The eraser, round with this radius, goes from a to b. Returns what changed and the box it changed in, or null. */
  erase(a, b, radius) {
    const box = bounds([...a, 2 * radius, ...b, 2 * radius]), step = [];
    for (let at = this.list.length - 1; at >= 0; at--) {                     // from the end, so that places before stay as they are
      const stroke = this.list[at], pieces = overlap(stroke.box, box) ? cut(stroke.points, a, b, radius) : null;
      if (pieces) step.push({ at, out: [stroke], in: pieces.map((piece) => makeStroke(stroke.ink, piece)) });
    }
    if (!step.length) return null;
    const widest = Math.max(...step.map(({ out: [{ points }] }) => points.reduce((most, value, i) => (i % 3 === 2 && value > most ? value : most), 0)));
    const [left, top, right, bottom] = box;
    return { ...this.change(step), box: [left - widest, top - widest, right + widest, bottom + widest] };
  }

  undo() { return this.step(this.past, this.future, backwards); }
  redo() { return this.step(this.future, this.past, (step) => step); }

  // ---- how

  step(from, to, way) {
    if (this.open || !from.length) return null;
    const step = from.pop();
    to.push(step);
    return this.run(way(step));
  }

  change(step) {
    const done = step.filter((splice) => splice.out.length || splice.in.length);
    if (!done.length) return null;
    if (this.open) this.open.push(...done);
    else this.remember(done);
    return this.run(done);
  }

  remember(step) {
    this.past.push(step);
    this.future = [];
    if (this.past.length > HISTORY_STEPS) this.past.shift();
  }

  /** Returns {gone, come}: strokes that left and came; appended: whether those that came lie on top of all others. */
  run(step) {
    const gone = [], come = [];
    let appended = true;
    for (const { at, out, in: into } of step) {
      appended &&= !out.length && at === this.list.length;
      this.list = splice(this.list, at, out.length, into);
      for (const stroke of out) gone.push(stroke);
      for (const stroke of into) come.push(stroke);
    }
    this.version += 1;
    return { gone, come, appended };
  }
}

/** In place where that is cheap; thousands at once would be too many arguments for one call. */
function splice(list, at, count, items) {
  if (items.length + count > MANY) return [...list.slice(0, at), ...items, ...list.slice(at + count)];
  list.splice(at, count, ...items);
  return list;
}

const backwards = (step) => [...step].reverse().map(({ at, out, in: into }) => ({ at, out: into, in: out }));

// ---- storage

/** All strokes as three arrays, which a browser stores a hundred times faster than ten thousand objects. */
export function pack(strokes) {
  const lengths = Uint32Array.from(strokes, ({ points }) => points.length), points = new Float32Array(lengths.reduce((sum, n) => sum + n, 0));
  let at = 0;
  for (const stroke of strokes) { points.set(stroke.points, at); at += stroke.points.length; }
  return { inks: strokes.map(({ ink }) => ink), lengths, points };
}

export function unpack({ inks, lengths, points }) {
  let at = 0;
  return inks.map((ink, i) => makeStroke(ink, points.subarray(at, at += lengths[i])));
}
