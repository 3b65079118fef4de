// The list of layers, top first: pictures, names, eyes and locks; dragged to another place, into groups and out of them.
import { el, icon } from './dom.js';
import { pictureURL } from './server.js';
import { edit, editLeaves, find, isGroup, leavesOf, moveTo, topmost, where } from './stack.js';

const ICONS = {
  seen: 'M2.5 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6', hidden: 'M4 4l16 16M9.500 6a10 10 0 0 1 2.500-.500c6 0 9.500 6.500 9.500 6.500a17 17 0 0 1-2.700 3.400M6 7.500A16 16 0 0 0 2.500 12S6 18.500 12 18.500a9 9 0 0 0 4-1',
  locked: 'M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3', open: 'M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 6.800-1.200', folded: 'm9 6 6 6-6 6', unfolded: 'm6 9 6 6 6-6',
  group: 'M3 7h6l2 2h10v10H3z', text: 'M5 6V4h14v2M12 4v16M9 20h6', vector: 'M5 19C5 9 19 15 19 5M3 19h4M17 5h4',
};
const START_PX = 5, EDGE_PX = 28, INSET_PX = 14;

export class List {
  constructor(element, desk) {
    Object.assign(this, { element, desk, rows: new Map(), folded: new Set(), drag: null, anchor: null });
    this.mark = el('.ol-drop', { hidden: true });
    element.addEventListener('click', (e) => this.clicked(e));
    element.addEventListener('dblclick', (e) => this.renaming(e.target));
    element.addEventListener('keydown', (e) => this.key(e));
    element.addEventListener('pointerdown', (e) => this.down(e));
    element.addEventListener('pointermove', (e) => this.move(e));
    for (const name of ['pointerup', 'pointercancel']) element.addEventListener(name, (e) => this.up(e));
    for (const name of ['stack', 'selection', 'pictures']) desk.on(name, () => this.later());
  }

