// A workbench tab's page: puts the parts together. What a tab and its panels may do stands in ../bench.md.
import { pictureIn } from '../../live/page/pictures.js';
import { inSight } from '../../live/page/view.js';
import { Documents } from '../../layers/page/documents.js';
import { el } from '../../layers/page/dom.js';
import { Panels } from '../../layers/page/panels.js';
import { Bench } from './bench.js';
import { trimmed } from './history.js';
import { TAKERS, toTab } from './sending.js';
import { Server } from './server.js';
import { Strip } from './strip.js';

const NOTICE_MS = { done: 6000, info: 14_000, brief: 1800, error: 15_000 };
const RETRY_MS = 1500;
const FORMATS = [['png', 'PNG, says how it was made'], ['webp', 'WebP, lossless'], ['avif', 'AVIF, small']];

class Work {
  constructor({ element, name, load, receivers = [], send, furnish }) {
    Object.assign(this, { element, name, load, receivers: receivers ?? [], send, furnishMore: furnish, find: (selector) => element.querySelector(selector), server: new Server(`studio/${name}/`), last: `onestroke.${name}.document` });
    this.heedNotice();
  }

  /** Nothing is asked of the studio before somebody looks. */
  async start() {
    await inSight(this.element);
    const { server } = this, config = await this.patient(() => server.ask('desk'));
    this.bench = new Bench({ element: this.element, server, tell: (...said) => this.tell(...said), config, name: this.name });
    this.furnish(config);
    this.heed();
    await this.patient(() => this.begin());
    await this.furnishMore?.(this.bench);
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
    const { bench, server } = this;
    this.strip = new Strip(this.find('.ow-strip'), bench);
    this.panels = new Panels({ tabs: this.find('.ol-tabs'), place: this.find('.ol-panels'), desk: bench, load: this.load, prefix: `ow-${this.name}`, key: `onestroke.${this.name}.panel` });
    const kind = { ask: server.ask, address: server.address, field: 'history', fresh: [{ title: 'Empty', hint: 'A document without a picture yet', content: { steps: [], now: '' } }],
      said: ({ width, height, steps }) => (steps ? `${width} × ${height} · ${steps} ${steps === 1 ? 'step' : 'steps'}` : 'empty') };
    this.documents = new Documents(this.find('.ol-documents'), { kind, current: () => bench.id, on: {
      open: (document) => this.take(document), deleted: (id) => this.deleted(id), rename: (name) => bench.rename(name), error: (text) => bench.error(text), note: (text, action) => bench.note(text, action) } });
    const select = this.find('.ol-base select'), kept = localStorage.getItem('onestroke.work.base'), { bases, base } = config;
    select.replaceChildren(...bases.map(({ id, title }) => new Option(title, id)));
    bench.base = select.value = bases.some(({ id }) => id === kept) ? kept : base;
    this.find('.ol-base').hidden = bases.length < 2;
    select.addEventListener('change', () => { bench.base = select.value; localStorage.setItem('onestroke.work.base', select.value); bench.tellAll('base', select.value); });
  }

  // ---- documents

  /** The last one of this browser in this tab, or a new one. */
  async begin() {
    const kept = localStorage.getItem(this.last), { documents } = await this.server.ask('documents');
    this.take(documents.some((card) => card.id === kept) ? await this.server.ask(`document/${kept}`) : await this.server.ask('documents', {}));
  }

  take(document) { this.bench.take(document); }

  async deleted(id) {
    if (id !== this.bench.id) return;
    this.bench.saving.forget();
    localStorage.removeItem(this.last);
    await this.begin();
  }

  /** Another window has saved this document meanwhile. */
  stale() {
    const { bench } = this, { id } = bench;
    this.tell('This document was changed in another window meanwhile. Load that one, or go on here with a copy of yours.', 'error', { words: 'Load it', lasting: true, run: async () => { bench.saving.forget(); this.take(await this.server.ask(`document/${id}`)); } },
      { words: 'Keep mine as a copy', run: () => this.copy() });
  }

  async copy() {
    const { bench } = this, document = await this.server.ask('documents', { name: `${bench.title} copy`, history: bench.history });
    bench.saving.forget();
    this.take(document);
  }

  /** Somebody may have changed it in another window or tab while this one was not looked at. */
  async refresh() {
    const { bench } = this;
    if (document.hidden || !bench?.id || !bench.saving.clean || bench.shown || !this.element.checkVisibility()) return;
    const now = await this.server.ask(`document/${bench.id}`).catch(() => null);
    if (now && now.id === bench.id && bench.saving.clean && now.revision !== bench.saving.document.revision) this.take(now);
  }

