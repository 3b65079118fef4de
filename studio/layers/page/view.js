// The stage: the canvas of the document in its frame, zoomed and panned, with what tools draw over it.
import { draw, drawPlaced } from './compose.js';

const ZOOMS = [0.02, 32];
const WHEEL = 1.0015;
const MARGIN_PX = 28;
const CHECK_PX = 8;

export class View {
  /** frame: the element that holds both canvases; on: {zoom(zoom), pointer(kind, x, y, event), cursor()}. */
  constructor(frame, images, on) {
    Object.assign(this, { frame, images, on });
    [this.sheet, this.over] = ['.ol-sheet', '.ol-over'].map((name) => frame.querySelector(name).getContext('2d'));
    this.doc = new OffscreenCanvas(1, 1).getContext('2d');
    [this.zoom, this.x, this.y] = [1, 0, 0];
    this.fitted = true;                                                     // stays whole in sight until the person zooms
    this.backdrop = 'checks';
    this.ghost = null;
    this.fingers = new Map();
    new ResizeObserver(() => this.resized()).observe(frame);
    this.listen();
  }

  get dpr() { return Math.min(2, devicePixelRatio || 1); }

  // ---- what is shown

  /** stack: what to draw; hidden: ids that are not. */
  show(stack) {
    const other = this.stack && (stack.extent.width !== this.stack.extent.width || stack.extent.height !== this.stack.extent.height);
    this.stack = stack;
    if (!this.shown || (other && this.fitted)) this.fit();
    this.shown = true;
    this.later();
  }

