// The slim strip: what the model knows by now, and how many labels there are of each view.

import { annotator, get } from "./api.js";
import { bar, make } from "./elements.js";
import { onVersion } from "./state.js";
import { duration, helpWords, nameOf, number, percent, plural } from "./wording.js";

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
      make("h2", {}, "Labelled"), this.totals, this.help,
      make("p", { class: "columns", "aria-hidden": "true" }, "clips · patients"), this.views);
    this.timer = null;
    this.on = false;
    onVersion(({ counts }) => {
      if (counts) this.total({ ...counts, disputed: this.disputed });
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

  fill({ labels, clips, own, disputed, views, help, model }) {
    [this.clips, this.disputed] = [clips, disputed];
    this.total({ labelled: labels, own, disputed });
    this.model.replaceChildren(...modelParts(model));
    const [first] = help;
    const more = first ? `${helpWords(first)}.` : "";
    if (this.help.textContent !== more) this.help.textContent = more;
    const most = Math.max(...views.map((view) => view.clips), 1);
    this.views.replaceChildren(...views.map((view) => viewLine(view, most)));
  }

  total({ labelled, own, disputed }) {
    const of = this.clips ? ` of ${number(this.clips)}` : "";
    const bold = (value) => make("b", {}, number(value));
    const differ = disputed > 0 ? [", ", bold(disputed), " disputed"] : [];
    this.totals.replaceChildren(
      bold(labelled), `${of} clips`, make("br"), bold(own), " by you", ...differ);
  }
}

function viewLine({ name, clips, patients }, most) {
  const unseen = (words) => make("span", { class: "unseen" }, words);
  const words = clips === 0
    ? ["none yet"]
    : [number(clips), unseen(" clips"), " · ", number(patients), unseen(" patients")];
  const kind = clips === 0 ? "none" : "";
  const parts = [make("b", {}, nameOf(name)), make("span", {}, ...words), bar(clips / most)];
  return make("li", { class: kind, "data-view-count": name }, ...parts);
}

function modelParts({ state, done, total, name, labels, seconds }) {
  const known = labels > 0 ? make("p", { title: name }, `Taught with ${plural(labels, "label")}`) : null;
  if (state === "ready") return [known ?? make("p", {}, "Ready for the first labels")];
  const failed = () => make("p", { class: "worse" }, "It failed; it is started again.");
  if (state === "failed") return [known, failed()].filter(Boolean);
  if (state === "reading" && total > 0) {
    const left = seconds ? `, ${duration(seconds)} so far` : "";
    return [make("p", {}, `Reads the clips: ${percent(done / total)}${left}`), bar(done / total)];
  }
  const words = { starting: "Starts", reading: "Reads the clips", thinking: "Learns" }[state] ?? state;
  return [known, make("p", { class: "dim busy" }, `${words} …`)].filter(Boolean);
}
