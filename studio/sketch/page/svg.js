// Strokes as an SVG file and back. One <path> a stroke; a stroke of changing width is the outline of its segments.
import { SIDE } from '../../live/page/paper.js';

const NS = 'http://www.w3.org/2000/svg';
const SHAPES = { path: ['d'], line: ['x1', 'y1', 'x2', 'y2'], polyline: ['points'], polygon: ['points'], rect: ['x', 'y', 'width', 'height', 'rx', 'ry'],
  circle: ['cx', 'cy', 'r'], ellipse: ['cx', 'cy', 'rx', 'ry'] };
const GROUPS = ['svg', 'g', 'a', 'switch'];
const SAMPLE_PX = 4;
const MAX_STROKES = 20_000;
const MAX_SAMPLES = 2000;

const short = (value) => String(Math.round(value * 100) / 100);

// ---- out

/** strokes -> the text of an SVG file. `under`: the ink that lies under all others. */
export function toSvg(strokes, under) {
  const paths = strokes.map((stroke) => `  <path ${steady(stroke.points) ? lineOf(stroke) : outlineOf(stroke)}${stroke.ink === under ? ' style="mix-blend-mode:darken"' : ''}/>`);
  return [`<svg xmlns="${NS}" width="${SIDE}" height="${SIDE}" viewBox="0 0 ${SIDE} ${SIDE}">`, ...paths, '</svg>', ''].join('\n');
}

function steady(points) {
  for (let i = 5; i < points.length; i += 3) if (Math.abs(points[i] - points[2]) > 0.01) return false;
  return true;
}

/** "M x y L x y ..."; a dot goes nowhere but has round ends. */
export function pathOf(points) {
  const parts = [`M${short(points[0])} ${short(points[1])}`];
  for (let i = 3; i < points.length; i += 3) parts.push(`L${short(points[i])} ${short(points[i + 1])}`);
  if (points.length === 3) parts.push('h0.01');
  return parts.join('');
}

const lineOf = ({ ink, points }) => `fill="none" stroke="${ink}" stroke-width="${short(points[2])}" stroke-linecap="round" stroke-linejoin="round" d="${pathOf(points)}"`;

/** Its own points are kept beside the outline, so that the stroke can be read back as one. */
const outlineOf = ({ ink, points }) => `fill="${ink}" data-points="${Array.from(points, short).join(' ')}" d="${Array.from({ length: points.length / 3 }, (_, i) => capsule(points, i)).join('')}"`;

/** One segment with round ends, always the same way round, so that overlaps stay filled. */
function capsule(points, i) {
  const at = 3 * i, [x, y, w] = points.slice(at, at + 3), [fx, fy] = i ? points.slice(at - 3, at - 1) : [x, y], r = w / 2;
  const length = Math.hypot(x - fx, y - fy), [nx, ny] = length ? [-(y - fy) / length * r, (x - fx) / length * r] : [0, r], arc = `A${short(r)} ${short(r)} 0 0 0 `;
  const spot = (px, py) => `${short(px)} ${short(py)}`;
  return `M${spot(fx + nx, fy + ny)}L${spot(x + nx, y + ny)}${arc}${spot(x - nx, y - ny)}L${spot(fx - nx, fy - ny)}${arc}${spot(fx + nx, fy + ny)}Z`;
}

// ---- in

/** The text of any SVG file -> {strokes: [{ink, points}], left: shapes that were too many}. ink(color): the ink nearest to a CSS colour; width: of
 *  lines that say none. Only shapes and their places are taken from the file: no script, style sheet, picture or link of it is looked at. */
export function fromSvg(text, { ink, width }) {
  const source = new DOMParser().parseFromString(text, 'image/svg+xml').documentElement;
  if (source.nodeName !== 'svg') throw new Error('That file is not an SVG picture. Save it as SVG from your drawing program and try again.');
  const copy = shell(source), found = [];
  document.body.append(copy);
  try {
    copyInto(source, copy, found);
    return { strokes: found.slice(0, MAX_STROKES).flatMap(([from, shape]) => sampled(from, shape, { ink, width })), left: Math.max(0, found.length - MAX_STROKES) };
  } finally {
    copy.remove();
  }
}

/** An empty SVG of the canvas's size with the source's view box, out of sight. */
function shell(source) {
  const copy = document.createElementNS(NS, 'svg'), size = (name) => parseFloat(source.getAttribute(name)) || SIDE;
  copy.setAttribute('viewBox', source.getAttribute('viewBox') ?? `0 0 ${size('width')} ${size('height')}`);
  copy.setAttribute('width', SIDE);
  copy.setAttribute('height', SIDE);
  copy.setAttribute('style', 'position: fixed; left: -9999px; top: 0; visibility: hidden');
  return copy;
}

function copyInto(source, target, found) {
  for (const child of source.children) {
    const name = child.localName, kept = SHAPES[name] ?? (GROUPS.includes(name) ? [] : null);
    if (!kept) continue;
    const copy = document.createElementNS(NS, name in SHAPES ? name : 'g');
    for (const attribute of [...kept, 'transform']) if (child.hasAttribute(attribute)) copy.setAttribute(attribute, child.getAttribute(attribute));
    target.append(copy);
    if (name in SHAPES) found.push([child, copy]);
    else copyInto(child, copy, found);
  }
}

/** An attribute or inline style of an element or of what holds it. */
function said(element, name) {
  for (let at = element; at?.getAttribute; at = at.parentNode) {
    const value = at.style?.getPropertyValue(name) || at.getAttribute(name);
    if (value && value !== 'inherit') return value.trim();
  }
  return '';
}

/** One shape -> strokes; a path of several parts gives one stroke a part. */
function sampled(source, shape, { ink, width }) {
  const own = source.getAttribute('data-points')?.split(' ').map(Number), color = said(source, 'stroke'), fill = said(source, 'fill');
  const colour = ink(color && color !== 'none' ? color : fill && fill !== 'none' ? fill : '#000000');
  if (own?.length && own.length % 3 === 0 && own.every(Number.isFinite)) return [{ ink: colour, points: own }];
  const matrix = shape.getCTM(), scale = Math.sqrt(Math.abs(matrix.a * matrix.d - matrix.b * matrix.c));
  const wide = (parseFloat(said(source, 'stroke-width')) || width / scale) * scale;
  return walk(shape, matrix, scale, Math.min(80, Math.max(1, wide))).map((points) => ({ ink: colour, points }));
}

/** Points along a shape, a jump (the next part of a path) starts another row. */
function walk(shape, matrix, scale, width) {
  const total = shape.getTotalLength(), count = Math.min(MAX_SAMPLES, Math.max(1, Math.ceil(total * scale / SAMPLE_PX))), rows = [[]];
  if (!Number.isFinite(total)) return [];
  let last = null;
  for (let i = 0; i <= count; i++) {
    const { x, y } = shape.getPointAtLength(total * i / count).matrixTransform(matrix);
    if (last && Math.hypot(x - last[0], y - last[1]) > 1.5 * (total * scale / count) + 0.5) rows.push([]);
    last = [x, y];
    rows.at(-1).push(x, y, width);
  }
  return rows.filter((row) => row.length >= 3);
}
