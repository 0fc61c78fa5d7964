// The slim strip: what the model knows by now, and how many labels there are of each view.

import { annotator, get } from "./api.js";
import { bar, make } from "./elements.js";
import { onVersion } from "./state.js";
import { duration, number, percent, plural } from "./wording.js";

const SOON = 800; // ms from a label to the counts
const LATER = 4000; // ms between two looks while the model is at work

/** The strip as an element that keeps itself up to date while it can be seen. */
export class Strip {
  /** `first`: what stands at its top. */
  constructor(first) {
    this.model = make("div", { id: "model" });
    this.totals = make("p", { id: "totals" });
    this.help = make("p", { id: "helps", class: "dim" });
    this.views = make("ul", { id: "counts" });
    this.element = make("aside", { id: "strip", "aria-label": "Model and counts" },
      first, make("h2", {}, "Model"), this.model,
      make("h2", {}, "Labels"), this.totals, this.help, this.views);
    this.timer = null;
    this.on = false;
    onVersion(({ counts }) => {
      if (counts) this.total(counts.own, counts.labelled);
      if (this.on) this.soon(SOON);
    });
  }

  show() {
    this.on = true;
    this.look();
  }

  hide() {
    this.on = false;
    clearTimeout(this.timer);
  }

  soon(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), pause);
  }

  async look() {
    const who = new URLSearchParams({ annotator: annotator() });
    const answer = await get(`v1/progress?${who}`).catch(() => null);
    if (!this.on) return;
    if (answer) this.fill(answer);
    if (!answer || answer.model.state !== "ready") this.soon(LATER);
  }

  fill({ labels, clips, own, views, help, model }) {
    this.clips = clips;
    this.total(own, labels);
    this.model.replaceChildren(...modelParts(model));
    const [first] = help;
    const more = first ? `${plural(first.patients, `more ${first.view} patient`)} would help most.` : "";
    if (this.help.textContent !== more) this.help.textContent = more;
    const most = Math.max(...views.map((view) => view.clips), 1);
    this.views.replaceChildren(...views.map((view) => viewLine(view, most)));
  }

  total(own, all) {
    const of = this.clips ? ` of ${number(this.clips)}` : "";
    const bold = (value) => make("b", {}, number(value));
    this.totals.replaceChildren(bold(own), " by you, ", bold(all), `${of} by all`);
  }
}

function viewLine({ name, clips, patients }, most) {
  const words = clips === 0 ? "none yet" : `${number(clips)} · ${plural(patients, "patient")}`;
  const kind = clips === 0 ? "none" : "";
  const parts = [make("b", {}, name), make("span", {}, words), bar(clips / most)];
  return make("li", { class: kind, "data-view-count": name }, ...parts);
}

function modelParts({ state, done, total, name, labels, seconds }) {
  const known = name ? make("p", {}, make("b", {}, name), ` from ${plural(labels, "label")}`) : null;
  if (state === "ready") return [known ?? make("p", {}, "ready")];
  const failed = () => make("p", { class: "worse" }, "It failed; it is started again.");
  if (state === "failed") return [known, failed()].filter(Boolean);
  if (state === "reading" && total > 0) {
    const left = seconds ? `, ${duration(seconds)} so far` : "";
    return [make("p", {}, `reads the clips: ${percent(done / total)}${left}`), bar(done / total)];
  }
  const words = { starting: "starts", reading: "reads the clips", thinking: "learns" }[state] ?? state;
  return [known, make("p", { class: "dim busy" }, `${words} …`)].filter(Boolean);
}
