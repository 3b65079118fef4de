// A mask as a list of what was drawn, so that every mark can be undone and kept as a few numbers; white = may change.

const MOST_PX = 2048;
export const TINT = '#d24a31';

export class Mask {
  /** size: {width, height} of the picture; bitmap(id): resolves to a kept mask; changed(): it looks other than before. */
  constructor({ width, height }, bitmap, changed) {
    Object.assign(this, { width, height, bitmap, changed, ops: [], undone: [] });
    this.scale = Math.min(1, MOST_PX / Math.max(width, height));
    this.canvas = new OffscreenCanvas(Math.max(1, Math.round(width * this.scale)), Math.max(1, Math.round(height * this.scale)));
    this.ink = this.canvas.getContext('2d', { willReadFrequently: true });
    this.version = 0;
  }

  // ---- marks

  /** ops: {kind: 'brush', points, width_px, add} | 'lasso' {points, add} | 'rect' {box, add} | 'picture' {id, add} | 'all' | 'invert' | 'clear'. */
  async add(op) {
    this.ops.push(op);
    this.undone = [];
    await this.draw(op);
    this.touched();
  }

  async set(ops) {
    this.ops = [...ops];
    this.undone = [];
    await this.redraw();
  }

  async undo() { if (this.ops.length) { this.undone.push(this.ops.pop()); await this.redraw(); } }

  async redo() { if (this.undone.length) { this.ops.push(this.undone.pop()); await this.redraw(); } }

  async redraw() {
    const { ink, canvas } = this, turn = ++this.turn_ || (this.turn_ = 1);
    ink.setTransform(1, 0, 0, 1, 0, 0);
    ink.clearRect(0, 0, canvas.width, canvas.height);
    for (const op of [...this.ops]) { await this.draw(op, () => turn === this.turn_); if (turn !== this.turn_) return; }
    this.touched();
  }

  touched() {
    this.version++;
    this.kept = null;
    this.changed();
  }

  // ---- drawing

  /** meant(): whether it is still to be drawn once its picture has come. */
  async draw(op, meant = () => true) {
    if (op.kind === 'picture') { await this.drawPicture(op, meant); return; }
    const { ink, canvas } = this;
    ink.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    ink.globalCompositeOperation = op.add === false ? 'destination-out' : 'source-over';
    ink.fillStyle = ink.strokeStyle = TINT;
    const draw = {
      brush: () => stroke(ink, op), lasso: () => { trace(ink, op.points); ink.fill(); },
      rect: () => { const [x0, y0, x1, y1] = op.box; ink.fillRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)); },
      all: () => this.flood('source-over'), invert: () => this.flood('xor'), clear: () => { ink.setTransform(1, 0, 0, 1, 0, 0); ink.clearRect(0, 0, canvas.width, canvas.height); },
    }[op.kind];
    draw?.();
    ink.globalCompositeOperation = 'source-over';
  }

  flood(how) {
    this.ink.globalCompositeOperation = how;
    this.ink.fillRect(0, 0, this.width, this.height);
  }

  /** A kept mask: grey times alpha. */
  async drawPicture({ id, add }, meant) {
    const source = await this.bitmap(id);
    if (!meant()) return;
    const { ink, canvas } = this, tinted = new OffscreenCanvas(canvas.width, canvas.height), own = tinted.getContext('2d', { willReadFrequently: true });
    own.drawImage(source, 0, 0, canvas.width, canvas.height);
    const image = own.getImageData(0, 0, canvas.width, canvas.height), { data } = image;
    for (let i = 0; i < data.length; i += 4) { data[i + 3] = data[i] * data[i + 3] / 255; [data[i], data[i + 1], data[i + 2]] = [210, 74, 49]; }
    own.putImageData(image, 0, 0);
    ink.setTransform(1, 0, 0, 1, 0, 0);
    ink.globalCompositeOperation = add === false ? 'destination-out' : 'source-over';
    ink.drawImage(tinted, 0, 0);
    ink.globalCompositeOperation = 'source-over';
  }

  /** The newest piece of a stroke that is being drawn, before it is an op. */
  sketch(op) { this.draw(op); this.changed(); }

  // ---- out of it

  get empty() {
    if (this.seen?.version !== this.version) this.seen = { version: this.version, ...this.measure() };
    return this.seen.share === 0;
  }

  /** {share: of the picture that is marked, box: [x0, y0, x1, y1] px of the picture}. */
  measure() {
    const { canvas: { width, height }, ink, scale } = this, { data } = ink.getImageData(0, 0, width, height);
    let count = 0, [x0, y0, x1, y1] = [width, height, 0, 0];
    for (let y = 0, i = 3; y < height; y++) for (let x = 0; x < width; x++, i += 4) if (data[i] > 127) { count++; x0 = Math.min(x0, x); x1 = Math.max(x1, x + 1); y0 = Math.min(y0, y); y1 = Math.max(y1, y + 1); }
    return { share: count / (width * height), box: [x0, y0, x1, y1].map((v) => v / scale) };
  }

  get share() { void this.empty; return this.seen.share; }

  get box() { return this.empty ? null : this.seen.box; }

  /** As a white picture with alpha. */
  blob() {
    const out = new OffscreenCanvas(this.canvas.width, this.canvas.height), own = out.getContext('2d');
    own.drawImage(this.canvas, 0, 0);
    own.globalCompositeOperation = 'source-in';
    own.fillStyle = '#ffffff';
    own.fillRect(0, 0, out.width, out.height);
    return out.convertToBlob({ type: 'image/png' });
  }
}

function trace(ink, points) {
  ink.beginPath();
  points.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
  ink.closePath();
}

function stroke(ink, { points, width_px }) {
  ink.lineCap = ink.lineJoin = 'round';
  ink.lineWidth = width_px;
  ink.beginPath();
  points.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
  if (points.length === 1) ink.lineTo(points[0][0] + 0.01, points[0][1]);
  ink.stroke();
}
