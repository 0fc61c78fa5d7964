// The keys of the walls of picks, in whichever tab one is in sight.

import { choiceKeys } from "./choices.js";
import { addKeys } from "./keys.js";

const ARROWS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];

let current = null; // the wall that keys are meant for

/** From now on the keys go to this wall, while it is in sight. */
export function keysGoTo(picks) {
  current = picks;
}

const key = (keys, name, words, run) => ({ keys, name, words, run });
const list = [
  { ...key(ARROWS, "Arrows", "go from clip to clip", (event) => current.go(event.key)), repeats: true },
  key([], "Space", "take the clip out, or in again"),
  key(["Enter"], "Enter", "label all that are in as the model guesses", () => current.accept()),
  ...choiceKeys((view) => current.label(view), "label all that are in as this view"),
  key(["+"], "+", "all in", () => current.takeIn(true)),
  key(["-"], "-", "all out", () => current.takeIn(false)),
  key(["c"], "c", "contrast agent of all that are in", () => current.cycleAgent()),
  key(["s"], "s", "skip these, without a label", () => current.skip()),
  key(["m"], "m", "more like this clip", () => current.alike()),
  key(["PageDown"], "Page Down", "thumbnails after", () => current.turn(1)),
  key(["PageUp"], "Page Up", "thumbnails before", () => current.turn(-1)),
];
addKeys("Wall, Map and More like this", list, () => Boolean(current?.inSight));
