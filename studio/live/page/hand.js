// The hand on the canvas: pen, mouse, fingers and keys, and the tool they hold.
// Grip knows pointers and keys; Hand is the live tab's, with its brush, fill and colours.
const WHEEL_ZOOM = 1.0015;
const MOVE = 'onpointerrawupdate' in window && isSecureContext ? 'pointerrawupdate' : 'pointermove';

const typing = () => {
  const el = document.activeElement;
  return el?.isContentEditable || el?.tagName === 'TEXTAREA' || el?.tagName === 'SELECT' || (el?.tagName === 'INPUT' && !['range', 'color', 'checkbox', 'radio', 'button'].includes(el.type));
};

export class Grip {
  constructor(live) {
    Object.assign(this, { live, paper: live.paper, view: live.view, frame: live.find('.os-paper'), ring: live.find('.os-ring'), size: live.find('.os-size') });
    this.tool = Object.values(this.tools)[0];
    this.fingers = new Map();
    this.now = undefined;
    this.knobs();
    this.pointer();
    this.keyboard();
    this.hold(this.tool);
  }

  // ---- what a tab's hand says of itself

  /** Key -> tool; the first is held at the start. */
  get tools() { return {}; }
  /** Tools that show a ring of their size. */
  get round() { return []; }
  get step() { return 3; }
  get brush() { return { size: Number(this.size.value) }; }
  /** The tool touches the paper. */
  apply() {}
  /** A key that is the tab's own; true = it was one. */
  shortcut() { return false; }

  // ---- tools

  knobs() {
    this.size.addEventListener('input', () => this.drawRing());
    this.live.element.addEventListener('click', ({ target }) => {
      const tool = target.closest('[data-tool]')?.dataset.tool;
      if (tool) this.hold(tool);
    });
  }

  hold(tool) {
    this.tool = tool;
    this.frame.dataset.holding = tool;
    for (const button of this.live.element.querySelectorAll('[data-tool]')) button.setAttribute('aria-pressed', String(button.dataset.tool === tool));
    this.drawRing();
  }

  resize(by) {
    this.size.value = Number(this.size.value) + by;                         // the slider keeps to its own ends
    this.drawRing();
  }

  // ---- pointer

  pointer() {
    const f = this.frame;
    f.addEventListener('pointerdown', (e) => this.down(e));
    f.addEventListener(MOVE, (e) => this.move(e));
    f.addEventListener('pointermove', (e) => this.drawRing(e));
    f.addEventListener('pointerleave', () => { this.ring.hidden = true; });
    for (const name of ['pointerup', 'pointercancel', 'lostpointercapture']) f.addEventListener(name, (e) => this.up(e));
    f.addEventListener('wheel', (e) => { e.preventDefault(); this.view.zoomBy(WHEEL_ZOOM ** -e.deltaY, e.clientX, e.clientY); this.drawRing(e); }, { passive: false });
    f.addEventListener('contextmenu', (e) => e.preventDefault());
  }

  down(e) {
    if (e.button > 1) return;
    this.frame.focus({ preventScroll: true });
    this.frame.setPointerCapture(e.pointerId);
    if (e.pointerType === 'touch') this.fingers.set(e.pointerId, e);
    if (this.fingers.size === 2) { this.paper.abandon(); return; }
    if (this.spaceHeld || e.button === 1) { this.panning = e; return; }
    const [x, y] = this.view.point(e);
    this.at(e, () => this.apply(x, y, e));
  }

  move(e) {
    if (this.fingers.has(e.pointerId)) {
      const before = this.fingers.get(e.pointerId);
      this.fingers.set(e.pointerId, e);
      if (this.fingers.size >= 2) { this.pinch(before, e); return; }
    }
    if (this.panning) { this.view.panBy(e.clientX - this.panning.clientX, e.clientY - this.panning.clientY); this.panning = e; return; }
    if (!this.paper.stroke) return;
    const points = e.getCoalescedEvents?.() ?? [];
    this.at(e, () => { for (const c of points.length ? points : [e]) this.paper.extend(...this.view.point(c), pressure(c)); });
  }