  resized() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (!width || !height) return;
    for (const { canvas } of [this.sheet, this.over, this.doc]) [canvas.width, canvas.height] = [Math.round(width * this.dpr), Math.round(height * this.dpr)];
    if (this.fitted && this.stack) this.fit();
    this.paint();                                                           // at once, for a changed canvas is blank
  }

  later() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.paint(); });
  }

  paint() {
    if (!this.stack || !this.sheet.canvas.width) return;
    const { sheet, doc, stack: { extent } } = this, [left, top] = [this.x, this.y].map((v) => Math.round(v * this.dpr));
    const zoom = this.zoom * this.dpr, [width, height] = [Math.round(extent.width * zoom), Math.round(extent.height * zoom)];
    sheet.setTransform(1, 0, 0, 1, 0, 0);
    sheet.clearRect(0, 0, sheet.canvas.width, sheet.canvas.height);
    this.paper(left, top, width, height);
    doc.setTransform(1, 0, 0, 1, 0, 0);
    doc.clearRect(0, 0, doc.canvas.width, doc.canvas.height);
    doc.save();
    doc.beginPath();
    doc.rect(left, top, width, height);
    doc.clip();
    const view = { zoom, x: left, y: top };
    draw(doc, this.stack.layers, view, (layer, px) => this.images.get(layer.picture, px), this.region);
    doc.restore();
    sheet.drawImage(doc.canvas, 0, 0);
    if (this.ghost) this.paintGhost(view);
    this.paintOver();
    this.painted?.();
  }

  /** The document's paper, for looks only: checks, a colour, or nothing over the desk. */
  paper(left, top, width, height) {
    const { sheet } = this;
    sheet.fillStyle = this.backdrop === 'checks' ? checks(sheet, this.dpr) : this.backdrop;
    sheet.save();
    sheet.shadowColor = 'rgba(40, 25, 10, .22)';
    sheet.shadowBlur = 18 * this.dpr;
    sheet.shadowOffsetY = 4 * this.dpr;
    sheet.fillRect(left, top, width, height);
    sheet.restore();
    sheet.translate(left, top);
    sheet.fillRect(0, 0, width, height);
    sheet.setTransform(1, 0, 0, 1, 0, 0);
  }

  paintGhost(view) {
    const { sheet, ghost: { source, place } } = this;
    sheet.save();
    drawPlaced(sheet, source, place, view);
    sheet.restore();
    sheet.setTransform(1, 0, 0, 1, 0, 0);
  }

  paintOver() {
    const { over } = this;
    over.setTransform(1, 0, 0, 1, 0, 0);
    over.clearRect(0, 0, over.canvas.width, over.canvas.height);
    over.setTransform(this.zoom * this.dpr, 0, 0, this.zoom * this.dpr, this.x * this.dpr, this.y * this.dpr);
    this.overlay?.(over, this);
  }

  /** What of the canvas is in sight. */
  get region() {
    const { clientWidth, clientHeight } = this.frame;
    return { left: -this.x / this.zoom, top: -this.y / this.zoom, right: (clientWidth - this.x) / this.zoom, bottom: (clientHeight - this.y) / this.zoom };
  }

  // ---- zoom and pan

  fit() {
    const { clientWidth, clientHeight } = this.frame, { width, height } = this.stack?.extent ?? { width: 1, height: 1 };
    if (!clientWidth || !clientHeight) return;
    this.zoom = Math.min(ZOOMS[1], Math.max(ZOOMS[0], Math.min((clientWidth - 2 * MARGIN_PX) / width, (clientHeight - 2 * MARGIN_PX) / height)));
    [this.x, this.y] = [(clientWidth - width * this.zoom) / 2, (clientHeight - height * this.zoom) / 2];
    this.fitted = true;
    this.moved();
  }

  zoomTo(zoom, px = this.frame.clientWidth / 2, py = this.frame.clientHeight / 2) {
    const next = Math.min(ZOOMS[1], Math.max(ZOOMS[0], zoom)), k = next / this.zoom;
    [this.x, this.y, this.zoom] = [px - (px - this.x) * k, py - (py - this.y) * k, next];
    this.fitted = false;
    this.moved();
  }

  panBy(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.moved();
  }

  /** A corner of the document stays in sight. */
  moved() {
    const { clientWidth, clientHeight } = this.frame, { width, height } = this.stack.extent, keep = 40;
    this.x = Math.min(clientWidth - keep, Math.max(keep - width * this.zoom, this.x));
    this.y = Math.min(clientHeight - keep, Math.max(keep - height * this.zoom, this.y));
    this.on.zoom(this.zoom);
    this.later();
  }

  /** A pointer event -> canvas px. */
  point({ clientX, clientY }) {
    const box = this.frame.getBoundingClientRect();
    return [(clientX - box.left - this.x) / this.zoom, (clientY - box.top - this.y) / this.zoom];
  }

  // ---- pointers

  listen() {
    const f = this.frame;
    f.addEventListener('pointerdown', (e) => this.down(e));
    f.addEventListener('pointermove', (e) => this.move(e));
    for (const name of ['pointerup', 'pointercancel']) f.addEventListener(name, (e) => this.up(e));
    f.addEventListener('dblclick', (e) => this.on.pointer('double', ...this.point(e), e));
    f.addEventListener('contextmenu', (e) => e.preventDefault());
    f.addEventListener('wheel', (e) => this.wheel(e), { passive: false });
  }

  wheel(e) {
    e.preventDefault();
    const box = this.frame.getBoundingClientRect(), lines = e.deltaMode === 1 ? 16 : 1;
    if (e.shiftKey && !e.ctrlKey) this.panBy(-(e.deltaX || e.deltaY) * lines, e.deltaX ? -e.deltaY * lines : 0);
    else this.zoomTo(this.zoom * (e.ctrlKey ? 1.01 : WHEEL) ** (-e.deltaY * lines), e.clientX - box.left, e.clientY - box.top);
  }

  down(e) {
    if (e.button > 1) return;
    this.frame.focus({ preventScroll: true });
    this.frame.setPointerCapture(e.pointerId);
    if (e.pointerType === 'touch') this.fingers.set(e.pointerId, e);
    if (this.fingers.size === 2) { this.end('cancel', e); return; }
    if (this.spaceHeld || e.button === 1) { this.panning = e; this.on.cursor(); return; }
    this.pressed = e.pointerId;
    this.on.pointer('down', ...this.point(e), e);
  }

  move(e) {
    if (this.fingers.has(e.pointerId)) {
      const before = this.fingers.get(e.pointerId);
      this.fingers.set(e.pointerId, e);
      if (this.fingers.size >= 2) { this.pinch(before, e); return; }
    }
    if (this.panning) { this.panBy(e.clientX - this.panning.clientX, e.clientY - this.panning.clientY); this.panning = e; return; }
    this.on.pointer(this.pressed === e.pointerId ? 'move' : 'hover', ...this.point(e), e);
  }

  up(e) {
    this.fingers.delete(e.pointerId);
    if (this.panning) { this.panning = null; this.on.cursor(); return; }
    this.end(e.type === 'pointercancel' ? 'cancel' : 'up', e);
  }

  end(kind, e) {
    if (this.pressed === undefined) return;
    this.pressed = undefined;
    this.on.pointer(kind, ...this.point(e), e);
  }

  pinch(before, now) {
    const other = [...this.fingers.values()].find((finger) => finger.pointerId !== now.pointerId), box = this.frame.getBoundingClientRect();
    const apart = (finger) => Math.max(1, Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY));
    this.zoomTo(this.zoom * apart(now) / apart(before), (now.clientX + other.clientX) / 2 - box.left, (now.clientY + other.clientY) / 2 - box.top);
    this.panBy((now.clientX - before.clientX) / 2, (now.clientY - before.clientY) / 2);
  }

  space(held) {
    this.spaceHeld = held;
    this.on.cursor();
  }
}

let pattern = null, patternDpr = 0;

/** Light checks, a screen-sized pattern that starts at the document's corner. */
function checks(ink, dpr) {
  if (pattern && patternDpr === dpr) return pattern;
  const side = Math.round(CHECK_PX * dpr), tile = new OffscreenCanvas(2 * side, 2 * side), own = tile.getContext('2d');
  own.fillStyle = '#ffffff';
  own.fillRect(0, 0, 2 * side, 2 * side);
  own.fillStyle = '#e4e1dc';
  own.fillRect(0, 0, side, side);
  own.fillRect(side, side, side, side);
  patternDpr = dpr;
  pattern = ink.createPattern(tile, 'repeat');
  return pattern;
}
