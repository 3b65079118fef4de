// The sketcher's hand: a pen, a block brush and an eraser, each with a size of its own.
import { Grip, pressure } from '../../live/page/hand.js';

const SIZES = { pen: { min: 1, max: 12, value: 3 }, block: { min: 6, max: 80, value: 24 }, eraser: { min: 4, max: 80, value: 16 } };

export class SketchHand extends Grip {
  get tools() { return { p: 'pen', b: 'block', e: 'eraser' }; }

  get round() { return ['pen', 'block', 'eraser']; }

  get step() { return this.tool === 'pen' ? 1 : 3; }

  get brush() {
    const { detail, block } = this.live.config.inks, color = this.tool === 'block' ? block : this.live.objects ? this.live.penInk : detail;
    return { eraser: this.tool === 'eraser', color, size: Number(this.size.value) };
  }

  hold(tool) {
    if (tool === 'block' && this.live.mode !== 'sketch') return;
    this.sizes ??= Object.fromEntries(Object.entries(SIZES).map(([name, { value }]) => [name, value]));
    if (this.held) this.sizes[this.held] = Number(this.size.value);
    this.held = tool;
    const { min, max } = SIZES[tool];
    Object.assign(this.size, { min, max, value: this.sizes[tool] });
    super.hold(tool);
    this.tint();
  }

  /** The ring says which ink is about to come. */
  tint() { this.frame.style.setProperty('--ink', this.brush.eraser ? '#ffffff' : this.brush.color); }

  apply(x, y, e) {
    if (this.live.settings.lock === false) this.live.rollSeed();
    this.paper.begin(x, y, this.brush, pressure(e));
  }

  key(e) { if (!this.live.find('dialog:modal')) super.key(e); }

  shortcut(key) {
    const acts = { m: () => this.live.actions.mirror(), o: () => this.live.actions.onion(), Delete: () => this.live.list.removeSelected(), Backspace: () => this.live.list.removeSelected() };
    const act = acts[key] ?? acts[key.toLowerCase()], number = Number(key);
    if (act) act();
    else if (this.live.mode === 'scene' && number >= 1) return this.live.objects.choose(number - 1);
    return !!act;
  }
}
