// Any side dragged by any amount: the rest appears.
import { el } from '../../../layers/page/dom.js';
import { Box } from '../box.js';
import { main, onlyWithPicture, paints, sized } from '../painting.js';

const RATIOS = [['1:1', 1, 1], ['4:3', 4, 3], ['3:2', 3, 2], ['16:9', 16, 9], ['21:9', 21, 9], ['3:4', 3, 4], ['2:3', 2, 3], ['9:16', 9, 16]];
const TIMES = [1.25, 1.5, 2, 3], SIDES = ['top', 'left', 'right', 'bottom'];
const MOST = { times: 16, side: 8192, ratio: 8 };

/** What is wrong with a canvas, in a few words; the studio says it in full. */
export function wrong({ width, height, area }) {
  if (Math.max(width, height) > MOST.side) return `more than ${MOST.side.toLocaleString('en')} px a side`;
  if (area > MOST.times) return `more than ${MOST.times} times the area`;
  return Math.max(width, height) > MOST.ratio * Math.min(width, height) ? 'too narrow' : '';
}

export const says = (box) => { const no = wrong(box); return { text: `${sized(box.width, box.height)}  ·  ×${box.area.toFixed(box.area < 10 ? 1 : 0)}${no ? `  ·  ${no}` : ''}`, wrong: !!no }; };

/** Four numbers around a small picture of the sides. */
function numbers(box) {
  const inputs = Object.fromEntries(SIDES.map((side) => [side, el('input', { type: 'number', step: '8', value: '0', 'aria-label': `${side[0].toUpperCase()}${side.slice(1)} margin, px`, title: `${side}, px; below 0 cuts`, oninput: () => { if (box.bench.step) box.set({ [side]: inputs[side].value }); } })]));
  return { root: el('.op-margins', {}, SIDES.map((side) => el(`span.is-${side}`, {}, inputs[side])), el('i', { 'aria-hidden': 'true' })),
    follow: () => { for (const side of SIDES) if (document.activeElement !== inputs[side]) inputs[side].value = String(box.sides[side]); } };
}

export default {
  id: 'extend', title: 'Extend', order: 10,
  build(root, bench) {
    const state = el('p.ol-note', { role: 'status' });
    const box = new Box(bench, { key: 'sides', says, changed: () => follow() }), margins = numbers(box), painting = paints(bench, { draft: 'extend' });
    const chip = (words, run, title) => el('button', { type: 'button', onclick: () => { if (bench.step) run(); }, title }, words);
    const wide = el('input', { type: 'number', min: '1', value: '16', 'aria-label': 'Ratio, width' }), high = el('input', { type: 'number', min: '1', value: '9', 'aria-label': 'Ratio, height' });
    const own = el('button.os-btn', { type: 'button', title: 'The picture in the middle of this ratio', onclick: () => { if (bench.step) box.ratio(Math.max(0.05, Number(wide.value) || 1), Math.max(0.05, Number(high.value) || 1)); } }, 'Centre in');
    const reset = el('button.os-btn', { type: 'button', title: 'All margins back to 0', onclick: () => box.set({ top: 0, right: 0, bottom: 0, left: 0 }) }, 'Reset');
    const first = main(root, 'Extend', async (how) => {
      const sides = { ...box.sides }, step = await bench.make('extend', { ...painting.asked(), ...sides }, { ...how, title: `Extend ${names(sides)}` });
      if (step) painting.roll();
    }, painting.box);
    function names(sides) { const grown = SIDES.filter((side) => sides[side] > 0); return grown.length === 4 ? 'all round' : grown.length ? `to the ${grown.join(' and ')}` : ''; }
    function follow() {
      margins?.follow();
      if (!first) return;
      const no = box.any && wrong(box), cuts = Object.values(box.sides).some((v) => v < 0), grows = Object.values(box.sides).some((v) => v > 0);
      first.textContent = cuts && !grows ? 'Cut' : 'Extend';
      state.classList.toggle('is-wrong', !!no);
      state.textContent = !bench.step ? 'Open a picture first.' : !box.any ? 'Drag a side or a corner of the picture outwards. Alt: both sides; Shift: keep the ratio. Inwards cuts.' : no ? `That is ${no}. Extend it in two goes, or make it smaller first.`
        : `${sized(box.width, box.height)} px, ${box.area.toFixed(2)} times the area.`;
    }
    root.append(margins.root, el('.ol-row', {}, reset), el('.ol-field', {}, 'Centre in a ratio', el('.ol-chips', { role: 'group', 'aria-label': 'Ratio' }, RATIOS.map(([words, w, h]) => chip(words, () => box.ratio(w, h), `The picture in the middle of ${words}`)))),
      el('.op-ratio', {}, wide, el('span', {}, ':'), high, own), el('.ol-field', {}, 'Zoom out', el('.ol-chips', { role: 'group', 'aria-label': 'Zoom out' }, TIMES.map((times) => chip(`×${times}`, () => box.around(times), `Every side ${times} times as long`)))),
      painting.words, painting.variants, first, state, painting.more);
    bench.on('shown', (id) => (id === 'extend' ? box.show() : box.hide()));
    bench.on('escape', () => { if (bench.held && box.on) box.set({ top: 0, right: 0, bottom: 0, left: 0 }); });
    onlyWithPicture(bench, first);
    follow();
  },
};
