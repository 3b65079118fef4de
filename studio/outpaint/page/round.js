// A loop looked at from inside: the picture goes round and round under the hand, by itself, by wheel and by keys.
import { el } from '../../layers/page/dom.js';

const SLOW = 0.94, LEAST = 0.02, SELF = 0.05;                                // per frame, px per ms
const SHOWN_PX = 2048;

export class Round {
  constructor(bench) {
    Object.assign(this, { bench, at: 0, speed: 0, self: true });
    this.canvas = el('canvas', { 'aria-hidden': 'true' });
    this.play = el('button.os-btn', { type: 'button', 'aria-pressed': 'true', onclick: () => this.turn(!this.self) }, 'Turning');
    this.root = el('.op-round', { tabIndex: 0, role: 'application', 'aria-label': 'The loop. Drag, or press the arrow keys, to turn it; Escape closes it.' }, this.canvas, el('.op-round-bar', {}, el('span', {}, 'The outer sides meet; drag to turn it'), this.play, el('button.os-btn', { type: 'button', onclick: () => this.close() }, 'Close')));
    this.heed();
  }

  async open() {
    const { step } = this.bench;
    if (!step || this.root.isConnected) return;
    this.bench.stageElement.append(this.root);
    this.root.focus({ preventScroll: true });
    this.turn(!matchMedia('(prefers-reduced-motion: reduce)').matches);
    this.upright = step.asked.axis === 'y';
    const image = new Image();
    image.src = this.bench.pictureURL(step.picture, SHOWN_PX);
    await image.decode().catch(() => this.close());
    this.image = image;
    this.last = performance.now();
    const frame = (now) => { if (!this.root.isConnected) return; this.paint(now); requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
    this.offs = ['step', 'document', 'shown'].map((what) => this.bench.on(what, () => this.close()));
  }

  close() {
    for (const off of this.offs ?? []) off();
    this.root.remove();
  }

  turn(on) {
    this.self = on;
    this.play.setAttribute('aria-pressed', String(on));
    this.play.textContent = on ? 'Turning' : 'Turn it';
  }

  heed() {
    const { root } = this;
    for (const name of ['pointerdown', 'pointermove', 'pointerup', 'dblclick']) root.addEventListener(name, (e) => e.stopPropagation());
    root.addEventListener('pointerdown', (e) => { if (e.target.closest('button')) return; root.setPointerCapture(e.pointerId); this.from = e; this.speed = 0; this.turn(false); });
    root.addEventListener('pointermove', (e) => {
      if (!this.from) return;
      const by = this.upright ? e.clientY - this.from.clientY : e.clientX - this.from.clientX;
      this.at -= by;
      this.speed = -by / Math.max(4, e.timeStamp - this.from.timeStamp);
      this.from = e;
    });
    for (const name of ['pointerup', 'pointercancel']) root.addEventListener(name, () => { this.from = null; });
    root.addEventListener('wheel', (e) => { e.preventDefault(); e.stopPropagation(); this.at += e.deltaX || e.deltaY; }, { passive: false });
    root.addEventListener('keydown', (e) => {
      const by = { ArrowLeft: -60, ArrowRight: 60, ArrowUp: -60, ArrowDown: 60 }[e.key];
      if (e.key === 'Escape') this.close();
      else if (by) this.at += by;
      else return;
      e.preventDefault();
      e.stopPropagation();
    });
  }

  paint(now) {
    const { canvas, root, image } = this, dpr = Math.min(2, devicePixelRatio || 1), [width, height] = [root.clientWidth, root.clientHeight], ink = canvas.getContext('2d'), gone = Math.min(100, now - this.last);
    this.last = now;
    if (!this.from) { this.at += (this.self ? SELF : this.speed) * gone; this.speed = Math.abs(this.speed) < LEAST ? 0 : this.speed * SLOW; }
    if (canvas.width !== Math.round(width * dpr) || canvas.height !== Math.round(height * dpr)) [canvas.width, canvas.height] = [Math.round(width * dpr), Math.round(height * dpr)];
    const k = this.upright ? Math.min(1, 640 / image.naturalWidth, width / image.naturalWidth) : Math.min(height * 0.86, 640) / image.naturalHeight, [w, h] = [image.naturalWidth * k, image.naturalHeight * k];
    const period = this.upright ? h : w, from = -(((this.at % period) + period) % period);
    ink.setTransform(dpr, 0, 0, dpr, 0, 0);
    ink.clearRect(0, 0, width, height);
    for (let p = from; p < (this.upright ? height : width); p += period) this.upright ? ink.drawImage(image, (width - w) / 2, p, w, h) : ink.drawImage(image, p, (height - h) / 2, w, h);
  }
}
