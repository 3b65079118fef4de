// Words -> a layer with a transparent background: alone, for what is on the canvas, or with a background of its own.
import { el, busy } from '../dom.js';
import { boundsOf } from '../geometry.js';
import { again, chips, proposals, settings } from '../making.js';

const MODES = {
  asset: { title: 'Thing', task: 'asset', say: 'One thing with a transparent background. It appears on the canvas while you type.', words: 'What is it?', hint: 'a red apple', first: 'Make it' },
  infront: { title: 'For this background', task: 'infront', say: 'One thing that belongs in front of what is on the canvas. With a layer chosen it goes into its place.', words: 'What is it?', hint: 'a small boat', first: 'Put it there' },
  behind: { title: 'Behind this', task: 'behind', say: 'A background for what is on the canvas, which stays as it is. An old background is replaced.', words: 'Where is it?', hint: 'on a beach', first: 'Paint behind' },
  both: { title: 'Both', task: 'both', say: 'A thing and a background around it, as two layers. With something chosen the thing goes where that is.', words: 'What is it?', hint: 'a red car', first: 'Make both' },
};
const ROUTES = [['native', 'Alpha of the model'], ['cut', 'Painted, then cut out']];

export default {
  id: 'make', title: 'Make', order: 10,
  build(root, desk) {
    const words = el('textarea', { rows: '2', placeholder: MODES.asset.hint, 'aria-label': 'Words' }), place = el('input', { type: 'text', placeholder: 'on a beach', 'aria-label': 'Place' });
    const caption = el('span', {}, MODES.asset.words), say = el('p.ol-note'), shots = el('.ol-shots'), state = el('p.ol-note', { role: 'status' });
    const whole = el('input', { type: 'checkbox', checked: true }), look = el('input', { type: 'checkbox', checked: true });
    const variants = el('input', { type: 'number', min: '1', max: '8', value: '1', 'aria-label': 'Variants' });
    const first = el('button.os-btn.is-first.is-wide', { type: 'button' }, MODES.asset.first);
    const placeField = el('label.ol-field', { hidden: true }, 'Where is it?', place), route = chips(ROUTES, 'native', () => {}, 'How alpha is made');
    let live = null;
    const given = settings(desk, { onchange: () => preview() });
    const mode = chips(Object.entries(MODES).map(([id, { title }]) => [id, title]), 'asset', () => switched(), 'What to make');

    const previews = () => mode.value() === 'asset' && look.checked && desk.config.bases.find(({ id }) => id === desk.base)?.rgba;
    function preview() {
      if (!previews() || !words.value.trim()) { live?.close(); live = null; state.textContent = ''; return; }
      live ??= desk.live({ state: (text) => { state.textContent = text; }, error: (text) => { state.textContent = text; } });
      live.set({ prompt: words.value, ...given.asked(), refine: true });
    }
    function switched() {
      const now = MODES[mode.value()];
      [say.textContent, caption.textContent, words.placeholder, first.textContent] = [now.say, now.words, now.hint, now.first];
      placeField.hidden = mode.value() !== 'both';
      more.hidden = mode.value() === 'behind';
      shots.replaceChildren();
      preview();
    }
    function asked() {
      const out = { words: words.value, ...given.asked() }, chosen = desk.selected();
      if (mode.value() !== 'behind') Object.assign(out, { whole: whole.checked, alpha: route.value() });
      if (mode.value() === 'asset') out.variants = Math.max(1, Math.min(8, Math.floor(Number(variants.value)) || 1));
      if (mode.value() === 'both') Object.assign(out, { place: place.value, ...chosenBox() });
      if (mode.value() === 'infront' && chosen.length === 1 && !chosen[0].layers) out.layer = chosen[0].id;
      return out;
    }
    /** Where the chosen things are, {box} on the canvas; nothing when they fill it, as a background does. */
    function chosenBox() {
      const { width, height } = desk.stack.extent, fills = ({ place: p }) => p.width * p.height > 0.9 * width * height;
      const bounds = boundsOf(desk.leaves().filter((leaf) => !fills(leaf)).map((leaf) => leaf.place));
      if (!bounds) return {};
      const [left, top, right, bottom] = [Math.max(0, bounds.left), Math.max(0, bounds.top), Math.min(width, bounds.right), Math.min(height, bounds.bottom)];
      return right - left < 8 || bottom - top < 8 ? {} : { box: { x: left, y: top, width: right - left, height: bottom - top } };
    }
    async function make() {
      live?.close();
      live = null;
      const { task, title } = MODES[mode.value()], label = `Make ${words.value.trim().slice(0, 40) || title}`;
      const outcome = await busy(first, root, (how) => desk.run(task, asked(), { ...how, label }));
      if (outcome?.proposals?.length) proposals(desk, shots, outcome.proposals, label);
    }

    const more = el('details', {}, el('summary', {}, 'More'),
      el('label.ol-field.is-line', {}, whole, 'Whole: nothing touches the edge'),
      el('label.ol-field.is-line', {}, 'Variants', variants), el('.ol-field', {}, 'Alpha', route.box));
    words.addEventListener('input', preview);
    words.addEventListener('keydown', (event) => { if (event.key === 'Enter' && !event.shiftKey) { event.preventDefault(); if (!first.disabled) make(); } });
    look.addEventListener('change', preview);
    first.addEventListener('click', make);
    desk.on('shown', (id) => { if (id === 'make') preview(); else { live?.close(); live = null; } });
    root.append(mode.box, say, el('label.ol-field', {}, caption, words), placeField, ...given.parts,
      el('label.ol-field.is-line', {}, look, 'Show it while I type'), first, state, shots, more, again(desk, root));
    switched();
  },
};
