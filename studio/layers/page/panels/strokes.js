// A drawing of strokes that words and the manner of a layer pull at, watched while it grows; and any drawing played stroke by stroke.
import { el, busy } from '../dom.js';
import { newSeed, slider } from '../making.js';

const WATCH_PX = 220, PLAY_MS = 3500;
const isLeaf = (node) => node && !node.layers;
const urlOf = (svg) => `data:image/svg+xml,${encodeURIComponent(svg)}`;

export default {
  id: 'strokes', title: 'Strokes', order: 75,
  build(root, desk) {
    const words = el('input', { type: 'text', placeholder: 'a red fox', 'aria-label': 'Words of the drawing' }), avoid = el('input', { type: 'text', placeholder: 'nothing', 'aria-label': 'Not like' });
    const like = el('input', { type: 'checkbox' }), said = el('span', {}, 'In the manner of the chosen layer'), count = slider('Strokes', { min: 16, max: 256, step: 8, value: 96, say: String });
    const rounds = slider('Patience', { min: 20, max: 400, step: 20, value: 160, say: (v) => `${v} rounds`, hint: 'How often the strokes are pulled at; about five rounds a second' });
    const weight = slider('Manner', { min: 0, max: 4, step: 0.25, value: 1, say: (v) => `${v}`, hint: 'How much the manner counts beside the words' });
    const seed = el('input', { type: 'number', min: '0', value: '1', 'aria-label': 'Seed' }), chance = el('input', { type: 'checkbox' });
    const first = el('button.os-btn.is-first.is-wide', { type: 'button' }, 'Draw'), watch = el('img.ol-watch', { alt: 'The drawing as it grows', width: WATCH_PX, height: WATCH_PX, hidden: true });
    const play = el('button.os-btn.is-wide', { type: 'button', disabled: true }, 'Play the chosen drawing');

    const styleLayer = () => { const chosen = desk.selected(); return chosen.length === 1 && isLeaf(chosen[0]) ? chosen[0] : null; };
    const drawing = () => { const layer = styleLayer(); return layer?.svg ? layer : null; };
    const look = () => {
      const layer = styleLayer();
      like.disabled = !layer;
      said.textContent = layer ? `In the manner of “${layer.name}”` : 'In the manner of a layer: choose one';
      play.disabled = !drawing();
    };
    const show = (svg) => { watch.hidden = false; watch.src = urlOf(svg); };

    first.addEventListener('click', async () => {
      const asked = { words: words.value, avoid: avoid.value, strokes: count.value(), iterations: rounds.value(), style_weight: weight.value(), start: chance.checked ? 'random' : 'picture',
        seed: Math.max(0, Math.floor(Number(seed.value)) || 0), ...(like.checked && styleLayer() ? { style: styleLayer().id } : {}) };
      await busy(first, root, (how) => desk.run('strokes', asked, { ...how, onPart: (part) => show(part.svg), label: `Draw ${words.value.trim().slice(0, 40)}` }));
      seed.value = String(newSeed() % 100000);
    });
    words.addEventListener('keydown', (event) => { if (event.key === 'Enter' && !first.disabled) { event.preventDefault(); first.click(); } });
    play.addEventListener('click', () => replay(drawing()?.svg, show));
    for (const what of ['selection', 'stack']) desk.on(what, look);
    look();
    root.append(el('p.ol-note', {}, 'Strokes are laid over a picture of your words and then pulled, stroke by stroke, towards the words and the manner. It is loose by nature, and stays paths.'),
      el('label.ol-field', {}, 'What is drawn?', words), el('label.ol-field.is-line', {}, like, said), count.field, rounds.field,
      el('details', {}, el('summary', {}, 'More'), weight.field, el('label.ol-field', {}, 'Not like', avoid), el('label.ol-field.is-line', {}, chance, 'Begin with strokes anywhere'), el('label.ol-field', {}, 'Seed', seed)),
      first, watch, play);
  },
};

/** Shows the first strokes of a drawing, then one more after another. */
function replay(svg, show) {
  if (!svg) return;
  const whole = new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement, paths = [...whole.children], begin = performance.now();
  const step = () => {
    const share = Math.min(1, (performance.now() - begin) / PLAY_MS), part = whole.cloneNode();
    part.append(...paths.slice(0, Math.ceil(share * paths.length)).map((path) => path.cloneNode()));
    show(new XMLSerializer().serializeToString(part));
    if (share < 1) requestAnimationFrame(step);
  };
  step();
}
