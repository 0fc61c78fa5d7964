// All that is beside the picture in the Label tab: what is known of the clip, and what can be said of it.

import { Choice, besideButtons, keySign, viewGrid } from "./buttons.js";
import { make } from "./elements.js";
import { icon } from "./icons.js";
import { Note } from "./note.js";
import { remembered, say, session } from "./state.js";
import { capital, guessWords, nameOf } from "./wording.js";

const [readGuess, writeGuess] = remembered("guess", "hidden"); // hidden: seeing it biases
const AGENT = [[null, "not said"], [true, "yes"], [false, "no"]];
const QUALITY = [[null, "not said"], ["good", "good"], ["fair", "fair"], ["poor", "poor"]];

/** The panel; it is told what to do with an answer, a skip and so on. */
export class Panel {
  constructor({ answer, skip, back, like, focus, choose }) {
    const press = (view, event) => {
      answer(view, event);
      if (event.detail > 0) focus(); // else Space, meant to pause, would press the same button again
    };
    this.item = null;
    this.guessSeen = false; // the guess was in sight at some time before the answer
    this.facts = make("p", { id: "facts" });
    this.why = make("p", { id: "why", class: "dim" });
    this.before = make("p", { id: "before", hidden: true });
    const caption = make("div", { class: "caption" }, this.facts, this.before, this.why);
    this.guess = make("output", { id: "guess", for: "" });
    this.guessButton = make("button", { type: "button", id: "guess-button", onclick: () => this.turnGuess() },
      make("span", {}), keySign("g"));
    this.agent = new Choice("agent", "Contrast agent", "c", AGENT);
    this.quality = new Choice("quality", "Quality", "q", QUALITY);
    this.note = new Note(focus);
    this.grid = viewGrid(session.views, press);
    const beside = { class: "beside-row", role: "group", "aria-label": "No view" };
    this.beside = make("div", beside, ...besideButtons(press));
    this.top = make("div", { class: "top" }, caption,
      make("div", { class: "row guess-row" }, this.guess, this.guessButton));
    this.queue = queueChoice(choose);
    this.element = make("div", { id: "panel", role: "group", "aria-label": "Answer" },
      make("div", { class: "answers" }, this.grid, this.beside),
      make("div", { class: "extras" }, this.agent.element, this.quality.element),
      make("div", { class: "row ways" },
        way("back", "left", "Back", "←", back), this.note.button, way("like", "grid", "Like this", "m", like),
        way("skip", "right", "Skip", "s →", skip)),
      this.note.field);
    this.tellGuess();
  }

  /** The keys that belong to it, see keys.js. */
  keys() {
    return [
      { keys: ["c"], name: "c", words: "contrast agent", run: () => say(`${this.agent.cycle()}.`) },
      { keys: ["q"], name: "q", words: "quality", run: () => say(`${this.quality.cycle()}.`) },
      { keys: ["n"], name: "n", words: "note; Escape leaves it", run: () => this.note.open() },
      { keys: ["g"], name: "g", words: "show or hide the model's guess", run: () => this.turnGuess() },
    ];
  }

  /** Show what belongs to a clip; what was set for the last one is reset. */
  show(item) {
    const { facts, said } = item;
    this.item = item;
    const rate = facts.frame_ms ? `${Math.round(1000 / facts.frame_ms)} frames/s` : null;
    const heart = facts.heart_rate ? `${Math.round(facts.heart_rate)} beats/min` : null;
    const parts = [facts.clip_of, facts.patient, facts.file, rate, heart, facts.machine];
    this.facts.textContent = this.facts.title = capital(parts.filter(Boolean).join(" · "));
    this.why.textContent = this.why.title = item.why ? `Why this clip: ${item.why}` : "";
    this.before.hidden = !said?.view;
    this.before.textContent = said?.view ? `You said ${nameOf(said.view)}` : "";
    const known = { true: "catalogue: yes", false: "catalogue: no" }[String(item.agent)];
    this.agent.rename(known ?? "not said");
    this.agent.set(said?.contrast_agent ?? null);
    this.quality.set(said?.quality ?? null);
    this.note.text = said?.note ?? "";
    for (const button of this.answers()) {
      button.setAttribute("aria-pressed", String(button.dataset.view === said?.view));
    }
    this.guessSeen = false;
    this.tellGuess();
  }

  /** Turn to other clips, as if they had been chosen by hand. */
  turnTo(queue) {
    const select = this.queue.querySelector("select");
    select.value = queue;
    select.onchange();
  }

  /** What goes with the answer. */
  extras() {
    return { contrast_agent: this.agent.value, quality: this.quality.value, note: this.note.text };
  }

  /** Whether there is anything to answer. */
  enable(on) {
    for (const button of this.answers()) button.disabled = !on;
    if (on) return;
    for (const line of [this.facts, this.why, this.guess]) line.textContent = "";
    this.before.hidden = true;
    this.item = null;
  }

  /** Let the eye see which one was pressed. */
  flash(view) {
    const button = this.answers().find((one) => one.dataset.view === view);
    button?.classList.add("pressed");
    setTimeout(() => button?.classList.remove("pressed"), 300);
  }

  answers() {
    return [...this.element.querySelectorAll("[data-view]")];
  }

  turnGuess() {
    writeGuess(readGuess() === "shown" ? "hidden" : "shown");
    this.tellGuess();
    if (readGuess() === "hidden") say("The model's guess is hidden.");
    else if (!this.item?.guess) say("The model has no guess of this clip yet.");
    else say(`The model's guess: ${this.guess.textContent}.`);
  }

  tellGuess() {
    const shown = readGuess() === "shown";
    this.guessButton.firstChild.textContent = shown ? "Hide guess" : "Show guess";
    this.guessButton.setAttribute("aria-pressed", String(shown));
    const { guess, probability } = this.item ?? {};
    this.guess.textContent = shown && this.item ? guessWords(guess, probability) : "";
    for (const button of this.answers()) {
      button.classList.toggle("guessed", shown && Boolean(guess) && button.dataset.view === guess);
    }
    if (shown && guess) this.guessSeen = true;
  }
}

function queueChoice(choose) {
  const likely = session.views.map(({ name }) => [`view:${name}`, `Likely ${name}`]);
  const options = [["useful", "Most useful first"], ...likely];
  const select = make("select", { id: "queue" },
    ...options.map(([value, words]) => make("option", { value }, words)));
  select.onchange = () => choose(select.value);
  return make("label", { class: "queue" }, "Clips", select);
}

function way(id, sign, words, key, onclick) {
  return make("button", { type: "button", id, onclick: () => onclick() }, icon(sign), words, keySign(key));
}
