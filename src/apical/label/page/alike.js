// "More like this": the clips that look most like one, as a wall.

import { get } from "./api.js";
import { make } from "./elements.js";
import { Picks, mostlyGuessed } from "./picks.js";
import { thumb } from "./player.js";
import { whenReady } from "./waiting.js";
import { guessWords, nameOf } from "./wording.js";

const COUNT = 48; // asked for: some have a label already
const SHOWN = 24;

let showing = null; // what ends the wall now open

/**
 * Show in `place` the clips most like `clip`, those without a label of one's own to be labelled in one go.
 */
export async function showAlike(place, clip) {
  hideAlike();
  showing = new AbortController();
  const { signal } = showing;
  const title = make("h2", { tabindex: "-1" }, "More like this");
  const example = make("div", { class: "example" }, thumb(clip, signal, 160));
  const about = make("p", { class: "dim" });
  const back = make("button", { type: "button", class: "back", onclick: () => history.back() }, "← Back");
  const wall = make("div", { class: "alike-wall" });
  const head = make("div", { class: "alike-head" }, example, make("div", {}, title, about, back));
  place.replaceChildren(make("div", { class: "alike" }, head, wall));
  title.focus({ preventScroll: true });
  const path = `v1/clips/${encodeURIComponent(clip)}`;
  const load = () => Promise.all([get(path), get(`${path}/alike?count=${COUNT}`)]);
  const answer = await whenReady(
    wall,
    load,
    signal,
    "The model is reading the clips, to know which are alike.",
  );
  if (!answer) return;
  const [{ guess, probability, settled }, { items }] = answer;
  const label = settled?.view;
  about.textContent = `This clip: ${label ? nameOf(label) : `guess ${guessWords(guess, probability)}`}.`;
  const open = items.filter((tile) => tile.clip !== clip && !tile.label && !tile.own).slice(0, SHOWN);
  const known = items.filter((tile) => tile.label || tile.own);
  if (known.length > 0) about.append(` ${knownWords(known)}`);
  const picks = new Picks(wall, { kind: "alike", signal, labelled: () => showAlike(place, clip) });
  const best = label ?? mostlyGuessed(open);
  picks.show(open, { guess: best, none: "All clips like this one have a label." });
}

/** End what `showAlike` began. */
export function hideAlike() {
  showing?.abort();
  showing = null;
}

/** "Of those most like it, 12 have a label: 10 A4C, 2 A5C." */
function knownWords(known) {
  const counts = new Map();
  for (const tile of known) counts.set(tile.label ?? tile.own, (counts.get(tile.label ?? tile.own) ?? 0) + 1);
  const parts = [...counts].sort((a, b) => b[1] - a[1]).map(([view, count]) => `${count} ${nameOf(view)}`);
  return `Of those most like it, ${known.length} have a label: ${parts.join(", ")}.`;
}
