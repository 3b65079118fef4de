// The tree of steps of one picture; ../history.py checks the same rules. Values are never changed, only made anew.

export const newId = () => [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

export const empty = () => ({ steps: [], now: '', draft: {} });

export const stepOf = (history, id) => history.steps.find((step) => step.id === id) ?? null;

/** A step as JSON, the rest by default. */
export function stepFrom({ picture, width, height, title, parent = '', tab = '', asked = {}, notes = [], before = [], more = {} }) {
  return { id: newId(), picture, width, height, title: title.slice(0, 200), parent, tab, asked, notes: [...notes], before: [...before], more, at_s: Date.now() / 1000 };
}

export const added = (history, step) => ({ ...history, steps: [...history.steps, step], now: step.id });

export const gone = (history, id) => (stepOf(history, id) ? { ...history, now: id } : history);

export const amended = (history, id, changes) => ({ ...history, steps: history.steps.map((step) => (step.id === id ? { ...step, ...changes } : step)) });

/** From the first picture to a step. */
export function path(history, id = history.now) {
  const out = [];
  for (let step = stepOf(history, id); step; step = stepOf(history, step.parent)) out.unshift(step);
  return out;
}

export const before = (history) => stepOf(history, history.now)?.parent || null;

/** Where Redo goes: the child that was shown last, else the newest one. seen: ids, newest last. */
export function after(history, seen = []) {
  const children = history.steps.filter((step) => step.parent === history.now && history.now);
  return children.toSorted((a, b) => seen.lastIndexOf(a.id) - seen.lastIndexOf(b.id) || a.at_s - b.at_s).at(-1)?.id ?? null;
}

/** Every step in the order it was made: {step, on: it led to what is shown, ahead: Redo would come to it}. */
export function strip(history, seen = []) {
  const on = new Set(path(history).map((step) => step.id)), ahead = new Set();
  for (let now = history, next; (next = after(now, seen)); now = { ...now, now: next }) ahead.add(next);
  return history.steps.map((step) => ({ step, on: on.has(step.id), ahead: ahead.has(step.id), now: step.id === history.now }));
}

/** What a task needs to know: the steps that led here. */
export const trimmed = (history) => ({ steps: path(history), now: history.now });
