// A stack drawn with canvas 2D. The names of blend modes are the same as in CSS and in models/layers/compose.py, but for two.
import { boundsOf, unitMatrix } from './geometry.js';
import { isGroup, leavesOf } from './stack.js';

const OPERATIONS = { normal: 'source-over', 'plus-lighter': 'lighter' };
const sheets = [];

/** An empty sheet of a canvas's size; one for each depth of groups, used again and again. */
function sheet(depth, { width, height }) {
  sheets[depth] ??= new OffscreenCanvas(width, height).getContext('2d');
  const ink = sheets[depth], { canvas } = ink;
  ink.setTransform(1, 0, 0, 1, 0, 0);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  else ink.clearRect(0, 0, width, height);
  return ink;
}

/**
 * Draw nodes, bottom to top, onto what is in `ink`.
 * view: {zoom, x, y} canvas px -> device px; image(layer, px): what to draw, or null; region: what of the canvas is in sight, or null for all.
 */
export function draw(ink, nodes, view, image, region = null, depth = 0) {
  for (const node of nodes) {
    if (!node.visible || node.opacity === 0 || !inSight(node, region)) continue;
    ink.globalAlpha = node.opacity;
    ink.globalCompositeOperation = OPERATIONS[node.blend] ?? node.blend;
    if (isGroup(node)) {
      if (!node.layers.length) continue;
      const own = sheet(depth, ink.canvas);
      draw(own, node.layers, view, image, region, depth + 1);
      ink.setTransform(1, 0, 0, 1, 0, 0);
      ink.drawImage(own.canvas, 0, 0);
    } else drawLayer(ink, node, view, image);
  }
  ink.globalAlpha = 1;
  ink.globalCompositeOperation = 'source-over';
}

function drawLayer(ink, layer, view, image) {
  const bitmap = image(layer, Math.max(layer.place.width, layer.place.height) * view.zoom);
  if (bitmap) drawPlaced(ink, bitmap, layer.place, view);
}

/** Anything drawable at a place. */
export function drawPlaced(ink, source, place, { zoom, x, y }) {
  const [a, b, c, d, e, f] = unitMatrix(place).map((value) => value * zoom), { width, height } = source;
  ink.setTransform(a / width, b / width, c / height, d / height, e + x, f + y);
  ink.imageSmoothingEnabled = true;
  ink.imageSmoothingQuality = 'high';
  ink.drawImage(source, 0, 0);
}

function inSight(node, region) {
  if (!region || isGroup(node)) return true;
  const box = boundsOf([node.place]);
  return box.right > region.left && box.left < region.right && box.bottom > region.top && box.top < region.bottom;
}

/** The whole stack as an OffscreenCanvas, `scale` canvas px each, from whole pictures. Rejects when one of them cannot be had. */
export async function flattened(stack, images, scale = 1, nodes = stack.layers) {
  const leaves = nodes.flatMap(leavesOf).filter((layer) => layer.visible), bitmaps = new Map();
  for (const { picture } of leaves) if (!bitmaps.has(picture)) bitmaps.set(picture, await images.whole(picture));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(stack.extent.width * scale)), Math.max(1, Math.round(stack.extent.height * scale)));
  draw(canvas.getContext('2d'), nodes, { zoom: scale, x: 0, y: 0 }, (layer) => bitmaps.get(layer.picture));
  return canvas;
}
