// The box: what should change, in words. While it is typed the studio says which tools it would take and why; nothing is painted before Enter.
import { el } from '../../layers/page/dom.js';

const WAIT_MS = 180;
const EXAMPLES = ['make the hat red', 'replace the dog by a cat', 'remove the tree', 'add a balloon above the house', 'watercolour', 'put it on a beach', 'turn it into lines', 'upscale'];

export class Saying {
  /** on: {ask(words, final) -> plan, go(plan), busy() -> bool, stop()}; asks: a language model reads the words when they are final. */
  constructor({ box, button, route, examples, on, asks = false }) {
    Object.assign(this, { asks, box, button, route, on, plan: null, turn: 0 });
    box.addEventListener('input', () => this.later());
    box.addEventListener('keydown', (e) => {
      if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); this.go(); }
      if (e.key !== 'Escape') e.stopPropagation();
    });
    button.addEventListener('click', () => (on.busy() ? on.stop() : this.go()));
    examples.append(...EXAMPLES.map((words) => el('button', { type: 'button', onclick: () => this.say(words) }, words)));
  }

  get words() { return this.box.value.trim(); }

  say(words) {
    this.box.value = words;
    this.box.focus();
    this.changed?.();
    this.look();
  }

  later() {
    clearTimeout(this.due);
    this.due = setTimeout(() => this.look(), WAIT_MS);
    this.fit();
  }

  fit() {
    this.box.style.height = 'auto';
    this.box.style.height = `${Math.min(120, this.box.scrollHeight + 2)}px`;
  }

  /** Ask how these words are understood. */
  async look(final = false) {
    clearTimeout(this.due);
    this.fit();
    const words = this.words, turn = ++this.turn;
    this.plan = null;
    if (!words) { this.tell([]); return null; }
    try {
      const plan = await this.on.ask(words, final);
      if (turn !== this.turn) return null;
      this.plan = { words, ...plan };
      this.tell(plan.steps, plan.notes);
      return this.plan;
    } catch (error) {
      if (turn === this.turn) this.wrong(error.message);
      return null;
    }
  }

  tell(steps, notes = []) {
    this.route.classList.remove('is-wrong');
    this.route.replaceChildren(...steps.map((step, i) => el('span.oe-hop', { title: step.why ?? '' }, steps.length > 1 ? el('i', {}, String(i + 1)) : null, el('b', {}, step.title), steps.length < 3 && step.why ? el('span', {}, step.why) : null)), ...notes.map((note) => el('span.oe-hop', {}, note)));
  }

  wrong(words) {
    this.route.classList.add('is-wrong');
    this.route.replaceChildren(words);
  }

  async go() {
    const plan = this.plan?.words === this.words && !this.asks ? this.plan : await this.look(true);
    if (plan) this.on.go(plan);
    else if (!this.words) this.wrong('Say what should change: “make the hat red”, “remove the tree”, “watercolour”.');
  }

  done() {
    this.box.value = '';
    this.plan = null;
    this.turn++;
    this.fit();
    this.tell([]);
    this.changed?.();
  }
}
