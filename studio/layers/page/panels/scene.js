// A sentence with several things -> a background and a layer a thing.
import { el, busy } from '../dom.js';
import { again, settings } from '../making.js';

const EXAMPLE = 'a red car, a tall tree and a house on a beach';

export default {
  id: 'scene', title: 'Scene', order: 30,
  build(root, desk) {
    const words = el('textarea', { rows: '3', placeholder: EXAMPLE, 'aria-label': 'The scene' }), clear = el('input', { type: 'checkbox' }), group = el('input', { type: 'checkbox' });
    const first = el('button.os-btn.is-first.is-wide', { type: 'button' }, 'Paint the scene'), given = settings(desk);
    async function make() {
      const asked = { words: words.value, ...given.asked(), clear: clear.checked, group: group.checked };
      await busy(first, root, (how) => desk.run('scene', asked, { ...how, label: 'Paint a scene' }));
    }
    first.addEventListener('click', make);
    words.addEventListener('keydown', (event) => { if (event.key === 'Enter' && !event.shiftKey) { event.preventDefault(); if (!first.disabled) make(); } });
    root.append(el('label.ol-field', {}, 'What is in the picture?', words),
      el('p.ol-note', {}, 'Name the things and, at the end, the place. "on the left", "above the house", "tiny" and "two" are understood. Every thing becomes a layer.'),
      ...given.parts, el('label.ol-field.is-line', {}, clear, 'Instead of what is there'), el('label.ol-field.is-line', {}, group, 'As a group'), first, again(desk, root));
  },
};
