// What can be said of clips, as small buttons with the keys of the Label tab.

import { BESIDE, keySign } from "./buttons.js";
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
      key ? keySign(key) : null,
    );
  return make("div", { class: "choices", role: "group", "aria-label": label }, ...choices().map(one));
}

/** All that can be said as keys for keys.js, one line of the help: `pick` gets the name. */
export function choiceKeys(pick, words) {
  const keyed = choices().filter(({ key }) => key);
  return [
    { keys: [], name: `${keyed[0].key} … ${keyed.at(-1).key}`, words },
    ...keyed.map(({ name, key }) => ({ keys: [key], run: () => pick(name) })),
  ];
}
