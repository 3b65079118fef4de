// Strokes on paper. What is committed stays on the bitmap; only what changed is painted again, at most once a frame.
import { PAPER, SIDE, Surface, WHOLE, clip, union } from '../../live/page/paper.js';
import { SYMMETRIES, overlap } from './geometry.js';
import { Strokes, makeStroke, pack, unpack } from './strokes.js';

const STILL_PX = 0.3;
const THINNEST_PX = 0.7;
const AROUND = 4;

export class Drawing extends Surface {
  /** changed(box): pixels changed. under: the ink that lies under every other, whatever came first. */
  constructor(canvas, changed, { under }) {
    super(canvas, changed);
    this.under = under;
    this.spare = new OffscreenCanvas(SIDE, SIDE).getContext('2d', { willReadFrequently: true });
    this.spare.lineCap = this.spare.lineJoin = 'round';
    this.strokes = new Strokes();
    this.symmetry = 'off';
    this.dirty = null;
    this.counts = { repaints: 0, strokes: 0 };
  }

  get past() { return this.strokes.past; }
  get future() { return this.strokes.future; }
  get blank() { return !this.strokes.list.length; }

  read(rect = WHOLE) {
    this.refresh();
    return super.read(rect);
  }

  // ---- the hand

  /** brush: {eraser, color, size}. Off the paper is fine: it is only not seen. */
  begin(x, y, brush, pressure) {
    const turns = SYMMETRIES[this.symmetry];
    this.stroke = { brush, turns, at: null, copies: turns.map(() => []) };
    if (brush.eraser) this.strokes.begin();
    this.extend(x, y, pressure);
  }

  extend(x, y, pressure) {
    const s = this.stroke, width = Math.max(THINNEST_PX, s.brush.size * pressure);
    if (!Number.isFinite(x + y + width) || (s.at && Math.hypot(x - s.at[0], y - s.at[1]) < STILL_PX)) return;
    const from = s.at ?? [x, y];
    s.at = [x, y];
    if (s.brush.eraser) for (const turn of s.turns) this.touch(this.strokes.erase(turn(...from), turn(x, y), s.brush.size / 2));
    else s.turns.forEach((turn, i) => this.grow(s.copies[i], turn(x, y), width, s.brush.color));
  }

  /** One more segment of a running stroke, straight onto the bitmap. */
  grow(points, [x, y], width, ink) {
    points.push(...[x, y, width].map(Math.fround));                        // as they are kept, so that painting anew gives the same pixels
    const reach = width / 2 + 2, n = points.length, [fx, fy] = n > 3 ? points.slice(n - 6, n - 4) : [x, y];
    this.segment(points, points.length - 3, ink);
    this.changed([Math.min(fx, x) - reach, Math.min(fy, y) - reach, Math.max(fx, x) + reach, Math.max(fy, y) + reach]);
  }

  end() {
    const s = this.stroke;
    this.stroke = null;
    if (s?.brush.eraser) this.touch(this.strokes.close());                  // pieces whole: until now only their ends were painted anew
    else if (s) this.strokes.add(s.copies.map((points) => makeStroke(s.brush.color, points)));        // its pixels are there already
  }

  /** Take the running stroke back, as when a second finger lands. */
  abandon() {
    const s = this.stroke;
    this.stroke = null;
    if (s?.brush.eraser) this.touch(this.strokes.abandon());
    else if (s) for (const points of s.copies) this.stale(makeStroke(s.brush.color, points).box);
    this.refresh();
  }

  // ---- whole changes

  add(strokes) { this.touch(this.strokes.add(strokes)); }
  replace(strokes) { this.touch(this.strokes.replace(strokes)); }
  adopt(strokes) { this.touch(this.strokes.adopt(strokes)); }
  clear() { this.touch(this.strokes.clear()); }
  remove(id) { this.touch(this.strokes.remove(id)); }
  undo() { if (!this.stroke) this.touch(this.strokes.undo()); }
  redo() { if (!this.stroke) this.touch(this.strokes.redo()); }

