// The Layers tab's page: puts the parts together. What panels may do stands in ../desk.md.
import { inSight } from '../../live/page/view.js';
import { pictureIn } from '../../live/page/pictures.js';
import { Arrange } from './arrange.js';
import { flattened } from './compose.js';
import { Desk } from './desk.js';
import { el } from './dom.js';
import { Documents } from './documents.js';
import { Exporting, Sizing } from './exporting.js';
import { listen } from './keys.js';
import { List } from './list.js';
import { Panels } from './panels.js';
import { ask, open, pictureURL } from './server.js';
import { editLeaves, isGroup, layerOf, leavesOf, newId, placeOf, topmost } from './stack.js';

const LAST = 'onestroke.layers.document', BACKDROP = 'onestroke.layers.backdrop', BASE = 'onestroke.layers.base';
const NOTICE_MS = { done: 6000, info: 12_000, brief: 1800, error: 15_000 };
const WITH_LAYERS = /\.(psd|psb|ora|zip|onestroke)$/i;
const RETRY_MS = 1500;

class Layers {
  constructor({ element, server }) {
    Object.assign(this, { element, server, find: (selector) => element.querySelector(selector) });
    this.heedNotice();
  }

  /** Nothing is asked of the studio before somebody looks. */
  async start() {
    await inSight(this.element);
    const config = await this.patient(() => ask('desk'));
    this.desk = new Desk({ element: this.element, mint: () => this.server.mint(), tell: (...said) => this.tell(...said), config });
    this.furnish(config);
    this.heed();
    await this.patient(() => this.begin());
    await this.panels.load(config.panels);
    this.element.dataset.state = 'ready';
    this.collect();
  }

