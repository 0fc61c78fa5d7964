// Taking clips on the map: a line drawn around them, or a circle that keys move, grow and shrink.

const STEP = 14; // pixels that an arrow key moves the circle
const SMALLEST = 6;
const MANY = 500; // taken points; more have no ring each, which would be slow to draw
const HOLD = 4; // pixels before a press becomes a line

/** Whether (x, y) lies in a polygon [[x, y], …], by the crossings of a ray (even and odd). */
export function inPolygon(polygon, x, y) {
  let inside = false;
  for (let one = 0, before = polygon.length - 1; one < polygon.length; before = one, one += 1) {
    const [ax, ay] = polygon[one];
    const [bx, by] = polygon[before];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

/** The test for what lies in a polygon, quick for what is far from it. */
export function testOf(polygon) {
  const [xs, ys] = [polygon.map((point) => point[0]), polygon.map((point) => point[1])];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  return (x, y) => x >= left && x <= right && y >= top && y <= bottom && inPolygon(polygon, x, y);
}

/**
 * What the pointer and the keys do on the map's upper canvas.
 *
 * `scatter` moves and zooms. `took(test, ended)` hears which test holds for what is taken, while the circle
 * moves (ended false) and when something is taken; `hovered(x, y)` where a mouse rests (null when it has
 * left); `pressed(x, y)` where something was pressed and no line drawn.
 */
export class Lasso {
  #pointers = new Map();
  #line = null;
  #from = null;
  #moving = false;
  circle = null; // {x, y, radius} once keys have called it
  tool = "lasso"; // or "move"

  constructor(canvas, scatter, { took, hovered, pressed, signal }) {
    Object.assign(this, { canvas, scatter, took, hovered, pressed });
    const on = (name, does, more = {}) => canvas.addEventListener(name, does, { signal, ...more });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#cancel(event));
    on("pointerleave", () => this.hovered(null));
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("contextmenu", (event) => event.preventDefault());
    on("keydown", (event) => this.#key(event));
    on("focus", () => this.draw());
    on("blur", () => this.draw());
  }

  /** Draw the line or the circle, and the points that are taken. */
  draw(taken = this.taken ?? []) {
    this.taken = taken;
    const scale = this.scatter.scale ?? 1;
    const [width, height] = [
      Math.round(this.canvas.clientWidth * scale),
      Math.round(this.canvas.clientHeight * scale),
    ];
    if (this.canvas.width !== width || this.canvas.height !== height)
      [this.canvas.width, this.canvas.height] = [width, height];
    const context = this.canvas.getContext("2d");
    const { chosen } = this.scatter.colours;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    context.setLineDash([]);
    context.strokeStyle = context.fillStyle = chosen;
    context.lineWidth = 1.5;
    context.beginPath();
    for (const place of taken) {
      const [x, y] = this.scatter.at(place);
      if (taken.length > MANY) context.fillRect(x - 1.5, y - 1.5, 3, 3);
      else {
        context.moveTo(x + 4, y);
        context.arc(x, y, 4, 0, 2 * Math.PI);
      }
    }
    context.stroke();
    context.lineWidth = 2;
    context.setLineDash([6, 4]);
    context.beginPath();
    if (this.#line) this.#line.forEach(([x, y]) => context.lineTo(x, y));
    if (this.circle && !this.#line)
      context.arc(this.circle.x, this.circle.y, this.circle.radius, 0, 2 * Math.PI);
    if (this.#line) context.closePath();
    context.stroke();
    context.globalAlpha = 0.08;
    context.fill();
    context.globalAlpha = 1;
  }

  /** Forget the line and the circle. */
  clear() {
    this.#line = this.circle = null;
    this.draw([]);
  }

  #where(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    const at = this.#where(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, at);
    this.hovered(null);
    this.#moving = this.tool === "move" || event.button > 0 || this.#pointers.size > 1;
    this.#from = at;
    if (this.#pointers.size > 1) this.#line = null;
  }

  #move(event) {
    const at = this.#where(event);
    const before = this.#pointers.get(event.pointerId);
    if (!before) return event.pointerType === "touch" ? null : this.hovered(...at);
    if (this.#pointers.size > 1) this.#pinch(event.pointerId, at);
    else if (this.#moving) this.scatter.pan(at[0] - before[0], at[1] - before[1]);
    else this.#lengthen(event);
    this.#pointers.set(event.pointerId, at);
  }

  #lengthen(event) {
    const at = this.#where(event);
    if (!this.#line && Math.hypot(at[0] - this.#from[0], at[1] - this.#from[1]) < HOLD) return;
    this.circle = null;
    this.#line ??= [this.#from];
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length > 0 ? all : [event]) this.#line.push(this.#where(one));
    this.draw([]);
  }

  #pinch(id, at) {
    const [other] = [...this.#pointers].filter(([one]) => one !== id).map(([, point]) => point);
    const before = this.#pointers.get(id);
    const far = (point) => Math.max(Math.hypot(point[0] - other[0], point[1] - other[1]), 1);
    this.scatter.zoomAt((at[0] + other[0]) / 2, (at[1] + other[1]) / 2, far(at) / far(before));
    this.scatter.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
  }

  #up(event) {
    this.#pointers.delete(event.pointerId);
    const line = this.#line;
    const at = this.#where(event);
    const still = Math.hypot(at[0] - this.#from[0], at[1] - this.#from[1]) < HOLD;
    if (this.#pointers.size > 0) return;
    if (still && !line && event.button !== 1) this.pressed(...at);
    else if (this.#moving) return;
    else if (!line || line.length < 3) {
      this.clear();
      this.took(null, true);
    } else {
      this.#line = null;
      this.took(testOf(line), true);
    }
  }

  #cancel(event) {
    this.#pointers.delete(event.pointerId);
    this.clear();
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.scatter.zoomAt(
      ...this.#where(event),
      Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0018)),
    );
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 5 * STEP : STEP;
    const does = {
      ArrowLeft: () => this.#shift(-step, 0),
      ArrowRight: () => this.#shift(step, 0),
      ArrowUp: () => this.#shift(0, -step),
      ArrowDown: () => this.#shift(0, step),
      "+": () => this.#grow(1.2),
      "=": () => this.#grow(1.2),
      "-": () => this.#grow(1 / 1.2),
      _: () => this.#grow(1 / 1.2),
      PageUp: () => this.#zoom(1.5),
      PageDown: () => this.#zoom(1 / 1.5),
      Home: () => (this.scatter.whole(), this.#circleNow()),
      Escape: () => (this.clear(), this.took(null, true)),
      Enter: this.circle && (() => this.#tell(true)),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  }

  #circleNow() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    this.circle ??= { x: width / 2, y: height / 2, radius: Math.min(width, height) / 8 };
    return this.circle;
  }

  #shift(dx, dy) {
    const fresh = !this.circle;
    const circle = this.#circleNow();
    if (!fresh) {
      circle.x = Math.min(Math.max(circle.x + dx, 0), this.canvas.clientWidth);
      circle.y = Math.min(Math.max(circle.y + dy, 0), this.canvas.clientHeight);
    }
    this.#tell(false);
  }

  #grow(factor) {
    const circle = this.#circleNow();
    const largest = Math.max(this.canvas.clientWidth, this.canvas.clientHeight);
    circle.radius = Math.min(Math.max(circle.radius * factor, SMALLEST), largest);
    this.#tell(false);
  }

  #zoom(factor) {
    const { x, y } = this.#circleNow();
    this.scatter.zoomAt(x, y, factor);
    this.#tell(false);
  }

  #tell(ended) {
    const { x, y, radius } = this.#circleNow();
    this.took((px, py) => (px - x) ** 2 + (py - y) ** 2 <= radius ** 2, ended);
  }
}
