// Plane geometry of strokes: bounds, symmetry, and what a round eraser leaves of a polyline. Points are flat, [x, y, width, ...].
import { SIDE } from '../../live/page/paper.js';

const DUST_PX = 1;

/** How a stroke is repeated, by the kind of symmetry; the first place is the hand's own. */
export const SYMMETRIES = {
  off: [(x, y) => [x, y]],
  mirror: [(x, y) => [x, y], (x, y) => [SIDE - x, y]],
  radial: [(x, y) => [x, y], (x, y) => [SIDE - y, x], (x, y) => [SIDE - x, SIDE - y], (x, y) => [y, SIDE - x]],
};

/** The box that a stroke's ink lies in, with room for its soft edge. */
export function bounds(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 3) {
    const [x, y] = [points[i], points[i + 1]], reach = Math.max(points[i + 2], points[i + 5] ?? 0) / 2 + 2;
    if (x - reach < box[0]) box[0] = x - reach;
    if (y - reach < box[1]) box[1] = y - reach;
    if (x + reach > box[2]) box[2] = x + reach;
    if (y + reach > box[3]) box[3] = y + reach;
  }
  return box;
}

export const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** Where p + t d, t in 0..1, is nearer than `reach` to the point c: [t0, t1] or null. */
function inCircle(px, py, dx, dy, cx, cy, reach) {
  const [fx, fy] = [px - cx, py - cy], a = dx * dx + dy * dy, b = fx * dx + fy * dy, c = fx * fx + fy * fy - reach * reach;
  if (a < 1e-12) return c < 0 ? [0, 1] : null;
  const root = b * b - a * c;
  return root > 0 ? [(-b - Math.sqrt(root)) / a, (-b + Math.sqrt(root)) / a] : null;
}

/** Where p + t d lies in the strip of half width `reach` along a..b (no round ends): [t0, t1] or null. */
function inStrip(px, py, dx, dy, ax, ay, bx, by, reach) {
  const length = Math.hypot(bx - ax, by - ay);
  if (length < 1e-9) return null;
  const [ex, ey] = [(bx - ax) / length, (by - ay) / length];
  const along = [(px - ax) * ex + (py - ay) * ey, dx * ex + dy * ey, 0, length], across = [(py - ay) * ex - (px - ax) * ey, dy * ex - dx * ey, -reach, reach];
  let [from, to] = [-Infinity, Infinity];
  for (const [start, speed, low, high] of [along, across]) {
    if (Math.abs(speed) < 1e-12) { if (start < low || start > high) return null; continue; }
    const [one, two] = [(low - start) / speed, (high - start) / speed];
    from = Math.max(from, Math.min(one, two));
    to = Math.min(to, Math.max(one, two));
  }
  return from < to ? [from, to] : null;
}

/** The part [t0, t1] of the segment p..q within `reach` of the segment a..b, or null. Both are convex, so it is one part. */
export function within(px, py, qx, qy, [ax, ay], [bx, by], reach) {
  const [dx, dy] = [qx - px, qy - py];
  const parts = [inCircle(px, py, dx, dy, ax, ay, reach), inCircle(px, py, dx, dy, bx, by, reach), inStrip(px, py, dx, dy, ax, ay, bx, by, reach)];
  let [from, to] = [Infinity, -Infinity];
  for (const part of parts) if (part) [from, to] = [Math.min(from, part[0]), Math.max(to, part[1])];
  [from, to] = [Math.max(0, from), Math.min(1, to)];
  return from < to ? [from, to] : null;
}

const lengthOf = (points) => {
  let sum = 0;
  for (let i = 3; i < points.length; i += 3) sum += Math.hypot(points[i] - points[i - 3], points[i + 1] - points[i - 2]);
  return sum;
};

/** What is left of a stroke after an eraser of radius `radius` went from a to b: null when it was not touched, else its pieces (none = all gone).
 *  Ends are cut back by half the stroke's width, so that their round caps end where the eraser was. */
export function cut(points, a, b, radius) {
  if (points.length === 3) return within(points[0], points[1], points[0], points[1], a, b, radius + points[2] / 2) ? [] : null;
  const pieces = [];
  let piece = [], touched = false;
  const close = () => { if (piece.length > 3 && lengthOf(piece) >= DUST_PX) pieces.push(piece); piece = []; };
  for (let i = 3; i < points.length; i += 3) {
    const [px, py, pw, qx, qy, w] = points.slice(i - 3, i + 3), gone = within(px, py, qx, qy, a, b, radius + w / 2);
    const at = (t) => [px + (qx - px) * t, py + (qy - py) * t, w];
    if (!piece.length && gone?.[0] !== 0) piece.push(px, py, i === 3 ? pw : w);
    if (!gone) { piece.push(qx, qy, w); continue; }
    touched = true;
    if (gone[0] > 0) piece.push(...at(gone[0]));
    close();
    if (gone[1] < 1) piece.push(...at(gone[1]), qx, qy, w);
  }
  close();
  return touched ? pieces : null;
}
