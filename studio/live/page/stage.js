// A stage: a drawing on the left, the picture that follows it on the right, the recent frames below. What is drawn and how, and what
// a picture from outside becomes, is the business of the tab's own class (../page/canvas.js, ../../sketch/page/sketch.js).
import { Meter } from './meter.js';
import { pictureIn } from './pictures.js';
import { Store, clientName } from './store.js';
import { Strip } from './strip.js';
import { View } from './view.js';
import { Wire } from './wire.js';

const SAVE_MS = 250;
const CALM_MS = 250;
const NOTICE_MS = 9000;

export class Stage {
  // ---- what a tab says of itself

  /** {socket: path, settings: name in the browser's storage, database: name of the IndexedDB, meter: selector}. */
  get places() { throw new Error('A stage says where its things are kept.'); }
  /** Sentences by a frame's mode. */
  get titles() { return {}; }
  /** Names of settings that live on the page only, not in Gradio's controls. */
  get own() { return []; }
  makePaper() { throw new Error('A stage makes its paper.'); }
  makeHand() { throw new Error('A stage makes its hand.'); }
  /** What the zoom moves. */
  get sheet() { return this.paper.canvas; }
  /** What is stored of the drawing, and the way back. */
  record() { return {}; }
  adopt() {}
  /** A picture from outside: a file, the clipboard or a drop. */
  async load() {}
  /** Bring back the drawing of a frame; header: {frame, settings}, blob: its pixels. Returns a sentence when there is more to say than that it is back. */
  async redraw() {}
  /** A message to the server got this number. */
  numbered() {}
  /** The socket is open and the settings are sent. */
  opened() {}
  /** The newest frame is on show. */
  followed(header) { this.element.dataset.mode = header.mode; }

  /** element: the stage; server: Gradio's server functions; config: {names, sent, defaults, bases, receivers}; changed(): settings must be shown anew; send({client, frame, to}). */
  constructor({ element, server, config, changed, send }) {
    Object.assign(this, { element, server, config, shown: changed, send });
    this.client = clientName();
    this.store = new Store(this.places);
    this.find = (selector) => element.querySelector(selector);
    this.paper = this.makePaper(this.find('.os-canvas'), (box) => this.drawn(box));
    this.view = new View(this.find('.os-paper'), this.paper.canvas, (zoom) => this.zoomed(zoom), this.sheet);
    this.wire = new Wire(this.places.socket, this.paper, () => server.mint(), this.client, {
      state: (state, reason) => this.state(state, reason), frame: (header, blob) => this.frame(header, blob), message: (m) => this.message(m),
      numbered: (seq) => this.numbered(seq), opened: () => this.opened(),
    });
    this.meter = new Meter(document.querySelector(this.places.meter));
    this.strip = new Strip(this.find('.os-strip'), { select: (frame) => this.look(frame), keep: (frame) => this.keep(frame) });
    this.hand = this.makeHand();
    this.picture = this.find('.os-picture').getContext('2d', { alpha: false });
    this.settings = { ...config.defaults };
    this.newest = 0;
    this.offerSends(config.receivers ?? []);
    this.listen();
  }

  /** A button for every tab that takes pictures. */
  offerSends(receivers) {
    this.find('.os-sends').replaceChildren(...receivers.map(({ id, title }) => {
      const button = document.createElement('button');
      Object.assign(button, { type: 'button', className: 'os-act', textContent: `To ${title}` });
      button.dataset.send = id;
      return button;
    }));
  }

  async start() {
    const saved = this.store.settings, known = [...this.config.names, ...this.own];
    if (this.config.bases.includes(saved.base)) {
      this.settings = { ...this.settings, ...Object.fromEntries(Object.entries(saved).filter(([name]) => known.includes(name))) };
    }
    const record = await this.store.load(this.client).catch(() => undefined);
    if (record) this.adopt(record);
    this.wire.settings = this.forServer;
    this.shown();
    await this.wire.connect();
  }

  /** What the buttons marked data-do, and the keys, can do. */
  makeActions() {
    return {
      undo: () => this.paper.undo(), redo: () => this.paper.redo(), clear: () => this.paper.clear(), fit: () => this.view.reset(),
      load: () => this.find('.os-file').click(), keep: () => this.keep(this.strip.current), restore: () => this.restore(), take: () => this.take(),
      newest: () => this.strip.select(null),
    };
  }

