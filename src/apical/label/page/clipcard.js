// One clip over the page: its moving picture, what is known and what was said of it.

import { get, sprite } from "./api.js";
import { make } from "./elements.js";
import { openAlike } from "./more.js";
import { Player } from "./player.js";
import { guessWords, saidWords, sentence, when } from "./wording.js";

/** Show a clip in a dialog, which Escape closes. */
export async function showClip(clip) {
  const ending = new AbortController();
  const cine = make("div", { class: "clip-cine" });
  const words = make("dl", { class: "clip-facts" });
  const close = make(
    "button",
    { type: "button", class: "clip-close", onclick: () => dialog.close() },
    "Close",
  );
  const alike = make(
    "button",
    { type: "button", class: "clip-alike", onclick: () => (dialog.close(), openAlike(clip)) },
    "More like this",
  );
  const title = make("h2", { id: "clip-title" }, "One clip");
  const dialog = make(
    "dialog",
    { class: "clip-card", "aria-labelledby": "clip-title" },
    make("div", { class: "clip-head" }, title, alike, close),
    make("div", { class: "clip-body" }, cine, words),
  );
  dialog.onclose = () => (ending.abort(), dialog.remove());
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  document.body.append(dialog);
  dialog.showModal();
  try {
    const [about, picture] = await Promise.all([
      get(`v1/clips/${encodeURIComponent(clip)}`),
      sprite(clip, "large", ending.signal).catch(() => null),
    ]);
    if (ending.signal.aborted) return;
    if (picture) playIn(cine, picture, ending.signal);
    else cine.append(make("p", { class: "dim" }, "There is no picture of this clip."));
    words.append(...factsOf(about));
  } catch (problem) {
    if (ending.signal.aborted) return;
    words.append(
      make("dt", {}, "Problem"),
      make("dd", {}, sentence(problem.what ?? "the clip could not be read")),
    );
  }
}

let cinema = null; // the element of the one player of these tabs
let player = null;

/** Play a picture in `place` until `signal` ends it. */
export function playIn(place, picture, signal) {
  cinema ??= make("div", { class: "cinema" });
  player ??= new Player(cinema);
  place.replaceChildren(cinema);
  player.load(picture);
  signal.addEventListener("abort", () => (player.load(null), picture.bitmap.close()), { once: true });
}

function factsOf({ facts, guess, probability, opinions, settled, history }) {
  const entry = (name, ...values) => [make("dt", {}, name), ...values.map((value) => make("dd", {}, value))];
  const lines = history.map((event) => `${when(event.at)}: ${event.annotator}, ${saidWords(event.after)}`);
  return [
    ...entry("Which", facts.clip_of),
    ...(facts.file ? entry("File", facts.file) : []),
    ...(facts.patient ? entry("Patient", facts.patient) : []),
    ...entry("Label", settled ? saidWords(settled) : "None, or not agreed on"),
    ...entry("Model", guessWords(guess, probability)),
    ...(opinions.length > 0
      ? entry("Opinions", ...opinions.map((one) => `${one.annotator}: ${saidWords(one.said)}`))
      : []),
    ...(facts.machine ? entry("Machine", facts.machine) : []),
    ...(lines.length > 0 ? entry("History", ...lines.slice(0, 8)) : []),
  ];
}
