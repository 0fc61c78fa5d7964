// The Progress tab: how good the classifier is, of what it knows too little, and what helps most.

import { annotator, get, post } from "./api.js";
import { curve } from "./curve.js";
import { intervalPlot, table } from "./drawing.js";
import { make } from "./elements.js";
import { openNext as openReview } from "./review.js";
import { openNext as openLabel } from "./single.js";
import { onVersion, say, session, warn } from "./state.js";
import { whenReady } from "./waiting.js";
import { figure, helpWords, interval, nameOf, number, plural, sentences } from "./wording.js";

const PAUSE = 4000; // milliseconds between two looks
const HONEST =
  "F1 is 1 where the model finds all clips of a view and takes no other for it; the macro F1 is the mean " +
  "over the views. It was estimated by cross-validation over the patients labelled so far. They were " +
  "chosen because they teach most, not drawn at random, so on all your patients it may be better or worse.";

let tab = null; // where it is shown
let showing = null; // what ends the tab's doings
let parts = null; // its places
let drawn = ""; // the answer that is drawn
let last = 0; // the latest question, so that a late answer to one before is not drawn

onVersion(() => showing && look());

/** Show the tab, and keep it fresh. */
export async function show(place) {
  hide();
  tab = place;
  showing = new AbortController();
  const { signal } = showing;
  const answer = await whenReady(place, ask, signal);
  if (!answer) return;
  parts = Object.fromEntries(
    ["head", "help", "curve", "views", "model"].map((name) => [
      name,
      make("div", { class: `progress-${name}` }),
    ]),
  );
  place.replaceChildren(
    make(
      "div",
      { class: "progress" },
      parts.head,
      make("div", { class: "progress-left" }, parts.help, parts.views),
      make("div", { class: "progress-right" }, parts.curve, parts.model),
    ),
  );
  drawn = "";
  draw(answer);
  const timer = setInterval(() => document.visibilityState === "visible" && look(), PAUSE);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

/** End what goes on in the tab. */
export function hide() {
  showing?.abort();
  showing = null;
  tab?.replaceChildren();
}

const ask = () => get(`v1/progress?annotator=${encodeURIComponent(annotator())}`);

async function look() {
  if (!showing) return; // the tab was left meanwhile
  const { signal } = showing;
  last += 1;
  const mine = last;
  const answer = await ask().catch(() => null); // the next look may do better
  if (answer && !signal.aborted && mine === last && parts) draw(answer);
}

function draw(answer) {
  const text = JSON.stringify(answer);
  if (text === drawn) return;
  drawn = text;
  drawHead(answer);
  drawHelp(answer);
  drawViews(answer);
  drawCurve(answer);
  drawModel(answer);
}

function drawHead({ labels, clips, own, today, per_minute: pace, disputed, macro_f1: macro, model }) {
  const tile = (value, words, more = null) =>
    make("div", { class: "fact" }, make("b", {}, value), make("span", {}, words), more);
  const review = () => (openReview("disagreements"), (location.hash = "#review"));
  const dispute =
    disputed > 0
      ? make(
          "button",
          { type: "button", class: "fact disputed", onclick: review },
          make("b", {}, number(disputed)),
          make("span", {}, "disputed"),
        )
      : tile("0", "disputed");
  const big = make(
    "div",
    { class: "macro" },
    make("b", {}, macro ? figure(macro.value) : "–"),
    make(
      "div",
      {},
      make("span", { class: "macro-name" }, "Macro F1, as estimated"),
      make(
        "span",
        { class: "dim" },
        macro
          ? typeof macro.low === "number"
            ? `95 % interval ${interval(macro.low, macro.high)}`
            : "of too few patients for an interval"
          : model.state === "ready"
            ? "It is estimated once some views have labels of a few patients each."
            : "It comes as soon as the model has learnt.",
      ),
      macro ? intervalPlot({ ...macro, filled: true }) : null,
    ),
  );
  const count = make(
    "div",
    { class: "facts" },
    tile(number(labels), `of ${plural(clips, "clip")} labelled`),
    tile(number(own), "by you"),
    tile(number(today), "answers today"),
    tile(typeof pace === "number" ? pace.toFixed(1) : "–", "answers a minute"),
    dispute,
  );
  const focused = parts.head.contains(document.activeElement);
  parts.head.replaceChildren(big, count, make("p", { class: "honest" }, HONEST));
  if (focused) dispute.focus();
}

function drawHelp({ help }) {
  keepFocus(parts.help, () => {
    const entry = ({ view, patients }) =>
      make(
        "li",
        {},
        make(
          "button",
          { type: "button", class: "help-view", "data-view": view, onclick: () => labelLikely(view) },
          make("b", {}, view),
          make("span", {}, ` ${plural(patients, "more patient")}`),
        ),
      );
    parts.help.replaceChildren(
      make("h2", {}, help.length > 0 ? helpWords(help[0]) : "What helps most"),
      help.length > 0
        ? make("ul", { class: "help-list", "aria-label": "Label likely clips of" }, ...help.map(entry))
        : make("p", { class: "dim" }, "This shows as soon as the model has seen some labels."),
    );
  });
}

/** Open the Label tab with likely clips of a view. */
function labelLikely(view) {
  openLabel(`view:${view}`);
  location.hash = "#label";
}

function drawViews({ views, macro_f1: macro }) {
  const titles = new Map(session.views.map((view) => [view.name, view.title]));
  const rows = views.map(({ name, patients, clips, f1, low, high }) => {
    const known = typeof f1 === "number";
    return [
      make("span", {}, make("b", {}, nameOf(name)), make("small", {}, titles.get(name) ?? "")),
      number(patients),
      number(clips),
      known
        ? make(
            "span",
            { class: "f1" },
            make("b", {}, figure(f1)),
            make("span", { class: "dim" }, ` ${interval(low, high)}`),
          )
        : make("span", { class: "dim" }, macro ? "too few" : "not yet"),
      intervalPlot({ value: f1, low, high, filled: true }),
    ];
  });
  const { scrollTop = 0 } = parts.views.querySelector(".table-box") ?? {};
  keepFocus(parts.views, () =>
    parts.views.replaceChildren(
      make("h2", {}, "View by view"),
      table({
        caption: "Labels and F1 of each view",
        head: ["View", "Patients", "Clips", "F1 and 95 % interval", "0 to 1"],
        rows,
        kind: "views-table",
      }),
    ),
  );
  parts.views.querySelector(".table-box").scrollTop = scrollTop;
}

function drawCurve({ curve: points }) {
  const known = points.filter((point) => typeof point.f1 === "number");
  const end = known.at(-1);
  const words = end
    ? `From ${figure(known[0].f1)} with ${plural(known[0].labels, "label")} to ${figure(end.f1)} ` +
      `with ${number(end.labels)}.`
    : "";
  parts.curve.replaceChildren(
    make("h2", {}, "Macro F1 as labels grow"),
    ...(end
      ? [curve(known, `Macro F1 over the number of labels. ${words}`), make("p", { class: "dim" }, words)]
      : [make("p", { class: "nothing" }, "The curve begins with the first estimate.")]),
  );
}

function drawModel({ model, fine_tune: tuning }) {
  keepFocus(parts.model, () => {
    const far = ({ state, done, total }, when, name) =>
      state === when && total > 0
        ? make("progress", { max: total, value: done, "aria-label": name })
        : null;
    const lines = [
      make("p", { class: "model-state" }, modelWords(model)),
      far(model, "reading", "Clips read"),
      ...(session.fine_tune
        ? [
            make("p", { class: "tune-state" }, tuningWords(tuning)),
            far(tuning, "running", "Fine-tuning"),
            tuneButton(tuning),
          ]
        : []),
    ].filter(Boolean);
    parts.model.replaceChildren(make("h2", {}, "The model"), ...lines);
  });
}

function modelWords({ state, done, total, name, labels }) {
  const from = labels > 0 ? ` It is ${name}, taught with ${plural(labels, "label")} of views.` : "";
  const words = {
    starting: "It is starting.",
    reading: `It is reading the clips: ${number(done)} of ${number(total)}.`,
    thinking: "It is learning from the newest labels.",
    ready: labels > 0 ? "It is up to date." : "It waits for the first labels.",
    failed: "It has failed, and is started anew. Labels are safe all the same.",
  }[state];
  return `${words ?? state}${from}`;
}

function tuningWords({ state, labels, minutes }) {
  const whole = Math.round(minutes ?? 0);
  const took = whole > 0 ? `, ${plural(whole, "minute")}` : "";
  return (
    {
      off:
        "Fine-tuning teaches the whole network, not just its last layer. It takes minutes, and " +
        "labelling goes on meanwhile.",
      waiting: "Fine-tuning waits for its turn.",
      running: `Fine-tuning goes on, with ${plural(labels, "label")}${took && `${took} so far`}.`,
      done: `Fine-tuned with ${plural(labels, "label")}${took}.`,
      failed: "Fine-tuning has failed; the model from before is still used.",
    }[state] ?? state
  );
}

function tuneButton({ state }) {
  const busy = state === "waiting" || state === "running";
  const button = make(
    "button",
    { type: "button", class: "fine-tune", disabled: busy },
    busy ? "Fine-tuning …" : "Fine-tune now",
  );
  button.onclick = async () => {
    button.disabled = true;
    try {
      await post("v1/fine-tune", {});
      say("Fine-tuning was asked for.");
      await look();
    } catch (problem) {
      if (typeof problem.status !== "number") throw problem;
      warn(sentences(problem));
    }
    button.disabled = false;
  };
  return button;
}

/** Draw a part anew without taking the focus away from what has it. */
function keepFocus(place, draws) {
  const at = [...place.querySelectorAll("button, [tabindex]")].indexOf(document.activeElement);
  draws();
  if (at >= 0) [...place.querySelectorAll("button, [tabindex]")][at]?.focus({ preventScroll: true });
}
