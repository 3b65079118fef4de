// Drawings of plain paths, as the page edits them: SVG to nodes with handles and back, and where they lie on the canvas.
// A shape is {paint: {fill, stroke, ...}, subs: [{nodes: [{x, y, in, out}], closed}]}; `in` and `out` are handles {x, y}, or null on straight sides.

const PAINT = ['fill', 'fill-rule', 'stroke', 'stroke-width', 'stroke-linecap', 'stroke-linejoin', 'opacity'];
const PLAIN = /^[MLCZ\s\d.,eE+-]*$/;

/** The drawing of an SVG, or null when it holds more than plain paths: then the studio reduces it first (task "vector", plain). */
export function parse(svg) {
  const root = new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement, box = (root.getAttribute('viewBox') ?? '').split(/[\s,]+/).map(Number);
  const plain = box.length === 4 && box.every(Number.isFinite) && [...root.children].every((child) => child.localName === 'path' && !child.children.length
    && PLAIN.test(child.getAttribute('d') ?? '') && [...child.attributes].every(({ name }) => name === 'd' || PAINT.includes(name)) && !/url/.test(child.getAttribute('fill') ?? ''));
  if (!plain) return null;
  return { box, shapes: [...root.children].map((path) => ({ paint: Object.fromEntries(PAINT.map((name) => [name, path.getAttribute(name)]).filter(([, value]) => value !== null)), subs: subPaths(path.getAttribute('d')) })) };
}