  /** What other tabs sent here. */
  async collect() {
    if (this.element.dataset.state !== 'ready') return;
    for (const sent of window.onestroke.toWork?.[this.name]?.splice(0) ?? []) {
      const { picture, width, height, title, asked } = JSON.parse(sent);
      await this.tried(() => this.bench.begin({ picture, width, height, title, asked }));
    }
  }

  // ---- buttons, keys, pictures from outside

  makeActions() {
    const { bench } = this, { stage } = bench;
    return { undo: () => bench.undo(), redo: () => bench.redo(), compare: () => bench.compare(), fit: () => stage.fit(), actual: () => stage.zoomTo(1), closer: () => stage.zoomTo(stage.zoom * 1.25), farther: () => stage.zoomTo(stage.zoom / 1.25),
      open: () => this.find('.ow-file').click(), documents: () => this.documents.show(), sends: () => this.menu('sends'), saves: () => this.menu('saves'), export: () => this.save('png') };
  }

  heed() {
    const { element, bench } = this, actions = this.actions = this.makeActions();
    element.addEventListener('click', ({ target }) => {
      const action = target.closest('[data-do]')?.dataset.do;
      if (!['sends', 'saves'].includes(action)) this.closeMenus();
      actions[action]?.();
    });
    this.find('.ow-file').addEventListener('change', ({ target }) => { this.bring([...target.files]); target.value = ''; });
    this.heedFiles();
    this.heedKeys();
    const hear = { document: () => this.entitle(), named: () => this.entitle(), step: () => this.dress(), swipe: (on) => this.find('[data-do=compare]').setAttribute('aria-pressed', String(on)), saved: (saved) => this.saved(saved), stale: () => this.stale(),
      gone: (error) => this.tell(error.message, 'error', { words: 'Keep it as a new one', run: () => this.copy() }), zoom: (zoom) => { this.find('.ow-zoom').textContent = `${Math.round(zoom * 100)}%`; } };
    for (const [what, fn] of Object.entries(hear)) bench.on(what, fn);
    for (const [where, what] of [[document, 'visibilitychange'], [window, 'focus']]) where.addEventListener(what, () => this.refresh());
    new IntersectionObserver((entries) => { if (entries.at(-1).isIntersecting) this.refresh(); }).observe(element);
  }

  heedFiles() {
    const { element } = this, over = (on) => element.classList.toggle('is-dropping', on);
    element.addEventListener('dragover', (e) => { if (![...e.dataTransfer.types].includes('Files')) return; e.preventDefault(); over(!e.target.closest('.ow-takes')); });
    element.addEventListener('dragleave', (e) => { if (!element.contains(e.relatedTarget)) over(false); });
    element.addEventListener('drop', (e) => {
      over(false);
      if (e.defaultPrevented || !e.dataTransfer.files.length) return;
      e.preventDefault();
      this.bring([...e.dataTransfer.files]);
    });
    addEventListener('paste', (e) => {
      const file = pictureIn(e.clipboardData);
      if (!file || e.defaultPrevented || !element.checkVisibility()) return;
      e.preventDefault();
      this.bring([file]);
    });
  }

  heedKeys() {
    const { element, bench, actions } = this, stage = bench.stageElement;
    const typing = () => { const at = document.activeElement; return at?.isContentEditable || ['TEXTAREA', 'SELECT'].includes(at?.tagName) || (at?.tagName === 'INPUT' && !['range', 'color', 'checkbox', 'radio', 'button'].includes(at.type)); };
    addEventListener('keydown', (e) => {
      if (!element.checkVisibility() || element.querySelector('dialog:modal') || typing() || e.defaultPrevented) return;
      if (this.pressed(e, actions, stage)) e.preventDefault();
    });
    addEventListener('keyup', (e) => { if (e.code === 'Space') bench.stage.space(false); });
  }

  /** Whether it was one of ours. */
  pressed(e, actions, stage) {
    const { bench } = this, key = e.key.toLowerCase(), run = (name) => { if (!name) return false; actions[name](); return true; };
    if (e.ctrlKey || e.metaKey) return run({ z: e.shiftKey ? 'redo' : 'undo', y: 'redo', e: 'export', o: 'open' }[key]);
    if (e.altKey) return false;
    const here = stage.matches(':hover') || document.activeElement === stage || document.activeElement === document.body;
    if (e.code === 'Space' && here) { bench.stage.space(true); return true; }
    if (e.key === 'Escape') { this.closeMenus(); if (bench.shown) bench.preview(null); else if (bench.comparing) bench.compare(false); else bench.tellAll('escape'); return true; }
    if (bench.held?.masking?.key_(e)) return true;
    return run({ 0: 'fit', 1: 'actual', '+': 'closer', '=': 'closer', '-': 'farther', '\\': 'compare' }[key]);
  }

  async bring(files) {
    for (const file of files.slice(0, 1)) {
      this.tell('Opening it …', 'brief');
      await this.tried(() => this.bench.load(file), () => this.bring(files));
    }
    if (files.length > 1) this.bench.note('This tab works on one picture: the first one was opened.');
  }

