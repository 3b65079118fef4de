// A list of any length: only the rows in view exist, their pictures are asked for a page at a time.
import { make, thumb } from './dom.js';

const PAGE = 120, SPARE = 2;

export class Grid {
  /** fetchPage(offset, limit) -> {items, total}; changed() after the selection; opened(item) on a double click or Enter. */
  constructor(scroll, { fetchPage, changed, opened }) {
    Object.assign(this, { scroll, fetchPage, changed, opened, pages: new Map(), total: 0, cells: new Map(), picked: new Map(), at: -1, anchor: -1, turn: 0 });
    this.space = scroll.firstElementChild;
    scroll.addEventListener('scroll', () => this.draw());
    scroll.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(scroll);
  }

  async reset(keep = false) {
    const turn = ++this.turn;
    const first = await this.fetchPage(0, PAGE);
    if (turn !== this.turn) return;
    this.pages = new Map([[0, first.items]]);
    this.total = first.total;
    if (!keep) { this.picked.clear(); this.at = this.anchor = -1; this.scroll.scrollTop = 0; }
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
    this.draw();
    this.changed();
  }

  item(index) { return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE]; }

  layout() {
    const wide = this.scroll.clientWidth, across = Math.max(2, Math.floor(wide / 158));
    return { across, side: wide / across };
  }

  draw() {
    const { across, side } = this.layout(), top = this.scroll.scrollTop, high = this.scroll.clientHeight;
    if (!high) return;
    this.space.style.height = `${Math.ceil(this.total / across) * side}px`;
    const from = Math.max(0, (Math.floor(top / side) - SPARE) * across), to = Math.min(this.total, (Math.ceil((top + high) / side) + SPARE) * across);
    for (const [index, cell] of this.cells) if (index < from || index >= to) { cell.remove(); this.cells.delete(index); }
    for (let index = from; index < to; index++) {
      const item = this.item(index);
      if (!item) { this.need(Math.floor(index / PAGE)); continue; }
      let cell = this.cells.get(index);
      if (!cell) { cell = this.cell(index, item); this.cells.set(index, cell); this.space.append(cell); }
      cell.style.cssText = `left:${(index % across) * side}px;top:${Math.floor(index / across) * side}px;width:${side}px;height:${side}px`;
      cell.setAttribute('aria-selected', this.picked.has(item.id));
      cell.classList.toggle('is-at', index === this.at);
    }
  }

  async need(page) {
    if (this.pages.has(page)) return;
    this.pages.set(page, []);
    const turn = this.turn;
    try {
      const found = await this.fetchPage(page * PAGE, PAGE);
      if (turn === this.turn) { this.pages.set(page, found.items); this.draw(); }
    } catch { this.pages.delete(page); }
  }

  cell(index, item) {
    const name = item.prompt || 'Without words';
    return make('div', { class: 'lb-cell', role: 'option', 'aria-label': `${name}${item.starred ? ', starred' : ''}`, title: name,
      onclick: (event) => this.pick(index, event), ondblclick: () => this.opened(item) },
    make('img', { src: thumb(item.id), alt: '', loading: 'lazy', decoding: 'async', draggable: 'false' }), item.starred ? make('i', { class: 'lb-star' }, '★') : null);
  }

  pick(index, { shiftKey = false, ctrlKey = false, metaKey = false } = {}) {
    const item = this.item(index);
    if (!item) return;
    if (shiftKey && this.anchor >= 0) {
      for (let i = Math.min(this.anchor, index); i <= Math.max(this.anchor, index); i++) { const one = this.item(i); if (one) this.picked.set(one.id, one); }
    } else if (ctrlKey || metaKey) {
      if (!this.picked.delete(item.id)) this.picked.set(item.id, item);
      this.anchor = index;
    } else {
      this.picked = new Map([[item.id, item]]);
      this.anchor = index;
    }
    this.at = index;
    this.draw();
    this.changed();
  }

  key(event) {
    const { across, side } = this.layout();
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, PageUp: -4 * across, PageDown: 4 * across }[event.key];
    if (step) {
      const to = Math.min(Math.max((this.at < 0 ? -step : this.at) + step, 0), this.total - 1), top = Math.floor(to / across) * side;
      if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
      if (top + side > this.scroll.scrollTop + this.scroll.clientHeight) this.scroll.scrollTop = top + side - this.scroll.clientHeight;
      this.pick(to, { shiftKey: event.shiftKey });
    } else if (event.key === 'Enter' && this.item(this.at)) this.opened(this.item(this.at));
    else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) {
      for (const page of this.pages.values()) for (const item of page) this.picked.set(item.id, item);
      this.draw();
      this.changed();
    } else return;
    event.preventDefault();
  }
}
