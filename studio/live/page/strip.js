// The scrub strip: every recent frame as a small picture that can be looked at again, kept, or gone back to.
const REDRAW_MS = 400;

export class Strip {
  /** on: {select(frame or null), keep(frame)}. */
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
    this.selected?.element?.firstElementChild.setAttribute('aria-pressed', 'false');
    this.selected = frame;
    frame?.element?.firstElementChild.setAttribute('aria-pressed', 'true');
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
    const frame = this.frames.get(Number(target.closest('.os-shot')?.dataset.id));
    if (!frame) return;
    if (target.closest('.os-pin')) this.on.keep(frame);
    else this.select(frame === this.selected ? null : frame);
  }

  moved(e) {
    const way = { ArrowLeft: 'previousElementSibling', ArrowRight: 'nextElementSibling' }[e.key];
    const next = way && e.target.closest('.os-shot')?.[way];
    if (!next) return;
    e.preventDefault();
    next.firstElementChild.focus();
    this.select(this.frames.get(Number(next.dataset.id)));
  }
}

const PIN = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 4h12v17l-6-4.5-6 4.5z"/></svg>';

/** <div.os-shot> with a button that looks at the frame and a small one that keeps it. */
function thumbnail(frame) {
  const shot = document.createElement('div'), look = document.createElement('button'), pin = document.createElement('button'), image = new Image();
  shot.className = 'os-shot';
  shot.dataset.id = frame.id;
  Object.assign(look, { type: 'button', className: 'os-thumb' });
  look.setAttribute('aria-pressed', 'false');
  Object.assign(image, { src: frame.url, alt: '', draggable: false });
  look.append(image);
  Object.assign(pin, { type: 'button', className: 'os-pin', title: 'Keep this frame', innerHTML: PIN });
  pin.setAttribute('aria-label', `Keep frame ${frame.id}`);
  shot.append(look, pin);
  frame.element = shot;
  dress(frame);
  return shot;
}

function dress({ element, id, kind, settled, kept }) {
  const parts = [`Frame ${id}`, kind === 'refine' && 'refined', kept && 'kept'].filter(Boolean), look = element.firstElementChild;
  look.setAttribute('aria-label', parts.join(', '));
  look.title = parts.join(' · ');
  element.classList.toggle('is-settled', settled);
  element.classList.toggle('is-kept', kept);
}
