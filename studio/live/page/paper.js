// The drawing itself: pixels, tools, undo. Knows nothing of sockets or layout.
export const SIDE = 512;
export const PAPER = '#ffffff';
const HISTORY_STEPS = 200;
const HISTORY_BYTES = 64 * 2 ** 20;
const FILL_TOLERANCE = 40;

export const WHOLE = [0, 0, SIDE, SIDE];

/** Boxes are [left, top, right, bottom] in canvas pixels; null is the empty box. */
export const union = (a, b) => (a ? [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])] : b);

/** A box of floats -> [x, y, width, height] of whole pixels inside the canvas. */
export function clip(box) {
  const x = Math.max(0, Math.floor(box[0])), y = Math.max(0, Math.floor(box[1]));
  return [x, y, Math.min(SIDE, Math.ceil(box[2])) - x, Math.min(SIDE, Math.ceil(box[3])) - y];
}

function crop(image, [x, y, w, h]) {
  const out = new ImageData(w, h);
  for (let row = 0; row < h; row++) {
    const from = ((y + row) * image.width + x) * 4;
    out.data.set(image.data.subarray(from, from + w * 4), row * w * 4);
  }
  return out;
}

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** White paper of SIDE x SIDE pixels under a round pen. */
export class Surface {
  /** changed(box) is called after every change of pixels. */
  constructor(canvas, changed) {
    canvas.width = canvas.height = SIDE;
    this.canvas = canvas;
    this.changed = changed;
    this.ink = canvas.getContext('2d', { willReadFrequently: true });
    this.ink.lineCap = this.ink.lineJoin = 'round';
    this.stroke = null;
    this.paint(WHOLE, PAPER);
  }

  paint([x, y, r, b], color) {
    this.ink.globalAlpha = 1;
    this.ink.fillStyle = color;
    this.ink.fillRect(x, y, r - x, b - y);
  }

  read([x, y, w, h] = WHOLE) { return this.ink.getImageData(x, y, w, h); }

  line(x0, y0, x, y, width, color) {
    this.ink.strokeStyle = color;
    this.ink.lineWidth = width;
    this.ink.beginPath();
    this.ink.moveTo(x0, y0);
    this.ink.lineTo(x + 0.01, y);
    this.ink.stroke();
  }
}

export class Paper extends Surface {
  constructor(canvas, changed) {
    super(canvas, changed);
    this.past = [];
    this.future = [];
  }

  get blank() { return new Uint32Array(this.read().data.buffer).every((v) => v === 0xffffffff); }

  // ---- strokes

  /** brush: {color, size, hardness 0..1}. */
  begin(x, y, brush, pressure) {
    this.stroke = { before: this.read(), box: null, x, y, rest: 0, brush, stamp: brush.hardness < 1 ? softStamp(brush) : null };
    this.extend(x, y, pressure);
  }

  extend(x, y, pressure) {
    const s = this.stroke;
    const width = Math.max(0.7, s.brush.size * pressure);
    if (s.stamp) this.stampAlong(s, x, y, width);
    else this.line(s.x, s.y, x, y, width, s.brush.color);
    const reach = width / 2 + 2;
    const box = [Math.min(s.x, x) - reach, Math.min(s.y, y) - reach, Math.max(s.x, x) + reach, Math.max(s.y, y) + reach];
    [s.x, s.y] = [x, y];
    s.box = union(s.box, box);
    this.changed(box);
  }

  stampAlong(s, x, y, width) {
    const gap = Math.max(1, width / 8), length = Math.hypot(x - s.x, y - s.y);
    for (let at = s.rest; at <= length; at += gap) {
      const k = length ? at / length : 0;
      this.ink.drawImage(s.stamp, s.x + (x - s.x) * k - width / 2, s.y + (y - s.y) * k - width / 2, width, width);
      s.rest = at + gap - length;
    }
    if (s.rest > gap) s.rest -= length;
  }

  end() {
    const s = this.stroke;
    this.stroke = null;
    if (s?.box) this.remember(clip(s.box), s.before);
  }

  /** Take the running stroke back, as when a second finger lands. */
  abandon() {
    const s = this.stroke;
    this.stroke = null;
    if (!s) return;
    this.ink.putImageData(s.before, 0, 0);
    if (s.box) this.changed(s.box);
  }