  async tried(work, again) {
    try {
      return await work();
    } catch (error) {
      this.bench.error(error.message, error.lost && again ? { words: 'Try again', lasting: true, run: again } : undefined);
      return null;
    }
  }

  // ---- out

  closeMenus() {
    for (const menu of this.element.querySelectorAll('[data-menu]')) menu.hidden = true;
    for (const button of this.element.querySelectorAll('[aria-haspopup=menu]')) button.setAttribute('aria-expanded', 'false');
  }

  menu(which) {
    const menu = this.find(`[data-menu=${which}]`), button = this.find(`[data-do=${which}]`), open = menu.hidden, item = (words, run) => el('li', {}, el('button', { type: 'button', onclick: run, disabled: !this.bench.step }, words));
    this.closeMenus();
    menu.replaceChildren(...(which === 'saves' ? FORMATS.map(([format, words]) => item(words, () => this.save(format))) : this.places().map(([words, run]) => item(words, run))));
    menu.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
    if (open) menu.querySelector('button')?.focus();
  }

  places() {
    const { bench } = this, url = () => bench.pictureURL(bench.step.picture), has = (id) => document.querySelector(`#os-tabs button[role=tab][data-tab-id="${id}"]`);
    return [['Keep in the library', () => this.keep()], ...this.receivers.map(({ id, title }) => [title, () => this.send({ to: id, history: trimmed(bench.history), step: bench.step.id })]),
      ...TAKERS.filter(([id]) => has(id) && !this.receivers.some((one) => one.id === id)).map(([id, title]) => [title, () => this.tried(() => toTab(id, url()))])];
  }

  keep() {
    const { bench } = this;
    return this.tried(async () => { await this.server.ask('keep', { history: trimmed(bench.history) }); bench.note('Kept in the library.'); });
  }

  save(format) {
    const { bench } = this;
    if (!bench.step) { bench.error('There is no picture yet. Open one first.'); return null; }
    return this.tried(async () => { const { name } = await this.server.save(format, { history: trimmed(bench.history), name: bench.title }); bench.note(`Saved as ${name}.`); });
  }

  // ---- looks

  entitle() {
    const { bench } = this;
    localStorage.setItem(this.last, bench.id);
    this.find('.ol-doc-name').textContent = bench.title;
    this.dress();
  }

  dress() {
    const { bench } = this, { step, parent } = bench, label = (name, words) => { this.find(`[data-do=${name}]`).title = words; };
    this.find('.ow-size').textContent = step ? `${step.width} × ${step.height}` : '';
    this.find('[data-do=undo]').disabled = !parent;
    this.find('[data-do=redo]').disabled = !bench.redoable;
    this.find('[data-do=compare]').disabled = !parent;
    label('undo', parent ? `Undo: ${step.title} (Ctrl+Z)` : 'Undo (Ctrl+Z)');
    for (const name of ['sends', 'saves']) this.find(`[data-do=${name}]`).disabled = !step;
  }

  saved({ state, words }) {
    const place = this.find('.ol-saved');
    place.dataset.state = state;
    place.textContent = words;
    this.element.dataset.saved = state;
  }

  // ---- the notice

  heedNotice() {
    this.notice = this.find('.ow-notice');
    this.notice.querySelector('.ol-notice-close').addEventListener('click', () => { this.notice.hidden = true; });
    for (const dialog of this.element.querySelectorAll('dialog')) dialog.addEventListener('close', () => this.element.append(this.notice));
  }

  /** action: {words, run, lasting}; a sentence goes by itself unless it lasts. */
  tell(text, kind = 'done', ...actions) {
    const box = this.notice, close = box.querySelector('.ol-notice-close'), shown = actions.filter(Boolean);
    clearTimeout(this.noticeTimer);
    (this.find('dialog:modal') ?? this.element).append(box);                // nothing outside an open dialog can be pressed
    box.hidden = !text;
    box.className = `ol-notice ow-notice is-${kind}`;
    box.querySelector('.ol-notice-text').textContent = text;
    for (const old of box.querySelectorAll('.ol-notice-act')) old.remove();
    for (const { words, run } of shown) close.before(el('button.ol-notice-act', { type: 'button', onclick: () => { box.hidden = true; run(); } }, words));
    if (!shown[0]?.lasting) this.noticeTimer = setTimeout(() => { box.hidden = true; }, NOTICE_MS[kind] ?? 6000);
  }
}

/** Called by a tab's page when Gradio has put it into the document: {element, receivers, send} of the tab, its name, load(file of panels/), furnish(bench). */
export function boot(parts) {
  const work = new Work(parts);
  window.onestroke = Object.assign(window.onestroke ?? {}, { [parts.name]: work });
  return work.start();
}
