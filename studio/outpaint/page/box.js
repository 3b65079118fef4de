// The new canvas around the picture: dragged by its sides and corners on the stage. Numbers are px of the picture; below 0 = cut.

const GRIP_PX = 12, SEAL = '#d24a31', LEAST_PX = 8;
const GRIPS = [[-1, -1], [0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0]];
const CURSORS = { '-1,-1': 'nwse-resize', '1,1': 'nwse-resize', '1,-1': 'nesw-resize', '-1,1': 'nesw-resize', '0,-1': 'ns-resize', '0,1': 'ns-resize', '-1,0': 'ew-resize', '1,0': 'ew-resize' };
export const NONE = Object.freeze({ top: 0, right: 0, bottom: 0, left: 0 });

export class Box {
  /** changed(this): the sides are other ones now. key: where they are kept as a draft. says(this) -> the label, {text, wrong}. */
  constructor(bench, { changed, key, says, onlyMove = false }) {
    Object.assign(this, { bench, changed, key, says, onlyMove, sides: NONE, drag: null });
    for (const what of ['step', 'document']) bench.on(what, () => this.recall());
    this.sides = this.kept;
  }

  // ---- the sides

  get any() { return Object.values(this.sides).some((v) => v !== 0); }

  get width() { return (this.bench.step?.width ?? 0) + this.sides.left + this.sides.right; }

  get height() { return (this.bench.step?.height ?? 0) + this.sides.top + this.sides.bottom; }

  get area() { const { step } = this.bench; return step ? this.width * this.height / (step.width * step.height) : 1; }

  set(sides, quiet = false) {
    const { step } = this.bench, next = { ...this.sides, ...Object.fromEntries(Object.entries(sides).map(([side, v]) => [side, Math.round(Number(v)) || 0])) };
    if (step && step.width + next.left + next.right < LEAST_PX) next[sides.left !== undefined ? 'left' : 'right'] += LEAST_PX - (step.width + next.left + next.right);
    if (step && step.height + next.top + next.bottom < LEAST_PX) next[sides.top !== undefined ? 'top' : 'bottom'] += LEAST_PX - (step.height + next.top + next.bottom);
    this.sides = next;
    this.propose();
    this.changed(this);
    if (!quiet) this.bench.draft(this.key, this.any ? { step: step?.id, sides: next } : null);
  }

  /** The least canvas of a ratio that holds the picture; the picture lies at (u, v) of it, .5 = the middle. */
  ratio(wide, high, u = 0.5, v = 0.5) {
    const { width, height } = this.bench.step, across = Math.max(0, Math.round(height * wide / high) - width), down = Math.max(0, Math.round(width * high / wide) - height);
    this.set({ left: Math.round(across * u), right: across - Math.round(across * u), top: Math.round(down * v), bottom: down - Math.round(down * v) });
  }

  /** Every side `times` as long. */
  around(times) {
    const { width, height } = this.bench.step, [across, down] = [width, height].map((side) => Math.round(side * (times - 1)));
    this.set({ left: Math.floor(across / 2), right: Math.ceil(across / 2), top: Math.floor(down / 2), bottom: Math.ceil(down / 2) });
  }

  /** What was being prepared for this very step. */
  get kept() {
    const kept = this.bench.draft(this.key);
    return kept && kept.step === this.bench.step?.id ? kept.sides : NONE;
  }

  /** Another step is shown: what was being prepared for it, after an undo too. */
  recall() {
    this.sides = this.kept;
    this.propose();
    this.changed(this);
  }

  propose() {
    const { bench, sides, on } = this, { step } = bench;
    if (on) bench.stage.propose(step && this.any ? { left: -sides.left, top: -sides.top, right: step.width + sides.right, bottom: step.height + sides.bottom } : null);
  }

  // ---- on the stage

