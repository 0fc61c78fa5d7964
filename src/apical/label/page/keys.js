// Keys that do something anywhere on the page.

import { remembered } from "./state.js";

const groups = []; // {title, applies, list: [{keys, name, words, run, repeats}]}
const [readOn, writeOn] = remembered("keys", "on");
const ARROWS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];
const OF_SLIDERS = new Set([...ARROWS, "Home", "End", "PageUp", "PageDown"]);

/**
 * Keys that do something while `applies()`: [{keys: ["z"], name: "z", words: "undo", run, repeats}].
 *
 * `ctrl: true` is for those with Ctrl or ⌘, which work even when the others are off; `repeats` for those that
 * may be held. `run` gets the event. What has no `words` is not in the help.
 */
export function addKeys(title, list, applies = () => true) {
  groups.push({ title, list, applies });
}

/** All keys, for the help. */
export const keyGroups = () => groups;

/** Whether keys without Ctrl do something; off for those who speak to their computer (WCAG 2.1.4). */
export const keysAreOn = () => readOn() === "on";

export const turnKeys = (on) => writeOn(on ? "on" : "off");

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
  const text = event.getModifierState("AltGraph");
  const ctrl = (event.ctrlKey || event.metaKey) && !text;
  if ((event.altKey && !text) || isWritten(event, ctrl) || (!ctrl && !keysAreOn())) return;
  const name = nameOfKey(event, ctrl);
  for (const { list, applies } of groups) {
    const found = list.find((one) => Boolean(one.ctrl) === ctrl && one.keys.includes(name));
    if (!found || !applies()) continue;
    event.preventDefault();
    if (!event.repeat || found.repeats) found.run(event);
    return;
  }
});

function nameOfKey(event, ctrl) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return ctrl && event.shiftKey ? `Shift+${key}` : key;
}

/** Whether the key belongs to the element that has the focus. */
function isWritten(event, ctrl) {
  const { target } = event;
  if (target.matches("select, textarea, input:not([type=range], [type=checkbox])")) return true;
  if (ctrl) return false;
  if (target.matches("input[type=range]")) return OF_SLIDERS.has(event.key);
  return [" ", "Enter"].includes(event.key) && target.matches("button, summary, a, [role=button], input");
}
