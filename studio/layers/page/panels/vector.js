// Icons from words, tracing, paths edited on the stage, and drawings between two drawings.
import { el, busy } from '../dom.js';
import { chips, proposals, slider } from '../making.js';
import { Nodes } from '../nodes.js';

const MODES = [['stroke', 'Lines'], ['fill', 'Filled']];
const MANNERS = [['any', 'Any'], ['lucide', 'Lucide'], ['tabler', 'Tabler'], ['hugeicons', 'Huge Icons'], ['icon-park-outline', 'IconPark'], ['iconoir', 'Iconoir'], ['tdesign', 'TDesign'],
  ['mdi', 'Material Design'], ['ri', 'Remix'], ['bxs', 'Boxicons'], ['fa7-solid', 'Font Awesome'], ['pinhead', 'Pinhead']];
const isLeaf = (node) => node && !node.layers;

export default {
  id: 'vector', title: 'Vector', order: 70,
  build(root, desk) { root.append(...icons(desk, root), ...tracing(desk, root), ...editing(desk), ...between(desk, root)); },
};

/** A heading and what stands under it. */
const part = (title, ...inside) => [el('h3', {}, title), ...inside];

function drawingOf(desk) {
  const chosen = desk.selected();
  return chosen.length === 1 && isLeaf(chosen[0]) && chosen[0].svg ? chosen[0] : null;
}

function icons(desk, root) {
  const words = el('input', { type: 'text', placeholder: 'alarm clock', 'aria-label': 'Words of the icon' }), other = el('input', { type: 'text', placeholder: 'nothing', 'aria-label': 'Mixed with' });
  const mode = chips(MODES, 'stroke', () => {}, 'How it is drawn'), mix = slider('Share of it', { value: 0.5 }), shots = el('.ol-shots');
  const manner = el('select', { 'aria-label': 'Manner' }, MANNERS.map(([id, title]) => el('option', { value: id }, title))), colour = el('input', { type: 'color', value: '#1b1b1f', 'aria-label': 'Colour' });
  const free = slider('Variety', { min: 0.2, max: 1, value: 0.6, hint: 'How far from the likeliest line it may go' }), seed = el('input', { type: 'number', min: '0', value: '1', 'aria-label': 'Seed' });
  const draw = el('button.os-btn.is-first.is-wide', { type: 'button' }, 'Draw icons'), goOn = el('button.os-btn', { type: 'button', title: 'Add to the chosen drawing' }, 'Go on with it');
  const anew = el('button.os-btn', { type: 'button', title: 'Then draw a box over a part of the chosen drawing' }, 'Draw a part anew');
  const asked = () => ({ words: words.value, mode: mode.value(), manner: manner.value, colour: colour.value, top_p: free.value(), seed: Math.max(0, Math.floor(Number(seed.value)) || 0), ...(other.value.trim() ? { other: other.value, blend: mix.value() } : {}) });

  async function run(button, more = {}) {
    const label = `Draw ${words.value.trim().slice(0, 40) || 'an icon'}`, outcome = await busy(button, root, (how) => desk.run('icon', { ...asked(), ...more }, { ...how, label }));
    if (outcome?.proposals.length) proposals(desk, shots, outcome.proposals, label);
    seed.value = String(Number(seed.value) + 16);
  }
  const look = () => { const off = !drawingOf(desk); [goOn.disabled, anew.disabled] = [off, off]; };
  draw.addEventListener('click', () => run(draw));
  words.addEventListener('keydown', (event) => { if (event.key === 'Enter' && !draw.disabled) { event.preventDefault(); run(draw); } });
  goOn.addEventListener('click', () => run(goOn, { what: 'finish', layer: drawingOf(desk).id, variants: 4 }));
  anew.addEventListener('click', () => {
    const layer = drawingOf(desk);
    desk.note('Draw a box over the part that is to change.');
    region(desk, layer, (box) => run(anew, { what: 'repaint', layer: layer.id, region: box, variants: 4 }));
  });
  for (const what of ['selection', 'stack']) desk.on(what, look);
  look();
  return part('Icon from words', el('p.ol-note', {}, 'An experiment: a small network writes paths. Common things come out best; choose among several.'), el('label.ol-field', {}, 'What does it show?', words), mode.box, draw, shots,
    el('.ol-row', {}, goOn, anew), el('details', {}, el('summary', {}, 'More'), el('label.ol-field', {}, 'Mixed with', other), mix.field, el('label.ol-field', {}, 'In the manner of', manner),
      el('label.ol-field.is-line', {}, 'Colour', colour), free.field, el('label.ol-field', {}, 'Seed', seed)));
}

/** A box drawn on the stage, as shares [left, top, right, bottom] of a layer's sheet. */
function region(desk, layer, done) {
  let start = null, end = null;
  const share = ({ x, y }) => {
    const { place } = layer, turn = -(place.angle_deg ?? 0) * Math.PI / 180, [u, v] = [x - place.x, y - place.y];
    const [du, dv] = [(u * Math.cos(turn) - v * Math.sin(turn)) / place.width, (u * Math.sin(turn) + v * Math.cos(turn)) / place.height];
    return [0.5 + (place.flip_x ? -du : du), 0.5 + (place.flip_y ? -dv : dv)];
  };
  const release = desk.tool({
    cursor: 'crosshair',
    pointer(kind, x, y) {
      if (kind === 'down') start = { x, y };
      if (start && kind !== 'hover') end = { x, y };
      if (kind !== 'up' || !start) return;
      const [a, b] = [share(start), share(end)], clamp = (v) => Math.min(1, Math.max(0, v));
      release();
      done([Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])].map(clamp));
    },
    overlay(ink, view) {
      if (!start || !end) return;
      ink.lineWidth = 1.5 / view.zoom;
      ink.strokeStyle = '#2f7bff';
      ink.strokeRect(start.x, start.y, end.x - start.x, end.y - start.y);
    },
  });
}

