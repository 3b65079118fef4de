// Pictures from outside: file, clipboard, drag and drop. Every failure is a sentence.
import { PAPER, SIDE } from './paper.js';

const MAX_BYTES = 64 * 2 ** 20;
const MAX_PIXELS = 100e6;

/** Width and height from the first bytes of a PNG, JPEG, GIF or WebP, without decoding it; null when unknown. */
export async function declaredSize(file) {
  const v = new DataView(await file.slice(0, 512 * 1024).arrayBuffer());
  if (v.byteLength < 30) return null;
  if (v.getUint32(0) === 0x89504e47) return [v.getUint32(16), v.getUint32(20)];
  if (v.getUint32(0) === 0x47494638) return [v.getUint16(6, true), v.getUint16(8, true)];
  if (v.getUint32(8) === 0x57454250 && v.getUint32(12) === 0x56503858) return [24, 27].map((i) => 1 + (v.getUint32(i, true) & 0xffffff));
  return v.getUint16(0) === 0xffd8 ? jpegSize(v) : null;
}

function jpegSize(v) {
  for (let at = 2; at + 9 < v.byteLength && v.getUint8(at) === 0xff;) {
    const marker = v.getUint8(at + 1);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return [v.getUint16(at + 7), v.getUint16(at + 5)];
    at += 2 + v.getUint16(at + 2);
  }
  return null;
}

/** A decoded picture no larger than it needs to be, or an Error whose message is for people. */
export async function readPicture(file) {
  if (file.size > MAX_BYTES) throw new Error(`“${file.name}” has ${(file.size / 2 ** 20).toFixed(0)} MB; up to ${MAX_BYTES / 2 ** 20} MB can be loaded.`);
  const size = await declaredSize(file);
  if (size && size[0] * size[1] > MAX_PIXELS) {
    throw new Error(`“${file.name}” is ${size[0].toLocaleString('en')} × ${size[1].toLocaleString('en')} pixels; up to ${MAX_PIXELS / 1e6} megapixels can be loaded. Make it smaller and try again.`);
  }
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`“${file.name || 'That'}” cannot be read as a picture. It may be damaged, or of a kind this browser does not know; try PNG or JPEG.`);
  }
}

/** Draw a bitmap onto white paper, whole and centred, as large as fits. */
export function place(ink, bitmap) {
  const scale = Math.min(SIDE / bitmap.width, SIDE / bitmap.height), w = bitmap.width * scale, h = bitmap.height * scale;
  ink.fillStyle = PAPER;
  ink.fillRect(0, 0, SIDE, SIDE);
  ink.imageSmoothingQuality = 'high';
  ink.drawImage(bitmap, (SIDE - w) / 2, (SIDE - h) / 2, w, h);
}

/** The first picture among dropped or pasted things, or null. */
export const pictureIn = (transfer) => [...(transfer?.files ?? [])].find((file) => file.type.startsWith('image/')) ?? transfer?.files?.[0] ?? null;
