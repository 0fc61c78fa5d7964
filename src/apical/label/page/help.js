// The overlay that lists all keys.

import { make } from "./elements.js";
import { keyGroups, keysAreOn, turnKeys } from "./keys.js";

/** Open the help, or close it. */
export function toggleHelp() {
  const dialog = document.getElementById("help-dialog");
  if (dialog.open) return dialog.close();
  const on = make("input", { type: "checkbox", id: "keys-on" });
  on.checked = keysAreOn();
  on.onchange = () => turnKeys(on.checked);
  dialog.replaceChildren(
    make("div", { class: "heading" }, make("h2", { id: "help-title" }, "Keys"),
      make("button", { type: "button", id: "help-close", onclick: () => dialog.close() }, "Close")),
    make("div", { class: "key-groups" }, ...keyGroups().map(group)),
    make("p", {}, make("label", { class: "check" }, on, " Keys without Ctrl do something")),
    make("p", { class: "dim" },
      "On the picture: wheel or pinch to zoom, drag or click to move it, double click to see all of it."),
  );
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  };
  dialog.onkeydown = (event) => {
    if (event.key === "?") dialog.close();
  };
  dialog.showModal();
}

function group({ title, list }) {
  const told = list.filter(({ words }) => words);
  const sign = (between) => (key, place) => [place > 0 ? between : "", make("kbd", {}, key)];
  const signs = (name) => name.split(/ or | … /).flatMap(sign(name.includes("…") ? " … " : " or "));
  const lines = told.map(({ name, words }) => [make("dt", {}, ...signs(name)), make("dd", {}, words)]);
  return make("section", {}, make("h3", {}, title), make("dl", {}, ...lines.flat()));
}
