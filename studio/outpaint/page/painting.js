// What the panels that paint have in common: words, how the model paints, and how many alternatives.
import { busy, el } from '../../layers/page/dom.js';
import { settings, slider } from '../../layers/page/making.js';

export const px = (v) => `${Math.round(v)} px`;
const VARIANTS = 8;

/** Words and knobs. Returns {words: field, more: <details>, asked(), roll()}; draft: where unfinished words are kept. */
export function paints(bench, { draft, caption = 'What is there? (may stay empty)', hint = 'a meadow under a wide sky', feather = 8, variants = true, more = [] }) {
  const words = el('textarea', { rows: '2', placeholder: hint, 'aria-label': caption }), kept = () => bench.draft(`${draft}.words`) ?? '';
  const spec = () => bench.config.bases.find(({ id }) => id === bench.base) ?? bench.config.bases[0];
  const knobs = settings(bench), count = el('input', { type: 'number', min: '1', max: String(VARIANTS), step: '1', value: '1', 'aria-label': 'Alternatives' });
  const negative = el('input', { type: 'text', placeholder: 'What should not be there', 'aria-label': 'Avoid' });
  const steps = slider('Steps', { min: 1, max: 8, step: 1, value: 4, say: (v) => String(v) }), seam = slider('Seam', { min: 0, max: 64, step: 1, value: feather, say: (v) => (v ? px(v) : 'exact'), hint: 'So far inside the known picture new and old may blend; 0 leaves every pixel as it is' });
  const limit = () => { const input = steps.field.querySelector('input'); [input.min, input.max] = [spec().min_steps, spec().max_steps].map(String); input.value = String(Math.max(Math.min(4, spec().max_steps), spec().default_steps)); input.dispatchEvent(new Event('input')); };
  words.value = kept();
  words.addEventListener('input', () => bench.draft(`${draft}.words`, words.value || null));
  bench.on('document', () => { words.value = kept(); });
  bench.on('base', limit);
  limit();
  const [style, seeds] = knobs.parts;
  return {
    words: el('label.ol-field', {}, caption, words), style, box: words, count,
    variants: el('label.ol-field.is-line', {}, 'Alternatives', count),
    more: el('details', {}, el('summary', {}, 'How it is painted'), style, seeds, ...(feather === null ? [] : [seam.field]), steps.field, el('label.ol-field', {}, 'Avoid', negative), ...more),
    roll: () => knobs.roll(),
    asked: () => ({ words: words.value, ...knobs.asked(), steps: steps.value(), negative: negative.value, ...(feather === null ? {} : { feather: seam.value() }), ...(variants && { variants: Math.min(VARIANTS, Math.max(1, Math.floor(Number(count.value)) || 1)) }) }),
  };
}

/** The one main button of a panel: runs `work({onProgress, onPart, signal})`; Enter in `words` presses it. */
export function main(root, title, work, words) {
  const button = el('button.os-btn.is-first.is-wide', { type: 'button' }, title);
  button.addEventListener('click', () => busy(button, root, work));
  words?.addEventListener('keydown', (e) => { if (e.key === 'Enter' && !e.shiftKey) { e.preventDefault(); if (!button.disabled) button.click(); } });
  return button;
}

/** Off while there is no picture. */
export function onlyWithPicture(bench, ...buttons) {
  const look = () => { for (const button of buttons) if (!button.nextElementSibling?.matches('.ol-busy')) button.disabled = !bench.step; };
  bench.on('step', look);
  bench.on('document', look);
  look();
}

/** A size in words: 1,024 × 768 · 0.8 megapixels. */
export const sized = (width, height) => `${width.toLocaleString('en')} × ${height.toLocaleString('en')}`;
