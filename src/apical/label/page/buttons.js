// The buttons with which a clip is answered: the views, and what goes with the answer.

import { blob } from "./api.js";
import { make } from "./elements.js";

/** What can be said beside the views: [value, words, key]. */
export const BESIDE = [["none", "Not a view", "0"], ["cannot-tell", "Cannot tell", "x"]];

/** The sign of a key; the button itself names it to a screen reader. */
export const keySign = (key) => make("kbd", { "aria-hidden": "true" }, key);

/** A button that a key presses, too. */
export function keyButton(kind, words, key, onclick) {
  const properties = { type: "button", class: kind, "aria-keyshortcuts": key, onclick };
  return make("button", properties, make("span", {}, words), keySign(key === "-" ? "−" : key));
}

/** The vocabulary as large buttons; `pick(view, event)` when one is pressed. */
export function viewGrid(views, pick) {
  const buttons = views.map((view) => viewButton(view, pick));
  return make("div", { id: "views", role: "group", "aria-label": "Views" }, ...buttons);
}

function viewButton({ name, title, key, reference }, pick) {
  const place = make("span", { class: "reference", "aria-hidden": "true" });
  if (reference) fillReference(place, name);
  return make("button",
    { ...answering(name, key, pick), class: "view", title },
    place,
    make("span", { class: "words" }, make("b", {}, name), " ", make("small", {}, title)),
    key ? keySign(key) : null);
}

function answering(value, key, pick) {
  const onclick = (event) => pick(value, event);
  const shortcut = { "aria-keyshortcuts": key || null };
  return { type: "button", "data-view": value, "aria-pressed": "false", ...shortcut, onclick };
}

async function fillReference(place, view) {
  const picture = await blob(`v1/reference/${encodeURIComponent(view)}`).catch(() => null);
  if (!picture) return; // it is a help only: the name says which view it is
  const address = URL.createObjectURL(picture);
  const image = make("img", { src: address, alt: "", width: 56, height: 56 });
  image.onload = () => URL.revokeObjectURL(address);
  place.append(image);
}

/** "Not a view" and "Cannot tell". */
export function besideButtons(pick) {
  const one = ([value, words, key]) =>
    make("button", { ...answering(value, key, pick), class: "beside" }, words, keySign(key));
  return BESIDE.map(one);
}

/** One of a few values, as buttons that stay pressed: contrast agent, quality. */
export class Choice {
  /** `options`: [[value, words]], the first of which is the normal one. */
  constructor(id, title, key, options) {
    Object.assign(this, { title, options, value: options[0][0] });
    this.buttons = options.map(([value, words]) => {
      const onclick = () => this.set(value);
      return make("button", { type: "button", class: "option", "data-value": String(value), onclick }, words);
    });
    this.element = make("div", { id, class: "choice-line", role: "group", "aria-label": title },
      make("span", { class: "what" }, title, " ", keySign(key)),
      make("div", { class: "options" }, ...this.buttons));
    this.set(this.value);
  }

  set(value) {
    this.value = value;
    this.options.forEach(([one], place) => {
      this.buttons[place].setAttribute("aria-pressed", String(one === value));
    });
  }

  /** Another word for the normal value. */
  rename(words) {
    this.buttons[0].textContent = words;
  }

  /** The next value; the words for it. */
  cycle() {
    const place = this.options.findIndex(([value]) => value === this.value);
    this.set(this.options[(place + 1) % this.options.length][0]);
    return `${this.title}: ${this.buttons[(place + 1) % this.options.length].textContent}`;
  }
}
