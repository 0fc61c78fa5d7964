// A queue of clips that somebody has to decide: what annotators disagree on, and labels that are likely
// wrong.

import { annotator, get, newKey, sprite } from "./api.js";
import { keyButton, keySign } from "./buttons.js";
import { choiceButtons, choiceKeys, choices } from "./choices.js";
import { playIn } from "./clipcard.js";
import { make } from "./elements.js";
import { addKeys } from "./keys.js";
import { openAlike } from "./more.js";
import { save } from "./outbox.js";
import { onVersion, say, warn } from "./state.js";
import { whenReady } from "./waiting.js";
import { guessWords, nameOf, plural, saidWords, sentence, sentences } from "./wording.js";

const AHEAD = 4; // clips asked for at once

let turned = null; // called when a label changes, while a queue is open
onVersion(() => turned?.());

/** What the two queues say of a clip, and what they offer first. */
const QUEUES = {
  disagreements: {
    empty: "There is nothing to decide now.",
    title: "Annotators disagree",
    lead: "Your decision is the clip’s label, whatever was said before.",
    about: (item) => item.opinions.map(({ annotator: who, said }) => [who, saidWords(said), said.note]),
    offers: (item) => {
      const views = [...new Set(item.opinions.map(({ said }) => said.view))];
      return views.map((view) => [view, `${nameOf(view)}, as ${listed(whoSaid(item, view))}`]);
    },
  },
  suspects: {
    empty: "No label looks wrong now.",
    title: "This label is likely wrong",
    lead: "The model, taught by the other patients, would say something else.",
    about: (item) => [
      ["Now", nameOf(now(item)), ""],
      ["Likelier", guessWords(item.likelier, item.likelier === item.guess ? item.probability : null), ""],
    ],
    offers: (item) =>
      [
        [item.likelier, `Change to ${nameOf(item.likelier)}`],
        [now(item), `Keep ${nameOf(now(item))}`],
      ].filter(([view]) => view),
  },
};
const keyOf = (view) => {
  const { key } = choices().find(({ name }) => name === view) ?? {};
  return key ? keySign(key) : null;
};
const now = (item) => item.said?.view ?? item.label;
const whoSaid = (item, view) =>
  item.opinions.filter(({ said }) => said.view === view).map((one) => one.annotator);

/** What one has said of a clip beside the view, or what all have said alike; null where they differ. */
function shared(item, what) {
  const values = new Set(
    (item.opinions.length > 0 ? item.opinions.map(({ said }) => said) : [item.said]).map(
      (said) => said?.[what] ?? null,
    ),
  );
  return values.size === 1 ? [...values][0] : null;
}

const listed = (names) => new Intl.ListFormat("en").format(names);

