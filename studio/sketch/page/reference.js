// The picture to look at: dropped, pasted, loaded or found. It goes to the server as pixels and stays over a reload.
import { SIDE } from '../../live/page/paper.js';
import { pictureIn, readPicture } from '../../live/page/pictures.js';

const MARK = 0xffffffff;

export class Reference {
  /** on: {change(), error(text)}; change: the picture is another one now, or none. */
  constructor(element, on) {
    Object.assign(this, { element, on, canvas: element.querySelector('canvas'), file: element.querySelector('input'), slot: element.querySelector('.os-ref-slot') });
    this.show(null);
    const act = (name, go) => element.querySelector(`[data-ref=${name}]`)?.addEventListener('click', go);
    this.slot.addEventListener('click', () => this.file.click());
    act('clear', () => this.set(null));
    this.file.addEventListener('change', () => { this.read(this.file.files[0]); this.file.value = ''; });
    element.addEventListener('paste', (e) => this.given(e, e.clipboardData));
    element.addEventListener('drop', (e) => this.given(e, e.dataTransfer));
    for (const [name, over] of [['dragenter', true], ['dragover', true], ['dragleave', false], ['drop', false]]) {
      element.addEventListener(name, (e) => { e.preventDefault(); e.stopPropagation(); element.classList.toggle('is-over', over); });
    }
  }

  given(e, transfer) {
    const file = pictureIn(transfer);
    if (!file) return;
    e.preventDefault();
    e.stopPropagation();
    this.read(file);
  }

  async read(file) {
    if (!file) return;
    try {
      const bitmap = await readPicture(file);
      this.set(pixelsOf(bitmap));
      bitmap.close();
    } catch (error) {
      this.on.error(error.message);
    }
  }

  /** A picture as a data URL, such as a found one. */
  async take(url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    this.set(pixelsOf(image, image.naturalWidth, image.naturalHeight));
  }

  /** image: ImageData of at most SIDE x SIDE, or null. */
  set(image) {
    this.show(image);
    this.on.change();
  }

  show(image) {
    this.image = image ?? null;
    this.element.classList.toggle('is-full', !!image);
    this.slot.setAttribute('aria-label', image ? 'Reference picture. Press to load another one' : 'No reference picture yet. Press to load one, or drop or paste it here');
    if (!image) return;
    [this.canvas.width, this.canvas.height] = [image.width, image.height];
    this.canvas.getContext('2d').putImageData(image, 0, 0);
  }

  /** [u32 mark][u16 slot][u16 0][u16 w][u16 h][RGBA], little endian; no size and no pixels take the picture away. */
  get message() {
    const { width = 0, height = 0, data = [] } = this.image ?? {}, bytes = new Uint8Array(12 + data.length), view = new DataView(bytes.buffer);
    view.setUint32(0, MARK, true);
    view.setUint16(8, width, true);
    view.setUint16(10, height, true);
    bytes.set(data, 12);
    return bytes;
  }
}

/** Any drawable picture -> ImageData, no side longer than SIDE, transparent parts white. */
function pixelsOf(picture, width = picture.width, height = picture.height) {
  const k = Math.min(1, SIDE / Math.max(width, height)), w = Math.max(1, Math.round(width * k)), h = Math.max(1, Math.round(height * k));
  const ink = new OffscreenCanvas(w, h).getContext('2d', { willReadFrequently: true });
  ink.fillStyle = '#ffffff';
  ink.fillRect(0, 0, w, h);
  ink.imageSmoothingQuality = 'high';
  ink.drawImage(picture, 0, 0, w, h);
  return ink.getImageData(0, 0, w, h);
}
