// One picture large, with what made it; two beside each other; what a file of another program says.
import { ask, bytes, make, whole } from './dom.js';

const NAMES = { prompt: 'Words', negative: 'Without', base: 'Model', style: 'Style', seeds: 'Seed', extent: 'Size', steps: 'Steps', guidance: 'Guidance', strength: 'Freedom' };

const facts = (pairs) => make('dl', {}, ...pairs.filter(([, value]) => value !== '' && value !== null && value !== undefined)
  .flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, String(value))]));

export async function one(box, item, { receivers, send, similar, notice }) {
  const picture = make('img', { class: 'lb-whole', src: whole(item.id), alt: item.prompt || 'Without words' });
  const head = make('header', {}, make('h3', {}, new Date(item.created_s * 1000).toLocaleString()), make('button', { type: 'button', class: 'lb-close', 'aria-label': 'Close', onclick: () => { box.hidden = true; } }, '×'));
  const words = make('p', { class: 'lb-words' }, item.prompt || 'Without words'), about = make('div', {}), result = make('div', { class: 'lb-again' });
  const again = make('button', { type: 'button', onclick: () => rerun(again, item, result, notice) }, 'Paint again and compare');
  const acts = make('div', { class: 'lb-acts' }, again,
    make('button', { type: 'button', onclick: () => similar(item) }, 'What looks like it'),
    make('button', { type: 'button', onclick: () => navigator.clipboard?.writeText(item.prompt).then(() => notice('The words were copied.')) }, 'Copy words'),
    make('a', { href: whole(item.id), download: `onestroke-${item.id}.png`, class: 'lb-link' }, 'Download'),
    ...receivers.map(({ id, title }) => make('button', { type: 'button', onclick: () => send({ id: item.id, to: id }) }, `To ${title}`)));
  box.replaceChildren(head, picture, words, acts, result, about);
  box.hidden = false;
  try {
    const { job } = await ask(`library/${item.id}`);
    const known = Object.entries(NAMES).filter(([name]) => name !== 'prompt').map(([name, title]) => [title, name === 'seeds' ? job.seeds.join(', ') : name === 'strength' && !job.image ? '' : job[name]]);
    about.append(facts([...known, ...job.adapters.map((use) => ['With', `${use.id} ${use.strength}`]), ['File', `${bytes(item.bytes)}, ${item.width} × ${item.height}`]]));
  } catch (error) { about.append(make('p', { class: 'lb-error' }, error.message)); }
}

async function rerun(button, item, result, notice) {
  button.disabled = true;
  result.replaceChildren(make('p', {}, 'Painting …'));
  try {
    const { identical, largest, picture } = await ask('library/rerun', { id: item.id });
    const says = identical ? 'The same, pixel for pixel.' : largest === null ? 'It came out in another size.' : `Different: a pixel differs by up to ${largest} of 255. The model or an adapter has changed since.`;
    result.replaceChildren(make('p', { class: identical ? 'lb-good' : 'lb-error' }, says), swipe(whole(item.id), picture, 'Kept', 'Painted again'));
  } catch (error) { result.replaceChildren(); notice(error.message, true); }
  button.disabled = false;
}

/** Two pictures over each other, a handle between them. */
export function swipe(first, second, left, right) {
  const over = make('img', { src: second, alt: right, class: 'lb-over' });
  const handle = make('input', { type: 'range', min: 0, max: 100, value: 50, 'aria-label': `${left} or ${right}`, oninput: () => { over.style.clipPath = `inset(0 0 0 ${handle.value}%)`; } });
  over.style.clipPath = 'inset(0 0 0 50%)';
  return make('figure', { class: 'lb-swipe' }, make('img', { src: first, alt: left }), over, handle, make('figcaption', {}, make('span', {}, left), make('span', {}, right)));
}

export function compare(box, [a, b]) {
  const line = (name, of) => [name, of(a) === of(b) ? of(a) : `${of(a)}  →  ${of(b)}`];
  box.replaceChildren(make('header', {}, make('h3', {}, 'Two pictures'), make('button', { type: 'button', class: 'lb-close', 'aria-label': 'Close', onclick: () => { box.hidden = true; } }, '×')),
    swipe(whole(a.id), whole(b.id), 'First', 'Second'),
    facts([line('Words', (item) => item.prompt), line('Model', (item) => item.base), line('Seed', (item) => item.seed), line('Size', (item) => `${item.width} × ${item.height}`)]));
  box.hidden = false;
}

export function recipe(box, file, { recipe: said, notes }, paint) {
  const preview = make('img', { class: 'lb-whole', alt: file.name, src: URL.createObjectURL(file), onload: () => URL.revokeObjectURL(preview.src) });
  const size = said.size ? `${said.size[0]} × ${said.size[1]}` : '';
  box.replaceChildren(make('header', {}, make('h3', {}, `Made with ${said.tool}`), make('button', { type: 'button', class: 'lb-close', 'aria-label': 'Close', onclick: () => { box.hidden = true; } }, '×')),
    preview, make('p', { class: 'lb-words' }, said.prompt || 'Without words'), make('div', { class: 'lb-acts' }, make('button', { type: 'button', class: 'is-main', onclick: paint }, 'Paint it here')),
    ...notes.map((note) => make('p', { class: 'lb-note' }, note)),
    facts([['Without', said.negative], ['Model', said.model], ['Seed', said.seed], ['Steps', said.steps], ['Guidance', said.guidance], ['Size', size], ['Sampler', said.sampler],
      ...said.loras.map(([name, weight]) => ['LoRA', `${name} ${weight}`])]));
  box.hidden = false;
}
