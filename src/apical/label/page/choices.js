// What can be said of clips, as small buttons with the keys of the Label tab.

import { BESIDE } from "./buttons.js";
import { make } from "./elements.js";
import { session } from "./state.js";

/** All that can be said, in the vocabulary's order: [{name, title, key}]. */
export const choices = () => [
  ...session.views,
  ...BESIDE.map(([name, title, key]) => ({ name, title, key })),
];

/** Buttons for all that can be said, in a group; `pick` gets the name of the one pressed. */
export function choiceButtons(pick, label) {
  const one = ({ name, title, key }) =>
    make(
      "button",
      {
        type: "button",
        class: "choice",
        "data-view": name,
        title,
        "aria-keyshortcuts": key || null,
        onclick: () => pick(name),
      },
      make("span", {}, session.views.some((view) => view.name === name) ? name : title),
      key ? make("kbd", { "aria-hidden": "true" }, key) : null,
    );
  return make("div", { class: "choices", role: "group", "aria-label": label }, ...choices().map(one));
}

/** All that can be said as keys for keys.js: `pick` gets the name. */
export function choiceKeys(pick, words) {
  const keyed = choices().filter(({ key }) => key);
  return keyed.map(({ name, title, key }) => ({
    keys: [key],
    name: key,
    words: `${words}${title}`,
    run: () => pick(name),
  }));
}
