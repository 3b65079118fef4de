// The scrub strip: every recent frame as a small picture that can be looked at again, kept, or gone back to.
const REDRAW_MS = 200;

export class Strip {
  /** on: {select(frame or null), keep(frame), restore(frame)}. */
  constructor(list, on) {
    Object.assign(this, { list, on });
    this.frames = new Map();
    this.selected = null;
    this.due = false;
    list.addEventListener('click', (e) => this.clicked(e));
    list.addEventListener('keydown', (e) => this.moved(e));
  }

  add(header, blob) {
    const frame = { id: header.id, kind: header.kind, settled: !!header.settled, kept: false, url: URL.createObjectURL(blob), blob };
    this.frames.set(frame.id, frame);
    this.later();
    return frame;
  }

  remove(ids) {
    for (const id of ids) {
      const frame = this.frames.get(id);
      if (!frame) continue;
      URL.revokeObjectURL(frame.url);
      frame.element?.remove();
      this.frames.delete(id);
      if (this.selected === frame) this.select(null);
    }
  }

  clear() { this.remove([...this.frames.keys()]); }

  mark(id, what) {
    const frame = this.frames.get(id);
    if (!frame) return;
    Object.assign(frame, what);
    if (frame.element) dress(frame);
  }

  get newest() { return [...this.frames.values()].at(-1) ?? null; }

  /** The frame that buttons act on: the one looked at, or else the newest. */
  get current() { return this.selected ?? this.newest; }

  select(frame) {
    this.selected?.element?.setAttribute('aria-pressed', 'false');
    this.selected = frame;
    frame?.element?.setAttribute('aria-pressed', 'true');
    this.on.select(frame);
  }

  later() {
    if (this.due) return;
    this.due = true;
    setTimeout(() => { this.due = false; this.draw(); }, REDRAW_MS);
  }

  draw() {
    const atEnd = this.list.scrollLeft + this.list.clientWidth >= this.list.scrollWidth - 80;
    for (const frame of this.frames.values()) {
      if (frame.element) continue;
      frame.element = thumbnail(frame);
      this.list.append(frame.element);
    }
    if (atEnd) this.list.scrollLeft = this.list.scrollWidth;
  }

  clicked({ target }) {
    const button = target.closest('.os-thumb');
    const frame = button && this.frames.get(Number(button.dataset.id));
    if (frame) this.select(frame === this.selected ? null : frame);
  }

  moved(e) {
    const way = { ArrowLeft: 'previousElementSibling', ArrowRight: 'nextElementSibling' }[e.key];
    const next = way && e.target.closest('.os-thumb')?.[way];
    if (!next) return;
    e.preventDefault();
    next.focus();
    this.select(this.frames.get(Number(next.dataset.id)));
  }
}

function thumbnail(frame) {
  const button = document.createElement('button'), image = document.createElement('img');
  button.type = 'button';
  button.className = 'os-thumb';
  button.dataset.id = frame.id;
  button.setAttribute('aria-pressed', 'false');
  image.src = frame.url;
  image.alt = '';
  image.draggable = false;
  button.append(image);
  frame.element = button;
  dress(frame);
  return button;
}

function dress({ element, id, kind, settled, kept }) {
  const parts = [`Frame ${id}`, kind === 'refine' && 'refined', kept && 'kept'].filter(Boolean);
  element.setAttribute('aria-label', parts.join(', '));
  element.title = parts.join(' · ');
  element.classList.toggle('is-settled', settled);
  element.classList.toggle('is-kept', kept);
}
