// The buttons and sliders under the large cine.

import { make } from "./elements.js";
import { icon } from "./icons.js";

const WIDE = matchMedia("(min-width: 80rem)"); // as in label.css: narrower, the looks are folded away

/** The controls of a player; they tell what is so, and change it. */
export class Controls {
  constructor(player) {
    this.player = player;
    this.playing = null;
    this.play = press("play", "Play", () => player.toggle());
    this.before = press("before", "Frame before", () => player.step(-1));
    this.after = press("after", "Frame after", () => player.step(1));
    const scrub = { type: "range", min: 0, max: 0, value: 0, "aria-label": "Frame" };
    this.scrub = make("input", { ...scrub, oninput: () => player.seek(Number(this.scrub.value)) });
    this.frame = make("output", { class: "reading frame", "aria-live": "off" });
    this.speed = make("output", { class: "reading", "aria-live": "off" });
    this.zoom = make("output", { class: "reading", "aria-live": "off" });
    this.brightness = slider("Brightness", (value) => (player.brightness = value));
    this.contrast = slider("Contrast", (value) => (player.contrast = value));
    this.looks = make("div", { class: "row looks" },
      group("Speed", press("minus", "Slower", () => player.changeSpeed(-1)), this.speed,
        press("plus", "Faster", () => player.changeSpeed(1))),
      group("Zoom", press("minus", "Zoom out", () => (player.zoom /= 1.25)), this.zoom,
        press("plus", "Zoom in", () => (player.zoom *= 1.25))),
      this.brightness, this.contrast,
      make("button", { type: "button", class: "plain", onclick: () => player.reset() }, "Reset"));
    this.fold = press("looks", "Speed, zoom, brightness, contrast", () => this.turn(this.looks.hidden));
    this.turn(WIDE.matches);
    WIDE.addEventListener("change", () => this.turn(WIDE.matches));
    this.element = make("div", { class: "controls", role: "group", "aria-label": "Player" },
      make("div", { class: "row transport" },
        this.play, this.before, this.scrub, this.after, this.frame, this.fold),
      this.looks);
  }

  /** Show the looks, or fold them away. */
  turn(open) {
    this.looks.hidden = !open;
    this.fold.setAttribute("aria-expanded", String(open));
  }

  /** Everything as it is now. */
  tell() {
    const { player } = this;
    if (this.playing !== player.playing) {
      this.playing = player.playing;
      this.play.replaceChildren(icon(player.playing ? "pause" : "play"));
      this.play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    }
    for (const element of [this.play, this.scrub, this.before, this.after]) {
      element.disabled = player.frames < 2;
    }
    this.speed.textContent = `${player.speed}× speed`;
    this.zoom.textContent = `${player.zoom.toFixed(1)}× zoom`;
    setSlider(this.brightness, player.brightness);
    setSlider(this.contrast, player.contrast);
    this.scrub.max = Math.max(player.frames - 1, 0);
    this.tellFrame();
  }

  /** Only which frame it is: this happens often. */
  tellFrame() {
    const { index, frames } = this.player;
    this.scrub.value = index;
    this.frame.textContent = frames ? `${index + 1} / ${frames}` : "";
    if (!this.playing) this.scrub.setAttribute("aria-valuetext", `frame ${index + 1} of ${frames}`);
  }
}

function press(sign, name, onclick) {
  const properties = { type: "button", class: "plain sign", title: name, "aria-label": name, onclick };
  return make("button", properties, icon(sign));
}

function group(name, ...children) {
  return make("div", { class: "steps", role: "group", "aria-label": name }, ...children);
}

function slider(name, change) {
  const input = make("input", { type: "range", min: 0.4, max: 2.5, step: 0.05, value: 1 });
  input.oninput = () => change(Number(input.value));
  return make("label", { class: "slider" }, make("span", { class: "what" }, name), input);
}

function setSlider(label, value) {
  const input = label.querySelector("input");
  input.value = value;
  input.setAttribute("aria-valuetext", `${Math.round(100 * value)} %`);
}