  later() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.draw(); });
  }

  /** Rows top first, folded groups closed. */
  get shown() {
    const out = [], look = (parent, depth) => {
      for (const node of parent.layers.toReversed()) {
        out.push({ node, depth });
        if (isGroup(node) && !this.folded.has(node.id)) look(node, depth + 1);
      }
    };
    look(this.desk.stack, 0);
    return out;
  }

  draw() {
    if (this.naming) return;
    const rows = this.shown, chosen = new Set(this.desk.selection), seen = new Set();
    const elements = rows.map(({ node, depth }) => {
      seen.add(node.id);
      return this.row(node, depth, chosen.has(node.id));
    });
    for (const id of this.rows.keys()) if (!seen.has(id)) this.rows.delete(id);
    const now = [...this.element.children].filter((child) => child !== this.mark);
    if (now.length !== elements.length || now.some((child, i) => child !== elements[i])) this.element.replaceChildren(...elements, this.mark);
    this.element.classList.toggle('is-empty', !rows.length);
    if (this.desk.selection.length === 1 && this.toShow === this.desk.selection[0]) this.rows.get(this.toShow)?.element.scrollIntoView({ block: 'nearest' });
    this.toShow = null;
  }

  /** The element of a node; made anew only when the node, its depth or its state is another. */
  row(node, depth, chosen) {
    const known = this.rows.get(node.id), broken = !isGroup(node) && this.desk.images.isBroken(node.picture), state = `${depth} ${chosen} ${this.folded.has(node.id)} ${broken}`;
    if (known?.node === node && known.state === state) return known.element;
    const element = this.made(node, depth, chosen, broken);
    if (known) known.element.replaceWith(element);
    this.rows.set(node.id, { node, state, element });
    return element;
  }

  made(node, depth, chosen, broken) {
    const locked = leavesOf(node).length > 0 && leavesOf(node).every((leaf) => leaf.locked), said = [node.blend !== 'normal' && words(node.blend), node.opacity < 1 && `${Math.round(node.opacity * 100)}%`].filter(Boolean).join(' · ');
    const eye = button(node.visible ? 'seen' : 'hidden', node.visible ? `Hide ${node.name}` : `Show ${node.name}`, 'eye', String(node.visible));
    const lock = button(locked ? 'locked' : 'open', locked ? `Unlock ${node.name}` : `Lock ${node.name}`, 'lock', String(locked));
    const row = el('.ol-row-layer', { 'data-id': node.id, role: 'option', 'aria-selected': String(chosen), tabindex: chosen ? '0' : '-1', 'aria-label': node.name },
      eye, isGroup(node) ? button(this.folded.has(node.id) ? 'folded' : 'unfolded', `${this.folded.has(node.id) ? 'Open' : 'Close'} ${node.name}`, 'fold', String(!this.folded.has(node.id))) : null,
      thumb(node, broken), el('span.ol-name', { title: `${node.name} · double-click to rename` }, node.name), said ? el('span.ol-said', {}, said) : null, lock);
    row.style.setProperty('--depth', depth);
    row.classList.toggle('is-hidden', !node.visible);
    row.classList.toggle('is-locked', locked);
    row.classList.toggle('is-group', isGroup(node));
    return row;
  }

  /** The node of what was touched, or null. */
  of(target) {
    const id = target.closest?.('.ol-row-layer')?.dataset.id;
    return id ? find(this.desk.stack, id) : null;
  }

  // ---- choosing and switching

  clicked(e) {
    const node = this.of(e.target), act = e.target.closest('[data-act]')?.dataset.act;
    if (this.dragged) return;
    if (!node) { if (e.target === this.element) this.desk.select([]); return; }
    if (act) { this.act(act, node, e); return; }
    if (e.target.closest('input')) return;
    this.choose(node.id, e);
  }

  choose(id, { shiftKey, ctrlKey, metaKey }) {
    const chosen = this.desk.selection;
    if (ctrlKey || metaKey) this.desk.select(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
    else if (shiftKey && this.anchor) this.desk.select(this.between(this.anchor, id));
    else this.desk.select([id]);
    if (!shiftKey) this.anchor = id;
  }

  between(a, b) {
    const ids = this.shown.map(({ node }) => node.id), [from, to] = [ids.indexOf(a), ids.indexOf(b)].sort((x, y) => x - y);
    return from < 0 ? [b] : ids.slice(from, to + 1);
  }

  act(act, node, e) {
    const ids = this.desk.selection.includes(node.id) ? this.desk.selection : [node.id];
    if (act === 'fold') { this.folded[this.folded.has(node.id) ? 'delete' : 'add'](node.id); this.later(); }
    if (act === 'eye' && e.altKey) this.alone(node);
    else if (act === 'eye') this.desk.change(node.visible ? 'Hide' : 'Show', (stack) => edit(stack, ids, { visible: !node.visible }));
    if (act === 'lock') {
      const locked = !leavesOf(node).every((leaf) => leaf.locked);
      this.desk.change(locked ? 'Lock' : 'Unlock', (stack) => editLeaves(stack, ids, { locked }));
    }
  }

  /** Only this one to be seen, or all again. */
  alone(node) {
    const { parent } = where(this.desk.stack, node.id), others = parent.layers.filter((one) => one !== node), hide = others.some((one) => one.visible);
    this.desk.change(hide ? 'Show only this' : 'Show all', (stack) => edit(edit(stack, others.map((one) => one.id), { visible: !hide }), [node.id], { visible: true }));
  }

  key(e) {
    const node = this.of(e.target);
    if (!node || e.target.tagName === 'INPUT' || e.ctrlKey || e.metaKey || e.altKey) return;
    const rows = this.shown.map(({ node: one }) => one.id), next = { ArrowUp: -1, ArrowDown: 1 }[e.key], at = rows[rows.indexOf(node.id) + (next ?? 0)];
    if (next && at) { this.choose(at, e); this.draw(); this.rows.get(at)?.element.focus(); }
    else if (e.key === 'Enter' || e.key === 'F2') this.renaming(e.target);
    else if (e.key === ' ' && e.target.classList.contains('ol-row-layer')) this.act('eye', node, e);
    else if (!next) return;
    e.preventDefault();
    e.stopPropagation();
  }

  renaming(target) {
    const node = this.of(target), row = node && this.rows.get(node.id).element, name = row?.querySelector('.ol-name');
    if (!name || target.closest('button')) return;
    const input = el('input.ol-rename', { value: node.name, maxlength: '200', 'aria-label': 'Name of the layer' });
    const end = (keep) => {
      if (!this.naming) return;
      this.naming = false;
      const wanted = input.value.trim();
      input.replaceWith(name);
      if (keep && wanted && wanted !== node.name) this.desk.change('Rename', (stack) => edit(stack, [node.id], { name: wanted }));
      this.later();
    };
    this.naming = true;
    input.addEventListener('blur', () => end(true));
    input.addEventListener('keydown', (e) => { e.stopPropagation(); if (e.key === 'Enter') end(true); if (e.key === 'Escape') end(false); });
    name.replaceWith(input);
    input.focus();
    input.select();
  }

  // ---- dragging

  down(e) {
    const node = this.of(e.target);
    if (!node || e.button || e.target.closest('button, input') || (e.pointerType === 'touch' && !e.target.closest('.ol-thumb'))) return;
    this.drag = { node, y: e.clientY, x: e.clientX, pointer: e.pointerId, going: false };
  }

  move(e) {
    const { drag } = this;
    if (!drag || e.pointerId !== drag.pointer) return;
    if (!drag.going) {
      if (Math.hypot(e.clientX - drag.x, e.clientY - drag.y) < START_PX) return;
      drag.going = true;
      this.element.setPointerCapture(e.pointerId);
      drag.ids = this.desk.selection.includes(drag.node.id) ? this.desk.selection : [drag.node.id];
      this.element.classList.add('is-dragging');
    }
    this.aim(e);
    this.scroll(e);
  }

  /** Where the dragged would go: drag.target = {into, at}, and the mark that shows it. */
  aim(e) {
    const { drag } = this, rows = this.shown, boxes = rows.map(({ node }) => this.rows.get(node.id).element.getBoundingClientRect());
    const own = this.element.getBoundingClientRect(), y = e.clientY;
    let i = boxes.findIndex((box) => y < box.bottom);
    if (i < 0) i = rows.length - 1;
    const { node, depth } = rows[i], box = boxes[i], part = (y - box.top) / box.height, moving = topmost(this.desk.stack, drag.ids);
    const inside = isGroup(node) && part > 0.28 && part < 0.72 && !moving.includes(node), below = part >= 0.5, place = where(this.desk.stack, node.id);
    const opened = isGroup(node) && below && !inside && !this.folded.has(node.id) && node.layers.length > 0;
    if (inside || opened) drag.target = { into: node.id, at: node.layers.length };
    else drag.target = { into: place.parent.id ?? '', at: place.index + (below ? 0 : 1) };
    this.mark.hidden = false;
    this.mark.classList.toggle('is-inside', inside);
    const top = (inside ? box.top : below ? box.bottom : box.top) - own.top + this.element.scrollTop;
    Object.assign(this.mark.style, { top: `${top}px`, left: `${INSET_PX * (depth + (opened ? 1 : 0))}px`, height: inside ? `${box.height}px` : '' });
  }

  scroll({ clientY }) {
    const { top, bottom } = this.element.getBoundingClientRect();
    if (clientY < top + EDGE_PX) this.element.scrollTop -= 10;
    if (clientY > bottom - EDGE_PX) this.element.scrollTop += 10;
  }

  up(e) {
    const { drag } = this;
    this.drag = null;
    this.mark.hidden = true;
    this.element.classList.remove('is-dragging');
    if (!drag?.going || e.type === 'pointercancel' || !drag.target) return;
    this.dragged = true;                                                    // the click that ends a drag chooses nothing
    setTimeout(() => { this.dragged = false; }, 0);
    this.desk.change('Reorder', (stack) => moveTo(stack, drag.ids, drag.target));
  }
}

const words = (blend) => blend.replace('-', ' ');

function button(what, label, act, pressed) {
  return el(`button.ol-icon.is-${what}`, { type: 'button', title: label, 'aria-label': label, 'data-act': act, 'aria-pressed': pressed, tabindex: '-1' }, icon(ICONS[what]));
}

/** A picture, or a sign for a group; a small sign tells words and drawings from pictures. */
function thumb(node, broken) {
  if (isGroup(node)) return el('span.ol-thumb.is-sign', {}, icon(ICONS.group));
  if (broken) return el('span.ol-thumb.is-broken', { title: 'Its picture is not in the library any more' }, '?');
  const kind = node.text ? icon(ICONS.text) : node.svg ? icon(ICONS.vector) : null;
  return el('span.ol-thumb', {}, el('img', { src: pictureURL(node.picture, 64), alt: '', draggable: false, loading: 'lazy' }), kind && el('span.ol-kind', {}, kind));
}
