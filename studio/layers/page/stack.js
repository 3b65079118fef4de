// A stack of layers as plain frozen values, as models/layers/stack.py writes it: {extent, layers}, bottom to top; a group has layers.
// Every function returns a new stack; what did not change stays the same object.

export const MOST = 500, DEEPEST = 8;
export const isGroup = (node) => Array.isArray(node.layers);
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(6)), (v) => v.toString(16).padStart(2, '0')).join('');
export const empty = (width, height) => freeze({ extent: { width, height }, layers: [] });

export const layerOf = (given) => ({ id: newId(), name: 'Layer', opacity: 1, blend: 'normal', visible: true, locked: false, source: {}, text: null, svg: '', ...given, place: placeOf(given.place) });

export const placeOf = (given) => ({ angle_deg: 0, flip_x: false, flip_y: false, ...given });

export const groupOf = (name, layers) => ({ id: newId(), name, layers, opacity: 1, blend: 'normal', visible: true });

export function freeze(value) {
  if (value && typeof value === 'object' && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}

/** Every node, bottom to top, a group before what is in it: {node, parent, index, depth}. */
export function* walk(parent, depth = 0) {
  for (const [index, node] of parent.layers.entries()) {
    yield { node, parent, index, depth };
    if (isGroup(node)) yield* walk(node, depth + 1);
  }
}

export const nodesOf = (stack) => [...walk(stack)].map(({ node }) => node);

/** The layers in a node (itself, when it is one), bottom to top. */
export const leavesOf = (node) => (isGroup(node) ? node.layers.flatMap(leavesOf) : [node]);

export const find = (stack, id) => where(stack, id)?.node ?? null;

/** {node, parent, index, depth} of an id, or null. */
export function where(stack, id) {
  for (const place of walk(stack)) if (place.node.id === id) return place;
  return null;
}

/** change(node) -> itself, another node, or a list of nodes ([] = without it). What is in a node it answered anew is not asked for. */
export function mapped(parent, change) {
  const layers = parent.layers.flatMap((node) => {
    const new_ = change(node);
    return new_ === node && isGroup(node) ? [mapped(node, change)] : new_;
  });
  const same = layers.length === parent.layers.length && layers.every((node, i) => node === parent.layers[i]);
  return same ? parent : { ...parent, layers };
}

/** The nodes of these ids with some fields changed; change: values, or node -> values. */
export const edit = (stack, ids, change) => mapped(stack, (node) => (ids.includes(node.id) ? { ...node, ...(typeof change === 'function' ? change(node) : change) } : node));

/** The layers of these ids, and those in groups of these ids, changed. */
export function editLeaves(stack, ids, change) {
  const wanted = new Set(ids.flatMap((id) => { const node = find(stack, id); return node ? leavesOf(node).map((leaf) => leaf.id) : []; }));
  return edit(stack, [...wanted], change);
}

export const remove = (stack, ids) => mapped(stack, (node) => (ids.includes(node.id) ? [] : node));

/** nodes into a group ('' = the stack itself) so that the first gets index `at`; at undefined = on top. */
export function insert(stack, nodes, { into = '', at } = {}) {
  const put = (parent) => ({ ...parent, layers: [...parent.layers.slice(0, at ?? parent.layers.length), ...nodes, ...parent.layers.slice(at ?? parent.layers.length)] });
  return into ? mapped(stack, (node) => (node.id === into ? put(node) : node)) : put(stack);
}

/** Of these ids those that lie in no other of them, bottom to top, as nodes. */
export function topmost(stack, ids) {
  const out = [], look = (parent) => parent.layers.forEach((node) => { if (ids.includes(node.id)) out.push(node); else if (isGroup(node)) look(node); });
  look(stack);
  return out;
}

/** The place just above a node: {into, at}. */
export function above(stack, id) {
  const place = where(stack, id);
  return place ? { into: place.parent.id ?? '', at: place.index + 1 } : {};
}

/** Nodes to another place, which is meant in the stack as it is now. A group does not go into itself. */
export function moveTo(stack, ids, { into = '', at }) {
  const nodes = topmost(stack, ids);
  if (into && nodes.some((node) => node.id === into || (isGroup(node) && where(node, into)))) return stack;
  const target = into ? find(stack, into) : stack, gone = nodes.filter((node) => { const i = target.layers.indexOf(node); return i >= 0 && i < at; }).length;
  return insert(remove(stack, nodes.map((node) => node.id)), nodes, { into, at: at - gone });
}

/** One step (or all the way) up or down among their neighbours. */
export function reorder(stack, ids, way) {
  const nodes = topmost(stack, ids), ordered = way === 'up' || way === 'bottom' ? nodes.toReversed() : nodes;
  return ordered.reduce((now, { id }) => {
    const { parent, index } = where(now, id), last = parent.layers.length - 1;
    const wish = { up: index + 1, down: index - 1, top: last, bottom: 0 }[way], at = Math.max(0, Math.min(last, wish));
    const blocked = ids.includes(parent.layers[at].id) && at !== index;
    return at === index || (blocked && (way === 'up' || way === 'down')) ? now : insert(remove(now, [id]), [parent.layers[index]], { into: parent.id ?? '', at });
  }, stack);
}

/** These nodes in one new group, where the topmost of them was. Returns [stack, group] or null. */
export function grouped(stack, ids, name) {
  const nodes = topmost(stack, ids);
  if (!nodes.length) return null;
  const top = where(stack, nodes.at(-1).id), group = groupOf(name, nodes), into = top.parent.id ?? '';
  const before = top.parent.layers.slice(0, top.index + 1).filter((node) => !ids.includes(node.id)).length;
  return [insert(remove(stack, nodes.map((node) => node.id)), [group], { into, at: before }), group];
}

/** Groups of these ids taken apart. */
export const ungrouped = (stack, ids) => mapped(stack, (node) => (ids.includes(node.id) && isGroup(node) ? node.layers : node));

/** A node again, with ids of its own. */
export const copyOf = (node, name = node.name) => ({ ...node, id: newId(), name, ...(isGroup(node) && { layers: node.layers.map((inner) => copyOf(inner)) }) });

export const freeName = (stack, name) => {
  const taken = new Set(nodesOf(stack).map((node) => node.name)), stem = name.replace(/ \d+$/, '');
  if (!taken.has(name)) return name;
  for (let n = 2; ; n++) if (!taken.has(`${stem} ${n}`)) return `${stem} ${n}`;
};

/** A sentence when a stack is more than can be kept, or ''. */
export function tooMuch(stack) {
  const all = [...walk(stack)], deep = Math.max(0, ...all.map(({ node, depth }) => (isGroup(node) ? depth + 1 : 0)));
  if (all.length > MOST) return `A document holds ${MOST} layers and groups at most; this would be ${all.length}.`;
  return deep > DEEPEST ? `Groups can lie ${DEEPEST} deep at most.` : '';
}
