// The pictures of layers as bitmaps, no larger than they are drawn; each size of each picture is fetched once.
const SIDES = [64, 128, 256, 512, 1024, 2048, 4096];
const KEPT_BYTES = 384 * 2 ** 20;
const RETRY_MS = [500, 2000, 8000];
const SEEN_SIDE = 96;

export class Images {
  /** address(id, side or undefined): where a picture is; changed(id): a bitmap has come or failed for good. */
  constructor(address, changed) {
    Object.assign(this, { address, changed });
    this.known = new Map();                                                 // id -> {levels: Map(side -> bitmap), whole, asked: Map, broken, seen, at}
    this.clock = 0;
  }

  entry(id) {
    if (!this.known.has(id)) this.known.set(id, { levels: new Map(), whole: 0, asked: new Map(), broken: false, seen: null, at: 0 });
    const entry = this.known.get(id);
    entry.at = ++this.clock;
    return entry;
  }

  /** The best bitmap there is for a drawn size in device px, or null; a better one is asked for when it is worth it. exact: the whole picture. */
  get(id, px, exact = false) {
    const entry = this.entry(id), side = exact ? Infinity : SIDES.find((s) => s >= px) ?? Infinity;
    if (entry.broken) return null;
    const enough = [...entry.levels.keys()].filter((s) => s >= side || s === entry.whole).sort((a, b) => a - b)[0];
    if (enough !== undefined) return entry.levels.get(enough);
    this.fetch(id, side, entry).catch(() => {});
    const best = Math.max(...entry.levels.keys());
    return entry.levels.get(best) ?? null;
  }

  isBroken(id) { return this.known.get(id)?.broken ?? false; }

  /** The whole picture, awaited. Rejects when it cannot be had. */
  async whole(id) {
    const entry = this.entry(id);
    return entry.whole && entry.levels.has(entry.whole) ? entry.levels.get(entry.whole) : this.fetch(id, Infinity, entry);
  }

  fetch(id, side, entry) {
    if (!entry.asked.has(side)) {
      entry.asked.set(side, this.load(id, side, entry).finally(() => entry.asked.delete(side)));
    }
    return entry.asked.get(side);
  }

  async load(id, side, entry) {
    for (let turn = 0; ; turn++) {
      try {
        const answer = await fetch(this.address(id, side === Infinity ? undefined : side));
        if (answer.status === 404) throw Object.assign(new Error('This picture is not in the library any more.'), { gone: true });
        if (!answer.ok) throw new Error('The picture did not come.');
        const blob = await answer.blob(), bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none' });
        return this.take(id, side, entry, bitmap, blob.type === 'image/png');
      } catch (error) {
        if (error.gone || turn >= RETRY_MS.length) { entry.broken = !entry.levels.size; this.changed(id); throw error; }
        await new Promise((done) => setTimeout(done, RETRY_MS[turn]));
      }
    }
  }

  /** Of the sizes of a picture only whole ones are PNG. */
  take(id, side, entry, bitmap, whole) {
    const key = whole ? Math.max(bitmap.width, bitmap.height) : side;
    if (whole) entry.whole = key;
    entry.levels.set(key, bitmap);
    this.evict(id);
    this.changed(id);
    return bitmap;
  }

  /** A bitmap that the page has already, so that it need not be fetched. */
  give(id, bitmap) { this.take(id, Infinity, this.entry(id), bitmap, true); }

  evict(newest) {
    const bytes = (entry) => [...entry.levels.values()].reduce((sum, { width, height }) => sum + 4 * width * height, 0);
    let sum = [...this.known.values()].reduce((all, entry) => all + bytes(entry), 0);
    for (const [id, entry] of [...this.known].sort(([, a], [, b]) => a.at - b.at)) {
      if (sum <= KEPT_BYTES) return;
      if (id === newest) continue;
      sum -= bytes(entry);
      entry.levels.clear();
      entry.whole = 0;
    }
  }

  /** Whether a picture is seen at (u, v) in 0..1; unknown pictures are. */
  opaqueAt(id, u, v) {
    if (u < 0 || v < 0 || u >= 1 || v >= 1) return false;
    const entry = this.entry(id), bitmap = entry.levels.values().next().value;
    if (!bitmap) return true;
    entry.seen ??= alphaOf(bitmap);
    return entry.seen.alpha[Math.floor(v * entry.seen.height) * entry.seen.width + Math.floor(u * entry.seen.width)] > 12;
  }
}

/** The alpha of a bitmap, small, each value the most of its surroundings, so that thin things can be hit. */
function alphaOf(bitmap) {
  const k = Math.min(1, SEEN_SIDE / Math.max(bitmap.width, bitmap.height)), width = Math.max(1, Math.round(bitmap.width * k)), height = Math.max(1, Math.round(bitmap.height * k));
  const ink = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  ink.imageSmoothingQuality = 'high';
  ink.drawImage(bitmap, 0, 0, width, height);
  const data = ink.getImageData(0, 0, width, height).data, alpha = new Uint8Array(width * height);
  for (let i = 0; i < alpha.length; i++) alpha[i] = data[4 * i + 3];
  return { width, height, alpha };
}
