// One light pass over the composite; every layer stays a layer.
import { el, busy } from '../dom.js';
import { settings, slider } from '../making.js';

export default {
  id: 'harmonise', title: 'Harmonise', order: 40,
  build(root, desk) {
    const words = el('input', { type: 'text', placeholder: 'as the background says', 'aria-label': 'The place' }), given = settings(desk);
    const knobs = {
      amount: slider('Light', { value: 0.7, hint: 'How much of the pass reaches the layers' }), shadow: slider('Shadows', { value: 0.6 }),
      change: slider('Repaint', { value: 0.4, hint: 'How far the pass may go from what is there' }), free: slider('Freedom', { value: 0.35, hint: 'How early layers come free in the pass' }),
    };
    const first = el('button.os-btn.is-first.is-wide', { type: 'button' }, 'Harmonise');
    first.addEventListener('click', () => busy(first, root, (how) => {
      const chosen = Object.fromEntries(Object.entries(knobs).map(([name, knob]) => [name, knob.value()]));
      return desk.run('harmonise', { words: words.value, ...given.asked(), ...chosen }, { ...how, label: 'Harmonise' });
    }));
    root.append(el('p.ol-note', {}, 'Paints lightly over everything, then gives each layer its share: light and colour in its own pixels, a shadow as a layer under it. Outlines and alpha stay. Do it again with other settings as often as you like; it starts from the layers as they were.'),
      knobs.amount.field, knobs.shadow.field, el('label.ol-field', {}, 'Where is it?', words),
      el('details', {}, el('summary', {}, 'More'), knobs.change.field, knobs.free.field, ...given.parts), first,
      el('p.ol-note', {}, 'With layers chosen, only they are changed.'));
  },
};
