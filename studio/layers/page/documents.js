// The list of documents: new, open, rename, delete (which can be undone).
import { el, icon } from './dom.js';
import * as server from './server.js';

const CLOSE = 'm7 7 10 10M17 7 7 17';
const SIZES = [[1024, 1024, 'Square'], [1080, 1350, 'Post'], [1080, 1920, 'Story'], [1920, 1080, 'Wide'], [512, 512, 'Sticker']];

/** What a list of documents differs in from tab to tab: where they are, what a new one holds, what is said of one. */
const LAYERED = {
  ...server, field: 'stack', said: (card) => `${card.width} × ${card.height} · ${card.layers} ${card.layers === 1 ? 'layer' : 'layers'}`,
  fresh: SIZES.map(([width, height, title]) => ({ title, hint: `${width} × ${height} px`, content: { extent: { width, height }, layers: [] } })),
};

export class Documents {
  /** on: {open(document), deleted(id), error(text), note(text, action)}; current(): id of the open one. */
  constructor(dialog, { current, on, kind = LAYERED }) {
    Object.assign(this, { dialog, current, on, kind, ask: kind.ask });
    dialog.addEventListener('click', (e) => { if (e.target === dialog) dialog.close(); });
  }

  async show() {
    this.dialog.replaceChildren(head('Documents', () => this.dialog.close()), el('p.ol-note', {}, 'Looking …'));
    if (!this.dialog.open) this.dialog.showModal();
    await this.fill();
  }

  async fill() {
    let cards;
    try {
      ({ documents: cards } = await this.ask('documents'));
    } catch (error) {
      this.dialog.lastElementChild.textContent = error.message;
      return;
    }
    const fresh = this.kind.fresh.map(({ title, hint, content }) => el('button.os-btn', { type: 'button', title: hint, onclick: () => this.begin(content) }, title));
    this.dialog.replaceChildren(head('Documents', () => this.dialog.close()), el('.ol-fresh', {}, el('span', {}, 'New'), fresh), el('.ol-cards', {}, cards.map((card) => this.card(card))));
  }

  card(card) {
    const name = el('input', { value: card.name, maxlength: '200', 'aria-label': 'Name', onchange: () => this.rename(card, name.value) });
    const said = `${this.kind.said(card)} · ${ago(card.changed_s)}`;
    return el(`.ol-card${card.id === this.current() ? '.is-open' : ''}`, { 'data-id': card.id },
      el('button.ol-cover', { type: 'button', 'aria-label': `Open ${card.name}`, onclick: () => this.open(card.id) }, el('img', { src: this.kind.address(`document/${card.id}/cover?r=${card.revision}`), alt: '', loading: 'lazy', draggable: false })),
      el('.ol-card-row', {}, name, el('button.ol-icon', { type: 'button', title: 'Delete', 'aria-label': `Delete ${card.name}`, onclick: () => this.remove(card) }, icon('M4 7h16M9 7V4h6v3m3 0-1 13H7L6 7m4 4v5m4-5v5'))),
      el('p.ol-note', {}, said));
  }

  async begin(content) { await this.tried(async () => this.done(await this.ask('documents', { name: 'Untitled', [this.kind.field]: content }))); }

  make(width, height) { return this.begin({ extent: { width, height }, layers: [] }); }

  async open(id) { await this.tried(async () => this.done(await this.ask(`document/${id}`))); }

  done(document) {
    this.dialog.close();
    this.on.open(document);
  }

  async rename(card, name) {
    await this.tried(async () => {
      const wanted = name.trim() || 'Untitled', { [this.kind.field]: content, revision } = card.id === this.current() ? {} : await this.ask(`document/${card.id}`);
      if (content) await this.ask(`document/${card.id}`, { name: wanted, [this.kind.field]: content, revision }, 'PUT');
      else this.on.rename(wanted);
      this.dialog.querySelector(`[data-id="${card.id}"]`)?.replaceWith(this.card({ ...card, name: wanted }));
    });
  }

  async remove(card) {
    await this.tried(async () => {
      await this.ask(`document/${card.id}`, undefined, 'DELETE');
      await this.fill();
      await this.on.deleted(card.id);
      this.on.note(`“${card.name}” was deleted.`, { words: 'Undo', run: () => this.tried(async () => { await this.ask(`document/${card.id}/restore`, undefined, 'POST'); if (this.dialog.open) await this.fill(); this.on.note(`“${card.name}” is back.`); }) });
    });
  }

  async tried(work) {
    try {
      await work();
    } catch (error) {
      this.on.error(error.message);
    }
  }
}

export function head(title, close) {
  return el('header', {}, el('h2', {}, title), el('button.ol-icon', { type: 'button', 'aria-label': 'Close', title: 'Close (Esc)', onclick: close }, icon(CLOSE)));
}

function ago(seconds) {
  const past = Date.now() / 1000 - seconds, unit = [[60, 'second', 1], [3600, 'minute', 60], [86_400, 'hour', 3600], [Infinity, 'day', 86_400]].find(([most]) => past < most);
  return past < 60 ? 'just now' : new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(-Math.round(past / unit[2]), unit[1]);
}
