// A wall of clips to be labelled in one go: all are in, those that do not belong are taken out, a view is
// pressed.

import { annotator, newKey } from "./api.js";
import { Choice, keyButton, keySign } from "./buttons.js";
import { choiceButtons } from "./choices.js";
import { make } from "./elements.js";
import { neighbour } from "./grid.js";
import { offersAlike, openAlike } from "./more.js";
import { save } from "./outbox.js";
import { keysGoTo } from "./pickkeys.js";
import { thumb } from "./player.js";
import { say, warn } from "./state.js";
import { guessWords, nameOf, number, percent, plural, sentences } from "./wording.js";

const PAGE = 24; // thumbnails at a time
const AGENT = [
  [null, "not said"],
  [true, "yes"],
  [false, "no"],
];

/** The view that the model says of at least half of the tiles, or null: less is nothing to accept in one go. */
export function mostlyGuessed(tiles) {
  const counts = new Map();
  for (const { guess } of tiles) counts.set(guess, (counts.get(guess) ?? 0) + 1);
  return [...counts].find(([, count]) => 2 * count >= tiles.length)?.[0] ?? null;
}

/** One wall of picks; it lives until `signal` ends it. */
export class Picks {
  #tiles = [];
  #out = new Set();
  #page = 0;
  #looked = 0; // clips that have been in sight, from the first on
  #guess = null;
  #showing = null; // what ends the thumbnails shown now
  busy = false; // while a batch is on its way

