// Numbers of what is chosen: place, size, angle; flip, align and distribute; blend mode and opacity.
import { aligned, boundsOf, distributed, moved, scaledAbout, turnedAbout } from './geometry.js';
import { el, icon } from './dom.js';
import { edit, editLeaves, isGroup, leavesOf, topmost } from './stack.js';

const ALIGN = [['left', 'Align left', 'M4 3v18M8 7h12v4H8zM8 14h7v4H8z'], ['center', 'Centre across', 'M12 3v18M5 7h14v4H5zM8 14h8v4H8z'], ['right', 'Align right', 'M20 3v18M4 7h12v4H4zM9 14h7v4H9z'],
  ['top', 'Align top', 'M3 4h18M7 8v12h4V8zM14 8v7h4V8z'], ['middle', 'Centre up and down', 'M3 12h18M7 5v14h4V5zM14 8v8h4V8z'], ['bottom', 'Align bottom', 'M3 20h18M7 4v12h4V4zM14 9v7h4V9z']];
const SPREAD = [['x', 'Equal gaps across', 'M4 4v16M20 4v16M10 8h4v8h-4z'], ['y', 'Equal gaps up and down', 'M4 4h16M4 20h16M8 10h8v4H8z']];
const FLIP = [['x', 'Flip left and right (Shift+H)', 'M12 3v18M9 7 4 17h5zM15 7l5 10h-5z'], ['y', 'Flip upside down (Shift+V)', 'M3 12h18M7 9 17 4v5zM7 15l10 5v-5z']];

export class Arrange {
  constructor({ place, mode, opacity, desk }) {
    Object.assign(this, { place, mode, opacity, desk, range: opacity.querySelector('input'), said: opacity.querySelector('output') });
    mode.replaceChildren(...desk.config.blends.map((blend) => new Option(blend.replace('-', ' ').replace(/^./, (c) => c.toUpperCase()), blend)));
    mode.addEventListener('change', () => desk.change('Blend mode', (stack) => edit(stack, desk.selection, { blend: mode.value })));
    this.range.addEventListener('input', () => desk.change('Opacity', (stack) => edit(stack, desk.selection, { opacity: Number(this.range.value) / 100 }), { key: 'opacity' }));
    this.build();
    for (const name of ['stack', 'selection', 'preview']) desk.on(name, () => this.later());
    this.show();
  }

  build() {
    const field = (name, title, unit = '') => el('label.ol-number', { title }, el('span', {}, name), el('input', { type: 'number', step: 'any', 'data-field': name, 'aria-label': title, onchange: (e) => this.typed(name, e.target) }), unit);
    const act = (kind) => ([how, title, path]) => el('button.ol-icon', { type: 'button', title, 'aria-label': title, 'data-how': `${kind}-${how}`, onclick: () => this[kind](how) }, icon(path));
    this.place.replaceChildren(
      el('.ol-numbers', {}, field('X', 'Left edge, px'), field('Y', 'Top edge, px'), field('∠', 'Angle, degrees clockwise'), field('W', 'Width, px'), field('H', 'Height, px'),
        el('span.ol-flips', {}, FLIP.map(act('flip')))),
      el('.ol-aligns', { role: 'toolbar', 'aria-label': 'Align and distribute' }, ALIGN.map(act('align')), SPREAD.map(act('spread'))));
    this.fields = Object.fromEntries([...this.place.querySelectorAll('[data-field]')].map((input) => [input.dataset.field, input]));
  }

  later() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.show(); });
  }

  show() {
    const { desk } = this, nodes = desk.selected(desk.shown), leaves = desk.leaves(desk.shown), box = boundsOf(leaves.map((leaf) => leaf.place)), one = leaves.length === 1 ? leaves[0].place : null;
    this.place.classList.toggle('is-off', !leaves.length);
    for (const control of [this.mode, this.range, ...this.place.querySelectorAll('input, button')]) control.disabled = !nodes.length;
    for (const button of this.place.querySelectorAll('[data-how^=spread]')) button.disabled = topmost(desk.stack, desk.selection).length < 3;
    this.mode.value = nodes.length && nodes.every((node) => node.blend === nodes[0].blend) ? nodes[0].blend : nodes.length ? '' : 'normal';
    const opacity = Math.round((nodes[0]?.opacity ?? 1) * 100);
    if (document.activeElement !== this.range || !nodes.length) this.range.value = opacity;
    this.said.textContent = `${opacity}%`;
    const values = box ? { X: box.left, Y: box.top, W: one?.width ?? box.right - box.left, H: one?.height ?? box.bottom - box.top, '∠': one?.angle_deg ?? 0 } : {};
    for (const [name, input] of Object.entries(this.fields)) if (document.activeElement !== input) input.value = values[name] === undefined ? '' : String(Math.round(values[name] * 10) / 10);
  }

  /** A number was typed: what is chosen follows. */
  typed(name, input) {
    const value = Number(input.value), { desk } = this, leaves = desk.chooser.leaves, box = boundsOf(leaves.map((leaf) => leaf.place));
    input.blur();
    if (!box || input.value === '' || !Number.isFinite(value) || Math.abs(value) > 100_000 || ('WH'.includes(name) && value < 1)) { this.show(); return; }
    const one = leaves.length === 1 ? leaves[0].place : null, middle = [(box.left + box.right) / 2, (box.top + box.bottom) / 2], k = value / (name === 'W' ? one?.width ?? box.right - box.left : one?.height ?? box.bottom - box.top);
    const to = { X: (place) => moved(place, value - box.left, 0), Y: (place) => moved(place, 0, value - box.top), '∠': (place) => turnedAbout(place, middle, value - (one?.angle_deg ?? 0)),
      W: (place) => (one ? { ...place, width: value } : scaledAbout(place, middle, k)), H: (place) => (one ? { ...place, height: value } : scaledAbout(place, middle, k)) }[name];
    desk.change({ X: 'Move', Y: 'Move', '∠': 'Turn' }[name] ?? 'Scale', (stack) => editLeaves(stack, leaves.map((leaf) => leaf.id), (leaf) => ({ place: to(leaf.place) })));
  }

  flip(across) { this.desk.chooser.flip(across); }

  /** One thing aligns with the canvas, several with each other. */
  align(how) {
    const { boxes } = this, { width, height } = this.desk.stack.extent, frame = boxes.length > 1 ? { left: Math.min(...boxes.map((b) => b.left)), top: Math.min(...boxes.map((b) => b.top)), right: Math.max(...boxes.map((b) => b.right)), bottom: Math.max(...boxes.map((b) => b.bottom)) } : { left: 0, top: 0, right: width, bottom: height };
    if (boxes.length) this.desk.chooser.shiftEach('Align', aligned(boxes, frame, how));
  }

  spread(axis) { if (this.boxes.length > 2) this.desk.chooser.shiftEach('Distribute', distributed(this.boxes, axis)); }

  /** The boxes of what is chosen, one each; empty groups have none and are left alone. */
  get boxes() { return topmost(this.desk.stack, this.desk.selection).filter((node) => !isGroup(node) || leavesOf(node).length).map((node) => boundsOf(leavesOf(node).map((leaf) => leaf.place))); }
}