  /** Two fingers: their distance zooms, their middle pans. */
  pinch(before, now) {
    const other = [...this.fingers.values()].find((finger) => finger.pointerId !== now.pointerId);
    const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
    this.view.zoomBy(apart(now) / Math.max(1, apart(before)), (now.clientX + other.clientX) / 2, (now.clientY + other.clientY) / 2);
    this.view.panBy((now.clientX - before.clientX) / 2, (now.clientY - before.clientY) / 2);
  }

  up(e) {
    this.fingers.delete(e.pointerId);
    this.panning = null;
    if (!this.paper.stroke) return;
    this.paper.end();
    this.live.settled();
  }

  /** Run a change that the hand made at the event's own time, and send it at once. */
  at(e, change) {
    this.now = e.timeStamp;
    change();
    this.live.wire.flush();
    this.now = undefined;
  }

  drawRing(e) {
    const r = this.ring, size = Math.max(3, this.brush.size * this.view.scale);
    r.style.width = r.style.height = `${size}px`;
    r.hidden = e ? e.pointerType === 'touch' || !this.round.includes(this.tool) : r.hidden;
    if (!e) return;
    const box = this.frame.getBoundingClientRect();
    r.style.transform = `translate(${e.clientX - box.left - size / 2}px, ${e.clientY - box.top - size / 2}px)`;
  }

  // ---- keys

  keyboard() {
    addEventListener('keydown', (e) => this.key(e));
    addEventListener('keyup', (e) => { if (e.code === 'Space') this.space(false); });
  }

  key(e) {
    if (typing() || !this.live.element.checkVisibility()) return;
    const key = e.key.toLowerCase(), { actions } = this.live;
    if (e.ctrlKey || e.metaKey) {
      const action = { z: e.shiftKey ? 'redo' : 'undo', y: 'redo' }[key];
      if (!action) return;
      actions[action]();
    } else if (this.tools[key]) this.hold(this.tools[key]);
    else if (key === '[' || key === ']') this.resize(key === ']' ? this.step : -this.step);
    else if (key === '0') this.view.reset();
    else if (this.shortcut(e.key)) ;                                          // done
    else if (key === 'escape') actions.newest();
    else if (e.code === 'Space' && (this.frame.matches(':hover') || document.activeElement === this.frame)) this.space(true);
    else return;
    e.preventDefault();
  }

  space(held) {
    this.spaceHeld = held;
    this.frame.classList.toggle('is-panning', held);
  }
}

/** How wide the brush is for this touch, 1 = its set size; only a pen has a say. */
export const pressure = (e) => (e.pointerType === 'pen' && e.pressure > 0 ? 0.15 + 1.2 * e.pressure : 1);

export class Hand extends Grip {
  get tools() { return { b: 'brush', e: 'eraser', f: 'fill', i: 'pick' }; }

  get round() { return ['brush', 'eraser']; }

  get brush() {
    return { color: this.tool === 'eraser' ? '#ffffff' : this.color.value, size: Number(this.size.value), hardness: Number(this.hardness.value) / 100 };
  }

  knobs() {
    [this.hardness, this.color] = ['.os-hardness', '.os-color'].map(this.live.find);
    super.knobs();
    this.color.addEventListener('input', () => this.inkWith(this.color.value));
    this.live.element.addEventListener('click', ({ target }) => {
      const ink = target.closest('[data-ink]')?.dataset.ink;
      if (ink) this.inkWith(ink);
    });
    this.inkWith(this.color.value);
  }

  inkWith(color) {
    this.color.value = color;
    this.color.parentElement.style.setProperty('--ink', color);
    for (const swatch of this.live.element.querySelectorAll('[data-ink]')) swatch.setAttribute('aria-pressed', String(swatch.dataset.ink === color));
    if (this.tool === 'eraser' || this.tool === 'pick') this.hold('brush');
  }

  apply(x, y, e) {
    if (e.altKey || this.tool === 'pick') this.inkWith(this.paper.colorAt(x, y));
    else if (this.tool === 'fill') this.paper.fill(x, y, this.color.value);
    else {
      if (!this.live.settings.lock) this.live.rollSeed();
      this.paper.begin(x, y, this.brush, pressure(e));
    }
  }
}
