// One clip, large: the sentence, its cine, and why.

import { getBlob, getJson } from "./api.js";
import { fillCine, canStop } from "./cine.js";
import { bar, make } from "./elements.js";
import { chips } from "./list.js";
import { kindOf, percent, sentence } from "./words.js";

let leave = () => {}; // ends what the clip shown before still loads, and gives its picture back

/** Show a clip in `place`; `close` is called by its button. */
export function showClip(place, clip, model, titleOf, close) {
  leave();
  const ending = new AbortController();
  leave = () => ending.abort();
  const { answer } = clip;
  const kind = kindOf(clip);
  const words = make("p", { class: `verdict ${kind}` }, sentence(clip, titleOf, null));
  const cine = make("div", { class: "cine" });
  const why = make("div");
  const title = make("h2", { id: "detail-title" }, clip.path.split("/").pop());
  const closing = { type: "button", class: "close", onclick: close, "aria-label": "Close this clip" };
  const heading = make("div", { class: "heading" }, title, make("button", closing, "✕"));
  place.replaceChildren(heading, words, ...[chips(answer, kind)].filter(Boolean));
  place.hidden = false;
  if (!answer?.likeliest) return;
  place.append(cine, why);
  const orSay = (into, what) => (error) => {
    if (!ending.signal.aborted) into.append(make("p", { class: "dim" }, `${what}: ${error.message}.`));
  };
  const item = `v1/items/${encodeURIComponent(clip.item)}`;
  const player = getBlob(`${item}/cine`, ending.signal).then((blob) =>
    fillCine(cine, blob, answer.frames_used, ending.signal));
  player.catch(orSay(cine, "There is no picture"));
  getJson(item, ending.signal)
    .then(({ evidence }) => {
      if (ending.signal.aborted || !evidence) return;
      words.textContent = sentence(clip, titleOf, evidence);
      const stop = (number) => player.then((play) => play.stop(number), () => {});
      why.replaceChildren(...whyParts(answer, evidence, model, titleOf, stop));
    })
    .catch(orSay(why, "There is nothing to show why"));
}

export function hideClip(place) {
  leave();
  place.hidden = true;
  place.replaceChildren();
}

function whyParts(answer, evidence, model, titleOf, stop) {
  return [
    make("h3", {}, "The likeliest views"),
    ...likeliest(answer, evidence, titleOf),
    make("h3", {}, "Frame by frame"),
    ...votes(evidence.frames, stop),
    make("h3", {}, "Can it be believed?"),
    beliefs(answer, evidence, model),
  ];
}

function likeliest(answer, { probabilities, doubtful_below: limit }, titleOf) {
  const rows = Object.entries(probabilities).sort(([, a], [, b]) => b - a).map(([view, probability]) => {
    const credible = answer.views.includes(view);
    return make("li", { class: credible ? "credible" : "" },
      make("span", { title: titleOf(view) }, view),
      bar(probability, { limit, kind: credible ? "" : "faint" }),
      make("span", { class: "number" }, percent(probability)),
      make("span", { class: "unseen" }, credible ? "credible" : ""));
  });
  const line = typeof limit === "number" ? ` From the line at ${percent(limit)} on, none is doubtful.` : "";
  const legend = make("p", { class: "dim" }, `Bold: the credible views.${line}`);
  return [make("ul", { class: "bars" }, ...rows), legend];
}

/** One column a frame: as high as its vote is sure, coloured by the view it names. */
function votes(frames, stop) {
  const often = (view) => frames.filter((frame) => frame.view === view).length;
  const views = [...new Set(frames.map((frame) => frame.view))].sort((a, b) => often(b) - often(a));
  const colour = (view) => `c${Math.min(views.indexOf(view), 4)}`;
  const columns = frames.map(({ number, view, probability }) => {
    const fill = make("i", { class: `fill ${colour(view)}` });
    fill.style.height = `${Math.max(4, 100 * probability)}%`;
    const words = `Frame ${number}: ${view} with ${percent(probability)}`;
    const named = { class: "vote", title: words, "aria-label": words };
    const press = { ...named, type: "button", onclick: () => stop(number) };
    const column = canStop ? make("button", press, fill) : make("span", { ...named, role: "img" }, fill);
    return make("li", {}, column);
  });
  const legend = views.map((view) => {
    const words = `${view} in ${often(view)} of ${frames.length}`;
    return make("span", {}, make("i", { class: `dot ${colour(view)}` }), words);
  });
  const press = canStop ? "Press a column to see its frame." : "";
  const hint = frames.length === 1 ? "One look was enough." : press;
  return [
    make("ol", { class: "votes" }, ...columns),
    make("p", { class: "dim legend" }, ...legend),
    make("p", { class: "dim" }, hint),
  ];
}

function beliefs(answer, { unknown_threshold: far, doubtful_below: limit }, model) {
  const facts = [
    ["Like what was taught", likeness(answer, far), distance(answer, far)],
    ["Sure enough", sureness(answer, limit)],
    ["Contrast agent", agentWords(answer)],
    ["Frames looked at", answer.frames_used.join(", ")],
    ["Model", [answer.model, model?.runtime].filter(Boolean).join(", ")],
  ];
  const line = ([name, ...rest]) => [make("dt", {}, name), make("dd", {}, ...rest)];
  return make("dl", {}, ...facts.filter(([, words]) => words).flatMap(line));
}

function likeness({ unknown, unknown_score: score }, far) {
  if (typeof score !== "number") return "";
  const limit = typeof far === "number" ? `, and up to ${Math.round(far)} counts as known` : "";
  return `${unknown ? "No" : "Yes"}: its distance from the views taught is ${Math.round(score)}${limit}.`;
}

/** The distance as a bar, two thirds of which are within the threshold. */
function distance({ unknown, unknown_score: score }, far) {
  if (!(score >= 0 && far > 0)) return null;
  return bar(score / (1.5 * far), { limit: 1 / 1.5, kind: unknown ? "unknown" : "" });
}

function sureness({ probability, doubtful }, limit) {
  if (typeof limit !== "number") {
    return "Not known: this model was judged on too few patients to say when it may be trusted.";
  }
  return `${doubtful ? "No" : "Yes"}: ${percent(probability)}, where ${percent(limit)} is asked for.`;
}

function agentWords({ contrast_agent: tagged, contrast_agent_probability: seen }) {
  const words = [];
  if (typeof tagged === "boolean") words.push(tagged ? "The file says yes." : "The file says no.");
  if (typeof seen === "number") words.push(`By its pixels: ${percent(seen)}.`);
  return words.join(" ");
}