  show() {
    if (this.on) return;
    this.on = true;
    this.release = this.bench.tool({ pointer: (kind, x, y, e) => this.pointer(kind, x, y, e), cursor: 'grab', overlay: (ink, view) => this.overlay(ink, view), released: () => {} });
    this.propose();
  }

  hide() {
    if (!this.on) return;
    this.on = false;
    this.release?.();
    this.bench.stage.propose(null);
  }

  get edges() { const { step } = this.bench, { sides } = this; return { left: -sides.left, top: -sides.top, right: step.width + sides.right, bottom: step.height + sides.bottom }; }

  gripAt([x, y], touch = false) {
    const { left, top, right, bottom } = this.edges, reach = (touch ? 2 : 1) * GRIP_PX / this.bench.stage.zoom;
    const near = ([i, j]) => { const gx = i < 0 ? left : i > 0 ? right : null, gy = j < 0 ? top : j > 0 ? bottom : null;
      return (gx === null ? x > left && x < right : Math.abs(x - gx) <= reach) && (gy === null ? y > top && y < bottom : Math.abs(y - gy) <= reach); };
    return GRIPS.filter(([i, j]) => i && j).find(near) ?? GRIPS.filter(([i, j]) => !(i && j)).find(near) ?? null;
  }

  pointer(kind, x, y, e) {
    if (this.bench.shown) { if (kind === 'down') this.bench.preview(null); return; }
    const { bench } = this, grip = this.drag?.grip ?? this.gripAt([x, y], e.pointerType === 'touch');
    if (kind === 'hover') { bench.cursor(grip ? CURSORS[grip] : this.onlyMove ? 'move' : 'grab'); return; }
    if (kind === 'down') { this.drag = { grip, from: [x, y], sides: this.sides, last: e }; bench.stage.still = true; return; }
    if (kind === 'move' && this.drag) { if (this.drag.grip) this.pull(x, y, e); else this.pan(x, y, e); return; }
    if (['up', 'cancel'].includes(kind) && this.drag) {
      if (kind === 'cancel') this.set(this.drag.sides);
      this.drag = null;
      bench.stage.still = false;
      if (bench.stage.fitted) bench.stage.fit();
    }
  }

  pan(x, y, e) {
    const { drag, bench } = this;
    if (this.onlyMove && this.any) { const dx = Math.round(x - drag.from[0]), dy = Math.round(y - drag.from[1]), s = drag.sides; this.set({ left: s.left + dx, right: s.right - dx, top: s.top + dy, bottom: s.bottom - dy }); return; }
    bench.stage.panBy(e.clientX - drag.last.clientX, e.clientY - drag.last.clientY);
    drag.last = e;
  }

  pull(x, y, e) {
    const { grip: [i, j], from, sides } = this.drag, { step } = this.bench, next = { ...sides };
    let [dx, dy] = [i * (x - from[0]), j * (y - from[1])];
    if (e.shiftKey && i && j) { const k = Math.max(dx / step.width, dy / step.height); [dx, dy] = [k * step.width, k * step.height]; }
    const snap = (v) => (e.ctrlKey ? Math.round(v) : Math.abs(v) * this.bench.stage.zoom < 6 ? 0 : Math.round(v / 8) * 8), put = (side, other, by) => { next[side] = snap(sides[side] + by); if (e.altKey) next[other] = snap(sides[other] + by); };
    if (i) put(i < 0 ? 'left' : 'right', i < 0 ? 'right' : 'left', dx);
    if (j) put(j < 0 ? 'top' : 'bottom', j < 0 ? 'bottom' : 'top', dy);
    this.set(next);
  }

