// The tool that chooses layers and moves, scales and turns them; it snaps unless Alt is held, Shift keeps the ratio.
import { boundsOf, corners, flipped, inPicture, linesOf, middle, moved, pulled, scaledAbout, snapBox, snapPoint, turnedAbout } from './geometry.js';
import { editLeaves, isGroup, leavesOf, topmost, walk } from './stack.js';

const REACH_PX = 7, GRIP_PX = 9, TURN_PX = 26, START_PX = 3;
const SEAL = '#d24a31', GUIDE = '#e0359b';
const GRIPS = [[-1, -1], [0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0]];
const CURSORS = ['ns-resize', 'nesw-resize', 'ew-resize', 'nwse-resize'];

export class Select {
  constructor(desk) {
    Object.assign(this, { desk, drag: null, guides: [], hovered: null });
  }

  // ---- the chosen as a box

  /** The layers that would move: those of the selection that are not locked. */
  get leaves() { return this.desk.leaves(this.desk.shown).filter((layer) => !layer.locked); }

  /** {x, y, width, height, angle_deg} around what would move; turned when it is one layer. Null for none. */
  get box() {
    const leaves = this.leaves;
    if (leaves.length === 1) return leaves[0].place;
    const bounds = boundsOf(leaves.map((layer) => layer.place));
    if (!bounds) return null;
    const [x, y] = middle(bounds);
    return { x, y, width: bounds.right - bounds.left, height: bounds.bottom - bounds.top, angle_deg: 0, flip_x: false, flip_y: false };
  }

  /** What is under a point: {node: what a click chooses, layer}. deep: the layer itself, not its group. */
  hit(x, y, deep = false) {
    const look = (parent) => {
      for (const node of parent.layers.toReversed()) {
        if (!node.visible) continue;
        if (isGroup(node)) {
          const inner = look(node);
          if (inner) return { node: deep ? inner.node : node, layer: inner.layer };
        } else if (!node.locked && node.opacity > 0 && this.desk.images.opaqueAt(node.picture, ...inPicture(node.place, x, y))) return { node, layer: node };
      }
      return null;
    };
    return look(this.desk.stack);
  }

  /** The handle under a point: {i, j}, 'turn', or null. */
  grip(x, y) {
    const box = this.box, { zoom } = this.desk.view;
    if (!box) return null;
    const near = (px, py, reach) => Math.hypot(px - x, py - y) <= reach / zoom;
    for (const [i, j] of this.grips(box)) if (near(...at(box, i, j), GRIP_PX)) return { i, j };
    return near(...this.turner(box), GRIP_PX) ? 'turn' : null;
  }

  /** Small boxes have corners only, so that they can still be moved. */
  grips(box) {
    const { zoom } = this.desk.view;
    return GRIPS.filter(([i, j]) => (i && j) || (i ? box.height : box.width) * zoom > 48);
  }

  turner(box) {
    const [x, y] = at(box, 0, -1), [mx, my] = [box.x, box.y], length = Math.hypot(x - mx, y - my) || 1, out = TURN_PX / this.desk.view.zoom;
    return [x + (x - mx) / length * out, y + (y - my) / length * out];
  }

  // ---- the pointer

  pointer(kind, x, y, e) {
    const act = { down: () => this.down(x, y, e), move: () => this.move(x, y, e), up: () => this.up(), cancel: () => this.cancel(), hover: () => this.hover(x, y), double: () => this.double(x, y) };
    act[kind]?.();
  }

