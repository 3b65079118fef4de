// Zoom and pan of the canvas inside its frame. Positions come from the canvas's own box, so drawing needs no maths of its own.
const MAX_ZOOM = 12;

export class View {
  /** moved: what the zoom moves, the canvas itself or a sheet with the canvas on it. */
  constructor(frame, canvas, changed, moved = canvas) {
    Object.assign(this, { frame, canvas, changed, moved });
    this.reset();
  }

  reset() {
    [this.zoom, this.x, this.y] = [1, 0, 0];
    this.apply();
  }

  /** A page position -> canvas pixels. */
  point({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [(clientX - box.left) * this.canvas.width / box.width, (clientY - box.top) * this.canvas.height / box.height];
  }

  /** Canvas pixels -> page pixels. */
  get scale() { return this.canvas.getBoundingClientRect().width / this.canvas.width; }

  zoomBy(factor, clientX, clientY) {
    const box = this.frame.getBoundingClientRect(), px = clientX - box.left, py = clientY - box.top;
    const zoom = Math.min(MAX_ZOOM, Math.max(1, this.zoom * factor)), k = zoom / this.zoom;
    this.x = px - (px - this.x) * k;
    this.y = py - (py - this.y) * k;
    this.zoom = zoom;
    this.apply();
  }

  panBy(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.apply();
  }

  apply() {
    const { width, height } = this.frame.getBoundingClientRect();
    this.x = Math.min(0, Math.max(width * (1 - this.zoom), this.x));
    this.y = Math.min(0, Math.max(height * (1 - this.zoom), this.y));
    this.moved.style.transform = this.zoom === 1 ? '' : `translate(${this.x}px, ${this.y}px) scale(${this.zoom})`;
    this.changed?.(this.zoom);
  }
}

/** Resolves when an element is seen for the first time: a tab that nobody opened does nothing. */
export const inSight = (element) => new Promise((resolve) => {
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    resolve();
  }).observe(element);
});
