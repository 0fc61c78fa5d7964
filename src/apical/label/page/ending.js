// What stands in the picture's place where there is no picture.

import { make } from "./elements.js";
import { plural, sentence } from "./wording.js";

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

/** No clip is left, of all or of those that may show a view (`queue` "view:NAME"): what to do next. */
export function showEnd(place, { skipped, queue, lookAgain, ask, usual }) {
  const button = (words, onclick, more = {}) => make("button", { type: "button", onclick, ...more }, words);
  const words = `Look at the ${plural(skipped, "clip")} you skipped`;
  const again = skipped > 0 ? button(words, lookAgain, { id: "skipped-again", class: "main" }) : null;
  const [, view] = queue.split("view:");
  if (view) {
    const how = "It learns what a view looks like from the first label of it: find one among the most " +
      "useful clips, on the wall or on the map.";
    return cover(place, "end", `The model knows no other clip that may be ${view}.`,
      make("p", { class: "dim" }, how),
      row(again, button("Most useful first", usual), button("Ask again", ask)));
  }
  const next = "Next: settle where annotators disagree, see what the model has learnt, or export the labels.";
  return cover(place, "end", "No clip is left to label. Thank you!",
    make("p", { class: "dim" }, next),
    row(again,
      make("a", { class: "button", href: "#review" }, "Review disagreements"),
      make("a", { class: "button", href: "#progress" }, "See the progress"),
      button("Ask again", ask)));
}

function row(...children) {
  return make("div", { class: "row" }, ...children);
}