  down(x, y, e) {
    const grip = this.grip(x, y), begin = (how, more) => { this.drag = { how, from: [x, y], ...more }; };
    if (grip) { begin(grip === 'turn' ? 'turn' : 'pull', { grip, box: this.box, leaves: this.leaves }); return; }
    const hit = this.hit(x, y, e.ctrlKey || e.metaKey), chosen = this.desk.selection;
    const mine = hit && (chosen.includes(hit.node.id) || chosen.includes(hit.layer.id) || this.desk.leaves(this.desk.shown).some((leaf) => leaf.id === hit.layer.id));
    if (!hit) { begin('marquee', { kept: e.shiftKey ? chosen : [] }); return; }
    if (e.shiftKey) { this.desk.select(mine ? chosen.filter((id) => id !== hit.node.id && id !== hit.layer.id) : [...chosen, hit.node.id]); return; }
    if (!mine) this.desk.select([hit.node.id]);
    begin('move', { click: mine && chosen.length > 1 ? hit.node.id : null, leaves: this.leaves, box: boundsOf(this.leaves.map((leaf) => leaf.place)) });
  }

  move(x, y, e) {
    const { drag } = this, far = drag && Math.hypot(x - drag.from[0], y - drag.from[1]) * this.desk.view.zoom > START_PX;
    if (!drag || !(drag.going ||= far)) return;
    drag.lines ??= this.lines(drag.leaves ?? []);
    drag.to = [x, y];
    const go = { move: () => this.carry(drag, x, y, e), pull: () => this.pull(drag, x, y, e), turn: () => this.turn(drag, x, y, e), marquee: () => this.catch(drag, x, y) };
    go[drag.how]();
    this.desk.view.later();
  }

  up() {
    const { drag } = this;
    this.drag = null;
    this.guides = [];
    if (drag?.going && drag.label && drag.places) this.desk.change(drag.label, (stack) => placed(stack, drag.places));
    else this.desk.preview(null);
    if (drag && !drag.going && drag.how === 'marquee' && !drag.kept.length) this.desk.select([]);
    if (drag && !drag.going && drag.click) this.desk.select([drag.click]);
    this.desk.view.later();
  }

  cancel() {
    this.drag = null;
    this.guides = [];
    this.desk.preview(null);
    this.desk.view.later();
  }

  /** A double click goes into a group, down to the layer. */
  double(x, y) {
    const hit = this.hit(x, y, true);
    if (hit) this.desk.select([hit.layer.id]);
  }

  hover(x, y) {
    const grip = this.grip(x, y), hit = grip ? null : this.hit(x, y), before = this.hovered;
    this.hovered = hit?.node.id ?? null;
    this.desk.cursor(grip === 'turn' ? 'grab' : grip ? this.pullCursor(grip) : hit ? 'move' : 'default');
    if (before !== this.hovered) this.desk.view.later();
  }

  pullCursor({ i, j }) {
    const angle = Math.atan2(j, i) * 180 / Math.PI + (this.box?.angle_deg ?? 0);
    return CURSORS[((Math.round(angle / 45) + 2) % 4 + 4) % 4];
  }

  // ---- what a drag does

  lines(leaves) {
    const own = new Set(leaves.map((leaf) => leaf.id)), boxes = [];
    for (const { node } of walk(this.desk.stack)) if (!isGroup(node) && node.visible && !own.has(node.id)) boxes.push(boundsOf([node.place]));
    return linesOf(this.desk.stack.extent, boxes);
  }

  reach(e) { return e.altKey ? -1 : REACH_PX / this.desk.view.zoom; }

  show(drag, label, change) {
    drag.label = label;
    drag.places = new Map(drag.leaves.map((leaf) => [leaf.id, change(leaf.place)]));
    this.desk.preview(placed(this.desk.stack, drag.places));
  }

  carry(drag, x, y, e) {
    if (!drag.box) return;
    let [dx, dy] = [x - drag.from[0], y - drag.from[1]];
    if (e.shiftKey) [dx, dy] = Math.abs(dx) > Math.abs(dy) ? [dx, 0] : [0, dy];
    const { left, top, right, bottom } = drag.box, snap = snapBox({ left: left + dx, top: top + dy, right: right + dx, bottom: bottom + dy }, drag.lines, this.reach(e));
    if (!snap.dx && !e.altKey) dx = Math.round(left + dx) - left;
    if (!snap.dy && !e.altKey) dy = Math.round(top + dy) - top;
    this.guides = snap.guides;
    this.show(drag, 'Move', (place) => moved(place, dx + snap.dx, dy + snap.dy));
  }

