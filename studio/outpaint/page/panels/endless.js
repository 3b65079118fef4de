// A picture without an end: what comes next is painted as the hand scrolls there; or farther and farther away.
import { el, icon } from '../../../layers/page/dom.js';
import { slider } from '../../../layers/page/making.js';
import { onlyWithPicture, paints } from '../painting.js';

const SEAL = '#d24a31', NEAR_PX = 24, MOST_PX = 8192;
const WAYS = [['left', 'Go on to the left', 'M19 12H5m6-6-6 6 6 6'], ['right', 'Go on to the right', 'M5 12h14m-6-6 6 6-6 6'], ['top', 'Go on upwards', 'M12 19V5m-6 6 6-6 6 6'], ['bottom', 'Go on downwards', 'M12 5v14m-6-6 6 6 6-6']];

/** Paints tile after tile where the stage looks beyond the picture, as long as it is on. */
class Scroller {
  constructor(bench, { asked, told }) { Object.assign(this, { bench, asked, told, on: false, busy: null }); }

  start() {
    const { bench } = this;
    if (this.on) return;
    this.on = true;
    this.unpaint = bench.overlay((ink, view) => this.overlay(ink, view));
    this.off = bench.on('zoom', () => this.look());
    this.look();
  }

  stop() {
    if (!this.on) return;
    this.on = false;
    this.ending?.abort();
    this.off();
    this.unpaint();
  }

  /** The side beyond which most is seen, or null. */
  get wanted() {
    const { stage, step } = this.bench, { left, top, right, bottom } = stage.region, least = NEAR_PX / stage.zoom;
    const beyond = { left: -left, right: right - step.width, top: -top, bottom: bottom - step.height }, seen = { left: bottom > 0 && top < step.height, right: bottom > 0 && top < step.height, top: right > 0 && left < step.width, bottom: right > 0 && left < step.width };
    const best = Object.entries(beyond).filter(([side, v]) => v > least && seen[side] && this.moved?.includes(side)).sort(([, a], [, b]) => b - a)[0];
    return best?.[0] ?? null;
  }

  /** Only sides to which the hand went: at rest a fitted picture shows its surroundings on all sides. */
  look() {
    const { stage } = this.bench, { left, top } = stage.region, before = this.seen;
    this.seen = { left, top, zoom: stage.zoom };
    if (!this.on || !this.bench.step) return;
    if (before && before.zoom === stage.zoom && !this.busy) {
      const dx = left - before.left, dy = top - before.top;
      if (dx || dy) this.moved = [dx > 0 ? 'right' : dx < 0 ? 'left' : '', dy > 0 ? 'bottom' : dy < 0 ? 'top' : ''].filter((side, n) => side && (n ? Math.abs(dy) * 2 > Math.abs(dx) : Math.abs(dx) * 2 > Math.abs(dy)));
    }
    if (!this.busy && this.wanted) this.go(this.wanted);
  }

  async go(side, { task = 'tile', more = {}, title } = {}) {
    const { bench } = this;
    if (this.busy || !bench.step) return null;
    this.busy = side;
    this.ending = new AbortController();
    this.told(`Painting ${side === 'out' ? 'what lies around' : { left: 'to the left', right: 'to the right', top: 'above', bottom: 'below' }[side]} …`, true);
    bench.stage.later();
    let step = null;
    try {
      bench.stage.fitted &&= side === 'out';
      step = await bench.make(task, { ...this.asked(), ...(task === 'tile' ? { side } : {}), ...more }, { title: title ?? `On to the ${side}`, signal: this.ending.signal });
    } finally {
      this.busy = null;
      this.told('', false);
      bench.stage.later();
    }
    if (step && this.on && task === 'tile') { this.seen = null; if (this.wanted) this.go(this.wanted); }
    else if (!step) this.moved = null;
    return step;
  }

  overlay(ink, { zoom }) {
    const { step } = this.bench, far = 1e5, p = 1 / zoom;
    if (!step || !this.busy || this.busy === 'out') return;
    const side = this.busy, deep = (side === 'left' || side === 'right' ? step.height : step.width) / 2;
    const [x, y, w, h] = { left: [-deep, 0, deep, step.height], right: [step.width, 0, deep, step.height], top: [0, -deep, step.width, deep], bottom: [0, step.height, step.width, deep] }[side];
    ink.fillStyle = `rgba(210, 74, 49, ${0.1 + 0.05 * Math.sin(performance.now() / 250)})`;
    ink.fillRect(x, y, w, h);
    ink.strokeStyle = SEAL;
    ink.lineWidth = 1.5 * p;
    ink.setLineDash([6 * p, 4 * p]);
    ink.strokeRect(x, y, w, h);
    ink.setLineDash([]);
    if (far) this.bench.stage.later();
  }
}

export default {
  id: 'endless', title: 'Endless', order: 30,
  build(root, bench) {
    const state = el('p.ol-note', { role: 'status' }), stop = el('button.os-btn.is-wide', { type: 'button', hidden: true, onclick: () => { count = 0; scroller.ending?.abort(); } }, 'Stop');
    const painting = paints(bench, { draft: 'endless', hint: 'a long street by the sea', feather: null, variants: false });
    const idle = 'Drag the picture aside, or scroll with Shift and the wheel: what comes into view beyond its edge is painted.';
    const scroller = new Scroller(bench, { asked: () => ({ ...painting.asked(), feather: 0 }), told: (words, busy) => { stop.hidden = !busy; for (const button of buttons) button.disabled = busy || !bench.step; state.textContent = words || (bench.step ? idle : 'Open a picture first.'); } });
    let count = 0;
    const times = slider('Tiles at a press', { min: 1, max: 8, step: 1, value: 1, say: (v) => String(v) });
    const along = async (side) => {
      for (count = times.value(); count > 0 && Math.max(bench.step.width, bench.step.height) < MOST_PX; count--) {
        const step = await scroller.go(side);
        if (!step) break;
        painting.roll();
        bench.stage.fit();
      }
    };
    const away = async () => { for (count = times.value(); count > 0; count--) { if (!await scroller.go('out', { task: 'zoom', more: { times: 1.5, same_size: same.checked, feather: 0 }, title: 'Zoom out' })) break; painting.roll(); bench.stage.fit(); } };
    const ways = WAYS.map(([side, title, path]) => el('button.os-btn', { type: 'button', title, 'aria-label': title, onclick: () => along(side) }, icon(path)));
    const same = el('input', { type: 'checkbox', checked: true }), out = el('button.os-btn.is-wide', { type: 'button', onclick: away }, 'Zoom out ×1.5');
    const buttons = [...ways, out];
    root.append(el('p.ol-note', {}, 'Every tile is a step of its own, and goes on from what is there.'), painting.words, el('.op-ways', { role: 'group', 'aria-label': 'Go on' }, ways), times.field, out, el('label.ol-field.is-line', { title: 'The picture keeps its size and shows more, so it can go on for ever' }, same, 'Keep the size when zooming out'), stop, state, painting.more);
    bench.on('shown', (id) => (id === 'endless' ? scroller.start() : scroller.stop()));
    bench.on('step', () => { if (!scroller.busy) scroller.told('', false); });
    bench.on('document', () => { scroller.moved = null; scroller.told('', false); });
    onlyWithPicture(bench, ...buttons);
    scroller.told('', false);
  },
};
