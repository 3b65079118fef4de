// A product's cut-out and a few lines of words -> laid out advertisements, whose words stay text layers.
import { el, busy } from '../dom.js';
import { chips, settings } from '../making.js';
import { proofing } from '../proofing.js';
import { edit } from '../stack.js';

const SIZES = [['canvas', 'This canvas'], ['square', '1080 × 1080'], ['portrait', '1080 × 1350'], ['story', '1080 × 1920'], ['wide', '1920 × 1080'], ['banner', '1200 × 628']];
const SHOT_PX = 300;

/** A small picture of a proposal, drawn from its layers. */
async function shot(desk, outcome) {
  const [width, height] = outcome.layers[0].source.extent, scale = SHOT_PX / Math.max(width, height);
  const canvas = el('canvas', { width: String(Math.round(width * scale)), height: String(Math.round(height * scale)) }), ctx = canvas.getContext('2d');
  for (const { picture, place, opacity } of outcome.layers) {
    ctx.globalAlpha = opacity;
    ctx.drawImage(await desk.bitmap(picture), (place.x - place.width / 2) * scale, (place.y - place.height / 2) * scale, place.width * scale, place.height * scale);
  }
  canvas.style.width = '100%';
  return canvas;
}

export default {
  id: 'advert', title: 'Ad', order: 60,
  build(root, desk) {
    const product = el('select', { 'aria-label': 'Product' }), logo = el('select', { 'aria-label': 'Logo' });
    const lines = el('textarea', { rows: '3', placeholder: 'Real honey\nFrom one meadow, one summer\nTry it', 'aria-label': 'Lines of words' });
    const said = el('input', { type: 'text', placeholder: 'as its layer is called', 'aria-label': 'What the product is' }), place = el('input', { type: 'text', placeholder: 'chosen for it', 'aria-label': 'Place' });
    const size = chips(SIZES, 'canvas', () => {}, 'Size'), count = el('input', { type: 'number', min: '1', max: '6', value: '3', 'aria-label': 'Proposals' }), given = settings(desk, { seed: 5 });
    const first = el('button.os-btn.is-first.is-wide', { type: 'button' }, 'Propose'), shots = el('.ol-shots');
    const fill = (list, none) => {
      const was = list.value, layers = desk.stack.layers.flatMap(function flat(node) { return node.layers ? node.layers.flatMap(flat) : [node]; }).filter((layer) => !layer.text).reverse();
      list.replaceChildren(...(none ? [el('option', { value: '' }, none)] : []), ...layers.map(({ id, name }) => el('option', { value: id }, name)));
      if ([...list.options].some(({ value }) => value === was)) list.value = was;
    };
    function look() { fill(product, ''); fill(logo, 'none'); }
    desk.on('stack', look);
    desk.on('selection', () => { const [layer, ...more] = desk.selected(); if (layer && !more.length && !layer.layers && !layer.text) product.value = layer.id; });
    function take(outcome) {
      const [width, height] = outcome.layers[0].source.extent, hidden = product.value;
      desk.apply(outcome, 'Ad', (stack) => ({ ...edit(stack, [hidden], () => ({ visible: false })), extent: { width, height } }));
      desk.note('Every part is a layer of its own. What the canvas held before lies below.');
    }
    first.addEventListener('click', async () => {
      const asked = { product: product.value, logo: logo.value, taglines: lines.value, words: said.value, place: place.value, size: size.value(), count: Math.max(1, Math.min(6, Math.floor(Number(count.value)) || 3)), ...given.asked() };
      const outcome = await busy(first, root, (how) => desk.run('advert', asked, { ...how, apply: false, label: 'Ad' }));
      if (!outcome) return;
      shots.replaceChildren();
      for (const proposal of outcome.proposals) shots.append(el('button.ol-shot', { type: 'button', title: 'Put this one onto the canvas', onclick: () => take(proposal) }, await shot(desk, proposal)));
    });
    root.append(el('p.ol-note', {}, 'First a layout, then a calm place behind it, then type. Words stay text layers; the product stays as it is.'),
      el('.ol-row', {}, el('label.ol-field', {}, 'Product', product), el('label.ol-field', {}, 'Logo', logo)),
      el('label.ol-field', {}, 'Words, one line each: headline first', lines), el('.ol-field', {}, 'Size', size.box),
      el('details', {}, el('summary', {}, 'More'), el('label.ol-field', {}, 'What is it?', said), el('label.ol-field', {}, 'Where is it?', place), el('label.ol-field.is-line', {}, 'Proposals', count), ...given.parts), first, shots, ...proofing(desk, root).parts);
    look();
  },
};
