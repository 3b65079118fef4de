// The stage of a workbench: one picture, zoomed and panned, what is proposed around it, and a bar to compare it with the one before.
import { View } from '../../layers/page/view.js';

const MARGIN_PX = 32, ZOOMS = [0.01, 32];
const TINT_ALPHA = 0.5;

export class Stage extends View {
  constructor(frame, images, on) {
    super(frame, images, on);
    Object.assign(this, { picture: null, proposed: null, swiping: null, tint: null });
    this.bar = frame.querySelector('.ow-bar-swipe');
    this.heedBar();
  }

  // ---- what is shown

  /** step: {picture, width, height, before} or null. keep: what was at a place stays there, by `before`. */
  set(step, keep = false) {
    const old = this.picture, fitted = this.fitted;
    this.picture = step;
    this.stack = { extent: { width: step?.width ?? 1, height: step?.height ?? 1 }, layers: [] };
    if (!step) { this.later(); return; }
    if (!old || fitted) this.fit();
    else if (keep && old) this.follow(step, old);
    else if (old.width !== step.width || old.height !== step.height) this.fit();
    this.later();
  }

  /** The old picture's pixels stay under the eye. */
  follow(step, old) {
    const [x, y, width] = step.before?.length ? step.before : [0, 0, step.width, step.height], k = width / old.width;
    this.zoom /= k;
    this.x -= x * this.zoom;
    this.y -= y * this.zoom;
    this.moved();
  }

  /** A box in px of the picture that shall be seen too while something is proposed: {left, top, right, bottom}, or null. */
  propose(box) {
    this.proposed = box;
    if (this.fitted && !this.still) this.fit();
    this.later();
  }

  /** Px at the top where a bar of tools lies. */
  room(px) {
    this.headroom = px;
    if (this.fitted) this.fit();
  }

  get box() {
    const { width, height } = this.stack?.extent ?? { width: 1, height: 1 }, more = this.previewing ? null : this.proposed;
    return { left: Math.min(0, more?.left ?? 0), top: Math.min(0, more?.top ?? 0), right: Math.max(width, more?.right ?? 0), bottom: Math.max(height, more?.bottom ?? 0) };
  }

  fit() {
    const { clientWidth, clientHeight } = this.frame, { left, top, right, bottom } = this.box, head = this.headroom ?? 0;
    if (!clientWidth || !clientHeight || !this.stack) return;
    this.zoom = Math.min(ZOOMS[1], Math.max(ZOOMS[0], Math.min(this.most ?? Infinity, (clientWidth - 2 * MARGIN_PX) / (right - left), (clientHeight - 2 * MARGIN_PX - head) / (bottom - top))));
    [this.x, this.y] = [(clientWidth - (right + left) * this.zoom) / 2, (clientHeight + head - (bottom + top) * this.zoom) / 2];
    this.fitted = true;
    this.moved();
  }

  moved() {
    const { clientWidth, clientHeight } = this.frame, { left, top, right, bottom } = this.box, keep = 40;
    this.x = Math.min(clientWidth - keep - left * this.zoom, Math.max(keep - right * this.zoom, this.x));
    this.y = Math.min(clientHeight - keep - top * this.zoom, Math.max(keep - bottom * this.zoom, this.y));
    this.on.zoom(this.zoom);
    this.later();
  }

  // ---- painting

  paint() {
    const { sheet } = this;
    if (!sheet.canvas.width) return;
    sheet.setTransform(1, 0, 0, 1, 0, 0);
    sheet.clearRect(0, 0, sheet.canvas.width, sheet.canvas.height);
    if (this.picture) this.paintPicture();
    this.paintOver();
    this.painted?.();
  }

  paintPicture() {
    const { sheet, picture, dpr } = this, full = this.device(0, 0, picture.width, picture.height);
    this.paper(...full);
    if (!this.swiping) { this.place(picture.picture, full); return; }
    const { before, after, box } = this.swiping, [x, y, width, height] = box ?? [0, 0, picture.width, picture.height], at = this.barX * dpr;
    this.clipped(at, sheet.canvas.width, () => this.place(after, full));
    this.clipped(0, at, () => { sheet.fillStyle = 'rgba(120, 112, 102, .16)'; sheet.fillRect(...full); this.place(before, this.device(x, y, width, height)); });
    this.placeBar();
  }

  clipped(from, to, draw) {
    const { sheet } = this;
    sheet.save();
    sheet.beginPath();
    sheet.rect(from, 0, Math.max(0, to - from), sheet.canvas.height);
    sheet.clip();
    draw();
    sheet.restore();
  }

  place(id, [x, y, width, height]) {
    const bitmap = this.images.get(id, Math.max(width, height)), { sheet } = this;
    if (!bitmap) return;
    sheet.imageSmoothingEnabled = width < 3 * bitmap.width;
    sheet.imageSmoothingQuality = 'high';
    sheet.drawImage(bitmap, x, y, width, height);
  }

  /** A box of the picture in device px. */
  device(x, y, width, height) {
    const k = this.zoom * this.dpr, left = Math.round((this.x + x * this.zoom) * this.dpr), top = Math.round((this.y + y * this.zoom) * this.dpr);
    return [left, top, Math.max(1, Math.round(width * k)), Math.max(1, Math.round(height * k))];
  }

  paintOver() {
    const { over } = this;
    over.setTransform(1, 0, 0, 1, 0, 0);
    over.clearRect(0, 0, over.canvas.width, over.canvas.height);
    if (!this.picture) return;
    over.setTransform(this.zoom * this.dpr, 0, 0, this.zoom * this.dpr, this.x * this.dpr, this.y * this.dpr);
    if (this.tint) {
      over.globalAlpha = TINT_ALPHA;
      over.drawImage(this.tint, 0, 0, this.picture.width, this.picture.height);
      over.globalAlpha = 1;
    }
    this.overlay?.(over, this);
  }

  // ---- before and after

  /** {before, after, box} or null. */
  swipe(swiping) {
    this.swiping = swiping;
    this.share ??= 0.5;
    this.bar.hidden = !swiping;
    this.frame.classList.toggle('is-swiping', !!swiping);
    this.later();
  }

  get barX() { return this.x + this.share * (this.picture?.width ?? 1) * this.zoom; }

  placeBar() {
    this.bar.style.left = `${this.barX}px`;
    this.bar.setAttribute('aria-valuenow', String(Math.round(100 * this.share)));
  }

  heedBar() {
    const { bar } = this, move = (share) => { this.share = Math.min(1, Math.max(0, share)); this.later(); };
    bar.addEventListener('pointerdown', (e) => { e.stopPropagation(); e.preventDefault(); bar.focus(); bar.setPointerCapture(e.pointerId); });
    bar.addEventListener('pointermove', (e) => { if (bar.hasPointerCapture(e.pointerId)) move(this.point(e)[0] / this.picture.width); });
    bar.addEventListener('keydown', (e) => {
      const by = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.2, PageUp: 0.2, Home: -1, End: 1 }[e.key];
      if (by === undefined) return;
      e.preventDefault();
      e.stopPropagation();
      move(this.share + by);
    });
  }
}
