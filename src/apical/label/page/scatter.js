// The points of the map: drawn once to a bitmap that follows zoom and pan at once, and anew when these rest.

import { drawMark } from "./marks.js";

const REST = 90; // milliseconds without a change of zoom or pan
const MARGIN = 18; // pixels around all points
const FARTHEST = 60; // times

/**
 * Points of 0 to 1 on a canvas; `points` is {x, y, mark: per point a mark or null, seen: per point 0 or 1}.
 */
export class Scatter {
  #timer = null;
  #asked = false;
  #points = { x: [], y: [], mark: [], seen: [] };
  #bitmap = document.createElement("canvas");
  #drawn = { zoom: 1, left: 0, top: 0 }; // where the map was when the bitmap was drawn
  zoom = 1;
  left = 0; // pixels of the map's left edge from the canvas's
  top = 0;

  constructor(canvas, colours) {
    this.canvas = canvas;
    this.colours = colours;
  }

  /** Draw other points, or the same anew. */
  set(points, colours = this.colours) {
    this.#points = points;
    this.colours = colours;
    this.#render();
  }

  /** Take the size of the canvas on the page. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.scale = Math.min(devicePixelRatio || 1, 2);
    for (const one of [this.canvas, this.#bitmap])
      [one.width, one.height] = [width * this.scale, height * this.scale];
    this.#keepInside();
    this.#render();
  }

  /** Where a point lies, in pixels of the canvas on the page. */
  at(place) {
    const [x, y] = [this.#points.x[place], this.#points.y[place]];
    return [this.left + MARGIN + x * this.#wide(), this.top + MARGIN + y * this.#high()];
  }

  /** Zoom by `factor` so that what lies at (x, y) stays there. */
  zoomAt(x, y, factor) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), FARTHEST);
    const [wide, high] = [this.#wide(), this.#high()];
    const [u, v] = [(x - this.left - MARGIN) / wide, (y - this.top - MARGIN) / high];
    this.zoom = zoom;
    this.left = x - MARGIN - u * this.#wide();
    this.top = y - MARGIN - v * this.#high();
    this.#moved();
  }

  /** Move the map by pixels. */
  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.#moved();
  }

  /** Show all of the map. */
  whole() {
    [this.zoom, this.left, this.top] = [1, 0, 0];
    this.#moved();
  }

  /** The seen point next to (x, y) and within `reach` pixels of it, or -1. */
  nearest(x, y, reach) {
    let best = -1;
    let least = reach * reach;
    this.#each((place, px, py) => {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far <= least) [best, least] = [place, far];
    });
    return best;
  }

  /** The seen points for which `test(x, y)` holds, in pixels of the canvas. */
  those(test) {
    const found = [];
    this.#each((place, px, py) => test(px, py) && found.push(place));
    return found;
  }

  #wide = () => (this.canvas.clientWidth - 2 * MARGIN) * this.zoom;
  #high = () => (this.canvas.clientHeight - 2 * MARGIN) * this.zoom;

  #each(use) {
    const { x, y, seen } = this.#points;
    const [wide, high, left, top] = [this.#wide(), this.#high(), this.left + MARGIN, this.top + MARGIN];
    for (let place = 0; place < x.length; place += 1) {
      if (seen[place]) use(place, left + x[place] * wide, top + y[place] * high);
    }
  }

  #keepInside() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.left = Math.min(Math.max(this.left, width - 2 * MARGIN - this.#wide()), 0);
    this.top = Math.min(Math.max(this.top, height - 2 * MARGIN - this.#high()), 0);
  }

  #moved() {
    this.#keepInside();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#render(), REST);
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#show();
    });
  }

  /** Show the bitmap where the map now is. */
  #show() {
    const context = this.canvas.getContext("2d");
    const grown = this.zoom / this.#drawn.zoom;
    const shift = (now, then) => this.scale * (now + MARGIN - grown * (then + MARGIN));
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(
      grown,
      0,
      0,
      grown,
      shift(this.left, this.#drawn.left),
      shift(this.top, this.#drawn.top),
    );
    context.drawImage(this.#bitmap, 0, 0);
    this.onshow?.();
  }

  #render() {
    if (!this.scale) return;
    clearTimeout(this.#timer);
    const context = this.#bitmap.getContext("2d");
    const { width, height } = this.#bitmap;
    const { scale } = this;
    context.clearRect(0, 0, width, height);
    const grown = Math.min(Math.sqrt(this.zoom), 2.6);
    // Fewer points are larger.
    const size = Math.min(Math.max(90 / Math.sqrt(this.#points.x.length), 1.1), 2.2);
    const dot = this.#dot(scale * Math.min(size * grown, 4));
    const stamps = new Map();
    const labelled = [];
    this.#each((place, px, py) => {
      const [x, y] = [px * scale, py * scale];
      if (x < -20 || y < -20 || x > width + 20 || y > height + 20) return;
      const mark = this.#points.mark[place];
      if (mark)
        labelled.push([mark, x, y]); // above the dots
      else context.drawImage(dot, x - dot.width / 2, y - dot.height / 2);
    });
    const radius = scale * Math.min((size + 3) * grown, 9);
    for (const [mark, x, y] of labelled) {
      if (!stamps.has(mark)) stamps.set(mark, this.#stamp(mark, radius));
      const stamp = stamps.get(mark);
      context.drawImage(stamp, x - stamp.width / 2, y - stamp.height / 2);
    }
    this.#drawn = { zoom: this.zoom, left: this.left, top: this.top };
    this.#show();
  }

  #dot(radius) {
    const dot = document.createElement("canvas");
    dot.width = dot.height = 2 * Math.ceil(radius + 1);
    const context = dot.getContext("2d");
    context.fillStyle = this.colours.dots;
    context.arc(dot.width / 2, dot.width / 2, radius, 0, 2 * Math.PI);
    context.fill();
    return dot;
  }

  #stamp(mark, radius) {
    const stamp = document.createElement("canvas");
    const small = mark.small ? 0.5 : 1;
    stamp.width = stamp.height = 2 * Math.ceil(radius * 1.5);
    drawMark(stamp.getContext("2d"), mark, this.colours, stamp.width / 2, stamp.width / 2, radius * small);
    return stamp;
  }
}
