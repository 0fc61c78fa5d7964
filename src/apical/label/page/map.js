// The Map tab: every clip as a point, alike ones close together; what is drawn around is labelled in one go.

import { get } from "./api.js";
import { make } from "./elements.js";
import { HoverCard } from "./hovercard.js";
import { Lasso } from "./lasso.js";
import { Legend, NO_LABEL } from "./legend.js";
import { coloursNow, marksOf } from "./marks.js";
import { openAlike } from "./more.js";
import { Picks, mostlyGuessed } from "./picks.js";
import { Scatter } from "./scatter.js";
import { onVersion, session } from "./state.js";
import { whenReady } from "./waiting.js";
import { nameOf, number, plural } from "./wording.js";

const MOST = 200; // clips that one batch may hold
const REACH = 12; // pixels from a point that the mouse may be
const CALM = 300; // milliseconds after a label before the map is asked for anew
const HELP =
  "Draw around clips to take them. The wheel or two fingers zoom, the right mouse button moves. By " +
  "keyboard: arrows move a circle, " +
  "+ and − grow and shrink it, Page Up and Page Down zoom, Enter takes what is in it, Escape lets go.";

let tab = null; // where it is shown
let showing = null; // what ends the tab's doings
let points = null; // the answer of v1/map
let guesses = false; // whether points without a label show the guess
let marks, scatter, lasso, picks, box, legend, said, panel, card, calm;

onVersion(() => {
  if (!showing || !points) return;
  clearTimeout(calm);
  calm = setTimeout(reload, CALM);
});

/** Show the tab: the map as soon as there is one. */
export async function show(place) {
  hide();
  tab = place;
  showing = new AbortController();
  const { signal } = showing;
  const root = make("div", { class: "map-tab" });
  place.replaceChildren(root);
  const answer = await whenReady(
    root,
    () => get("v1/map"),
    signal,
    "The map is being drawn: the model puts alike clips side by side.",
  );
  if (!answer) return;
  marks = marksOf([...session.views.map((view) => view.name), "none", "cannot-tell"]);
  build(root, signal);
  points = answer;
  fit();
  draw();
}

/** End what goes on in the tab. */
export function hide() {
  showing?.abort();
  showing = null;
  tab?.replaceChildren();
  card?.over(null);
  clearTimeout(calm);
}

function build(root, signal) {
  const dots = make("canvas", { class: "map-dots", "aria-hidden": "true" });
  const over = make("canvas", {
    class: "map-lasso",
    tabindex: "0",
    role: "application",
    "aria-label": "Map of the clips",
    "aria-describedby": "map-help",
  });
  box = make("div", { class: "map-box" }, dots, over);
  card = new HoverCard(box);
  legend ??= new Legend(() => {
    draw();
    letGo();
  });
  said = make("p", { class: "map-said", role: "status" });
  const help = make("p", { id: "map-help", class: "dim map-help" }, HELP);
  panel = make("div", { class: "map-panel" });
  scatter = new Scatter(dots, coloursNow());
  lasso = new Lasso(over, scatter, { took, hovered, pressed, signal });
  scatter.onshow = () => lasso.draw();
  root.replaceChildren(
    make("div", { class: "map-left" }, tools(), box, said, legend.element, help),
    make("section", { class: "map-right", "aria-label": "Clips taken" }, panel),
  );
  picks = new Picks(panel, { kind: "map", signal, labelled });
  invite();
  const sized = new ResizeObserver(fit);
  sized.observe(box);
  document.addEventListener("themechange", draw, { signal });
  signal.addEventListener("abort", () => sized.disconnect(), { once: true });
}

function tools() {
  const tool = (name, words) =>
    make(
      "button",
      {
        type: "button",
        class: `tool-${name}`,
        "aria-pressed": String(name === lasso.tool),
        onclick: (event) => choose(name, event.currentTarget),
      },
      words,
    );
  const middle = () => [box.clientWidth / 2, box.clientHeight / 2];
  const zoom = (factor) => () => scatter.zoomAt(...middle(), factor);
  const shown = make(
    "button",
    { type: "button", class: "map-guesses", "aria-pressed": String(guesses), onclick: turnGuesses },
    "Show guesses",
  );
  return make(
    "div",
    { class: "map-tools" },
    make(
      "div",
      { class: "row", role: "group", "aria-label": "What a drag does" },
      tool("lasso", "Lasso"),
      tool("move", "Move"),
    ),
    make(
      "div",
      { class: "row", role: "group", "aria-label": "Zoom" },
      make("button", { type: "button", class: "map-in", "aria-label": "Zoom in", onclick: zoom(1.6) }, "+"),
      make(
        "button",
        { type: "button", class: "map-out", "aria-label": "Zoom out", onclick: zoom(1 / 1.6) },
        "−",
      ),
      make("button", { type: "button", class: "map-whole", onclick: () => scatter.whole() }, "Whole map"),
    ),
    shown,
  );
}

