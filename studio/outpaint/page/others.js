// The other pictures that were painted for the step that is shown: pick one, pick one for every place apart, or paint more of them.
import { busy, el } from '../../layers/page/dom.js';
import { chips } from '../../layers/page/making.js';

const newSeed = () => Math.floor(Math.random() * 2 ** 31);
const SIDE = 160, MOST = 12;

export class Others {
  constructor(bench) {
    Object.assign(this, { bench, region: 0 });
    this.shots = el('.ol-shots.op-shots', { role: 'group', 'aria-label': 'Alternatives' });
    this.more = el('button.os-btn.is-wide', { type: 'button' }, 'Another one');
    this.where = el('div');
    this.root = el('section.op-others', { hidden: true, 'aria-label': 'Alternatives of this step' }, el('h3', {}, 'Alternatives'), this.where, this.shots, this.more);
    bench.element.querySelector('.ow-left').append(this.root);
    this.more.addEventListener('click', () => busy(this.more, this.root, (how) => this.again(how)));
    for (const what of ['step', 'document']) bench.on(what, () => this.draw());
    this.draw();
  }

  /** Steps that can be painted again from the one before them. */
  get able() {
    const { step, parent } = this.bench;
    return step && parent && ['extend', 'fill', 'panorama', 'zoom'].includes(step.asked.task) ? step : null;
  }

  draw() {
    const step = this.able, others = step?.more.others ?? (step ? [{ picture: step.picture, width: step.width, height: step.height }] : []), regions = step?.more.regions ?? [];
    this.root.hidden = !step;
    if (!step) return;
    if (this.step !== step.id) this.region = 0;
    this.step = step.id;
    const names = [['0', 'All of it'], ...regions.map((_, n) => [String(n + 1), `Place ${n + 1}`])];
    this.where.replaceChildren(...(regions.length ? [chips(names, String(this.region), (id) => { this.region = Number(id); this.mark(); this.draw(); }, 'Where').box] : []));
    const now = this.region ? step.more.chosen?.[this.region - 1] ?? step.picture : step.picture;
    this.shots.replaceChildren(...(others.length > 1 ? others : []).map((one, n) => el('button.ol-shot', { type: 'button', 'aria-pressed': String(one.picture === now), 'aria-label': `Alternative ${n + 1}`, title: 'Take this one', onclick: () => this.pick(one) },
      el('img', { src: this.bench.pictureURL(one.picture, SIDE), alt: '' }))));
    this.shots.hidden = others.length < 2;
    this.where.hidden = !regions.length;
    this.more.textContent = others.length > 1 ? 'One more' : 'Paint another one';
    this.more.disabled = others.length >= MOST;
  }

  /** The chosen place, marked for a moment. */
  mark() {
    const { bench } = this, box = bench.step?.more.regions?.[this.region - 1]?.box;
    this.unmark?.();
    clearTimeout(this.timer);
    if (!box) return;
    const [x0, y0, x1, y1] = box;
    this.unmark = bench.overlay((ink, { zoom }) => { ink.strokeStyle = '#d24a31'; ink.lineWidth = 2.5 / zoom; ink.strokeRect(x0, y0, x1 - x0, y1 - y0); });
    this.timer = setTimeout(() => { this.unmark?.(); this.unmark = null; }, 1600);
  }

  async pick(one) {
    const { bench, region } = this, { step } = bench;
    if (!region) { await bench.bitmap(one.picture).catch(() => null); bench.amend(step.id, { picture: one.picture, more: { ...step.more, chosen: undefined } }); return; }
    const regions = step.more.regions, chosen = regions.map((_, n) => (n === region - 1 ? one.picture : step.more.chosen?.[n] ?? step.picture));
    const outcome = await bench.run('mix', { picture: step.picture, labels: step.more.labels, chosen });
    if (!outcome || bench.step.id !== step.id) return;
    await bench.bitmap(outcome.pictures[0].picture).catch(() => null);
    bench.amend(step.id, { picture: outcome.pictures[0].picture, more: { ...step.more, others: step.more.others, chosen } });
  }

  /** The same with another seed, from the step before. */
  async again(how) {
    const { bench } = this, { step } = bench, first = { picture: step.picture, width: step.width, height: step.height };
    const outcome = await bench.run(step.asked.task, { ...step.asked, step: step.parent, seed: newSeed(), variants: 1 }, how);
    if (!outcome || bench.step?.id !== step.id) return;
    const others = [...step.more.others ?? [first], ...outcome.pictures];
    await bench.bitmap(outcome.pictures[0].picture).catch(() => null);
    bench.amend(step.id, { picture: outcome.pictures[0].picture, more: { ...step.more, others, chosen: undefined } });
  }
}
