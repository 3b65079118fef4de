// Instant edits: the picture from what it shows to what it should show, in one step, anew at every move of the slider.
import { el } from '../../../layers/page/dom.js';
import { slider } from '../parts.js';

const WAIT_MS = 140;

export default {
  id: 'instant', title: 'Instant', order: 10,
  build(root, tab) {
    const source = el('input', { type: 'text', placeholder: 'a red fox', oninput: () => later() }), target = el('input', { type: 'text', placeholder: 'a blue fox in the snow', oninput: () => later() });
    const strength = slider('Freedom', { min: 0, max: 1, step: 0.02, value: 0.5, say: (v) => `${Math.round(100 * v)} %`, hint: '0: the picture bit for bit', oninput: () => later() });
    const state = el('p.ol-note', { 'aria-live': 'polite' }, 'Paints as you type and slide.');
    const where = tab.maskSlot({ says: 'The whole picture', onchange: () => later() });
    let due = 0, ending = null;
    const later = () => { clearTimeout(due); due = setTimeout(paint, WAIT_MS); };
    const paint = async () => {
      ending?.abort();
      const before = tab.picture;
      if (!before || !target.value.trim()) return;
      const mine = ending = new AbortController(), asked = { picture: before.picture, source: source.value.trim(), target: target.value.trim(), strength: strength.value(), how: tab.how(), ...(where.mask && { mask: where.mask }) };
      const from = performance.now();
      try {
        const after = await tab.task('instant', asked, { signal: mine.signal });
        if (ending !== mine) return;
        state.textContent = `${((performance.now() - from) / 1000).toFixed(1)} s. Keep it, or go on sliding.`;
        tab.offer({ before, after, mask: where.mask, title: target.value.trim(), asked: { task: 'instant', words: target.value.trim(), ...asked } });
      } catch (error) {
        if (error.name !== 'AbortError') state.textContent = error.message;
      }
    };
    root.append(el('label.ol-field', {}, 'What it shows', source), el('label.ol-field', {}, 'What it should show', target), strength.field, where.box, state);
    tab.on('entry', () => { where.clear(); later(); });
  },
};
