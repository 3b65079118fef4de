// The live socket: numbered messages up, frames down, a new connection whenever the old one ends. See ../protocol.md.
import { clip, union } from './paper.js';

const BUFFER_BYTES = 128 * 1024;
const RETRY_MS = [250, 5000];
const FULL = 4429;

const address = (path, token, client) => {
  const url = new URL(path, document.baseURI);
  url.protocol = url.protocol.replace('http', 'ws');
  url.search = new URLSearchParams({ token, client });
  return url;
};

export class Wire {
  /** path: of the socket; paper: what to send; mint(): a token; client: this page's secret name; on: {state, frame, message, numbered, opened}. */
  constructor(path, paper, mint, client, on) {
    Object.assign(this, { path, paper, mint, client, on });
    this.socket = null;
    this.box = null;
    this.boxSince = 0;
    this.seq = 0;
    this.sent = new Map();
    this.settings = {};
    this.retry = RETRY_MS[0];
  }

  get open() { return this.socket?.readyState === WebSocket.OPEN; }

  async connect() {
    this.on.state('connecting');
    try {
      this.join(await this.mint());
    } catch {
      this.later('offline');
    }
  }

  join(token) {
    const socket = this.socket = new WebSocket(address(this.path, token, this.client));
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      this.retry = RETRY_MS[0];
      this.on.state('live');
      this.sendSettings(performance.now());
      this.on.opened();
      this.box = [0, 0, this.paper.canvas.width, this.paper.canvas.height];
      this.boxSince = performance.now();
      this.flush();
    };
    socket.onmessage = ({ data }) => (typeof data === 'string' ? this.on.message(JSON.parse(data)) : this.unpack(data));
    socket.onclose = ({ code, reason }) => this.later(code === FULL ? 'full' : 'offline', reason);
  }

  later(state, reason = '') {
    this.on.state(state, reason);
    this.sent.clear();
    if (this.paper.canvas.isConnected) setTimeout(() => this.connect(), this.retry);
    this.retry = Math.min(RETRY_MS[1], this.retry * 2);
  }

  unpack(data) {
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    this.on.frame(header, new Blob([new Uint8Array(data, 4 + length)], { type: header.media ?? 'image/png' }));
  }

  /** since: when the hand made this change, in performance.now() time. */
  change(box, since) {
    if (!this.box) this.boxSince = since;
    this.box = union(this.box, box);
  }

  /** Send the changed rectangle, never more than the socket can take. */
  flush() {
    if (!this.box || !this.open) return;
    if (this.socket.bufferedAmount > BUFFER_BYTES) { setTimeout(() => this.flush(), 8); return; }
    const rect = clip(this.box);
    this.box = null;
    if (rect[2] < 1 || rect[3] < 1) return;
    const pixels = this.paper.read(rect).data, message = new Uint8Array(12 + pixels.length), view = new DataView(message.buffer);
    view.setUint32(0, this.number(this.boxSince), true);
    rect.forEach((value, i) => view.setUint16(4 + 2 * i, value, true));
    message.set(pixels, 12);
    this.socket.send(message);
  }

  number(since) {
    this.seq += 1;
    this.sent.set(this.seq, { since, sent: performance.now() });
    this.on.numbered(this.seq);
    return this.seq;
  }

  /** Tell the server the settings if they differ from what it knows. */
  set(settings, since) {
    if (JSON.stringify(settings) === JSON.stringify(this.settings)) return false;
    this.settings = settings;
    this.sendSettings(since);
    return true;
  }

  sendSettings(since) { this.send({ t: 'set', settings: this.settings, seq: this.open ? this.number(since) : 0 }); }

  send(message) { if (this.open) this.socket.send(JSON.stringify(message)); }

  sendBytes(bytes) { if (this.open) this.socket.send(bytes); }

  /** The oldest input answered by a frame of `seq`: {since, sent}, or undefined when it was counted before. */
  answered(seq) {
    let newest;
    for (const [n, times] of this.sent) if (n <= seq) { newest = times; this.sent.delete(n); }
    return newest;
  }

  get waiting() { return this.sent.size > 0; }
}
