// The large cine: plays, stops at a frame, gets bigger, brighter and harder.

import { STILL, corner, onTick } from "./clock.js";
import { Controls } from "./controls.js";
import { make } from "./elements.js";
import { Gestures } from "./gestures.js";

export { thumb } from "./thumb.js";

const SPEEDS = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3];
const MOST_ZOOM = 8;

/** A cine player in `place`, with its controls. */
export class Player {
  constructor(place) {
    this.canvas = make("canvas", { role: "img", "aria-label": "No clip" });
    this.screen = make("div", { class: "screen" }, this.canvas);
    this.sprite = null;
    this.index = 0;
    this.playing = false;
    this.asked = !STILL.matches; // where little motion is asked for, it moves when it is told to
    this.time = 0; // ms into the loop
    this.middle = [0.5, 0.5]; // what is in the middle of the screen, in frames
    [this._speed, this._zoom, this._brightness, this._contrast] = [1, 1, 1, 1];
    this.controls = new Controls(this);
    place.replaceChildren(this.screen, this.controls.element);
    new Gestures(this);
    new ResizeObserver(() => this.fit()).observe(this.screen);
    onTick((passed) => this.playing && this.move(passed));
  }

  /** Show a sprite from its first frame on (api.js); null: nothing. */
  load(sprite) {
    this.sprite = sprite;
    [this.index, this.time, this._zoom, this.middle] = [0, 0, 1, [0.5, 0.5]];
    this.draw();
    this.turn((this.asked || !STILL.matches) && this.frames > 1);
    this.controls.tell();
  }

  get frames() {
    return this.sprite?.frames ?? 0;
  }

  play() {
    this.asked = true;
    this.turn(this.frames > 1);
  }

  pause() {
    this.asked = false;
    this.turn(false);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** Go some frames on or back, and stay there. */
  step(by) {
    this.seek((this.index + by + this.frames) % Math.max(this.frames, 1));
  }

  /** Stay at frame `index`. */
  seek(index) {
    if (!this.sprite) return;
    this.pause();
    this.index = Math.min(Math.max(Math.round(index), 0), this.frames - 1);
    this.time = this.index * this.sprite.ms;
    this.draw();
    this.controls.tell();
  }

  get speed() {
    return this._speed;
  }

  set speed(times) {
    this._speed = times;
    this.controls.tell();
  }

  /** The next slower (-1) or faster (1) speed. */
  changeSpeed(by) {
    const place = SPEEDS.indexOf(this._speed) + by;
    this.speed = SPEEDS[Math.min(Math.max(place, 0), SPEEDS.length - 1)];
  }

  get zoom() {
    return this._zoom;
  }

  set zoom(times) {
    this.zoomAt(times, 0, 0);
  }

  /** Zoom, and keep what is (x, y) CSS pixels from the middle of the screen where it is. */
  zoomAt(times, x, y) {
    const zoom = Math.min(Math.max(times, 1), MOST_ZOOM);
    const shift = (1 / this._zoom - 1 / zoom) / this.fitted;
    this._zoom = zoom;
    this.centre(this.middle[0] + x * shift, this.middle[1] + y * shift);
  }

  /** Move the picture by CSS pixels. */
  pan(x, y) {
    const scale = this.fitted * this._zoom;
    this.centre(this.middle[0] - x / scale, this.middle[1] - y / scale);
  }

  /** Have a point of the frame (0 to 1) in the middle, as far as the picture's edges allow. */
  centre(x, y) {
    const half = 0.5 / this._zoom;
    this.middle = [x, y].map((value) => Math.min(Math.max(value, half), 1 - half));
    this.screen.classList.toggle("zoomed", this._zoom > 1);
    this.draw();
    this.controls.tell();
  }

  get brightness() {
    return this._brightness;
  }

  set brightness(times) {
    this._brightness = times;
    this.filter();
  }

  get contrast() {
    return this._contrast;
  }

  set contrast(times) {
    this._contrast = times;
    this.filter();
  }

  /** Everything about the picture as it came, and its speed. */
  reset() {
    [this._brightness, this._contrast, this._speed] = [1, 1, 1];
    this.filter();
    this.zoom = 1;
  }

  // The rest is for the player's own parts.

  /** CSS pixels that a frame is wide when it is not zoomed. */
  get fitted() {
    return Math.max(Math.min(this.screen.clientWidth, this.screen.clientHeight), 1);
  }

  filter() {
    const plain = this._brightness === 1 && this._contrast === 1;
    this.canvas.style.filter = plain ? "" : `brightness(${this._brightness}) contrast(${this._contrast})`;
    this.controls.tell();
  }

  turn(playing) {
    this.playing = playing;
    const kind = this.frames > 1 ? `${this.frames} frames, ${playing ? "playing" : "paused"}` : "one frame";
    this.canvas.setAttribute("aria-label", this.sprite ? `Ultrasound clip, ${kind}` : "No clip");
    this.controls.tell();
  }

  move(passed) {
    const { ms, frames } = this.sprite;
    this.time = (this.time + passed * this._speed) % (ms * frames);
    const index = Math.min(Math.floor(this.time / ms), frames - 1);
    if (index === this.index) return;
    this.index = index;
    this.draw();
    this.controls.tellFrame();
  }

  /** Fit the canvas to the screen's pixels. */
  fit() {
    const scale = Math.min(devicePixelRatio, 2);
    this.canvas.width = Math.round(this.screen.clientWidth * scale);
    this.canvas.height = Math.round(this.screen.clientHeight * scale);
    this.draw();
  }

  draw() {
    const { width, height } = this.canvas;
    const context = this.canvas.getContext("2d", { alpha: false });
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    if (!this.sprite) return;
    const { bitmap, side } = this.sprite;
    const [x, y] = corner(this.sprite, this.index);
    const size = Math.min(width, height) * this._zoom;
    context.imageSmoothingQuality = "medium";
    const left = width / 2 - this.middle[0] * size;
    const top = height / 2 - this.middle[1] * size;
    const edge = size / side; // a pixel of the frame: without its outermost ones no neighbour shines in
    const [from, to] = [side - 2, size - 2 * edge];
    context.drawImage(bitmap, x + 1, y + 1, from, from, left + edge, top + edge, to, to);
  }
}
