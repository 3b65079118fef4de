// Words: text layers that stay text, and words painted into the picture.
import { el, busy } from '../dom.js';
import { newSeed, slider } from '../making.js';
import { proofing } from '../proofing.js';

const ALIGNS = [['left', 'Left'], ['center', 'Middle'], ['right', 'Right']];
const LATER_MS = 250;

const chosenText = (desk) => { const [layer, ...more] = desk.selected(); return layer?.text && !more.length && !layer.locked ? layer : null; };
const option = ({ id, title, kind }) => el('option', { value: id }, `${title} · ${kind}`);

/** The fields of a text; changed() is called after each change by hand. Returns {parts, asked(), show(text)}. */
function fields(desk, changed) {
  const words = el('textarea', { rows: '3', placeholder: 'Good morning', 'aria-label': 'Words' });
  const font = el('select', { 'aria-label': 'Font' }, ...desk.config.fonts.map(option));
  const size = el('input', { type: 'number', min: '4', max: '4000', step: '1', 'aria-label': 'Size in pixels' }), width = el('input', { type: 'number', min: '0', max: '20000', step: '1', value: '0', 'aria-label': 'Width in pixels', title: '0: lines break only where you break them' });
  const colour = el('input', { type: 'color', value: '#1c2030', 'aria-label': 'Colour' }), lines = el('input', { type: 'number', min: '0.5', max: '4', step: '0.05', value: '1.2', 'aria-label': 'Line height' });
  const space = el('input', { type: 'number', min: '-100', max: '400', step: '0.5', value: '0', 'aria-label': 'Letter spacing in pixels' });
  const align = el('.ol-chips', { role: 'group', 'aria-label': 'Alignment' }, ...ALIGNS.map(([id, title]) => el('button', { type: 'button', 'data-id': id, onclick: () => { press(id); changed(); } }, title)));
  let pressed = 'left';
  const press = (id) => { pressed = id; for (const one of align.children) one.setAttribute('aria-pressed', String(one.dataset.id === id)); };
  const number = (input, otherwise) => (input.value !== '' && Number.isFinite(Number(input.value)) ? Number(input.value) : otherwise);
  const side = () => Math.min(desk.stack.extent.width, desk.stack.extent.height);
  font.value = 'inter-bold';
  size.value = String(Math.round(0.12 * side()));
  press('left');
  for (const part of [words, font, size, width, colour, lines, space]) part.addEventListener('input', changed);
  return {
    parts: [el('label.ol-field', {}, 'Words', words), el('label.ol-field', {}, 'Font', font), el('.ol-row', {}, el('label.ol-field', {}, 'Size', size), el('label.ol-field', {}, 'Colour', colour)), align,
      el('details', {}, el('summary', {}, 'Spacing'), el('.ol-row', {}, el('label.ol-field', {}, 'Width', width), el('label.ol-field', {}, 'Line', lines), el('label.ol-field', {}, 'Letters', space)))],
    words,
    asked: () => ({ words: words.value, font: font.value, size_px: Math.max(1, number(size, 40)), colour: colour.value, align: pressed, width_px: Math.max(0, number(width, 0)), line_height: Math.max(0.1, number(lines, 1.2)), letter_spacing: number(space, 0) }),
    show(text) {
      [words.value, font.value, size.value, colour.value, width.value, lines.value, space.value] = [text.words, text.font, String(Math.round(text.size_px * 10) / 10), text.colour, String(Math.round(text.width_px)), String(text.line_height), String(text.letter_spacing)];
      press(text.align);
    },
  };
}

