// The Wall tab: groups of alike clips, the largest without labels first, and one of them as a wall.

import { hideAlike, showAlike } from "./alike.js";
import { annotator, get } from "./api.js";
import { bar, make } from "./elements.js";
import { alikeAsked } from "./more.js";
import { Picks, mostlyGuessed } from "./picks.js";
import { onVersion } from "./state.js";
import { whenReady } from "./waiting.js";
import { nameOf, number, percent, plural } from "./wording.js";

const COUNT = 24; // clips of a group at a time
const MOST = 200; // clips that the server is asked for at once

let tab = null; // where it is shown
let showing = null; // what ends the tab's doings
let groups = [];
let opened = null; // the number of the open group
const leftOut = new Map(); // group → the clips that were taken out and stay without a label
let list, wall, head, picks;

onVersion(() => {
  if (showing && !picks.busy) reload(); // undone, perhaps
});

/**
 * Show the tab: the groups, and the one that was open or the first; or what is like the clip in the
 * address.
 */
export async function show(place) {
  hide();
  tab = place;
  const clip = alikeAsked();
  if (clip) return showAlike(place, clip);
  showing = new AbortController();
  const { signal } = showing;
  list = make("ol", { class: "group-list" });
  head = make("div", { class: "wall-head" });
  wall = make("div", { class: "wall-place" });
  const nav = make(
    "nav",
    { class: "groups", "aria-label": "Groups of alike clips" },
    make("h2", {}, "Groups of alike clips"),
    list,
  );
  place.replaceChildren(make("div", { class: "split" }, nav, make("div", { class: "wall" }, head, wall)));
  picks = new Picks(wall, { kind: "wall", signal, labelled, skipped: leaveOut });
  const answer = await whenReady(wall, () => get("v1/groups"), signal, "The model is grouping the clips.");
  if (!answer) return;
  take(answer.groups);
  await open(groups.some((group) => group.group === opened) ? opened : nextGroup());
}

/** End what goes on in the tab. */
export function hide() {
  hideAlike();
  showing?.abort();
  showing = null;
  tab?.replaceChildren();
}

function take(found) {
  groups = [...found].sort((a, b) => b.unlabelled - a.unlabelled);
  const some = groups.filter((group) => group.unlabelled > 0);
  const done = groups.length - some.length;
  list.replaceChildren(...some.map(entry));
  if (done > 0)
    list.append(make("li", { class: "dim" }, `${plural(done, "group")} without anything left to label`));
}

function entry(group) {
  const { clips, unlabelled } = group;
  const left = leftOut.get(group.group)?.size ?? 0;
  const button = make(
    "button",
    {
      type: "button",
      class: "group",
      "data-group": group.group,
      "aria-current": group.group === opened ? "true" : null,
      onclick: () => open(group.group, true),
    },
    make(
      "span",
      { class: "group-name" },
      make("b", {}, group.guess ? nameOf(group.guess) : "No guess yet"),
      make("span", {}, ` ${sureness(group)}`),
    ),
    make(
      "span",
      { class: "dim" },
      `${number(unlabelled)} of ${plural(clips, "clip")} to label${left > 0 ? `, ${left} taken out` : ""}`,
    ),
    bar(1 - unlabelled / Math.max(clips, 1), { kind: "named" }),
  );
  return make("li", {}, button);
}

const sureness = (group) => (group.guess && typeof group.share === "number" ? percent(group.share) : "");

/** The largest group in which there is something not yet looked at. */
function nextGroup() {
  const fresh = groups.filter((group) => group.unlabelled > (leftOut.get(group.group)?.size ?? 0));
  return (fresh[0] ?? null)?.group ?? null;
}

async function open(which, byHand = false) {
  if (which === null) return nothingLeft();
  const { signal } = showing;
  opened = which;
  mark();
  if (byHand) head.scrollIntoView({ block: "nearest" });
  const out = leftOut.get(which) ?? new Set();
  const count = Math.min(COUNT + out.size, MOST);
  const path = `v1/groups/${which}?count=${count}&annotator=${encodeURIComponent(annotator())}`;
  const answer = await whenReady(wall, () => get(path), signal, "The model is grouping the clips.");
  if (!answer || opened !== which) return;
  const tiles = answer.items.filter((tile) => !out.has(tile.clip)).slice(0, COUNT);
  drawHead(answer.left, out);
  const group = groups.find((one) => one.group === which);
  if (tiles.length === 0 && !byHand) {
    group.unlabelled = out.size; // nothing of it is left to look at, whatever the list said
    return open(nextGroup());
  }
  picks.show(tiles, { guess: mostlyGuessed(tiles), none: "All that is left of this group was taken out." });
}

function drawHead(left, out) {
  const group = groups.find((one) => one.group === opened);
  const how = group?.share >= 0.5 ? "Likely" : "Mixed, most often";
  const words = group?.guess ? `${how} ${nameOf(group.guess)}` : "No guess yet";
  const share =
    group?.guess && typeof group.share === "number" ? `The model says so of ${percent(group.share)}. ` : "";
  const again = make(
    "button",
    {
      type: "button",
      class: "again",
      hidden: out.size === 0,
      onclick: () => (leftOut.delete(opened), open(opened, true)),
    },
    `Look again at ${number(out.size)} taken out`,
  );
  head.replaceChildren(
    make(
      "div",
      {},
      make("h2", {}, words),
      make(
        "p",
        { class: "dim" },
        `${share}${plural(left, "clip")} left to label. Take out what does not belong, then press a view.`,
      ),
    ),
    again,
  );
}

function mark() {
  for (const button of list.querySelectorAll(".group")) {
    if (Number(button.dataset.group) === opened) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

function nothingLeft() {
  opened = null;
  mark();
  head.replaceChildren();
  const some = [...leftOut.values()].some((clips) => clips.size > 0);
  const words = some
    ? "All groups are labelled, but for clips that were taken out."
    : "All groups are labelled.";
  wall.replaceChildren(make("p", { class: "nothing", role: "status" }, words));
}

function labelled(view, clips, out) {
  noteOut(out);
  return reload();
}

/** Go on with the group without these. */
function leaveOut(clips) {
  noteOut(clips);
  reload();
}

function noteOut(clips) {
  leftOut.set(opened, new Set([...(leftOut.get(opened) ?? []), ...clips]));
}

async function reload() {
  const { signal } = showing;
  const answer = await whenReady(wall, () => get("v1/groups"), signal);
  if (!answer) return;
  take(answer.groups);
  await open(opened ?? nextGroup());
}