/** Show a queue ("disagreements" or "suspects") in `place` until `signal` ends it. */
export async function decide(place, queue, signal) {
  const words = QUEUES[queue];
  const skipped = new Set();
  let items = [];
  let left = 0;
  let item = null;
  let showing = null; // what ends the picture
  let since = 0; // when the clip was shown, in ms
  let busy = false; // while a decision is on its way

  turned = () => {
    if (!busy) ((items = []), next()); // undone, perhaps
  };
  current = { place, answer, skip, alike: () => item && openAlike(item.clip) };
  signal.addEventListener("abort", () => ((turned = current = null), showing?.abort()), { once: true });
  await next();

  async function next() {
    showing?.abort();
    if (items.length === 0) {
      const without = [...skipped].join(",");
      const query = new URLSearchParams({ annotator: annotator(), queue, count: AHEAD, without });
      const found = await whenReady(place, () => get(`v1/next?${query}`), signal);
      if (!found) return;
      ({ items, left } = found);
    }
    item = items.shift() ?? null;
    if (item) draw();
    else place.replaceChildren(nothing());
  }

  function nothing() {
    if (skipped.size === 0)
      return make(
        "div",
        { class: "nothing" },
        make("p", { role: "status" }, words.empty),
        make("p", { class: "dim" }, "A clip that somebody else has open comes when they have left it."),
      );
    const again = make(
      "button",
      { type: "button", class: "again", onclick: () => (skipped.clear(), next()) },
      "Look at them again",
    );
    return make(
      "div",
      { class: "nothing" },
      make("p", { role: "status" }, `Nothing is left but ${plural(skipped.size, "clip")} that you skipped.`),
      again,
    );
  }

  function draw() {
    showing = new AbortController();
    since = performance.now();
    const cine = make("div", { class: "decide-cine" });
    const facts = words
      .about(item)
      .map(([name, said, note]) =>
        make(
          "div",
          { class: "opinion" },
          make("dt", {}, name),
          make("dd", {}, make("b", {}, said), note ? make("span", { class: "dim" }, ` “${note}”`) : null),
        ),
      );
    if (item.guess && item.guess !== item.likelier)
      facts.push(
        make(
          "div",
          { class: "opinion model" },
          make("dt", {}, "Model"),
          make("dd", {}, guessWords(item.guess, item.probability)),
        ),
      );
    const offers = words
      .offers(item)
      .map(([view, text]) =>
        make(
          "button",
          { type: "button", class: "offer", "data-view": view, onclick: () => answer(view) },
          make("span", {}, text),
          keyOf(view),
        ),
      );
    const title = make("h2", { tabindex: "-1", class: "decide-title" }, words.title);
    const side = make(
      "div",
      { class: "decide-side" },
      title,
      make("p", { class: "dim" }, `${sentence(item.facts.clip_of)} ${plural(left, "clip")} to decide.`),
      make("dl", { class: "opinions" }, ...facts),
      make("p", { class: "dim" }, words.lead),
      make("div", { class: "offers", role: "group", "aria-label": "Decide" }, ...offers),
      make("h3", {}, "Or another answer"),
      choiceButtons(answer, "Another answer"),
      make(
        "div",
        { class: "row" },
        keyButton("skip", "Skip", "s", skip),
        keyButton("like", "More like this", "m", () => openAlike(item.clip)),
      ),
    );
    place.replaceChildren(make("div", { class: "decide" }, cine, side));
    title.focus({ preventScroll: true });
    picture(cine, item.clip, showing.signal);
  }

  async function answer(view) {
    if (!item || busy) return;
    const said = {
      view,
      contrast_agent: shared(item, "contrast_agent"),
      quality: shared(item, "quality"),
      note: item.said?.note ?? "",
    };
    busy = true;
    try {
      await save(
        "v1/labels",
        {
          task: item.task,
          said,
          key: newKey(),
          shown: Boolean(item.guess),
          seconds: (performance.now() - since) / 1000,
          seen: item.seen,
        },
        { clip: item.clip, view },
      );
      say(`Decided: ${nameOf(view)}.`);
      left = Math.max(left - 1, 0);
      if (!signal.aborted) await next();
    } catch (problem) {
      if (typeof problem.status !== "number") throw problem;
      warn(sentences(problem));
    } finally {
      busy = false;
    }
  }

  function skip() {
    if (!item) return;
    skipped.add(item.clip);
    next();
  }
}

let current = null; // what keys do to the clip shown: {answer, skip, alike, place}

const list = [
  ...choiceKeys((view) => current.answer(view), "decide for this view"),
  { keys: ["s"], name: "s", words: "skip this clip", run: () => current.skip() },
  { keys: ["m"], name: "m", words: "more like this clip", run: () => current.alike() },
];
addKeys("Review", list, () => Boolean(current && current.place.offsetParent !== null));

async function picture(place, clip, signal) {
  try {
    const found = await sprite(clip, "large", signal);
    if (!signal.aborted) playIn(place, found, signal);
  } catch {
    if (!signal.aborted) place.append(make("p", { class: "dim" }, "There is no picture of this clip."));
  }
}
