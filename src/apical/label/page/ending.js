// What stands in the picture's place where there is no picture.

import { make } from "./elements.js";
import { sentence } from "./waiting.js";
import { plural } from "./wording.js";

/** Words and buttons over the screen; no words: nothing. */
export function cover(place, state, words, ...children) {
  place.dataset.state = state;
  const old = place.querySelector(".cover");
  old?.remove();
  if (words) place.append(make("div", { class: "cover" }, make("p", {}, words), ...children));
}

/** The picture cannot be had. */
export function showNoPicture(place, problem, { again, skip }) {
  cover(place, "failed", `There is no picture of this clip. ${sentence(problem.what)}`, row(
    make("button", { type: "button", class: "main", onclick: skip }, "Skip it"),
    make("button", { type: "button", onclick: again }, "Try again")));
}

/** All is labelled: what to do next. */
export function showEnd(place, { skipped, name, lookAgain, ask }) {
  const what = name === "useful" ? "No clip is left to label. Thank you!" : "No clip of this kind is left.";
  const button = { type: "button", id: "skipped-again", class: "main", onclick: lookAgain };
  const words = `Look at the ${plural(skipped, "clip")} you skipped`;
  const again = skipped > 0 ? make("button", button, words) : null;
  const next = "Next: settle where annotators disagree, see what the model has learnt, or export the labels.";
  cover(place, "end", what,
    make("p", { class: "dim" }, next),
    row(again,
      make("a", { class: "button", href: "#review" }, "Review disagreements"),
      make("a", { class: "button", href: "#progress" }, "See the progress"),
      make("button", { type: "button", onclick: ask }, "Ask for more")));
}

function row(...children) {
  return make("div", { class: "row" }, ...children);
}
