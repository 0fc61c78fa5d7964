// The clip under the mouse, as a small moving picture beside it.

import { make } from "./elements.js";
import { thumb } from "./player.js";

const REST = 140; // milliseconds that the mouse rests on a point before its clip shows
const SIDE = 160;
const BESIDE = 16; // pixels from the point

/** A card in `box`, shown while the mouse is on a point. */
export class HoverCard {
  #under = null; // the clip under the mouse
  #timer = null;
  #ending = null;

  constructor(box) {
    this.box = box;
    this.element = make("div", { class: "map-card", "aria-hidden": "true", hidden: true });
    box.append(this.element);
  }

  /** Show `clip`, which lies at `where` = [x, y] and is told of by `words`; null: none. */
  over(clip, words = "", where = null) {
    if (clip === this.#under) return;
    this.#under = clip;
    clearTimeout(this.#timer);
    this.#ending?.abort();
    this.element.hidden = true;
    if (clip !== null) this.#timer = setTimeout(() => this.#show(clip, words, where), REST);
  }

  #show(clip, words, [x, y]) {
    const { box, element } = this;
    this.#ending = new AbortController();
    element.replaceChildren(thumb(clip, this.#ending.signal, SIDE), make("p", {}, words));
    element.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = element;
    const left = x + BESIDE + width > box.clientWidth ? x - BESIDE - width : x + BESIDE;
    element.style.left = `${Math.max(left, 4)}px`;
    element.style.top = `${Math.max(Math.min(y - height / 2, box.clientHeight - height - 4), 4)}px`;
  }
}
