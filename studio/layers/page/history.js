// Every step of a document, as whole frozen stacks that share what did not change.
const MOST = 300;
const SOON_MS = 900;

export class History {
  constructor(stack) { this.reset(stack); }

  reset(stack) { Object.assign(this, { now: { stack, label: '', selection: [] }, past: [], future: [], key: null, at: 0 }); }

  get stack() { return this.now.stack; }

  /** One step; a step of the same key soon after the last one becomes part of it. */
  add(stack, label, { key = null, selection = [] } = {}) {
    const time = performance.now(), same = key && key === this.key && time - this.at < SOON_MS;
    if (!same) this.past.push(this.now);
    if (this.past.length > MOST) this.past.shift();
    Object.assign(this, { now: { stack, label, selection }, future: [], key, at: time });
  }

  undo() {
    const before = this.past.pop();
    if (!before) return null;
    this.future.push(this.now);
    const undone = this.now;
    Object.assign(this, { now: before, key: null });
    return undone;
  }

  redo() {
    const after = this.future.pop();
    if (!after) return null;
    this.past.push(this.now);
    Object.assign(this, { now: after, key: null });
    return after;
  }
}