/** A box drawn on the stage in canvas pixels; done([left, top, right, bottom]). */
function drag(desk, done) {
  let from = null, to = null;
  const box = () => [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
  const release = desk.tool({
    cursor: 'crosshair',
    pointer(kind, x, y) {
      if (kind === 'down') from = to = [x, y];
      else if (from && kind === 'move') to = [x, y];
      else if (from && kind === 'up') { to = [x, y]; const found = box(); release(); if (found[2] - found[0] > 4) done(found); }
    },
    overlay(ctx, view) {
      if (!from) return;
      const [left, top, right, bottom] = box();
      ctx.lineWidth = 1.5 / view.zoom;
      ctx.setLineDash([6 / view.zoom, 4 / view.zoom]);
      ctx.strokeStyle = '#e0543e';
      ctx.strokeRect(left, top, right - left, bottom - top);
    },
  });
}

/** Words painted by the model's glyph adapter. */
function painting(desk, root, text) {
  const crisp = slider('Crisp', { value: 0, hint: 'Painted letters are soft; crisp ones are set as text over them' });
  const board = el('input', { type: 'checkbox', checked: true }), check = el('input', { type: 'checkbox' });
  const paint = el('button.os-btn', { type: 'button' }, 'Paint them'), place = el('button.os-btn', { type: 'button', title: 'Then draw a box for one word' }, 'Paint into a box');
  const asked = (box) => ({ words: text.asked().words, font: text.asked().font, board: board.checked, proofread: check.checked, crisp: crisp.value(), ...(box ? { box } : {}) });
  const again = (mark, button) => busy(button, root, (how) => desk.run('words', { ...asked(mark.box), words: mark.words, seed: newSeed() }, { ...how, label: `Paint ${mark.words} again` }));
  const reader = proofing(desk, root, again);
  const go = async (button, box) => { if (await busy(button, root, (how) => desk.run('words', asked(box), { ...how, label: 'Paint words' })) && check.checked) reader.read(); };
  paint.addEventListener('click', () => go(paint));
  place.addEventListener('click', () => { desk.note('Draw the box for the word.'); drag(desk, (box) => go(place, box)); });
  return [...reader.parts, el('details', {}, el('summary', {}, 'Paint into the picture'),
    el('p.ol-note', {}, 'The model paints the words as signs onto what is on the canvas: short words, large letters. An experiment; a text layer is always legible.'),
    el('label.ol-field.is-line', {}, board, 'On boards'), el('label.ol-field.is-line', {}, check, 'Proofread: read them, paint misread ones again, outline what stays wrong'), crisp.field, el('.ol-row', {}, paint, place))];
}

export default {
  id: 'text', title: 'Text', order: 50,
  build(root, desk) {
    let timer = 0, running = null, shown = null;
    const text = fields(desk, () => { if (chosenText(desk)) { clearTimeout(timer); timer = setTimeout(again, LATER_MS); } });
    const add = el('button.os-btn.is-first.is-wide', { type: 'button' }, 'Add the words'), into = el('button.os-btn.is-wide', { type: 'button' }, 'Draw a box for them'), say = el('p.ol-note');
    async function again() {
      const layer = chosenText(desk), asked = text.asked();
      if (!layer || !asked.words.trim()) return;
      running?.abort();
      running = new AbortController();
      const outcome = await desk.run('text', { ...asked, layer: layer.id }, { apply: false, signal: running.signal });
      if (!outcome) return;
      const { picture, place, text: next, name } = outcome.layers[0];
      shown = next.words;
      desk.change('Change words', (stack) => edited(stack, layer.id, { picture, place, text: next, name }), { key: `text-${layer.id}` });
    }
    const make = (button, more) => busy(button, root, (how) => desk.run('text', { ...text.asked(), ...more }, { ...how, label: 'Add words' }));
    add.addEventListener('click', () => make(add, {}));
    into.addEventListener('click', () => { desk.note('Draw the box: its width breaks the lines.'); drag(desk, ([left, top, right]) => make(into, { box: [left, top, right - left], width_px: right - left })); });
    function look() {
      const layer = chosenText(desk);
      if (layer && layer.text.words !== shown && document.activeElement !== text.words) { text.show(layer.text); }
      if (layer) shown = layer.text.words;
      add.hidden = into.hidden = !!layer;
      say.textContent = layer ? 'This layer changes while you type. Choose nothing to add new words.' : '';
    }
    desk.on('selection', () => { shown = null; look(); });
    desk.on('stack', look);
    root.append(...text.parts, say, add, into, ...painting(desk, root, text));
    look();
  },
};

const edited = (node, id, changes) => ({ ...node, layers: node.layers.map((one) => (one.id === id ? { ...one, ...changes } : one.layers ? edited(one, id, changes) : one)) });
