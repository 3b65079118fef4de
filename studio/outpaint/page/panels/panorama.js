// A loop without a seam, and a look at it from inside.
import { el } from '../../../layers/page/dom.js';
import { chips, slider } from '../../../layers/page/making.js';
import { main, onlyWithPicture, paints, sized } from '../painting.js';
import { Round } from '../round.js';

export default {
  id: 'panorama', title: 'Panorama', order: 40,
  build(root, bench) {
    const state = el('p.ol-note', { role: 'status' }), round = new Round(bench);
    const axis = chips([['x', 'All round'], ['y', 'Up and down']], 'x', () => look(), 'Which way it runs');
    const wider = slider('Added', { min: 0.25, max: 3, step: 0.05, value: 1, say: (v) => `${Math.round(100 * v)} %`, oninput: () => look() });
    const painting = paints(bench, { draft: 'panorama', hint: 'hills and a lake at dusk' });
    const view = el('button.os-btn.is-wide', { type: 'button', onclick: () => round.open() }, 'Look round');
    const first = main(root, 'Make a loop', async (how) => {
      const step = await bench.make('panorama', { ...painting.asked(), wider: wider.value(), axis: axis.value() }, { ...how, title: axis.value() === 'x' ? 'Panorama' : 'Tall loop' });
      if (step) { painting.roll(); round.open(); }
    }, painting.box);
    function look() {
      const { step } = bench, [w, h] = step ? [step.width * (axis.value() === 'x' ? 1 + wider.value() : 1), step.height * (axis.value() === 'y' ? 1 + wider.value() : 1)].map(Math.round) : [];
      state.textContent = !step ? 'Open a picture first.' : step.asked.task === 'panorama' ? `This is a loop of ${sized(step.width, step.height)} px. The next one would be ${sized(w, h)} px.` : `The loop will be ${sized(w, h)} px. The picture stays as it is in its middle; what is new joins its two ends.`;
      view.hidden = step?.asked.task !== 'panorama';
    }
    root.append(axis.box, wider.field, painting.words, painting.variants, first, view, state, painting.more);
    bench.on('step', look);
    bench.on('document', look);
    onlyWithPicture(bench, first);
    look();
  },
};
