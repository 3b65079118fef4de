// The live tab's page: pixels under the hand, and the picture that follows them.
import { Hand } from './hand.js';
import { Paper, SIDE } from './paper.js';
import { place, readPicture } from './pictures.js';
import { Stage } from './stage.js';

class Live extends Stage {
  get places() { return { socket: 'studio/live/socket', settings: 'onestroke.live', database: 'onestroke', meter: '#os-meter' }; }

  get titles() { return { draw: 'Following your drawing', text: 'Following your words' }; }

  makePaper(canvas, changed) { return new Paper(canvas, changed); }

  makeHand() { return new Hand(this); }

  record() { return { image: this.paper.read() }; }

  adopt({ image }) { this.paper.adopt(image); }

  async load(file) {
    if (!file) return;
    try {
      const bitmap = await readPicture(file);
      this.paper.replace((ink) => place(ink, bitmap));
      bitmap.close();
      this.wire.flush();
      this.notice('');
    } catch (error) {
      this.notice(error.message, 'error');
    }
  }

  async redraw(header, blob) {
    const bitmap = await createImageBitmap(blob);
    this.paper.replace((ink) => ink.drawImage(bitmap, 0, 0));
    bitmap.close();
  }

  /** Pull the generated picture onto the canvas. */
  async take() {
    const frame = this.strip.current;
    if (!frame) return;
    const bitmap = await createImageBitmap(frame.blob);
    this.paper.replace((ink) => { ink.imageSmoothingQuality = 'high'; ink.drawImage(bitmap, 0, 0, SIDE, SIDE); });
    bitmap.close();
  }
}

/** Called by Gradio when the stage is in the page. */
export function start(parts) {
  const live = new Live(parts);
  window.onestroke = Object.assign(window.onestroke ?? {}, { live });
  return live.start();
}