  pull(drag, x, y, e) {
    const { grip: { i, j }, box, leaves } = drag, many = leaves.length > 1, upright = box.angle_deg % 90 === 0, across = box.angle_deg % 180 !== 0;
    const snap = upright ? snapPoint([x, y], drag.lines, this.reach(e), across ? j : i, across ? i : j) : { point: [x, y], guides: [] };
    const ratio = many || e.shiftKey || leaves[0].text ? box.width / box.height : 0, next = pulled(box, [i, j], snap.point, ratio);
    this.guides = ratio ? [] : snap.guides;
    if (!many) { this.show(drag, 'Scale', () => next); return; }
    const k = next.width / box.width, fixed = at(box, -i, -j);
    this.show(drag, 'Scale', (place) => scaledAbout(place, fixed, k));
  }

  turn(drag, x, y, e) {
    const { box } = drag, angle = ([px, py]) => Math.atan2(py - box.y, px - box.x) * 180 / Math.PI;
    let by = angle([x, y]) - angle(drag.from);
    const whole = box.angle_deg + by, step = e.shiftKey ? 15 : 90, near = Math.round(whole / step) * step;
    if (e.shiftKey || (!e.altKey && Math.abs(near - whole) < 2.5)) by = near - box.angle_deg;
    drag.said = Math.round(((box.angle_deg + by) % 360 + 540) % 360 - 180);
    this.show(drag, 'Turn', (place) => turnedAbout(place, [box.x, box.y], by));
  }

  catch(drag, x, y) {
    const [left, right] = [drag.from[0], x].sort((a, b) => a - b), [top, bottom] = [drag.from[1], y].sort((a, b) => a - b);
    const caught = this.desk.stack.layers.filter((node) => node.visible && leavesOf(node).some((leaf) => !leaf.locked && meets(boundsOf([leaf.place]), { left, top, right, bottom })));
    this.desk.select([...new Set([...drag.kept, ...caught.map((node) => node.id)])]);
  }

  // ---- what buttons and keys do

  shift(dx, dy) { if (this.leaves.length) this.desk.change('Move', (stack) => editLeaves(stack, this.leaves.map((leaf) => leaf.id), (leaf) => ({ place: moved(leaf.place, dx, dy) })), { key: 'nudge' }); }

  flip(across) {
    const { box } = this;
    if (box) this.desk.change('Flip', (stack) => editLeaves(stack, this.leaves.map((leaf) => leaf.id), (leaf) => ({ place: flipped(leaf.place, [box.x, box.y], across) })));
  }

  /** Nodes of the selection moved by [dx, dy] each: align and distribute. */
  shiftEach(label, shifts) {
    const nodes = topmost(this.desk.stack, this.desk.selection);
    this.desk.change(label, (stack) => nodes.reduce((now, node, n) => editLeaves(now, [node.id], (leaf) => (leaf.locked ? {} : { place: moved(leaf.place, ...shifts[n]) })), stack));
  }

  // ---- what is drawn over the stage

  overlay(ink, { zoom }) {
    const px = 1 / zoom, hovered = this.drag ? null : this.hovered && !this.desk.selection.includes(this.hovered) && this.desk.node(this.hovered);
    if (this.desk.view.ghost) drawGhost(ink, this.desk.view.ghost.place, px);
    if (hovered) for (const leaf of leavesOf(hovered)) outline(ink, leaf.place, 1.5 * px, SEAL, 0.55);
    if (this.desk.selection.length && !(this.drag?.how === 'move' && this.drag.going)) this.drawBox(ink, px);
    if (this.drag?.how === 'marquee' && this.drag.to) drawMarquee(ink, this.drag, px);
    for (const guide of this.guides) drawGuide(ink, guide, this.desk.stack.extent, px);
    if (this.drag?.how === 'turn' && this.drag.going) label(ink, `${this.drag.said}°`, this.drag.to, px);
  }

