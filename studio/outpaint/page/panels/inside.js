// Places inside the picture painted anew: marked with a brush, a lasso, a rectangle, or one press on a thing.
import { el } from '../../../layers/page/dom.js';
import { chips, slider } from '../../../layers/page/making.js';
import { main, onlyWithPicture, paints } from '../painting.js';

const HOW = [['', 'As it fits'], ['1', 'From nothing'], ['own', 'Keep some of it']];

export default {
  id: 'inside', title: 'Inside', order: 20,
  build(root, bench) {
    const state = el('p.ol-note', { role: 'status' }), change = slider('How much may change', { min: 0.1, max: 1, step: 0.05, value: 0.6 });
    const how = chips(HOW, '', (id) => { change.field.hidden = id !== 'own'; }, 'What becomes of what is there');
    const painting = paints(bench, { draft: 'inside', caption: 'What shall be there? (empty: what fits)', hint: 'a small wooden boat', more: [] });
    change.field.hidden = true;
    let marks = null;
    const first = main(root, 'Fill in', async (given) => {
      const mask = marks && await marks.id().catch((error) => { bench.error(error.message); return null; });
      if (!mask) { bench.error('Nothing is marked. Paint over what shall become something else.'); return; }
      const asked = { ...painting.asked(), mask, ...(how.value() && { change: how.value() === 'own' ? change.value() : 1 }) }, words = asked.words.trim().slice(0, 60);
      const step = await bench.make('fill', asked, { ...given, title: words ? `Fill in: ${words}` : 'Fill in', more: { mask } });
      if (step) { painting.roll(); marks?.set(null); }
    }, painting.box);
    const look = () => {
      const share = marks?.share ?? 0;
      state.textContent = !bench.step ? 'Open a picture first.' : !share ? 'Mark what shall become something else: paint over it, or press W and click on a thing. Alt takes away.' : share > 0.995 ? 'Everything is marked; leave something to go by.' : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} % of the picture is marked. The rest stays as it is.`;
      first.disabled = !share || !!first.nextElementSibling?.matches('.ol-busy');
    };
    const open = () => { marks = bench.editMask({ onchange: look, key: 'marks' }); look(); };
    root.append(el('p.ol-note', {}, 'The tools stand over the picture.'), painting.words, how.box, change.field, painting.variants, first, state, painting.more);
    bench.on('shown', (id) => { if (id === 'inside') open(); else { marks?.close(); marks = null; } });
    bench.on('document', () => { if (bench.panel === 'inside') open(); });
    bench.on('step', look);
    onlyWithPicture(bench, first);
  },
};
