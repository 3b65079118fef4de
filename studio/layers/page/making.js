// What the panels that paint have in common: style, seed and steps, and painting a layer again in its place.
import { el, busy } from './dom.js';

export const newSeed = () => Math.floor(Math.random() * 2 ** 31);
const AGAIN = ['asset', 'infront', 'behind'];

/** A labelled slider; returns {field, value()}. `say` turns the number into what is shown. */
export function slider(title, { min = 0, max = 1, step = 0.05, value = 0.5, say = (v) => `${Math.round(100 * v)} %`, oninput = () => {}, hint = '' } = {}) {
  const shown = el('output', {}, say(value)), input = el('input', { type: 'range', min: String(min), max: String(max), step: String(step), value: String(value), 'aria-label': title });
  input.addEventListener('input', () => { shown.textContent = say(Number(input.value)); oninput(Number(input.value)); });
  return { field: el('label.ol-field', hint ? { title: hint } : {}, el('span', {}, title, shown), input), value: () => Number(input.value) };
}

/** Chips of which one is pressed; choices: [[id, title], ...]. Returns {box, value(), set(id), offer(choices)}. */
export function chips(choices, chosen, onchange = () => {}, name = '') {
  const box = el('.ol-chips', { role: 'group', 'aria-label': name });
  const api = {
    box, value: () => chosen,
    set(id) { chosen = id; for (const one of box.children) one.setAttribute('aria-pressed', String(one.dataset.id === id)); },
    offer(list) {
      box.replaceChildren(...list.map(([id, title]) => el('button', { type: 'button', 'data-id': id, onclick: () => { api.set(id); onchange(id); } }, title)));
      api.set(list.some(([id]) => id === chosen) ? chosen : list[0]?.[0] ?? '');
    },
  };
  api.offer(choices);
  return api;
}

/** Style, seed and steps of the model that is chosen in the tab. Returns {parts: elements, asked(), seed, roll()}. */
export function settings(desk, { onchange = () => {}, seed = 7 } = {}) {
  const spec = () => desk.config.bases.find(({ id }) => id === desk.base) ?? desk.config.bases[0];
  const list = () => [['', 'Any'], ...spec().styles.map(({ id, title }) => [id, title])];
  const style = chips(list(), spec().styles[0]?.id ?? '', onchange, 'Style');
  const number = el('input', { type: 'number', min: '0', max: String(2 ** 31), step: '1', value: String(seed), 'aria-label': 'Seed', oninput: onchange });
  const roll = () => { number.value = String(newSeed()); onchange(); };
  const dice = el('button.os-btn', { type: 'button', title: 'Another seed', onclick: roll }, 'Roll');
  desk.on('base', () => { style.offer(list()); style.box.hidden = spec().styles.length === 0; onchange(); });
  style.box.hidden = spec().styles.length === 0;
  const whole = () => { const value = Math.floor(Number(number.value)); return Number.isFinite(value) && value >= 0 ? Math.min(value, 2 ** 53) : 0; };
  return { parts: [style.box, el('.ol-row', {}, el('label.ol-field', {}, 'Seed', number), dice)], asked: () => ({ style: style.value(), seed: whole() }), roll, get seed() { return whole(); } };
}

/** How a layer can be painted again: {task, asked}, or null when nothing says what it was made from. */
export function recipe(layer) {
  const { task, asked, words } = layer?.source ?? {};
  if (AGAIN.includes(task) && typeof asked?.words === 'string' && asked.words.trim()) return { task, asked };
  return typeof words === 'string' && words.trim() ? { task: 'asset', asked: { words } } : null;
}

/** A button that paints the chosen layer again with another seed, in its place. It shows for layers that know what they were made from. */
export function again(desk, root) {
  const words = el('input', { type: 'text', 'aria-label': 'Words of this layer' });
  const button = el('button.os-btn.is-wide', { type: 'button' }, 'Paint again in its place');
  const box = el('div.ol-again', { hidden: true }, el('h3', {}, 'Chosen layer'), el('label.ol-field', {}, 'It shows', words), button);
  let layer = null;
  const look = () => {
    const chosen = desk.selected();
    const next = chosen.length === 1 && !chosen[0].layers && recipe(chosen[0]) ? chosen[0] : null;
    if (next && (next.id !== layer?.id || next.source !== layer?.source)) words.value = recipe(next).asked.words;
    layer = next;
    box.hidden = !layer;
  };
  button.addEventListener('click', () => {
    if (!layer) return;
    const { task, asked } = recipe(layer), wanted = { ...asked, words: words.value, seed: newSeed(), layer: layer.id };
    busy(button, root, (how) => desk.run(task, wanted, { ...how, label: `Paint ${layer.name} again` })).then(look);
  });
  desk.on('selection', look);
  desk.on('stack', look);
  look();
  return box;
}

/** A grid of outcomes to pick one from; picking applies it. */
export function proposals(desk, place, outcomes, label) {
  place.replaceChildren(...outcomes.map((outcome, number) => el('button.ol-shot', { type: 'button', title: 'Put this one onto the canvas', onclick: () => desk.apply(outcome, label) },
    el('img', { src: desk.pictureURL(outcome.layers[0].picture, 160), alt: `Variant ${number + 1}` }))));
}
