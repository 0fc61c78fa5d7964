// Something else was said of a clip elsewhere meanwhile: the annotator chooses.

import { make } from "./elements.js";
import { insist } from "./insist.js";
import { thumb } from "./player.js";
import { saidWords } from "./wording.js";

/** Ask which stands; true: what was said here. `about`: {clip}. */
export function askConflict({ clip }, here, elsewhere) {
  const dialog = document.getElementById("conflict");
  const ending = new AbortController();
  return new Promise((resolve) => {
    const choose = (mine) => () => {
      ending.abort();
      leave();
      resolve(mine);
    };
    const answer = (name, words, mine, kind) =>
      make("button", { type: "button", class: kind, "data-choice": name, onclick: choose(mine) }, words);
    dialog.replaceChildren(
      make("h2", { id: "conflict-title" }, "You said something else of this clip elsewhere"),
      make("p", { class: "dim" }, "In another tab or on another device, after this page had asked for it."),
      make("div", { class: "versus" }, thumb(clip, ending.signal, 160),
        make("dl", {},
          make("dt", {}, "Elsewhere"), make("dd", { "data-said": "elsewhere" }, saidWords(elsewhere)),
          make("dt", {}, "Here"), make("dd", { "data-said": "here" }, saidWords(here)))),
      make("div", { class: "row" },
        answer("elsewhere", `Keep “${saidWords(elsewhere)}”`, false, "main"),
        answer("here", `Say “${saidWords(here)}”`, true, "")),
    );
    const leave = insist(dialog);
  });
}
