// The list of clips, the tiles that count them, and the strip of standard views.

import { make, bar } from "./elements.js";
import { KINDS, completeness, hasAgent, kindOf, modeWords, percent, waitingWords } from "./words.js";

/** A row of the table for a clip; `open` is called when it is asked for. */
export function rowOf(clip, open) {
  const place = clip.path.lastIndexOf("/");
  const press = { type: "button", class: "name", title: clip.path, onclick: () => open(clip) };
  const folder = place > 0 ? make("small", {}, clip.path.slice(0, place)) : null;
  const name = make("button", press, clip.path.slice(place + 1));
  const head = make("th", { scope: "row", role: "rowheader" }, name, folder);
  const row = make("tr", { role: "row" }, head); // roles, because on a phone the table is laid out otherwise
  row.onclick = (event) => event.target.closest("button") ?? open(clip);
  return row;
}

/** Say in its row what is known of a clip now. */
export function fillRow(row, clip, titleOf) {
  const kind = kindOf(clip);
  row.className = kind;
  while (row.cells.length > 1) row.deleteCell(1);
  row.append(...(clip.answer?.likeliest ? said(clip.answer, kind, titleOf) : [unsaid(clip, kind)]));
}

function said(answer, kind, titleOf) {
  const cell = (name, ...children) => make("td", { role: "cell", class: name }, ...children);
  if (kind === "unknown") {
    const words = make("small", {}, `nearest: ${answer.likeliest}`);
    return [cell("view", make("b", {}, "–"), words, chips(answer, kind)), cell("probability"), cell("set")];
  }
  const title = make("small", {}, titleOf(answer.likeliest));
  return [
    cell("view", make("b", {}, answer.likeliest), title, chips(answer, kind)),
    cell("probability", percent(answer.probability), bar(answer.probability, { kind })),
    cell("set", ...answer.views.flatMap((view, place) => [place > 0 ? ", " : "", make("span", {}, view)])),
  ];
}

function unsaid(clip, kind) {
  const words = {
    waiting: () => waitingWords(clip),
    problem: () => clip.trouble ?? clip.answer.problem,
    other: () => `shows ${modeWords(clip.answer.mode)}`,
  }[kind]();
  const busy = clip.state === "sending" || clip.state === "looking";
  const text = make("span", { class: busy ? "busy" : "" }, words);
  return make("td", { role: "cell", colspan: "3", class: "view" }, text, chips(clip.answer, kind));
}

/** The chips of an answer: its kind where that is worth a look, and contrast agent. */
export function chips(answer, kind) {
  const words = kind === "named" || kind === "waiting" ? [] : [[kind, KINDS[kind]]];
  if (hasAgent(answer)) words.push(["agent", "contrast agent"]);
  if (words.length === 0) return null;
  const chip = ([name, text]) => make("span", { class: `chip ${name}` }, text);
  return make("span", { class: "chips" }, ...words.map(chip));
}

/** The tiles: how many clips of each kind; pressing one shows only these. */
export function fillKinds(place, clips, chosen, choose) {
  const counts = { all: clips.length };
  for (const clip of clips) counts[kindOf(clip)] = (counts[kindOf(clip)] ?? 0) + 1;
  const tiles = Object.entries({ all: "clips", ...KINDS }).map(([kind, words]) => {
    const old = place.querySelector(`[data-kind="${kind}"]`);
    const tile = old ?? make("button", { type: "button", "data-kind": kind, class: `tile ${kind}` });
    tile.setAttribute("aria-pressed", String(kind === chosen));
    tile.onclick = () => choose(kind);
    tile.replaceChildren(make("b", {}, String(counts[kind] ?? 0)), make("span", {}, words));
    tile.hidden = kind === "waiting" && !counts.waiting && chosen !== "waiting";
    return tile;
  });
  if (place.children.length === 0) place.append(...tiles); // once, so that the focus stays where it is
}

/** The strip: which of the taught views these clips show. Returns it in words. */
export function fillStrip(place, taught, clips, titleOf) {
  const found = completeness(taught, clips);
  const missing = clips.some((clip) => kindOf(clip) === "waiting") ? "not yet" : "missing";
  const words = { present: "present", doubtful: "doubtful", missing };
  place.replaceChildren(
    ...found.map(({ view, state, clips: count }) =>
      make("li", { class: state, title: titleOf(view) },
        make("b", {}, view),
        make("span", {}, words[state], count > 1 ? ` ×${count}` : ""))),
  );
  const [present, doubtful, others] = ["present", "doubtful", "missing"].map(
    (state) => found.filter((one) => one.state === state).length,
  );
  return `${present} of ${found.length} present, ${doubtful} doubtful, ${others} ${missing}`;
}