  // ---- whole changes; each is one undo step

  fill(x, y, color) {
    const image = this.read(), before = this.read();
    const box = flood(image, Math.floor(x), Math.floor(y), rgb(color));
    if (!box) return;
    this.ink.putImageData(image, 0, 0);
    this.remember(clip(box), before);
    this.changed(box);
  }

  clear() { this.replace(() => this.paint(WHOLE, PAPER)); }

  /** Any change of the whole canvas as one undo step. */
  replace(change) {
    const before = this.read();
    change(this.ink);
    this.remember([0, 0, SIDE, SIDE], before);
    this.changed(WHOLE);
  }

  /** Set the pixels without an undo step, as when a page comes back. */
  adopt(image) {
    this.ink.putImageData(image, 0, 0);
    this.changed(WHOLE);
  }

  colorAt(x, y) {
    const [r, g, b] = this.ink.getImageData(x, y, 1, 1).data;
    return '#' + [r, g, b].map((v) => v.toString(16).padStart(2, '0')).join('');
  }

  // ---- undo

  remember(rect, before) {
    if (rect[2] < 1 || rect[3] < 1) return;
    this.past.push({ rect, pixels: crop(before, rect) });
    this.future = [];
    const bytes = () => this.past.reduce((sum, step) => sum + step.pixels.data.length, 0);
    while (this.past.length > HISTORY_STEPS || bytes() > HISTORY_BYTES) this.past.shift();
  }

  undo() { return this.step(this.past, this.future); }
  redo() { return this.step(this.future, this.past); }

  step(from, to) {
    if (this.stroke || !from.length) return false;
    const { rect, pixels } = from.pop(), [x, y, w, h] = rect;
    to.push({ rect, pixels: this.read(rect) });
    this.ink.putImageData(pixels, x, y);
    this.changed([x, y, x + w, y + h]);
    return true;
  }
}

/** A round stamp that fades from `hardness` of the radius outwards. */
function softStamp({ color, size, hardness }) {
  const side = Math.max(2, Math.ceil(size * 1.5)), r = side / 2;
  const stamp = new OffscreenCanvas(side, side), ink = stamp.getContext('2d');
  const [red, green, blue] = rgb(color), fade = ink.createRadialGradient(r, r, r * hardness * 0.95, r, r, r);
  const strong = 0.25 + 0.6 * hardness;
  fade.addColorStop(0, `rgba(${red},${green},${blue},${strong})`);
  fade.addColorStop(0.5, `rgba(${red},${green},${blue},${strong * 0.35})`);
  fade.addColorStop(1, `rgba(${red},${green},${blue},0)`);
  ink.fillStyle = fade;
  ink.fillRect(0, 0, side, side);
  return stamp;
}

/** Scanline flood fill in place; returns the changed box, or null when nothing would change. */
function flood(image, x, y, [r, g, b]) {
  const { data } = image, at = (y * SIDE + x) * 4;
  const [r0, g0, b0] = data.subarray(at, at + 3);
  if (r0 === r && g0 === g && b0 === b) return null;
  const words = new Uint32Array(data.buffer), word = (255 << 24 | b << 16 | g << 8 | r) >>> 0;
  const done = new Uint8Array(SIDE * SIDE), stack = [y * SIDE + x];
  const like = (i) => !done[i] && Math.max(Math.abs(data[i * 4] - r0), Math.abs(data[i * 4 + 1] - g0), Math.abs(data[i * 4 + 2] - b0)) <= FILL_TOLERANCE;
  let box = null;
  while (stack.length) {
    const seed = stack.pop();
    if (!like(seed)) continue;
    const row = Math.floor(seed / SIDE) * SIDE;
    let left = seed, right = seed;
    while (left > row && like(left - 1)) left--;
    while (right < row + SIDE - 1 && like(right + 1)) right++;
    for (let i = left; i <= right; i++) {
      done[i] = 1;
      if (i >= SIDE && like(i - SIDE)) stack.push(i - SIDE);
      if (i < SIDE * (SIDE - 1) && like(i + SIDE)) stack.push(i + SIDE);
    }
    words.fill(word, left, right + 1);
    box = union(box, [left - row, row / SIDE, right - row + 1, row / SIDE + 1]);
  }
  return box;
}
