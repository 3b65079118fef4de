// Where the milliseconds of a frame go: the last WINDOW frames, by stage, as p50 and p95.
const WINDOW = 120;
export const STAGES = ['capture', 'wire', 'queue', 'model', 'encode', 'paint'];

export const percentile = (values, q) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : NaN;
};

export class Meter {
  constructor(element) {
    this.rows = [];
    this.times = [];
    this.element = element;
    if (element) setInterval(() => this.show(), 500);
  }

  /** One painted frame. Times in performance.now() ms: `since` the hand moved, `sent`, `received`, `painted`; ms: the server's. */
  add({ since, sent, received, painted, ms }) {
    const server = ms.queue + ms.model + ms.encode;
    const row = { capture: sent - since, wire: Math.max(0, received - sent - server), ...ms, paint: painted - received, total: painted - since };
    this.rows.push(row);
    this.rows.splice(0, this.rows.length - WINDOW);
    this.stale = true;
    return row;
  }

  tick(now) {
    this.times.push(now);
    this.times = this.times.filter((t) => now - t < 1000);
  }

  get fps() { return this.times.filter((t) => performance.now() - t < 1000).length; }

  of(stage, q) { return percentile(this.rows.map((row) => row[stage]), q); }

  show() {
    const cell = (name, text) => { const el = this.element.querySelector(`[data-meter="${name}"]`); if (el.textContent !== text) el.textContent = text; };
    cell('fps', this.fps ? `${this.fps} fps` : 'idle');
    if (!this.stale) return;
    this.stale = false;
    const sum = STAGES.reduce((total, stage) => total + this.of(stage, 0.5), 0) || 1;
    for (const stage of [...STAGES, 'total']) {
      cell(`${stage}-50`, this.of(stage, 0.5).toFixed(0));
      cell(`${stage}-95`, this.of(stage, 0.95).toFixed(0));
      const bar = this.element.querySelector(`[data-bar="${stage}"]`);
      if (bar) bar.style.flexGrow = Math.max(0.004, this.of(stage, 0.5) / sum);
    }
  }
}
