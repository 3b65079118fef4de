// What lies over the drawing and is no part of it: the stroke under the pointer in the list, the chosen one, and the axes of symmetry.
import { SIDE } from '../../live/page/paper.js';
import { pathOf } from './svg.js';

const HALF = SIDE / 2;
const AXES = { off: '', mirror: `M${HALF} 0V${SIDE}`, radial: `M${HALF} 0V${SIDE}M0 ${HALF}H${SIDE}` };

export class Marks {
  constructor(svg) {
    const find = (name) => svg.querySelector(`.os-mark-${name}`);
    Object.assign(this, { hover: find('hover'), chosen: find('chosen'), axes: find('axes') });
  }

  point(stroke) { trace(this.hover, stroke); }

  choose(stroke) { trace(this.chosen, stroke); }

  fold(symmetry) { this.axes.setAttribute('d', AXES[symmetry]); }
}

function trace(path, stroke) {
  path.setAttribute('d', stroke ? pathOf(stroke.points) : '');
  path.style.strokeWidth = stroke ? `${Math.max(...stroke.points.filter((_, i) => i % 3 === 2)) + 5}px` : '0';
}
