// The plan at work: what was asked becomes steps, steps are run one after another, each done step can be looked at, changed, kept.
import { Plan } from './plan.js';

const DRAFT = 'plan';
const AGAIN_MS = 350;

export class Editing {
  /** bench: the workbench; how(): {style, steps, seed, strict, variants, shows}, what all steps share; task(id, asked, heard): runs
   * one in the studio, rejects with an error for people. */
  constructor(bench, how, task) {
    Object.assign(this, { bench, given: how, task, plan: new Plan({ source: null }), chosen: null, heard: new Map(), running: null, failed: null });
    bench.on('document', () => this.restore());
    bench.on('step', () => this.follow());
  }

  on(what, fn) {
    if (!this.heard.has(what)) this.heard.set(what, new Set());
    this.heard.get(what).add(fn);
  }

  tell(what, value) { for (const fn of this.heard.get(what) ?? []) fn(value); }

  get how() { return this.given(); }

  /** Id of the picture that is worked on. */
  get picture() { return this.bench.step?.picture ?? null; }

  get busy() { return !!this.running; }

  /** Steps with a result that nobody has kept yet. */
  get pending() { return this.plan.outcome(this.how).done > 0; }

  // ---- the plan

  /** Another plan takes the place of this one; what this one has done is kept first. plan: {steps, instruction, by, notes}. */
  propose(plan) {
    this.stop();
    if (this.pending) this.keep();
    this.take(new Plan({ ...plan, source: this.picture }));
  }

  take(plan, chosen = plan.steps[0]?.id ?? null) {
    this.plan = plan;
    this.failed = null;
    this.choose(chosen);
    this.changed();
  }

  /** A change of the plan by fn(plan). again: run anew what no longer holds, if the plan was run before. */
  change(fn, { again = false } = {}) {
    const ran = this.plan.results.size > 0;
    fn(this.plan);
    if (this.failed && !this.plan.step(this.failed.step)) this.failed = null;
    if (this.chosen && !this.plan.step(this.chosen)) this.chosen = this.plan.steps[0]?.id ?? null;
    this.changed();
    this.show();
    if (!again || !ran) return;
    clearTimeout(this.due);
    this.due = setTimeout(() => this.run(), AGAIN_MS);
  }

  changed() {
    this.store();
    this.tell('plan');
  }

  choose(id) {
    this.chosen = id;
    this.tell('chosen', id);
    this.show();
  }

  link(id) { return this.plan.chain(this.how).find(({ step }) => step.id === id) ?? null; }

  /** What the stage shows: the chosen step's picture before and after, or as far as the plan has come; null when there is nothing to show. */
  get offer() {
    const { plan } = this, { steps, done, all } = plan.outcome(this.how), own = this.link(this.chosen)?.result, result = own ?? steps.at(-1)?.result;
    if (!result) return null;
    return { before: result.before, after: result, mask: result.mask, title: result.title, all, done, keep: () => this.keep(), drop: () => this.discard() };
  }

  show() { this.tell('shown', this.offer); }

  // ---- at work

  async run() {
    this.stop();
    const { bench, plan } = this, how = this.how, due = plan.due(how);
    clearTimeout(this.due);
    if (!due || !plan.source) return;
    const ending = new AbortController(), mine = this.running = { ending, step: due.steps[0].id, done: 0, total: 0, what: '' };
    this.failed = null;
    this.tell('running');
    try {
      const outcome = await this.task('run', { picture: due.before, steps: due.steps, how }, {
        signal: ending.signal, onProgress: (done, total, what) => { Object.assign(mine, { done, total, what }); this.tell('progress'); },
        onPart: (part) => { if (this.running === mine) this.part(part, due, how, mine); },
      });
      if (this.running === mine && outcome.missing) this.miss(outcome.missing);
    } catch (error) {
      if (this.running === mine && error.name !== 'AbortError') this.failed = { step: mine.step, words: error.message };
    } finally {
      if (this.running === mine) this.running = null;
      this.tell('running');
      this.changed();
      this.show();
    }
  }

  /** One step is done. */
  part({ id, ...given }, due, how, mine) {
    this.plan.take(id, given, how);
    const next = due.steps[due.steps.findIndex((step) => step.id === id) + 1];
    if (next) mine.step = next.id;
    this.chosen = id;
    this.changed();
    this.tell('chosen', id);
    this.show();
  }

  /** Words for something that is not in the picture. */
  miss({ id, words, guess }) { this.failed = { step: id, words, guess: guess ?? null }; this.chosen = id; }

  stop() {
    this.running?.ending.abort();
    if (this.running) { this.running = null; this.tell('running'); }
  }

  // ---- the end of it

  /** Every done step becomes an entry of the history; steps that are not done stay as the plan. */
  keep() {
    const { plan, bench } = this, how = this.how, { steps, all } = plan.outcome(how);
    if (!steps.length) return;
    this.stop();
    this.keeping = true;
    for (const { step, result } of steps) {
      bench.commit({ picture: result.after, width: result.width, height: result.height, title: result.title || 'Edit', asked: { task: 'run', words: plan.instruction || result.title, style: how.style ?? '', seed: how.seed ?? 0, step, how }, notes: result.notes ?? [], more: { mask: result.mask, others: result.others } });
    }
    this.keeping = false;
    const done = new Set(steps.map(({ step }) => step.id)), left = all ? [] : plan.steps.filter((step) => !done.has(step.id));
    this.take(new Plan({ source: this.picture, steps: left, instruction: left.length ? plan.instruction : '' }));
  }

  discard() {
    this.stop();
    this.take(new Plan({ source: this.picture }));
  }

  /** The person went back or on in the history: the plan works on the picture that is there now. */
  follow() {
    if (this.keeping || this.plan.source === this.picture) return;
    this.stop();
    this.plan.source = this.picture;
    this.changed();
    this.show();
  }

  // ---- over a reload

  store() { this.bench.draft(DRAFT, this.plan.empty ? null : this.plan.toJSON()); }

  restore() {
    this.stop();
    const kept = this.bench.draft(DRAFT);
    this.take(kept && kept.source === this.picture ? new Plan(kept) : new Plan({ source: this.picture }));
  }
}