  listen() {
    const actions = this.actions = this.makeActions();
    this.element.addEventListener('click', ({ target }) => {
      const action = target.closest('[data-do]')?.dataset.do;
      if (action) actions[action]();
      const to = target.closest('[data-send]')?.dataset.send;
      if (to && this.strip.current) this.send({ client: this.client, frame: this.strip.current.id, to });
    });
    this.find('.os-file').addEventListener('change', (e) => { this.load(e.target.files[0]); e.target.value = ''; });
    addEventListener('paste', (e) => this.pasted(e));
    this.element.addEventListener('dragover', (e) => { e.preventDefault(); this.element.classList.add('is-dropping'); });
    this.element.addEventListener('dragleave', () => this.element.classList.remove('is-dropping'));
    this.element.addEventListener('drop', (e) => { e.preventDefault(); this.element.classList.remove('is-dropping'); this.load(pictureIn(e.dataTransfer)); });
    addEventListener('pagehide', () => this.save());
  }

  // ---- the drawing

  drawn(box) {
    this.wire.change(box, this.hand.now ?? performance.now());
    if (this.strip.selected) this.strip.select(null);
    if (this.paper.stroke) return;
    this.wire.flush();
    this.settled();
  }

  /** No stroke is running: the undo buttons and the stored copy follow. */
  settled() {
    this.find('[data-do=undo]').disabled = !this.paper.past.length;
    this.find('[data-do=redo]').disabled = !this.paper.future.length;
    this.element.classList.toggle('is-blank', this.paper.blank);
    this.saveSoon();
    this.working();
  }