  /** Until the studio answers. */
  async patient(work) {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        this.tell(error.message, 'error');
        await new Promise((done) => setTimeout(done, RETRY_MS));
      }
    }
  }

  furnish(config) {
    const { desk } = this;
    this.list = new List(this.find('.ol-list'), desk);
    this.arrange = new Arrange({ place: this.find('.ol-arrange'), mode: this.find('.ol-mode'), opacity: this.find('.ol-opacity'), desk });
    this.panels = new Panels({ tabs: this.find('.ol-tabs'), place: this.find('.ol-panels'), desk });
    this.exporting = new Exporting(this.find('.ol-exporting'), desk);
    this.sizing = new Sizing(this.find('.ol-sizing'), desk);
    this.documents = new Documents(this.find('.ol-documents'), { current: () => desk.id, on: {
      open: (document) => this.take(document), deleted: (id) => this.deleted(id), rename: (name) => desk.rename(name), error: (text) => desk.error(text), note: (text, action) => desk.note(text, action) } });
    this.offerBases(config);
    this.backdrop(localStorage.getItem(BACKDROP) ?? 'checks');
  }

  offerBases({ bases, base }) {
    const select = this.find('.ol-base select'), kept = localStorage.getItem(BASE);
    select.replaceChildren(...bases.map(({ id, title }) => new Option(title, id)));
    this.desk.base = select.value = bases.some(({ id }) => id === kept) ? kept : base;
    this.find('.ol-base').hidden = bases.length < 2;
    select.addEventListener('change', () => { this.desk.base = select.value; localStorage.setItem(BASE, select.value); this.desk.tellAll('base', select.value); });
  }

  // ---- documents

  /** The last one of this browser, or the newest there is, or a new one. */
  async begin() {
    const { documents } = await ask('documents'), kept = localStorage.getItem(LAST), id = documents.find((card) => card.id === kept)?.id ?? documents[0]?.id;
    this.take(id ? await ask(`document/${id}`) : await ask('documents', {}));
  }

  take(document) {
    localStorage.setItem(LAST, document.id);
    this.desk.take(document);
    if (document.notes?.length) this.desk.tell(document.notes.join(' '), 'info');
  }

  async deleted(id) {
    if (id !== this.desk.id) return;
    this.desk.saving.forget();
    localStorage.removeItem(LAST);
    await this.begin();
  }

  /** Another window has saved this document meanwhile. */
  stale() {
    const { desk } = this, id = desk.id;
    this.tell('This document was changed in another window meanwhile. Load that one, or go on here with a copy of yours.', 'error', { words: 'Load it', lasting: true, run: async () => { desk.saving.forget(); this.take(await ask(`document/${id}`)); } },
      { words: 'Keep mine as a copy', run: () => this.copy() });
  }

  async copy() {
    const { desk } = this, document = await ask('documents', { name: `${desk.name} copy`, stack: desk.stack });
    desk.saving.forget();
    this.take(document);
  }

  /** Somebody may have changed it in another window while this one was not looked at. */
  async refresh() {
    const { desk } = this;
    if (document.hidden || !desk?.id || !desk.saving.clean || desk.shown_) return;
    const now = await ask(`document/${desk.id}`).catch(() => null);
    if (now && now.id === desk.id && desk.saving.clean && now.revision !== desk.saving.document.revision) this.take(now);
  }

  // ---- buttons, keys, pictures from outside

  makeActions() {
    const { desk } = this, own = ['undo', 'redo', 'group', 'ungroup', 'duplicate', 'remove'];
    return { ...Object.fromEntries(own.map((name) => [name, () => desk[name]()])), ...Object.fromEntries(['up', 'down', 'top', 'bottom'].map((way) => [way, () => desk.reorder(way)])),
      fit: () => desk.view.fit(), actual: () => desk.view.zoomTo(1), closer: () => desk.view.zoomTo(desk.view.zoom * 1.25), farther: () => desk.view.zoomTo(desk.view.zoom / 1.25),
      all: () => desk.select(desk.stack.layers.filter((node) => leavesOf(node).some((leaf) => !leaf.locked)).map((node) => node.id)), copy: () => this.copyPicture(), flipX: () => desk.chooser.flip('x'), flipY: () => desk.chooser.flip('y'),
      export: () => this.exporting.show(), size: () => this.sizing.show(), documents: () => this.documents.show(), open: () => this.find('.ol-file').click(), more: () => this.menu(),
      toSketch: () => this.send('sketch'), toLive: () => this.send('live'), fitLayer: () => this.fitLayer(), natural: () => this.natural(), merge: () => this.merge() };
  }

  heed() {
    const { element, desk } = this, actions = this.actions = this.makeActions();
    element.addEventListener('click', ({ target }) => {
      const action = target.closest('[data-do]')?.dataset.do, part = target.closest('[data-part]')?.dataset.part, backdrop = target.closest('button[data-backdrop]')?.dataset.backdrop;
      if (action !== 'more') this.find('.ol-menu').hidden = true;
      if (action) actions[action]();
      if (part) this.part(part);
      if (backdrop) this.backdrop(backdrop);
    });
    this.find('.ol-backdrops input').addEventListener('input', ({ target }) => this.backdrop(target.value));
    this.find('.ol-file').addEventListener('change', ({ target }) => { this.bring([...target.files]); target.value = ''; });
    listen(desk, actions, element);
    this.heedFiles();
    const after = { document: () => this.entitle(), stack: () => this.dress(), selection: () => this.dress(), saved: (saved) => this.saved(saved), stale: () => this.stale(), gone: (error) => this.tell(error.message, 'error', { words: 'Keep it as a new one', run: () => this.copy() }),
      zoom: (zoom) => { this.find('.ol-zoom').textContent = `${Math.round(zoom * 100)}%`; } };
    for (const [what, fn] of Object.entries(after)) desk.on(what, fn);
    document.addEventListener('visibilitychange', () => this.refresh());
    addEventListener('focus', () => this.refresh());
  }

  heedFiles() {
    const { element } = this, over = (on) => element.classList.toggle('is-dropping', on);
    element.addEventListener('dragover', (e) => { if (![...e.dataTransfer.types].includes('Files')) return; e.preventDefault(); over(true); });
    element.addEventListener('dragleave', (e) => { if (!element.contains(e.relatedTarget)) over(false); });
    element.addEventListener('drop', (e) => {
      over(false);
      if (e.defaultPrevented || !e.dataTransfer.files.length) return;
      e.preventDefault();
      this.bring([...e.dataTransfer.files], this.find('.ol-stage').contains(e.target) ? this.desk.view.point(e) : null);
    });
    addEventListener('paste', (e) => {
      const file = pictureIn(e.clipboardData);
      if (!file || e.defaultPrevented || !element.checkVisibility()) return;
      e.preventDefault();
      this.bring([file]);
    });
  }

  /** Files from outside: those with layers become documents, pictures become layers. at: where they were dropped, or null. */
  async bring(files, at = null) {
    const { desk } = this, layers = [], failed = [];
    this.tell(files.length > 1 ? `Bringing in ${files.length} files …` : 'Bringing it in …', 'brief');
    for (const file of files) {
      try {
        if (WITH_LAYERS.test(file.name)) this.take(await open(file, desk.config.limits));
        else layers.push(await this.layerOf(file, at, layers.length));
      } catch (error) {
        failed.push({ file, error });
      }
    }
    if (layers.length) desk.insert(layers, { label: layers.length > 1 ? `Add ${layers.length} pictures` : 'Add a picture' });
    if (failed.length) this.failed(failed, at);
  }

  failed(failed, at) {
    const again = failed.filter(({ error }) => error.lost).map(({ file }) => file), words = [...new Set(failed.map(({ file, error }) => (failed.length > 1 ? `${file.name}: ${error.message}` : error.message)))].slice(0, 3).join(' ');
    this.tell(words, 'error', again.length ? { words: 'Try again', lasting: true, run: () => this.bring(again, at) } : undefined);
  }

  async layerOf(file, at, nth) {
    const { desk } = this, { id, width, height, svg, notes } = await desk.upload(file), place = desk.place(width, height), by = 24 * nth;
    const name = (file.name ?? '').replace(/\.[^.]+$/, '').slice(0, 200) || 'Picture';
    if (notes?.length) desk.tell(notes.join(' '), 'info');
    return layerOf({ name, picture: id, svg: svg ?? '', place: placeOf(at ? { ...place, x: Math.round(at[0]) + by, y: Math.round(at[1]) + by } : { ...place, x: place.x + by, y: place.y + by }), source: { file: file.name ?? '' } });
  }

  /** What other tabs sent here. */
  collect() {
    if (this.element.dataset.state !== 'ready') return;
    for (const sent of window.onestroke.toLayers?.splice(0) ?? []) {
      const { picture, width, height, name, source } = JSON.parse(sent);
      this.desk.insert([this.desk.layer({ name, picture, source, place: this.desk.place(width, height) })], { label: 'Add a picture' });
    }
  }

  // ---- what can be done with what is chosen

  menu() {
    const menu = this.find('.ol-menu');
    menu.hidden = !menu.hidden;
    for (const button of menu.querySelectorAll('button')) button.disabled = !this.desk.leaves().length;
  }

  /** What is chosen as one picture on its own: {canvas, box}. */
  async own() {
    const { desk } = this, nodes = desk.selected(), bounds = nodes.length ? desk.bounds : { left: 0, top: 0, right: desk.stack.extent.width, bottom: desk.stack.extent.height };
    const box = { left: Math.floor(bounds.left), top: Math.floor(bounds.top), right: Math.ceil(bounds.right), bottom: Math.ceil(bounds.bottom) }, width = box.right - box.left, height = box.bottom - box.top;
    if (width * height > desk.config.limits.picture_px) throw new Error('What is chosen is too large to become one picture.');
    const shift = (node) => (isGroup(node) ? { ...node, layers: node.layers.map(shift) } : { ...node, place: { ...node.place, x: node.place.x - box.left, y: node.place.y - box.top } });
    const shown = (nodes.length ? topmost(desk.stack, desk.selection) : desk.stack.layers).map(shift);
    return { canvas: await flattened({ extent: { width, height }, layers: shown }, desk.images), box };
  }

  async tried(work) {
    try {
      await work();
    } catch (error) {
      this.desk.error(error.message);
    }
  }

  copyPicture() {
    if (!this.desk.leaves().length && getSelection()?.toString()) return false;
    this.tried(async () => {
      const { canvas } = await this.own();
      await navigator.clipboard.write([new ClipboardItem({ 'image/png': canvas.convertToBlob({ type: 'image/png' }) })]);
      this.desk.note('Copied as a picture.');
    });
    return true;
  }

  merge() {
    const { desk } = this, ids = desk.selection, top = desk.selected().at(-1);
    if (!top) return;
    this.tried(async () => {
      const { canvas, box: { left, top: y, right, bottom } } = await this.own(), { id } = await desk.upload(await canvas.convertToBlob({ type: 'image/png' }));
      const merged = { ...layerOf({ name: top.name, picture: id, place: { x: (left + right) / 2, y: (y + bottom) / 2, width: right - left, height: bottom - y } }), id: newId() };
      desk.apply({ layers: [merged], replaces: ids, group: '' }, 'Merge');
    });
  }

  fitLayer() {
    const { desk } = this, { width, height } = desk.stack.extent, ids = desk.chooser.leaves.map((leaf) => leaf.id);
    desk.change('Fit into the canvas', (stack) => editLeaves(stack, ids, ({ place }) => { const k = Math.min(width / place.width, height / place.height); return { place: { ...place, x: width / 2, y: height / 2, width: place.width * k, height: place.height * k, angle_deg: 0 } }; }));
  }

  natural() {
    const { desk } = this, leaves = desk.chooser.leaves;
    this.tried(async () => {
      const sizes = new Map(await Promise.all(leaves.map(async (leaf) => [leaf.id, await desk.bitmap(leaf.picture)])));
      desk.change('Own size', (stack) => editLeaves(stack, [...sizes.keys()], (leaf) => ({ place: { ...leaf.place, width: sizes.get(leaf.id).width, height: sizes.get(leaf.id).height, angle_deg: 0 } })));
    });
  }

  /** A layer to another tab, which then is shown. Its page may come only now, and brings back its own things first. */
  send(to) {
    const layer = this.desk.leaves().at(-1), tab = document.querySelector(`#os-tabs button[role=tab][data-tab-id="${to}"]`), ready = () => window.onestroke[to] && window.onestroke[to].element.dataset.state !== 'off';
    if (!layer || !tab) return;
    this.tried(async () => {
      const url = pictureURL(layer.picture), blob = await (await fetch(url)).blob();
      tab.click();
      for (let turn = 0; turn < 200 && !ready(); turn++) await new Promise((done) => setTimeout(done, 100));
      if (!ready()) throw new Error('That tab did not open. Try again.');
      if (to === 'sketch') await window.onestroke.sketch.reference.take(url);
      else await window.onestroke.live.load(blob);
    });
  }

  // ---- looks

  part(part) {
    this.element.dataset.part = part;
    for (const button of this.element.querySelectorAll('[data-part]')) button.setAttribute('aria-pressed', String(button.dataset.part === part));
  }

  backdrop(value) {
    this.desk.view.backdrop = value;
    this.desk.view.later();
    localStorage.setItem(BACKDROP, value);
    const known = [...this.element.querySelectorAll('button[data-backdrop]')].some((button) => button.dataset.backdrop === value), own = this.find('label[data-backdrop]');
    for (const button of this.element.querySelectorAll('button[data-backdrop]')) button.setAttribute('aria-pressed', String(button.dataset.backdrop === value));
    own.classList.toggle('is-on', !known);
    if (!known) own.firstElementChild.value = value;
    own.style.setProperty('--own', own.firstElementChild.value);
  }

  entitle() {
    this.find('.ol-doc-name').textContent = this.desk.name;
    this.dress();
  }

  dress() {
    const { desk } = this, { width, height } = desk.stack.extent, any = desk.selection.length > 0;
    this.find('.ol-size').textContent = `${width} × ${height}`;
    this.find('[data-do=undo]').disabled = !desk.history.past.length;
    this.find('[data-do=redo]').disabled = !desk.history.future.length;
    this.find('[data-do=undo]').title = desk.history.past.length ? `Undo: ${desk.history.now.label.toLowerCase()} (Ctrl+Z)` : 'Undo (Ctrl+Z)';
    for (const name of ['group', 'duplicate', 'up', 'down', 'more', 'remove']) this.find(`.ol-acts > [data-do=${name}]`).disabled = !any;
    this.find('.ol-acts > [data-do=ungroup]').disabled = !desk.selected().some(isGroup);
    this.element.classList.toggle('is-empty', !desk.stack.layers.length);
  }

  saved({ state, words }) {
    const place = this.find('.ol-saved');
    place.dataset.state = state;
    place.textContent = words;
    this.element.dataset.saved = state;
  }

  // ---- the notice

  heedNotice() {
    this.notice = this.find('.ol-notice');
    this.notice.querySelector('.ol-notice-close').addEventListener('click', () => { this.notice.hidden = true; });
    for (const dialog of this.element.querySelectorAll('dialog')) dialog.addEventListener('close', () => this.element.append(this.notice));
  }

  /** action: {words, run, lasting}; a sentence goes by itself unless it lasts. */
  tell(text, kind = 'done', ...actions) {
    const box = this.notice, close = box.querySelector('.ol-notice-close'), shown = actions.filter(Boolean);
    clearTimeout(this.noticeTimer);
    (this.find('dialog:modal') ?? this.element).append(box);                // nothing outside an open dialog can be pressed
    box.hidden = !text;
    box.className = `ol-notice is-${kind}`;
    box.querySelector('.ol-notice-text').textContent = text;
    for (const old of box.querySelectorAll('.ol-notice-act')) old.remove();
    for (const { words, run } of shown) close.before(el('button.ol-notice-act', { type: 'button', onclick: () => { box.hidden = true; run(); } }, words));
    if (!shown[0]?.lasting) this.noticeTimer = setTimeout(() => { box.hidden = true; }, NOTICE_MS[kind] ?? 6000);
  }
}

/** Called by Gradio when the tab is in the page. */
export function start(parts) {
  const layers = new Layers(parts);
  window.onestroke = Object.assign(window.onestroke ?? {}, { layers });
  return layers.start();
}
