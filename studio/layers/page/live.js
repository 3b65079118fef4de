// A live canvas with alpha: words go up, RGBA pictures come down and are shown as a ghost over the stage until they are taken.
import { Wire } from '../../live/page/wire.js';
import { clientName } from '../../live/page/store.js';
import { address } from './server.js';
import { editLeaves, find, layerOf } from './stack.js';

/** Nothing is drawn here, so nothing is sent of a drawing. */
const NO_PAPER = () => ({ canvas: { width: 0, height: 0, isConnected: true }, read: () => ({ data: new Uint8Array(0) }) });

export class Live {
  /** heard: {frame(header, bitmap), state(text), error(text)}. */
  constructor(desk, mint, heard = {}) {
    Object.assign(this, { desk, heard, header: null, bitmap: null, layer: null, settings: { base: desk.base }, shown: true });
    this.client = clientName();
    this.paper = NO_PAPER();
    this.wire = new Wire(new URL('socket', address('')).pathname, this.paper, mint, this.client, {
      state: (state, reason) => this.state(state, reason), frame: (header, blob) => this.frame(header, blob), message: (m) => this.message(m), numbered() {}, opened() {},
    });
  }

  get open() { return this.paper.canvas.isConnected; }

  /** {prompt, style, seed, steps, negative, refine, base}: any of them. Without words nothing is asked for. */
  set(values) {
    this.settings = { ...this.settings, base: this.desk.base, ...values };
    if (!this.settings.prompt?.trim()) { this.hide(); this.heard.state?.(''); return; }
    this.shown = true;
    const fresh = !this.wire.socket && !this.connecting;
    if (this.wire.set(this.settings, performance.now()) || fresh) this.heard.state?.('Painting');
    if (fresh) { this.connecting = true; this.wire.connect(); }
  }

  /** On the place of a layer, or (null) in the middle. */
  on(id) { this.layer = id; this.ghost(); }

  state(state, reason) {
    if (state === 'live') this.heard.state?.('Painting');
    if (state === 'offline' && this.open) this.heard.state?.('Connecting again');
    if (state === 'full') this.heard.error?.(reason);
  }

  async frame(header, blob) {
    if (header.t !== 'frame') return;
    const bitmap = await createImageBitmap(blob).catch(() => null);
    this.wire.send({ t: 'ack' });
    if (!bitmap || !this.open || (this.header && header.id < this.header.id)) return;
    this.wire.answered(header.seq);
    Object.assign(this, { header, bitmap });
    this.ghost();
    this.heard.state?.(this.wire.waiting ? 'Painting' : 'Up to date');
    this.heard.frame?.(header, bitmap);
  }

  message(m) {
    if (m.t === 'error') { this.wire.answered(m.seq); this.heard.error?.(m.message); this.heard.state?.(''); }
    if (m.t === 'same') { this.wire.answered(m.seq); this.heard.state?.('Up to date'); }
  }

  get place() {
    const layer = this.layer && find(this.desk.stack, this.layer);
    return layer?.place ?? this.desk.place(this.bitmap.width, this.bitmap.height);
  }

  ghost() { this.desk.ghost(this.bitmap && this.shown ? { source: this.bitmap, place: this.place } : null); }

  hide() {
    this.shown = false;
    this.desk.ghost(null);
  }

  /** The exact pixels of the newest frame: {picture, width, height, source}. Null when there is none, or an Error. */
  async take() {
    if (!this.header) return null;
    const { id, ...size } = await this.desk.ask('frame', { client: this.client, frame: this.header.id });
    return { picture: id, ...size };
  }

  /** Take it and lay it down, on its layer or as a new one. Returns the layer's id, or null. */
  async accept({ name } = {}) {
    const at = this.bitmap && this.place, taken = await this.take().catch((error) => { this.desk.error(error.message); return null; });
    if (!taken) return null;
    const { picture, source } = taken, words = name ?? (source.words?.slice(0, 60) || 'Picture'), layer = this.layer && find(this.desk.stack, this.layer);
    this.hide();
    if (layer) { this.desk.change(`Make ${words}`, (stack) => editLeaves(stack, [layer.id], { picture, source, name: words, text: null, svg: '' })); return layer.id; }
    const made = layerOf({ name: words, picture, place: at, source });
    this.desk.insert([made], { label: `Make ${words}` });
    return made.id;
  }

  close() {
    this.paper.canvas.isConnected = false;
    this.wire.socket?.close();
    this.hide();
  }
}