  drawBox(ink, px) {
    const leaves = this.desk.leaves(this.desk.shown), box = this.box;
    if (leaves.length > 1) for (const leaf of leaves) outline(ink, leaf.place, px, SEAL, leaves.length > 40 ? 0.3 : 0.5);
    for (const leaf of leaves) if (leaf.locked) outline(ink, leaf.place, 1.5 * px, '#8b857c', 0.9);
    if (!box) return;
    outline(ink, box, 1.5 * px, SEAL, 1);
    if (this.desk.held) return;
    const turner = this.turner(box);
    line(ink, at(box, 0, -1), turner, 1.5 * px);
    dot(ink, turner, 5 * px, px, true);
    for (const [i, j] of this.grips(box)) dot(ink, at(box, i, j), 4.5 * px, px);
  }
}

const placed = (stack, places) => editLeaves(stack, [...places.keys()], (leaf) => ({ place: places.get(leaf.id) ?? leaf.place }));
const meets = (a, b) => a.right > b.left && a.left < b.right && a.bottom > b.top && a.top < b.bottom;

/** The point of a box at (i, j) in -1, 0, 1. */
function at(box, i, j) {
  const [a, b, , d] = corners(box), u = (i + 1) / 2, v = (j + 1) / 2;
  return [a[0] + u * (b[0] - a[0]) + v * (d[0] - a[0]), a[1] + u * (b[1] - a[1]) + v * (d[1] - a[1])];
}

function outline(ink, place, width, color, alpha) {
  ink.globalAlpha = alpha;
  ink.strokeStyle = color;
  ink.lineWidth = width;
  ink.beginPath();
  corners(place).forEach(([x, y], n) => (n ? ink.lineTo(x, y) : ink.moveTo(x, y)));
  ink.closePath();
  ink.stroke();
  ink.globalAlpha = 1;
}

/** What is not yet taken has a broken frame. */
function drawGhost(ink, place, px) {
  ink.setLineDash([6 * px, 4 * px]);
  outline(ink, place, 1.5 * px, SEAL, 0.8);
  ink.setLineDash([]);
}

function line(ink, from, to, width) {
  ink.strokeStyle = SEAL;
  ink.lineWidth = width;
  ink.beginPath();
  ink.moveTo(...from);
  ink.lineTo(...to);
  ink.stroke();
}

function dot(ink, [x, y], radius, px, round = false) {
  ink.fillStyle = '#ffffff';
  ink.strokeStyle = SEAL;
  ink.lineWidth = 1.5 * px;
  ink.beginPath();
  if (round) ink.arc(x, y, radius, 0, 7);
  else ink.roundRect(x - radius, y - radius, 2 * radius, 2 * radius, 2 * px);
  ink.fill();
  ink.stroke();
}

function drawGuide(ink, { x, y }, { width, height }, px) {
  const far = 1e5 * px;
  ink.strokeStyle = GUIDE;
  ink.lineWidth = px;
  ink.beginPath();
  if (x === undefined) { ink.moveTo(-far, y); ink.lineTo(width + far, y); } else { ink.moveTo(x, -far); ink.lineTo(x, height + far); }
  ink.stroke();
}

function drawMarquee(ink, { from: [x, y], to: [tx, ty] }, px) {
  ink.fillStyle = 'rgba(210, 74, 49, .08)';
  ink.strokeStyle = SEAL;
  ink.lineWidth = px;
  ink.fillRect(x, y, tx - x, ty - y);
  ink.strokeRect(x, y, tx - x, ty - y);
}

function label(ink, words, [x, y], px) {
  ink.font = `600 ${12 * px}px ui-sans-serif, system-ui, sans-serif`;
  const width = ink.measureText(words).width + 12 * px;
  ink.fillStyle = '#1d1b1a';
  ink.beginPath();
  ink.roundRect(x + 14 * px, y - 26 * px, width, 20 * px, 5 * px);
  ink.fill();
  ink.fillStyle = '#ffffff';
  ink.fillText(words, x + 20 * px, y - 12 * px);
}