  overlay(ink, { zoom, images }) {
    const { step } = this.bench;
    if (!step || this.bench.shown) return;
    const e = this.edges, p = 1 / zoom, said = this.says(this);
    if (this.any && !this.onlyMove) this.paintGhost(ink, e, images, step, zoom);
    if (this.any && this.onlyMove) { ink.fillStyle = 'rgba(210, 74, 49, .07)'; ink.fillRect(e.left, e.top, e.right - e.left, e.bottom - e.top); }
    if (this.any) shade(ink, e, step);
    ink.strokeStyle = said.wrong ? '#b3261e' : SEAL;
    ink.lineWidth = 1.5 * p;
    ink.setLineDash([6 * p, 4 * p]);
    ink.strokeRect(e.left, e.top, e.right - e.left, e.bottom - e.top);
    ink.setLineDash([]);
    for (const [i, j] of GRIPS) grip(ink, i < 0 ? e.left : i > 0 ? e.right : (e.left + e.right) / 2, j < 0 ? e.top : j > 0 ? e.bottom : (e.top + e.bottom) / 2, i, j, p);
    if (this.any) label(ink, said, (e.left + e.right) / 2, e.bottom, p);
  }

  /** What lies beyond, guessed as a pale mirror image, so that the eye sees where it goes on. */
  paintGhost(ink, e, images, { picture, width, height }, zoom) {
    const bitmap = images.get(picture, Math.max(width, height) * zoom);
    if (!bitmap) return;
    ink.save();
    ink.beginPath();
    ink.rect(e.left, e.top, e.right - e.left, e.bottom - e.top);
    ink.rect(Math.max(0, e.left), Math.max(0, e.top), Math.min(width, e.right) - Math.max(0, e.left), Math.min(height, e.bottom) - Math.max(0, e.top));
    ink.clip('evenodd');
    ink.globalAlpha = 0.3;
    const from = (v, side) => Math.floor(v / side), [x0, x1, y0, y1] = [from(e.left, width), from(e.right - 1, width), from(e.top, height), from(e.bottom - 1, height)];
    for (let n = Math.max(-4, x0); n <= Math.min(4, x1); n++) for (let m = Math.max(-4, y0); m <= Math.min(4, y1); m++) {
      if (!n && !m) continue;
      ink.save();
      ink.translate((n + (n % 2 ? 1 : 0)) * width, (m + (m % 2 ? 1 : 0)) * height);
      ink.scale(n % 2 ? -1 : 1, m % 2 ? -1 : 1);
      ink.drawImage(bitmap, 0, 0, width, height);
      ink.restore();
    }
    ink.restore();
  }
}

/** What would be cut is dark. */
function shade(ink, e, { width, height }) {
  ink.fillStyle = 'rgba(29, 27, 26, .62)';
  const [x0, y0, x1, y1] = [Math.max(0, e.left), Math.max(0, e.top), Math.min(width, e.right), Math.min(height, e.bottom)];
  ink.fillRect(0, 0, width, y0);
  ink.fillRect(0, y1, width, height - y1);
  ink.fillRect(0, y0, x0, y1 - y0);
  ink.fillRect(x1, y0, width - x1, y1 - y0);
}

function grip(ink, x, y, i, j, p) {
  const [w, h] = i && j ? [11, 11] : i ? [7, 26] : [26, 7];
  ink.fillStyle = '#ffffff';
  ink.strokeStyle = SEAL;
  ink.lineWidth = 1.5 * p;
  ink.beginPath();
  ink.roundRect(x - w / 2 * p, y - h / 2 * p, w * p, h * p, 3.5 * p);
  ink.fill();
  ink.stroke();
}

function label(ink, { text, wrong }, x, y, p) {
  ink.font = `600 ${12 * p}px ui-sans-serif, system-ui, sans-serif`;
  const width = ink.measureText(text).width + 18 * p;
  ink.fillStyle = wrong ? '#7a2315' : '#1d1b1a';
  ink.beginPath();
  ink.roundRect(x - width / 2, y - 34 * p, width, 23 * p, 6 * p);
  ink.fill();
  ink.fillStyle = '#ffffff';
  ink.textAlign = 'center';
  ink.fillText(text, x, y - 18 * p);
  ink.textAlign = 'start';
}
