// The Edit tab's page: a box for words over the stage, the plan as cards beside it, panels for what needs more than words.
import { el } from '../../layers/page/dom.js';
import { settings } from '../../layers/page/making.js';
import { boot } from '../../workbench/page/boot.js';
import { Server } from '../../workbench/page/server.js';
import { Cards } from './cards.js';
import { Editing } from './editing.js';
import { Masking, maskSlot } from './masking.js';
import { Offers } from './offers.js';
import { slider } from './parts.js';
import { Saying } from './saying.js';

const server = new Server('studio/edit/');

/** What panels get: the bench, and what the tab adds to it. */
class Tab {
  constructor(bench, element) {
    Object.assign(this, { bench, element, config: bench.config });
    const stage = bench.stageElement;
    this.furnishRight();
    this.offers = new Offers(bench, element);
    this.masking = new Masking(this, element);
    this.editing = new Editing(bench, () => this.how(), (...given) => this.task(...given));
    this.tools = new Map(this.config.tools.map((tool) => [tool.id, tool]));
    this.cards = new Cards(this.list, this.editing, this.tools, { mask: (step, mask) => this.maskOf(step, mask) });
    this.furnishBox(stage);
    this.heed();
    this.editing.restore();                                                 // the document was opened before this
  }

  // ---- for panels

  /** {picture, width, height} of the step that is shown, or null. */
  get picture() { const { step } = this.bench; return step && { picture: step.picture, width: step.width, height: step.height }; }

  /** Runs a task; rejects with an error for people. */
  task(id, asked, heard) { return server.task(id, { history: { steps: [], now: '' }, base: this.bench.base, asked }, heard); }

  /** Runs a task; null when it failed, which the person has been told. */
  run(id, asked, heard) { return this.bench.run(id, asked, heard); }

  ask(path, body) { return this.bench.ask(path, body); }

  upload(blob) { return this.bench.upload(blob); }

  pictureURL(id, side) { return this.bench.pictureURL(id, side); }

  error(words) { this.bench.error(words); }

  on(what, fn) { return this.bench.on(what === 'entry' ? 'step' : what, fn); }

  maskSlot(given) { return maskSlot(this, given); }

  how() { return { ...this.look.asked(), ...this.shared() }; }

  /** A result of a panel: shown, and kept as a step if the person wants it. */
  offer({ before, after, mask = null, title, asked, notes = [] }) {
    const { bench } = this, { how = this.how() } = asked;
    this.offers.show({ before, after, mask, title, keep: () => bench.commit({ picture: after.picture, width: after.width, height: after.height, title: title.slice(0, 190), notes, more: mask ? { mask } : {},
      asked: { words: title, style: how.style ?? '', seed: how.seed ?? 0, ...asked } }), drop: () => {} });
  }

  propose(plan) { this.editing.propose(plan); }