function choose(name, pressed) {
  lasso.tool = name;
  box.classList.toggle("moving", name === "move");
  for (const one of pressed.parentElement.children) one.setAttribute("aria-pressed", String(one === pressed));
}

function turnGuesses(event) {
  guesses = !guesses;
  event.currentTarget.setAttribute("aria-pressed", String(guesses));
  draw();
}

function fit() {
  scatter.resize();
  lasso.draw();
}

const labelOf = (place) => points.label[place] ?? NO_LABEL;

function draw() {
  if (!points) return;
  const small = new Map([...marks].map(([view, mark]) => [view, { ...mark, small: true }]));
  const seen = new Uint8Array(points.clip.length);
  const mark = points.label.map((label, place) => {
    seen[place] = legend.hidden.has(labelOf(place)) ? 0 : 1;
    return marks.get(label) ?? (guesses ? (small.get(points.guess[place]) ?? null) : null);
  });
  const colours = coloursNow();
  scatter.set({ x: points.x, y: points.y, mark, seen }, colours);
  legend.draw(
    points.label,
    marks,
    colours,
    session.views.map((view) => view.name),
  );
}

/** Take the clips for which `test` holds; null lets go of all. */
function took(test, ended) {
  const taken = test ? scatter.those(test) : [];
  const open = taken.filter((place) => labelOf(place) === NO_LABEL);
  const chosen = ended && open.length > MOST ? middlemost(open) : open;
  lasso.draw(chosen);
  said.textContent = test ? `${plural(taken.length, "clip")}, ${number(open.length)} without a label` : "";
  if (!ended) return;
  if (!test) return invite();
  if (chosen.length < open.length) said.textContent += `; the ${MOST} in the middle are taken`;
  const tiles = chosen.map((place) => ({
    clip: points.clip[place],
    guess: points.guess[place],
    probability: null,
  }));
  picks.show(tiles, {
    guess: mostlyGuessed(tiles),
    none: "There is no clip without a label in it.",
  });
  panel.querySelector(".pick")?.focus({ preventScroll: true });
  if (matchMedia("(max-width: 70rem)").matches) panel.scrollIntoView({ block: "nearest" });
}

/** The `MOST` of these points that lie nearest to the middle of all. */
function middlemost(places) {
  const mean = (axis) => places.reduce((sum, place) => sum + axis[place], 0) / places.length;
  const [x, y] = [mean(points.x), mean(points.y)];
  const far = (place) => (points.x[place] - x) ** 2 + (points.y[place] - y) ** 2;
  return [...places].sort((a, b) => far(a) - far(b)).slice(0, MOST);
}

function invite() {
  panel.replaceChildren(
    make(
      "div",
      { class: "invite" },
      make("p", { class: "invitation" }, "Draw around clips on the map"),
      make(
        "p",
        { class: "dim" },
        "Those without a label come here as moving pictures, to be labelled in one go. Alike clips " +
          "lie close together: a clump is often one view.",
      ),
      make("p", { class: "dim" }, "Press a point for clips like it; a mouse that rests on one shows its clip."),
    ),
  );
}

function labelled() {
  lasso.clear();
  said.textContent = "";
  invite();
  lasso.canvas.focus({ preventScroll: true });
}

async function reload() {
  const { signal } = showing ?? {};
  if (!signal) return;
  const answer = await get("v1/map").catch(() => null); // the next label asks again
  if (!answer || signal.aborted) return;
  points = answer;
  draw();
}

/** A press on a point opens the clips like it; one beside all points lets go of what is taken. */
function pressed(x, y) {
  const place = scatter.nearest(x, y, REACH);
  if (place >= 0) openAlike(points.clip[place]);
  else letGo();
}

function letGo() {
  lasso.clear();
  took(null, true);
}

function hovered(x, y) {
  const place = x === null ? -1 : scatter.nearest(x, y, REACH);
  if (place < 0) return card.over(null);
  const [label, guess] = [points.label[place], points.guess[place]];
  const words = label ? nameOf(label) : guess ? `guess ${nameOf(guess)}` : "no guess yet";
  card.over(points.clip[place], words, scatter.at(place));
}