  /** The strokes as they are now, and how far the running one has come; cheap enough to ask with every message. */
  snapshot() {
    if (this.committed?.version !== this.strokes.version) this.committed = { version: this.strokes.version, list: [...this.strokes.list] };
    const s = this.stroke?.brush.eraser ? null : this.stroke;
    return { list: this.committed.list, running: s && { color: s.brush.color, copies: s.copies, length: s.copies[0].length } };
  }

  // ---- pixels

  /** Paint what changed: on top what came on top, all else anew in the next frame. */
  touch(change) {
    if (!change) return;
    if (change.box) this.stale(change.box);
    else if (!change.gone.length && change.appended) this.paintOn(change.come);
    else for (const { box } of [...change.gone, ...change.come]) this.stale(box);
  }

  paintOn(strokes) {
    let box = null;
    for (const stroke of strokes) { this.trace(stroke); box = union(box, stroke.box); }
    if (box) this.changed(box);
  }

  stale(box) {
    if (!this.dirty) requestAnimationFrame(() => this.refresh());
    this.dirty = union(this.dirty, box);
  }

  /** Paint the stale part anew, from the strokes that touch it. */
  refresh() {
    if (!this.dirty) return;
    const [x, y, w, h] = clip(this.dirty), box = [x - AROUND, y - AROUND, x + w + AROUND, y + h + AROUND];
    this.dirty = null;
    if (w > 0 && h > 0) this.repaint([x, y, w, h], box);
    this.changed([x, y, x + w, y + h]);
  }

  /** On a sheet of its own, whole strokes, and the box of it is taken over: a clip would soften edges in another way than the hand's strokes. */
  repaint([x, y, w, h], box) {
    const { ink } = this;
    this.counts.repaints += 1;
    this.ink = this.spare;
    this.paint([x, y, x + w, y + h], PAPER);
    for (const stroke of this.strokes.list) if (overlap(stroke.box, box)) this.trace(stroke);
    if (this.stroke) for (const points of this.stroke.copies) this.trace({ points, ink: this.stroke.brush.color });
    this.ink = ink;
    this.ink.drawImage(this.spare.canvas, x, y, w, h, x, y, w, h);
  }

  trace({ points, ink }) {
    this.counts.strokes += 1;
    for (let i = 0; i < points.length; i += 3) this.segment(points, i, ink);
  }

  /** The ink `under` darkens only, so that lines drawn before it stay. */
  segment(points, i, ink) {
    const from = i ? i - 3 : 0;
    this.ink.globalCompositeOperation = ink === this.under ? 'darken' : 'source-over';
    this.line(points[from], points[from + 1], points[i], points[i + 1], points[i + 2], ink);
    this.ink.globalCompositeOperation = 'source-over';
  }
}

/** The strokes that a snapshot stands for. */
export function strokesOf({ list, running }) {
  if (!running?.length) return list;
  return [...list, ...running.copies.map((points) => makeStroke(running.color, points.slice(0, running.length)))];
}

const FRAMES_KEPT = 64;

/** Map(frame -> snapshot) as one set of strokes and, for each of the newest frames, which of them it has; most frames share most. */
export function packFrames(behind) {
  const number = new Map(), strokes = [], frames = [];
  for (const [id, snapshot] of [...behind].slice(-FRAMES_KEPT)) {
    if (!snapshot) continue;
    const used = strokesOf(snapshot).map((stroke) => {
      if (!number.has(stroke)) { number.set(stroke, strokes.length); strokes.push(stroke); }
      return number.get(stroke);
    });
    frames.push([id, Uint32Array.from(used)]);
  }
  return { strokes: pack(strokes), frames };
}

export function unpackFrames({ strokes, frames }) {
  const all = unpack(strokes);
  return new Map(frames.map(([id, used]) => [id, { list: Array.from(used, (i) => all[i]) }]));
}
