// Where layers lie: boxes, turned boxes, and what they snap to. Lengths are canvas pixels, angles clockwise degrees.

export const radians = (degrees) => degrees * Math.PI / 180;
const turned = (x, y, degrees) => { const c = Math.cos(radians(degrees)), s = Math.sin(radians(degrees)); return [x * c - y * s, x * s + y * c]; };

/** A place -> the six numbers that take the unit square to it. */
export function unitMatrix({ x, y, width, height, angle_deg, flip_x, flip_y }) {
  const c = Math.cos(radians(angle_deg)), s = Math.sin(radians(angle_deg)), w = flip_x ? -width : width, h = flip_y ? -height : height;
  const [a, b, d, e] = [c * w, s * w, -s * h, c * h];
  return [a, b, d, e, x - (a + d) / 2, y - (b + e) / 2];
}

/** Canvas point -> (u, v) in the picture, 0..1 inside it. */
export function inPicture(place, x, y) {
  const [dx, dy] = turned(x - place.x, y - place.y, -place.angle_deg), u = dx / place.width, v = dy / place.height;
  return [0.5 + (place.flip_x ? -u : u), 0.5 + (place.flip_y ? -v : v)];
}

/** The corners, clockwise from the left upper one. */
export function corners({ x, y, width, height, angle_deg }) {
  return [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([i, j]) => { const [dx, dy] = turned(i * width / 2, j * height / 2, angle_deg); return [x + dx, y + dy]; });
}

/** {left, top, right, bottom} around places; null for none. */
export function boundsOf(places) {
  const points = places.flatMap(corners);
  if (!points.length) return null;
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}

export const middle = ({ left, top, right, bottom }) => [(left + right) / 2, (top + bottom) / 2];
export const moved = (place, dx, dy) => ({ ...place, x: place.x + dx, y: place.y + dy });
const tidy = (degrees) => { const d = ((degrees % 360) + 540) % 360 - 180; return d === -180 ? 180 : Math.round(d * 1e6) / 1e6; };

export function turnedAbout(place, [ox, oy], degrees) {
  const [dx, dy] = turned(place.x - ox, place.y - oy, degrees);
  return { ...place, x: ox + dx, y: oy + dy, angle_deg: tidy(place.angle_deg + degrees) };
}

/** All places mirrored about the middle of their box. */
export function flipped(place, [ox, oy], across) {
  const at = across === 'x' ? { x: 2 * ox - place.x, flip_x: !place.flip_x } : { y: 2 * oy - place.y, flip_y: !place.flip_y };
  return { ...place, ...at, angle_deg: tidy(-place.angle_deg) };
}

/** Grown about a fixed point by one factor. */
export const scaledAbout = (place, [ox, oy], k) => ({ ...place, x: ox + (place.x - ox) * k, y: oy + (place.y - oy) * k, width: Math.max(1, place.width * k), height: Math.max(1, place.height * k) });

/** One turned box pulled at a handle (i, j in -1, 0, 1) to a canvas point; the opposite side stays. ratio: width over height to keep, or 0. */
export function pulled(place, [i, j], [px, py], ratio) {
  const [fx, fy] = turned(-i * place.width / 2, -j * place.height / 2, place.angle_deg), fixed = [place.x + fx, place.y + fy];
  const [dx, dy] = turned(px - fixed[0], py - fixed[1], -place.angle_deg);
  let width = i ? Math.max(1, i * dx) : place.width, height = j ? Math.max(1, j * dy) : place.height;
  if (ratio && i && j) { const w = Math.max(width, height * ratio); [width, height] = [w, w / ratio]; }
  else if (ratio) [width, height] = i ? [width, width / ratio] : [height * ratio, height];
  const [cx, cy] = turned(i * width / 2, j * height / 2, place.angle_deg);
  return { ...place, width: Math.max(1, width), height: Math.max(1, height), x: fixed[0] + cx, y: fixed[1] + cy };
}

// ---- snapping

/** What boxes can snap to: {xs, ys} of the canvas's edges and middle and of other boxes'. */
export function linesOf({ width, height }, boxes) {
  const xs = [0, width / 2, width], ys = [0, height / 2, height];
  for (const { left, top, right, bottom } of boxes) {
    xs.push(left, (left + right) / 2, right);
    ys.push(top, (top + bottom) / 2, bottom);
  }
  return { xs, ys };
}

function nearest(values, lines, reach) {
  let best = null;
  for (const value of values) {
    for (const line of lines) {
      const by = line - value;
      if (Math.abs(by) <= reach && (!best || Math.abs(by) < Math.abs(best.by) - 1e-6)) best = { by, line };
    }
  }
  return best;
}

/** How far to move so that a box sits on the nearest lines within reach: {dx, dy, guides: [{x}, {y}]}. */
export function snapBox(box, lines, reach) {
  const x = nearest([box.left, (box.left + box.right) / 2, box.right], lines.xs, reach), y = nearest([box.top, (box.top + box.bottom) / 2, box.bottom], lines.ys, reach);
  return { dx: x?.by ?? 0, dy: y?.by ?? 0, guides: [...(x ? [{ x: x.line }] : []), ...(y ? [{ y: y.line }] : [])] };
}

/** A point on the nearest lines, of those axes that are asked for. */
export function snapPoint([px, py], lines, reach, alongX, alongY) {
  const x = alongX ? nearest([px], lines.xs, reach) : null, y = alongY ? nearest([py], lines.ys, reach) : null;
  return { point: [px + (x?.by ?? 0), py + (y?.by ?? 0)], guides: [...(x ? [{ x: x.line }] : []), ...(y ? [{ y: y.line }] : [])] };
}

// ---- align and distribute: boxes [{left, top, right, bottom}] -> [[dx, dy]]

/** how: left, center, right, top, middle, bottom of `frame`. */
export function aligned(boxes, frame, how) {
  const [cx, cy] = middle(frame);
  return boxes.map((box) => {
    const [mx, my] = middle(box);
    return { left: [frame.left - box.left, 0], center: [cx - mx, 0], right: [frame.right - box.right, 0], top: [0, frame.top - box.top], middle: [0, cy - my], bottom: [0, frame.bottom - box.bottom] }[how];
  });
}

/** Equal gaps between boxes along an axis ('x' or 'y'); the outermost stay. */
export function distributed(boxes, axis) {
  const [from, to] = axis === 'x' ? ['left', 'right'] : ['top', 'bottom'], order = boxes.map((box, i) => [box, i]).sort(([a], [b]) => a[from] + a[to] - b[from] - b[to]);
  const span = order.at(-1)[0][to] - order[0][0][from], filled = boxes.reduce((sum, box) => sum + box[to] - box[from], 0), gap = (span - filled) / (boxes.length - 1);
  const out = Array(boxes.length).fill(null);
  let at = order[0][0][from];
  for (const [box, i] of order) {
    out[i] = axis === 'x' ? [at - box.left, 0] : [0, at - box.top];
    at += box[to] - box[from] + gap;
  }
  return out;
}
