// The tool that edits the paths of one layer on the stage: nodes and handles are dragged, a double click adds a node or takes one away.
import { insertNode, mapping, moveHandle, moveNode, nearest, parse, pathData, removeNode, write } from './paths.js';

const REACH_PX = 9, TWICE_MS = 400;

export class Nodes {
  /** desk; changed(): what is chosen has changed; ended(): the tool was let go. */
  constructor(desk, { changed, ended }) {
    Object.assign(this, { desk, changed, ended, drawing: null, layer: null, chosen: null, held: null, sending: Promise.resolve(), waiting: 0, pressed: null });
    desk.on('stack', () => this.follow());
  }

  /** Begin to edit a layer. Resolves to whether it can be edited. */
  async begin(layer) {
    const drawing = parse(layer.svg) ?? parse((await this.desk.run('vector', { layer: layer.id, plain: true }, { apply: false }))?.layers[0].svg ?? '');
    if (!drawing) return false;
    Object.assign(this, { layer: layer.id, seen: layer.svg, drawing, chosen: null, held: null });
    this.release = this.desk.tool({ cursor: 'default', pointer: (...given) => this.pointer(...given), overlay: (ink, view) => this.overlay(ink, view), released: () => this.end() });
    this.changed();
    return true;
  }

  end() {
    Object.assign(this, { layer: null, drawing: null, chosen: null, held: null });
    this.ended();
  }

  get node() { return this.layer && this.desk.node(this.layer); }

  /** The sheet on the canvas. */
  get map() { return mapping(this.drawing.box, this.node.place); }

  /** Undo, or another hand, changed the drawing. */
  follow() {
    if (!this.layer || this.waiting || this.held) return;
    const now = this.node;
    if (!now?.svg) { this.release(); return; }
    if (now.svg === this.seen) return;
    const drawing = parse(now.svg);
    if (!drawing) { this.release(); return; }
    Object.assign(this, { drawing, seen: now.svg, chosen: null });
    this.changed();
  }

  points() { return this.drawing.shapes.flatMap((shape) => shape.subs.flatMap((sub) => sub.nodes.map((node) => ({ shape, sub, node })))); }

  /** What lies under a point of the canvas: a handle of the chosen node, or a node. */
  under(x, y) {
    const { to } = this.map, reach = REACH_PX / this.desk.view.zoom, near = (p) => { const q = to(p); return Math.hypot(q.x - x, q.y - y) <= reach; };
    const chosen = this.chosen, handle = chosen && ['out', 'in'].find((which) => chosen.node[which] && near(chosen.node[which]));
    if (handle) return { ...chosen, handle };
    return this.points().findLast(({ node }) => near(node)) ?? null;
  }

  pointer(kind, x, y, event) {
    if (!this.drawing || !this.node) return;
    if (kind === 'down') this.down(x, y, event);
    else if (kind === 'move' && this.held) this.drag(x, y);
    else if (kind === 'up' && this.held) { const { moved } = this.held; this.held = null; if (moved) this.send('Move a node'); }
  }

  down(x, y, event) {
    const hit = this.under(x, y), last = this.pressed, reach = REACH_PX / this.desk.view.zoom;
    const twice = last && event.timeStamp - last.at < TWICE_MS && Math.hypot(x - last.x, y - last.y) <= reach;
    this.pressed = twice ? null : { at: event.timeStamp, x, y };                     // a third press begins anew
    if (twice && hit && !hit.handle) { this.remove(hit.node); return; }
    if (twice && !hit) { this.add(x, y); return; }
    this.held = hit && { ...hit, moved: false };
    this.chosen = hit && { shape: hit.shape, sub: hit.sub, node: hit.node };
    this.changed();
  }

  drag(x, y) {
    const { node, handle } = this.held, p = this.map.from({ x, y });
    this.held.moved = true;
    if (handle) moveHandle(node, handle, p.x, p.y); else moveNode(node, p.x, p.y);
  }

  add(x, y) {
    const place = nearest(this.drawing, { x, y }, this.map.to);
    if (place.far > 2 * REACH_PX / this.desk.view.zoom) return;
    const node = insertNode(place.sub, place.index, place.t);
    this.chosen = { shape: this.drawing.shapes[place.shape], sub: place.sub, node };
    this.send('Add a node');
  }

  remove(node = this.chosen?.node) {
    if (!node) return;
    if (this.points().length <= 2) { this.desk.note('The last nodes stay. Delete the layer instead.'); return; }
    removeNode(this.drawing, node);
    this.chosen = null;
    this.send('Remove a node');
  }

  /** Straight sides get handles, curves lose them. */
  bend() {
    const { sub, node } = this.chosen ?? {};
    if (!node) return;
    if (node.in || node.out) [node.in, node.out] = [null, null];
    else {
      const i = sub.nodes.indexOf(node), before = sub.nodes[i - 1] ?? (sub.closed ? sub.nodes.at(-1) : node), after = sub.nodes[i + 1] ?? (sub.closed ? sub.nodes[0] : node), [dx, dy] = [(after.x - before.x) / 6, (after.y - before.y) / 6];
      [node.in, node.out] = [{ x: node.x - dx, y: node.y - dy }, { x: node.x + dx, y: node.y + dy }];
    }
    this.send('Bend a node');
  }

  /** Paint of the chosen node's shape, or of all. */
  paint(values, label) {
    for (const shape of this.chosen ? [this.chosen.shape] : this.drawing.shapes) {
      for (const [name, value] of Object.entries(values)) {
        const line = shape.paint.stroke && shape.paint.stroke !== 'none';
        if (name === 'colour') shape.paint[line ? 'stroke' : 'fill'] = value;
        else if (line) shape.paint['stroke-width'] = String(value);
      }
    }
    this.send(label);
  }

  /** The drawing as it is now, drawn by the studio: one undo step. Edits made meanwhile wait their turn. */
  send(label) {
    const svg = write(this.drawing), layer = this.layer;
    this.seen = svg;
    this.waiting += 1;
    this.changed();
    this.desk.view.later();
    this.sending = this.sending.then(() => this.desk.run('vector', { layer, svg }, { label })).then((outcome) => {
      this.waiting -= 1;
      if (!this.waiting) { this.seen = outcome ? this.node?.svg ?? '' : ''; this.follow(); }
    });
  }

  overlay(ink, view) {
    if (!this.drawing || !this.node) return;
    const { to } = this.map, px = 1 / view.zoom;
    ink.save();
    ink.lineWidth = 1.2 * px;
    ink.strokeStyle = '#2f7bff';
    for (const shape of this.drawing.shapes) ink.stroke(new Path2D(pathData(shape, to)));
    const chosen = this.chosen?.node;
    for (const which of ['in', 'out']) if (chosen?.[which]) this.handle(ink, to(chosen), to(chosen[which]), px);
    for (const { node } of this.points()) {
      const { x, y } = to(node), half = (node === chosen ? 4.5 : 3.5) * px;
      ink.fillStyle = node === chosen ? '#2f7bff' : '#fff';
      ink.beginPath();
      ink.rect(x - half, y - half, 2 * half, 2 * half);
      ink.fill();
      ink.stroke();
    }
    ink.restore();
  }

  handle(ink, from, to, px) {
    ink.beginPath();
    ink.moveTo(from.x, from.y);
    ink.lineTo(to.x, to.y);
    ink.stroke();
    ink.beginPath();
    ink.arc(to.x, to.y, 4 * px, 0, 7);
    ink.fillStyle = '#fff';
    ink.fill();
    ink.stroke();
  }
}
