// The audit trail: every label that was ever given, by whom, and what the model had said.

import { get } from "./api.js";
import { showClip } from "./clipcard.js";
import { table } from "./drawing.js";
import { make } from "./elements.js";
import { session } from "./state.js";
import { whenReady } from "./waiting.js";
import { guessWords, saidWords, when } from "./wording.js";

const PAGE = 50;
const KINDS = {
  single: "one clip",
  repeat: "second look, blind",
  review: "doubted label",
  wall: "wall",
  map: "map",
  alike: "more like this",
  adjudication: "decision",
  import: "import",
  undo: "undo",
  redo: "redo",
};

/** Show the history in `place` until `signal` ends it. */
export async function showHistory(place, signal) {
  const pages = [null]; // the number before which each page so far began
  const who = make(
    "select",
    { class: "history-who", onchange: () => ((pages.length = 1), load()) },
    make("option", { value: "" }, "everybody"),
  );
  const box = make("div", { class: "history-rows" });
  const later = make(
    "button",
    { type: "button", class: "history-later", onclick: () => (pages.pop(), load()) },
    "‹ Newer",
  );
  const earlier = make("button", { type: "button", class: "history-earlier" }, "Older ›");
  place.replaceChildren(
    make(
      "div",
      { class: "history" },
      make("div", { class: "row" }, make("label", { class: "row" }, "Said by", who), later, earlier),
      box,
    ),
  );
  for (const name of session.annotators) who.append(make("option", { value: name }, name));
  await load();

  function path() {
    const query = new URLSearchParams({ limit: PAGE });
    if (pages.at(-1) !== null) query.set("before", pages.at(-1));
    if (who.value) query.set("annotator", who.value);
    return `v1/history?${query}`;
  }

  async function load() {
    const asked = path();
    const answer = await whenReady(box, () => get(asked), signal);
    if (answer && asked === path()) draw(answer.events);
  }

  function draw(events) {
    later.disabled = pages.length === 1;
    earlier.disabled = events.length < PAGE;
    earlier.onclick = () => (pages.push(events.at(-1).number), load());
    for (const { annotator } of events) {
      if (![...who.options].some((one) => one.value === annotator))
        who.append(make("option", { value: annotator }, annotator));
    }
    if (events.length === 0) {
      box.replaceChildren(make("p", { class: "nothing" }, "Nothing has been said here yet."));
      return;
    }
    const head = ["When", "Who", "How", "Before", "After", "The model said", "Clip"];
    box.replaceChildren(
      table({ caption: "History of labels, newest first", head, rows: events.map(row), kind: "events" }),
    );
  }
}

function row({ number, annotator, clip, kind, before, after, guess, shown, at }) {
  const model = guess?.view
    ? `${guessWords(guess.view, guess.probability)}${shown ? ", seen" : ", not seen"}`
    : "–";
  const show = make(
    "button",
    {
      type: "button",
      class: "show-clip",
      "data-clip": clip,
      "aria-label": `Show the clip of entry ${number}`,
      onclick: () => showClip(clip),
    },
    "Show clip",
  );
  const note = after?.note ? make("span", { class: "dim" }, ` “${after.note}”`) : null;
  const said = make("span", {}, make("b", {}, after?.view ? saidWords(after) : "taken back"), note);
  return [
    when(at),
    annotator,
    KINDS[kind] ?? kind,
    before?.view ? saidWords(before) : "–",
    said,
    model,
    show,
  ];
}