  saveSoon() {
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.save(), SAVE_MS);
  }

  save() {
    if (this.paper.stroke) return;
    this.store.save(this.client, this.record()).catch(() => this.notice('This browser keeps no data, so a reload would lose the drawing.', 'warn'));
  }

  zoomed(zoom) {
    this.find('.os-zoom').textContent = `${Math.round(zoom * 100)}%`;
  }

  pasted(e) {
    const file = pictureIn(e.clipboardData);
    if (!file || e.defaultPrevented || !this.element.checkVisibility()) return;
    e.preventDefault();
    this.load(file);
  }

  // ---- settings: Gradio's controls -> here -> server, and back after a restore

  /** values in the order of config.names, as Gradio hands them over. */
  change(values) {
    const given = Object.fromEntries(this.config.names.map((name, i) => [name, values[i]]).filter(([, value]) => value !== null && value !== undefined));
    this.settings = { ...this.settings, ...given };
    this.store.settings = this.settings;
    this.tell();
  }

  /** The settings that decide a picture; the rest is the page's own business. */
  get forServer() {
    return Object.fromEntries(this.config.sent.map((name) => [name, this.settings[name]]).filter(([, value]) => value !== null && value !== undefined));
  }

  tell() { if (this.wire.set(this.forServer, performance.now())) this.working(); }

  values() { return this.config.names.map((name) => this.settings[name]); }

  rollSeed() {
    this.settings = { ...this.settings, seed: Math.floor(Math.random() * 2 ** 31) };
    this.tell();
    this.shown();
  }

  // ---- frames

  frame(header, blob) {
    const received = performance.now();
    if (header.t === 'canvas') { this.putBack(header, blob); return; }
    this.strip.add(header, blob);
    if (header.t === 'past') return;
    if (this.pending) this.wire.send({ t: 'ack' });
    this.pending = { header, blob, received };
    this.show();
  }

  async show() {
    if (this.showing) return;
    this.showing = true;
    while (this.pending) {
      const { header, blob, received } = this.pending;
      this.pending = null;
      try {
        if (header.seq >= this.newest) await this.put(header, blob, received);
      } catch {
        this.notice('A frame arrived damaged; the next one replaces it.', 'warn');
      } finally {
        this.wire.send({ t: 'ack' });
      }
    }
    this.showing = false;
  }

  async put(header, blob, received) {
    const bitmap = await createImageBitmap(blob);
    this.newest = header.seq;
    if (!this.strip.selected) this.paint(bitmap);
    bitmap.close();
    const times = this.wire.answered(header.seq);
    requestAnimationFrame(() => {
      const painted = performance.now();
      this.meter.tick(painted);
      const row = times && header.kind === 'preview' ? this.meter.add({ ...times, received, painted, ms: header.ms }) : null;
      this.element.dispatchEvent(new CustomEvent('os-frame', { detail: { header, painted, row, since: times?.since } }));
    });
    this.element.dataset.frame = header.id;
    this.followed(header);
    this.told(header);
  }

  told(header) {
    const text = this.titles[header.mode] ?? '';
    this.caption = header.kind === 'refine' ? `${text} · refined in ${header.steps} ${header.steps === 1 ? 'step' : 'steps'}` : text;
    this.entitle();
    this.element.classList.add('has-picture');
    this.working();
    if (header.notes.length) this.notice(header.notes.join(' '), 'info', { lasting: true });
    else if (this.lasting && header.seq > (this.wrongAt ?? -1)) this.notice('');      // a frame of before the mistake says nothing about it
  }

  entitle() {
    const title = this.strip.selected ? 'An earlier frame · Esc for the newest' : this.caption ?? '', place = this.find('.os-mode');
    if (place.textContent !== title) place.textContent = title;
  }

  paint(bitmap) {
    const { canvas } = this.picture;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    this.picture.drawImage(bitmap, 0, 0);
  }

  /** Look at an earlier frame, or (null) at the newest again. */
  async look(frame) {
    this.entitle();
    const blob = (frame ?? this.strip.newest)?.blob;
    if (!blob) return;
    const bitmap = await createImageBitmap(blob);
    if (this.strip.selected === frame) this.paint(bitmap);
    bitmap.close();
  }

  message(m) {
    const acts = {
      error: () => { this.wire.answered(m.seq); this.notice(m.message, 'error', { lasting: true }); this.wrongAt = m.seq; },
      same: () => this.wire.answered(m.seq),
      rest: () => this.strip.mark(m.frame, { settled: true }),
      gone: () => this.strip.remove(m.frames),
      pinned: () => { this.strip.mark(m.frame, { kept: true }); this.kept(m); },
    };
    acts[m.t]?.();
    this.working();
  }

  // ---- what can be done with a frame

  keep(frame) { if (frame) this.wire.send({ t: 'pin', frame: frame.id }); }

  restore() { if (this.strip.current) this.wire.send({ t: 'restore', frame: this.strip.current.id }); }

  kept({ item }) {
    const link = document.createElement('a');
    Object.assign(link, { href: new URL(`studio/library/${item}.png`, document.baseURI), download: `onestroke-${item}.png`, textContent: 'Save a copy' });
    this.notice('Kept in your library, with everything needed to make it again. ', 'done', { link });
  }

  async putBack(header, blob) {
    const told = await this.redraw(header, blob);
    this.settings = { ...this.settings, ...header.settings };
    this.tell();
    this.store.settings = this.settings;
    this.shown();
    this.notice(told ?? 'Back at that frame: its drawing, words and seed.', 'done');
  }

  /** Use the generated picture in the drawing. */
  async take() {}

  // ---- telling

  state(state, reason) {
    this.connection = state;
    if (state === 'live') { this.newest = 0; this.strip.clear(); }          // the server now sends the frames it still has
    if (state === 'full') this.notice(reason, 'error');
    this.working();
  }

  /** The lamp beside the picture: at once when there is something to wait for, calmly when there is not. */
  working() {
    const lamp = this.connection !== 'live' ? 'off' : this.wire.waiting ? 'busy' : 'ready';
    if (lamp === this.lamp) return;
    this.lamp = lamp;
    clearTimeout(this.lampTimer);
    this.lampTimer = setTimeout(() => this.light(lamp), lamp === 'ready' ? CALM_MS : 0);
  }

  light(lamp) {
    this.element.dataset.state = lamp;
    const busy = this.element.classList.contains('has-picture') ? 'Painting' : 'Waking the model';
    this.find('.os-state').textContent = { busy, ready: 'Up to date', off: this.connection === 'full' ? 'Studio is full' : 'Connecting' }[lamp];
  }

  /** A sentence at the foot of the page. lasting: about the frame, so the next frame ends it; else it goes by itself. */
  notice(text, kind = '', { link = null, lasting = false } = {}) {
    const box = this.find('.os-notice');
    clearTimeout(this.noticeTimer);
    this.lasting = lasting;
    this.wrongAt = null;
    box.className = `os-notice is-${kind || 'none'}`;
    box.querySelector('.os-notice-text').textContent = text;
    box.querySelector('.os-notice-link').replaceChildren(...(link ? [link] : []));
    if (text && !lasting) this.noticeTimer = setTimeout(() => this.notice(''), NOTICE_MS);
  }
}