function subPaths(d) {
  const subs = [];
  for (const [, command, rest] of d.matchAll(/([MLCZ])([^MLCZ]*)/g)) {
    const v = (rest.match(/[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/g) ?? []).map(Number), sub = subs.at(-1);
    if (command === 'Z') { close(sub); continue; }
    for (let i = 0; i + 1 < v.length; i += command === 'C' ? 6 : 2) {
      if (command === 'M' && i === 0) subs.push({ nodes: [node(v[0], v[1])], closed: false });
      else if (command === 'C') {
        subs.at(-1).nodes.at(-1).out = { x: v[i], y: v[i + 1] };
        subs.at(-1).nodes.push({ ...node(v[i + 4], v[i + 5]), in: { x: v[i + 2], y: v[i + 3] } });
      } else subs.at(-1).nodes.push(node(v[i], v[i + 1]));
    }
  }
  return subs;
}

const node = (x, y) => ({ x, y, in: null, out: null });

/** A ring whose last node lies on its first one has one node there. */
function close(sub) {
  if (!sub) return;
  sub.closed = true;
  const first = sub.nodes[0], last = sub.nodes.at(-1);
  if (sub.nodes.length > 2 && Math.hypot(first.x - last.x, first.y - last.y) < 1e-6) { first.in = last.in; sub.nodes.pop(); }
}

/** [from, to] of each side of a sub-path. */
export function sides(sub) {
  const out = sub.nodes.slice(1).map((to, i) => [sub.nodes[i], to]);
  return sub.closed && sub.nodes.length > 1 ? [...out, [sub.nodes.at(-1), sub.nodes[0]]] : out;
}

const n = (v) => String(Math.round(v * 100) / 100);

export function pathData(shape, to = (p) => p) {
  const at = (p) => { const q = to(p); return `${n(q.x)} ${n(q.y)}`; };
  const side = ([a, b]) => (a.out || b.in ? `C${at(a.out ?? a)} ${at(b.in ?? b)} ${at(b)}` : `L${at(b)}`);
  const drawn = (sub) => sides(sub).filter(([a, b], i) => i < sub.nodes.length - 1 || a.out || b.in);       // Z draws a straight last side
  return shape.subs.map((sub) => `M${at(sub.nodes[0])}${drawn(sub).map(side).join('')}${sub.closed ? 'Z' : ''}`).join('');
}

const quoted = (value) => String(value).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

export function write({ box, shapes }) {
  const one = (shape) => `<path d="${pathData(shape)}"${Object.entries(shape.paint).map(([name, value]) => ` ${name}="${quoted(value)}"`).join('')}/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box.map(n).join(' ')}">${shapes.map(one).join('')}</svg>`;
}

/** {to, from}: sheet units to canvas px by a layer's place, and back. */
export function mapping([x0, y0, w, h], place) {
  const turn = (place.angle_deg ?? 0) * Math.PI / 180, [c, s] = [Math.cos(turn), Math.sin(turn)], [kx, ky] = [place.width / w * (place.flip_x ? -1 : 1), place.height / h * (place.flip_y ? -1 : 1)];
  return {
    to: ({ x, y }) => { const [u, v] = [(x - x0 - w / 2) * kx, (y - y0 - h / 2) * ky]; return { x: place.x + c * u - s * v, y: place.y + s * u + c * v }; },
    from: ({ x, y }) => { const [u, v] = [x - place.x, y - place.y]; return { x: x0 + w / 2 + (c * u + s * v) / kx, y: y0 + h / 2 + (c * v - s * u) / ky }; },
  };
}

/** The point of a side at t in 0..1. */
export function pointAt([a, b], t) {
  const [p, q] = [a.out ?? a, b.in ?? b], straight = !a.out && !b.in, mix = (k) => (straight ? a[k] + (b[k] - a[k]) * t
    : (1 - t) ** 3 * a[k] + 3 * (1 - t) ** 2 * t * p[k] + 3 * (1 - t) * t ** 2 * q[k] + t ** 3 * b[k]);
  return { x: mix('x'), y: mix('y') };
}

/** {sub, index, t, far}: the place on the drawing that is nearest to a point, measured by `to`. */
export function nearest(drawing, point, to) {
  let best = { far: Infinity };
  drawing.shapes.forEach((shape, shapeIndex) => shape.subs.forEach((sub) => sides(sub).forEach((side, index) => {
    for (let t = 0.05; t < 1; t += 0.05) {
      const q = to(pointAt(side, t)), far = Math.hypot(q.x - point.x, q.y - point.y);
      if (far < best.far) best = { shape: shapeIndex, sub, index, t, far };
    }
  })));
  return best;
}

/** A new node on a side, which keeps its course (de Casteljau). Returns the node. */
export function insertNode(sub, index, t) {
  const a = sub.nodes[index], b = sub.nodes[(index + 1) % sub.nodes.length], mix = (p, q) => ({ x: p.x + (q.x - p.x) * t, y: p.y + (q.y - p.y) * t });
  let fresh = node(...Object.values(mix(a, b)).slice(0, 2));
  if (a.out || b.in) {
    const [p, q] = [a.out ?? a, b.in ?? b], ab = mix(a, p), bc = mix(p, q), cd = mix(q, b), left = mix(ab, bc), right = mix(bc, cd);
    fresh = { ...mix(left, right), in: left, out: right };
    [a.out, b.in] = [ab, cd];
  }
  sub.nodes.splice(index + 1, 0, fresh);
  return fresh;
}

/** Take a node away; a sub-path of fewer than two goes, a shape without any too. */
export function removeNode(drawing, gone) {
  for (const shape of drawing.shapes) {
    for (const sub of shape.subs) sub.nodes = sub.nodes.filter((one) => one !== gone);
    shape.subs = shape.subs.filter((sub) => sub.nodes.length > 1);
  }
  drawing.shapes = drawing.shapes.filter((shape) => shape.subs.length);
}

/** Move a node with its handles. */
export function moveNode(one, x, y) {
  const [dx, dy] = [x - one.x, y - one.y];
  for (const point of [one.in, one.out]) if (point) { point.x += dx; point.y += dy; }
  [one.x, one.y] = [x, y];
}

/** Move a handle; the other one stays opposite while the two were in line. */
export function moveHandle(one, which, x, y) {
  const other = one[which === 'in' ? 'out' : 'in'], moved = one[which];
  const angle = (p) => Math.atan2(p.y - one.y, p.x - one.x), smooth = other && Math.abs(Math.cos(angle(moved) - angle(other)) + 1) < 0.02 && Math.hypot(moved.x - one.x, moved.y - one.y) > 1e-6;
  Object.assign(moved, { x, y });
  if (smooth) {
    const far = Math.hypot(other.x - one.x, other.y - one.y), turn = angle(moved) + Math.PI;
    Object.assign(other, { x: one.x + far * Math.cos(turn), y: one.y + far * Math.sin(turn) });
  }
}
