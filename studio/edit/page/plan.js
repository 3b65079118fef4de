// A plan as the page keeps it: steps in their order, what each gave, and how much of that still holds after a change.

export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** What decides what a step does; its name, its switch and the reason for it do not. */
export function keyOf(step, before, how) {
  const { id, on, why, title, ...deciding } = step;
  return JSON.stringify([before, sorted(deciding), sorted(how)]);
}

const sorted = (object) => Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));

export class Plan {
  /** source: id of the picture that the first step works on; steps: JSON as the studio's route gives them. */
  constructor({ source, steps = [], instruction = '', by = 'rules', notes = [], results = [] }) {
    Object.assign(this, { source, instruction, by, notes });
    this.steps = steps.map((step) => ({ ...step, id: step.id || newId() }));
    this.results = new Map(results);                                        // id of a step -> {key, before, after, mask, ...}
  }

  get empty() { return !this.steps.length; }

  get active() { return this.steps.filter((step) => step.on !== false); }

  step(id) { return this.steps.find((step) => step.id === id) ?? null; }

  /** Numbers that people see: 1, 2, ... */
  number(id) { return this.steps.findIndex((step) => step.id === id) + 1; }

  // ---- changes: each leaves the results alone, for `chain` knows which of them hold

  edit(id, fields) { this.steps = this.steps.map((step) => (step.id === id ? { ...step, ...fields } : step)); }

  /** to: the number, from 0, that the step has afterwards. */
  move(id, to) {
    const step = this.step(id), rest = this.steps.filter((other) => other.id !== id);
    if (!step) return;
    rest.splice(Math.max(0, Math.min(rest.length, to)), 0, step);
    this.steps = rest;
  }

  remove(id) {
    this.steps = this.steps.filter((step) => step.id !== id);
    this.results.delete(id);
  }

  add(steps) { this.steps = [...this.steps, ...steps.map((step) => ({ ...step, id: newId() }))]; }

  // ---- results

  /** Every active step with the picture it works on (null: not known yet) and its result where that still holds. */
  chain(how) {
    let before = this.source;
    return this.active.map((step) => {
      const result = before === null ? null : this.results.get(step.id), holds = !!result && result.key === keyOf(step, before, how);
      const link = { step, before, result: holds ? result : null };
      before = holds ? result.after : null;
      return link;
    });
  }

  /** What to run: {from: the first active step without a result that holds, before: its picture}, or null when all is done. */
  due(how) {
    const from = this.chain(how).findIndex(({ result }) => !result);
    return from < 0 ? null : { from, before: this.chain(how)[from].before, steps: this.active.slice(from) };
  }

  take(id, given, how) {
    const step = this.step(id);
    if (step) this.results.set(id, { ...given, key: keyOf(step, given.before, how) });
  }

  /** Another of the alternatives becomes what the step gave: the two change places. */
  choose(id, other) {
    const result = this.results.get(id);
    if (!result?.others?.includes(other)) return;
    this.results.set(id, { ...result, after: other, others: result.others.map((one) => (one === other ? result.after : one)) });
  }

  forget(id) { this.results.delete(id); }

  /** The picture as far as the steps have come, and whether that is the end. */
  outcome(how) {
    const done = this.chain(how).filter(({ result }) => result);
    return { picture: done.at(-1)?.result.after ?? this.source, done: done.length, all: done.length === this.active.length, steps: done };
  }

  toJSON() {
    const { source, steps, instruction, by, notes } = this;
    return { source, steps, instruction, by, notes, results: [...this.results] };
  }
}
