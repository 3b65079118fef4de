// The export dialog: a format, a size, what lies behind, and all of it or only what is chosen. And the canvas's size.
import { el } from './dom.js';
import { head } from './documents.js';
import { save } from './server.js';
import { topmost } from './stack.js';

const KEPT = 'onestroke.layers.export';
const SCALES = [0.5, 1, 2, 3, 4];
const MOST_PX = 16_384, MOST_AREA_PX = 150e6;
const SIZES = [[512, 512], [1024, 1024], [1080, 1080], [1080, 1350], [1080, 1920], [1920, 1080], [2048, 2048]];
const MOST_SIDE_PX = 8192;
const ORDER = ['png', 'webp', 'avif', 'psd', 'ora', 'svg', 'sprites', 'pack', 'project'];
const rank = ({ id }) => (ORDER.indexOf(id) + 1) || ORDER.length + 1;

export class Exporting {
  constructor(dialog, desk) {
    Object.assign(this, { dialog, desk });
    dialog.addEventListener('click', (e) => { if (e.target === dialog) dialog.close(); });
  }

  show() {
    const formats = this.desk.config.formats.toSorted((a, b) => rank(a) - rank(b)), kept = read(), chosen = this.desk.selection.length;
    this.values = { format: formats.some(({ id }) => id === kept.format) ? kept.format : formats[0]?.id, scale: 1, background: '', only: false };
    this.said = el('p.ol-note', { role: 'status' });
    this.button = el('button.os-btn.is-first', { type: 'button', onclick: () => this.go() }, 'Save');
    const side = el('input', { type: 'number', min: '1', max: String(MOST_PX), 'aria-label': 'Longest side, px', oninput: () => this.set({ scale: Number(side.value) / this.longest }, side) });
    const color = el('input', { type: 'color', value: '#ffffff', 'aria-label': 'Colour of the background', oninput: () => this.set({ background: color.value }) });
    this.side = side;
    this.dialog.replaceChildren(head('Export', () => this.dialog.close()),
      el('.ol-formats', { role: 'radiogroup', 'aria-label': 'Format' }, formats.map(({ id, title, suffix }) => el('button.ol-format', { type: 'button', role: 'radio', 'data-format': id, onclick: () => this.set({ format: id }) }, el('b', {}, title.replace(/ \(.*/, '')), el('span', {}, /\((.*)\)/.exec(title)?.[1] ?? `.${suffix}`)))),
      el('.ol-line', {}, el('span', {}, 'Size'), el('.ol-chips', {}, SCALES.map((k) => el('button', { type: 'button', 'data-scale': String(k), onclick: () => this.set({ scale: k }) }, `${k}×`))), side, 'px'),
      el('.ol-line', {}, el('span', {}, 'Behind'), el('.ol-chips', {}, [['', 'Nothing'], ['#ffffff', 'White']].map(([value, title]) => el('button', { type: 'button', 'data-behind': value, onclick: () => this.set({ background: value }) }, title)), color)),
      chosen ? el('label.ol-line', {}, el('span', {}, 'Only'), el('input', { type: 'checkbox', onchange: (e) => this.set({ only: e.target.checked }) }), chosen > 1 ? `the ${chosen} that are chosen` : 'what is chosen') : '',
      this.said, el('footer', {}, this.button));
    this.set({});
    this.dialog.showModal();
  }

  get longest() { return Math.max(this.desk.stack.extent.width, this.desk.stack.extent.height); }

  set(values, from) {
    Object.assign(this.values, values);
    const { format, scale, background } = this.values, { extent } = this.desk.stack, size = [extent.width, extent.height].map((v) => Math.max(1, Math.round(v * scale)));
    const press = (name, value) => { for (const button of this.dialog.querySelectorAll(`[data-${name}]`)) { button.setAttribute(name === 'format' ? 'aria-checked' : 'aria-pressed', String(button.dataset[name] === String(value))); } };
    press('format', format);
    press('scale', scale);
    press('behind', background);
    if (from !== this.side) this.side.value = Math.max(...size);
    const large = Math.max(...size) > MOST_PX || size[0] * size[1] > MOST_AREA_PX, good = scale > 0 && Number.isFinite(scale) && !large;
    this.said.classList.toggle('is-wrong', large);
    this.said.textContent = large ? `${number(size[0])} × ${number(size[1])} px is more than can be written: ${number(MOST_PX)} px a side and ${MOST_AREA_PX / 1e6} megapixels at most.` : `${number(size[0])} × ${number(size[1])} px${background ? '' : ', transparent where nothing lies'}`;
    this.button.disabled = !good || !format;
  }

  async go() {
    const { format, scale, background, only } = this.values, { desk } = this;
    localStorage.setItem(KEPT, JSON.stringify({ format }));
    this.button.disabled = true;
    this.said.textContent = 'Writing the file …';
    try {
      const ids = only ? topmost(desk.stack, desk.selection).map((node) => node.id) : [];
      const { name, bytes } = await save(format, { document: desk.stack, name: desk.name, scale, background, only: ids });
      this.dialog.close();
      desk.note(`Saved as ${name} (${bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`}).`);
    } catch (error) {
      this.said.textContent = error.message;
      this.said.classList.add('is-wrong');
    } finally {
      this.button.disabled = false;
    }
  }
}

export class Sizing {
  constructor(dialog, desk) {
    Object.assign(this, { dialog, desk });
    dialog.addEventListener('click', (e) => { if (e.target === dialog) dialog.close(); });
  }

  show() {
    const { width, height } = this.desk.stack.extent, field = (label, value) => el('input', { type: 'number', min: '1', max: String(MOST_SIDE_PX), value: String(value), 'aria-label': label, required: true });
    const [w, h] = [field('Width, px', width), field('Height, px', height)], along = el('input', { type: 'checkbox' });
    const form = el('form', {},
      el('.ol-line', {}, el('span', {}, 'Size'), w, '×', h, 'px'),
      el('.ol-chips', {}, SIZES.map(([x, y]) => el('button', { type: 'button', onclick: () => { [w.value, h.value] = [x, y]; } }, `${x} × ${y}`))),
      el('label.ol-line', {}, along, 'What lies on it grows along'),
      el('footer', {}, el('button.os-btn.is-first', { type: 'submit' }, 'Change')));
    form.addEventListener('submit', (e) => {
      e.preventDefault();
      this.dialog.close();
      this.desk.resize(Math.round(Number(w.value)), Math.round(Number(h.value)), along.checked);
    });
    this.dialog.replaceChildren(head('Canvas size', () => this.dialog.close()), form);
    this.dialog.showModal();
  }
}

const number = (value) => value.toLocaleString('en');

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}