function tracing(desk, root) {
  const colours = slider('Colours', { min: 1, max: 32, step: 1, value: 8, say: String }), detail = slider('Detail', { value: 0.5 });
  const keep = el('input', { type: 'checkbox' }), first = el('button.os-btn.is-wide', { type: 'button' }, 'Trace the chosen layer');
  first.addEventListener('click', () => {
    const layer = desk.selected().find(isLeaf);
    if (!layer) { desk.error('No layer is chosen. Choose one in the list.'); return; }
    busy(first, root, (how) => desk.run('trace', { layer: layer.id, colours: colours.value(), detail: detail.value(), keep: keep.checked }, { ...how, label: `Trace ${layer.name}` }));
  });
  return part('Trace', el('p.ol-note', {}, 'Any picture as flat shapes with smooth outlines.'), colours.field, detail.field, el('label.ol-field.is-line', {}, keep, 'Keep the picture below'), first);
}

function editing(desk) {
  const edit = el('button.os-btn.is-wide', { type: 'button', 'aria-pressed': 'false' }, 'Edit paths'), say = el('p.ol-note', {}, 'Drag nodes and round handles. A double click on a line adds a node, on a node takes it away.');
  const colour = el('input', { type: 'color', 'aria-label': 'Colour of the path' }), width = el('input', { type: 'number', min: '0.1', max: '100', step: '0.1', 'aria-label': 'Width of the line' });
  const remove = el('button.os-btn', { type: 'button' }, 'Remove node'), bend = el('button.os-btn', { type: 'button' }, 'Straight or curved'), tools = el('div', { hidden: true }, say,
    el('.ol-row', {}, el('label.ol-field.is-line', {}, 'Colour', colour), el('label.ol-field.is-line', {}, 'Width', width)), el('.ol-row', {}, remove, bend));
  const nodes = new Nodes(desk, {
    ended: () => { edit.setAttribute('aria-pressed', 'false'); tools.hidden = true; look(); },
    changed() {
      const shape = nodes.chosen?.shape ?? nodes.drawing?.shapes[0], line = shape?.paint.stroke && shape.paint.stroke !== 'none', paint = line ? shape.paint.stroke : shape?.paint.fill ?? '#000000';
      if (/^#[0-9a-f]{6}$/i.test(paint)) colour.value = paint;
      width.disabled = !line;
      if (line && document.activeElement !== width) width.value = shape.paint['stroke-width'] ?? '1';
      [remove.disabled, bend.disabled] = [!nodes.chosen, !nodes.chosen];
    },
  });
  const look = () => { edit.disabled = !nodes.layer && !drawingOf(desk); };
  edit.addEventListener('click', async () => {
    if (nodes.layer) { nodes.release(); return; }
    const layer = drawingOf(desk);
    if (!layer || !await nodes.begin(layer)) return;
    edit.setAttribute('aria-pressed', 'true');
    tools.hidden = false;
  });
  colour.addEventListener('change', () => nodes.layer && nodes.paint({ colour: colour.value }, 'Colour of a path'));
  width.addEventListener('change', () => nodes.layer && Number(width.value) > 0 && nodes.paint({ width: Number(width.value) }, 'Width of a line'));
  remove.addEventListener('click', () => nodes.remove());
  bend.addEventListener('click', () => nodes.bend());
  for (const what of ['selection', 'stack']) desk.on(what, look);
  look();
  return part('Paths', edit, tools);
}

function between(desk, root) {
  const way = slider('From the lower to the upper', { value: 0.5, step: 0.01, oninput: () => show() }), steps = el('input', { type: 'number', min: '2', max: '24', value: '5', 'aria-label': 'How many between' });
  const add = el('button.os-btn', { type: 'button' }, 'Put it there'), many = el('button.os-btn', { type: 'button' }, 'Put several there'), box = el('div', { hidden: true }, way.field, el('.ol-row', {}, add, el('label.ol-field.is-line', {}, 'How many', steps), many));
  const say = el('p.ol-note', {}, 'Choose two drawings to get what lies between them.');
  let asking = false, again = false;
  const pair = () => { const chosen = desk.selected(); return chosen.length === 2 && chosen.every((node) => isLeaf(node) && node.svg) ? chosen.map((node) => node.id) : null; };
  const hide = () => desk.ghost(null);

  /** The newest place of the slider as a ghost; one question at a time. */
  async function show() {
    again = asking;
    const layers = pair();
    if (asking || !layers) return;
    asking = true;
    const outcome = await desk.run('morph', { layers, t: way.value() }, { apply: false });
    if (outcome && pair()) desk.ghost({ source: await desk.bitmap(outcome.layers[0].picture), place: outcome.layers[0].place });
    asking = false;
    if (again) show();
  }
  const look = () => { const two = pair(); box.hidden = !two; say.hidden = !!two; if (!two) hide(); };
  const put = (button, more) => { hide(); return busy(button, root, (how) => desk.run('morph', { layers: pair(), ...more }, { ...how, label: 'Between two drawings' })); };
  add.addEventListener('click', () => put(add, { t: way.value() }));
  many.addEventListener('click', () => put(many, { steps: Math.max(2, Math.min(24, Math.floor(Number(steps.value)) || 5)) }));
  for (const what of ['selection', 'stack']) desk.on(what, look);
  desk.on('shown', (id) => { if (id !== 'vector') hide(); });
  look();
  return part('Between two', say, box);
}