  /**
   * `kind` is "wall", "map" or "alike". `labelled(view, clips, out)` is called when a batch is on disk: clips
   * that were labelled, and those that had been taken out. `skipped(clips)`, where it is given, offers a
   * button that leaves all of them without a label.
   */
  constructor(place, { kind, signal, labelled, skipped = null }) {
    Object.assign(this, { place, kind, signal, labelled, skipped });
    this.count = make("p", { class: "pick-count", role: "status" });
    this.pager = make("div", { class: "pager" });
    const all = keyButton("pick-all", "All in", "+", () => this.takeIn(true));
    const none = keyButton("pick-none", "All out", "-", () => this.takeIn(false));
    const skip = keyButton("pick-skip", "Skip these", "s", () => this.skip());
    skip.hidden = !skipped;
    this.agent = new Choice(`${kind}-agent`, "Contrast agent", "c", AGENT);
    this.grid = make("div", {
      class: "pick-grid",
      role: "group",
      "aria-label": "Clips; those pressed are in",
    });
    this.yes = make("button", {
      type: "button",
      class: "main accept",
      "aria-keyshortcuts": "Enter",
      onclick: () => this.accept(),
    });
    const views = choiceButtons((view) => this.label(view), "Label all that are in as");
    const bar = make("div", { class: "pick-bar" }, this.yes, views);
    const tools = make(
      "div",
      { class: "pick-tools" },
      this.count,
      all,
      none,
      skip,
      this.agent.element,
      this.pager,
    );
    this.root = make("div", { class: "picks" }, tools, this.grid, bar);
    this.grid.addEventListener("keydown", (event) => this.#enter(event));
    this.grid.addEventListener("focusin", (event) => this.#rove(event.target.closest(".pick")));
    signal.addEventListener("abort", () => this.#showing?.abort(), { once: true });
    keysGoTo(this);
  }

  /**
   * Show other tiles, all of them in; `guess` is offered first, and `none` is said where there is no tile.
   */
  show(tiles, { guess = null, none = "There is no clip to label here." } = {}) {
    const focused = this.root.contains(document.activeElement) || document.activeElement === document.body;
    this.#tiles = tiles;
    this.#guess = guess;
    this.#out.clear();
    this.#page = this.#looked = 0;
    this.agent.set(null); // said of each wall anew
    if (tiles.length === 0) {
      this.#showing?.abort();
      this.place.replaceChildren(make("p", { class: "nothing", role: "status" }, none));
      return;
    }
    if (this.root.parentElement !== this.place || this.place.childElementCount > 1)
      this.place.replaceChildren(this.root);
    this.#draw();
    if (focused) this.grid.querySelector(".pick")?.focus({ preventScroll: true });
  }

  /** Label all that are in; those taken out stay as they are. */
  async label(view) {
    const clips = this.#clips().filter((clip) => !this.#out.has(clip));
    if (this.busy || !view) return;
    if (clips.length === 0) return say("No clip is in, so nothing was labelled.");
    const said = { view, contrast_agent: this.agent.value, quality: null, note: "" };
    const batch = { annotator: annotator(), clips, said, kind: this.kind, key: newKey() };
    this.#turnBusy(true);
    try {
      await save("v1/batch", batch, { clip: clips[0], view });
      say(`${plural(clips.length, "clip")} labelled as ${nameOf(view)}. Undo takes all of them back.`);
      this.#turnBusy(false);
      if (!this.signal.aborted) await this.labelled(view, clips, [...this.#out]);
    } catch (problem) {
      if (typeof problem.status !== "number") throw problem;
      warn(sentences(problem));
    } finally {
      this.#turnBusy(false);
    }
  }

  #clips = () => this.#tiles.map((tile) => tile.clip);
  #shown = () => [...this.grid.querySelectorAll(".pick")];

  #draw() {
    this.#showing?.abort();
    this.#showing = new AbortController();
    const first = PAGE * this.#page;
    const tiles = this.#tiles.slice(first, first + PAGE);
    this.grid.replaceChildren(...tiles.map((tile, place) => this.#tile(tile, first + place)));
    this.#rove(this.grid.firstElementChild);
    this.#looked = Math.max(this.#looked, first + tiles.length);
    this.#drawPager();
    this.#tell();
  }

  #tile({ clip, guess, probability, likeness }, place) {
    const odd = guess && this.#guess && guess !== this.#guess;
    const words = guessWords(guess, probability);
    const pick = make(
      "button",
      {
        type: "button",
        class: `pick${odd ? " odd" : ""}`,
        "data-clip": clip,
        "aria-pressed": "true",
        tabindex: "-1",
        title: "Right click: more like this",
        "aria-label": `Clip ${place + 1} of ${this.#tiles.length}, ${guess ? `guess ${words}` : words}`,
      },
      make("span", { class: "pick-picture", "aria-hidden": "true" }, thumb(clip, this.#showing.signal)),
      make("span", { class: "pick-cross", "aria-hidden": "true" }),
      make(
        "span",
        { class: "pick-words", "aria-hidden": "true" },
        make("span", {}, odd ? "≠ " : "", guess ? nameOf(guess) : ""),
        typeof probability === "number" ? make("span", { class: "sure" }, percent(probability)) : null,
      ),
    );
    if (typeof likeness === "number") pick.dataset.likeness = likeness.toFixed(3);
    pick.onclick = () => this.#toggle(pick);
    offersAlike(pick, clip);
    this.#mark(pick);
    return pick;
  }

  #toggle(pick) {
    const { clip } = pick.dataset;
    if (!this.#out.delete(clip)) this.#out.add(clip);
    this.#mark(pick);
    this.#tell();
  }

  #mark = (pick) => pick.setAttribute("aria-pressed", String(!this.#out.has(pick.dataset.clip)));

  /** Take all in, or out. */
  takeIn(all) {
    this.#out = new Set(all ? [] : this.#clips());
    this.#shown().forEach(this.#mark);
    this.#tell();
  }

  #turnBusy(busy) {
    this.busy = busy;
    this.root.setAttribute("aria-busy", String(busy));
  }

  #tell() {
    const count = this.#tiles.length - this.#out.size;
    const unseen = this.#clips()
      .slice(this.#looked)
      .filter((clip) => !this.#out.has(clip)).length;
    const warning = unseen > 0 ? `, ${number(unseen)} of them not looked at` : "";
    this.count.textContent = `${number(count)} of ${plural(this.#tiles.length, "clip")} in${warning}`;
    this.yes.hidden = !this.#guess;
    if (!this.#guess) return;
    const words = count > 0 ? `Label ${plural(count, "clip")} as ${nameOf(this.#guess)}` : "No clip is in";
    this.yes.replaceChildren(make("span", {}, words), keySign("Enter"));
  }

  #drawPager() {
    const pages = Math.ceil(this.#tiles.length / PAGE);
    this.pager.hidden = pages < 2;
    const turn = (by) => () => this.turn(by);
    const last = Math.min(PAGE * (this.#page + 1), this.#tiles.length);
    this.pager.replaceChildren(
      make(
        "button",
        {
          type: "button",
          class: "pick-before",
          "aria-label": "Thumbnails before",
          disabled: this.#page === 0,
          onclick: turn(-1),
        },
        "‹",
      ),
      make("span", {}, `${PAGE * this.#page + 1}–${last} of ${this.#tiles.length}`),
      make(
        "button",
        {
          type: "button",
          class: "pick-after",
          "aria-label": "Thumbnails after",
          disabled: this.#page === pages - 1,
          onclick: turn(1),
        },
        "›",
      ),
    );
  }

  /** Show the thumbnails after (1) or before (-1). */
  turn(by) {
    const page = this.#page + by;
    if (page < 0 || PAGE * page >= this.#tiles.length) return;
    this.#page = page;
    this.#draw();
    this.grid.firstElementChild.focus();
  }

  /** The one tile that the Tab key reaches. */
  #rove(pick) {
    if (!pick) return;
    for (const one of this.#shown()) one.tabIndex = one === pick ? 0 : -1;
  }

  /** Whether it can be seen, so that keys are meant for it. */
  get inSight() {
    return this.root.isConnected && this.root.offsetParent !== null;
  }

  /** Label all that are in as the model guesses. */
  accept() {
    if (!this.#guess) return say("The model is not sure of these. Press the view that they show.");
    this.label(this.#guess);
  }

  /** Leave all of them without a label, where the wall offers that. */
  skip() {
    this.skipped?.(this.#clips());
  }

  /** The next value of the contrast agent. */
  cycleAgent() {
    say(`${this.agent.cycle()}.`);
  }

  /** What is like the clip that has the focus, or the first. */
  alike() {
    openAlike((document.activeElement.closest(".pick") ?? this.grid.firstElementChild).dataset.clip);
  }

  /** Go about the wall from the clip that has the focus. */
  go(key) {
    neighbour(this.#shown(), document.activeElement?.closest(".pick"), key)?.focus();
  }

  /** Enter on a clip labels all that are in; a press or Space takes the clip out. */
  #enter(event) {
    if (event.key !== "Enter" || !event.target.closest(".pick")) return;
    event.preventDefault();
    if (!event.repeat) this.accept();
  }
}