  save(blob, name) {
    const link = el('a', { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  async download(id, name) { this.save(await (await fetch(this.pictureURL(id))).blob(), name); }

  /** A picture from a panel becomes the next step. */
  async bring(blob, { title, asked }) {
    const { id, width, height } = await this.upload(blob);
    this.bench.commit({ picture: id, width, height, title, asked, notes: [] });
  }

  // ---- the box

  furnishBox(stage) {
    const box = el('textarea.oe-words', { rows: 1, placeholder: matchMedia('(max-width: 560px)').matches ? 'Say what should change' : 'Say what should change: “make the hat red”', 'aria-label': 'What should change', 'aria-describedby': 'oe-route' }), go = el('button.os-btn.is-first.oe-go', { type: 'button' }, 'Edit');
    const route = el('.oe-route', { id: 'oe-route', 'aria-live': 'polite' }), examples = el('.oe-examples', { role: 'group', 'aria-label': 'Examples' });
    this.box = el('.oe-say.is-blank', {}, box, go, route, examples);
    stage.before(this.box);
    this.go = go;
    this.saying = new Saying({ box, button: go, route, examples, asks: this.config.chat, on: {
      ask: (words, final) => this.ask('route', { words, final }), go: (plan) => this.begin(plan), busy: () => this.editing.busy, stop: () => this.editing.stop(),
    } });
    const blank = () => this.box.classList.toggle('is-blank', !box.value.trim());
    for (const moment of ['input', 'focus', 'blur']) box.addEventListener(moment, blank);
    this.saying.changed = blank;
  }

  begin(plan) {
    if (!this.picture) { this.error('There is no picture yet. Drop one onto the stage, paste one, or press Open.'); return; }
    this.editing.propose(plan);
    this.saying.done();
    this.editing.run();
  }

  // ---- the column beside it

  furnishRight() {
    const { right } = this.bench;
    this.list = el('ol.oe-plan', { 'aria-label': 'Steps of the plan' });
    this.title = el('h2', {}, 'Plan');
    this.runs = el('button.os-btn', { type: 'button', onclick: () => (this.editing.busy ? this.editing.stop() : this.editing.run()) }, 'Run');
    this.clear = el('button.ol-quiet', { type: 'button', title: 'Take the whole plan away', onclick: () => this.editing.discard() }, 'Clear');
    this.nothing = el('p.oe-nothing', {}, 'What you ask for is taken apart into steps. They are listed here: change their words, order, strength or mask, and run them again.');
    this.adding = el('select', { 'aria-label': 'Add a step', onchange: ({ target }) => { this.add(target.value); target.value = ''; } }, el('option', { value: '' }, 'Add a step …'), this.config.tools.map((tool) => el('option', { value: tool.id, title: tool.about }, tool.title)));
    this.look = settings(this.bench, { onchange: () => this.again() });
    right.append(el('.oe-planning', {}, this.title, this.clear, this.runs), this.list, this.nothing, this.adding, this.more());
    right.hidden = false;
  }

  /** What all steps share. */
  more() {
    const shows = el('input', { type: 'text', placeholder: 'a dog and a house on a beach', onchange: () => this.again() }), strict = el('input', { type: 'checkbox', checked: true, onchange: () => this.again() });
    const variants = slider('Alternatives', { min: 1, max: 4, step: 1, value: 1, say: String, onchange: () => this.again() });
    this.shared = () => ({ strict: strict.checked, variants: variants.value(), shows: shows.value.trim() });
    return el('details.oe-more', {}, el('summary', {}, 'Look, seed, edges'), ...this.look.parts, variants.field, el('label.ol-field.is-line', { title: 'Pixels outside the mask stay bit for bit' }, strict, 'Nothing outside the mask changes'),
      el('label.ol-field', { title: 'Helps to find things by words; may be empty' }, 'What the picture shows', shows));
  }

  /** The shared settings have changed: what was run is run again. */
  again() { this.editing?.change(() => {}, { again: true }); }

  add(tool) {
    const { fields, amount } = this.tools.get(tool), { editing } = this;
    editing.change((plan) => plan.add([{ tool, target: '', words: '', place: '', amount: amount?.[2] ?? 1, strength: this.tools.get(tool).strength, seed: 0, on: true, why: '' }]));
    editing.choose(editing.plan.steps.at(-1).id);
    if (fields.length) this.list.querySelector('.is-open input[type=text]')?.focus();
  }

  maskOf(step, mask) {
    const link = this.editing.link(step.id), before = link?.before && this.sized(link.before);
    if (!before) { this.error('Run the steps before this one first: its mask lies on what they make.'); return; }
    this.masking.open({ picture: before, mask, words: step.target, done: (id) => this.editing.change((plan) => plan.edit(step.id, { mask: id }), { again: true }) });
  }

  /** The size of a picture of the plan. */
  sized(picture) {
    const made = [...this.editing.plan.results.values()].find((result) => result.after === picture);
    return made ? { picture, width: made.width, height: made.height } : { ...this.picture, picture };
  }

  heed() {
    const { editing } = this, draw = () => {
      const { plan, busy } = editing, any = !plan.empty;
      this.nothing.hidden = any;
      for (const one of [this.clear, this.runs]) one.hidden = !any;
      this.runs.textContent = busy ? 'Stop' : plan.results.size ? 'Run again' : 'Run';
      this.runs.disabled = !busy && (!this.picture || !plan.due(this.how()));
      this.go.textContent = busy ? 'Stop' : 'Edit';
    };
    for (const what of ['plan', 'running']) editing.on(what, draw);
    editing.on('shown', (offer) => { if (!this.masking.now) this.offers.show(offer); });
    addEventListener('keydown', (e) => this.key(e), true);                   // before the workbench, whose Escape only takes the preview away
    draw();
  }

  key(e) {
    if (!this.element.checkVisibility() || e.target.closest?.('input:not([type=range], [type=checkbox]), textarea, select, dialog, [contenteditable]') || e.ctrlKey || e.metaKey || e.altKey) return;
    if (this.masking.now) { if (e.key === 'Enter' && e.target.closest?.('button')) return; if (e.key === 'Enter' || e.key === 'Escape') { e.preventDefault(); e.stopPropagation(); this.masking.end(e.key === 'Enter'); } return; }
    if (!this.offers.now || (e.key === 'Enter' && e.target.closest?.('button'))) return;
    const does = { Enter: () => this.offers.end('keep'), Escape: () => this.offers.end('drop'), c: () => this.offers.compare(!this.offers.compared) }[e.key];
    if (does) { e.preventDefault(); e.stopPropagation(); does(); }
  }
}

let tab = null;

export const start = (given) => boot({ ...given, name: 'edit',
  load: async (file) => { const { default: panel } = await import(`./panels/${file}`); return { default: { ...panel, build: (root) => panel.build(root, tab) } }; },
  furnish(bench) { tab = new Tab(bench, given.element); (window.onestroke ??= {}).editing = tab; },
});
