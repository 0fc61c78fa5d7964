// The map's legend: what each mark means, how many clips have it, and whether they are shown.

import { make } from "./elements.js";
import { sample } from "./marks.js";
import { nameOf, number } from "./wording.js";

export const NO_LABEL = ""; // of clips without a label

/** The legend; `turned()` is called when a label's points are turned off or on. */
export class Legend {
  constructor(turned) {
    this.turned = turned;
    this.hidden = new Set(); // labels whose points are turned off
    this.element = make("div", {
      class: "legend-marks",
      role: "group",
      "aria-label": "Show or hide clips by label",
    });
  }

  /** Count `labels` (null: none); those in `always` are told of even when no clip has them. */
  draw(labels, marks, colours, always) {
    const counts = new Map([NO_LABEL, ...marks.keys()].map((label) => [label, 0]));
    for (const label of labels) counts.set(label ?? NO_LABEL, (counts.get(label ?? NO_LABEL) ?? 0) + 1);
    const told = [...counts].filter(
      ([label, count]) => count > 0 || label === NO_LABEL || always.includes(label),
    );
    const focused = this.element.contains(document.activeElement)
      ? document.activeElement.dataset.label
      : null;
    this.element.replaceChildren(
      ...told.map(([label, count]) => this.#entry(label, count, marks.get(label), colours)),
    );
    if (focused !== null) [...this.element.children].find((one) => one.dataset.label === focused)?.focus();
  }

  #entry(label, count, mark, colours) {
    const turn = () => {
      if (!this.hidden.delete(label)) this.hidden.add(label);
      this.turned();
    };
    const shown = String(!this.hidden.has(label));
    const name = label === NO_LABEL ? "No label" : nameOf(label);
    return make(
      "button",
      { type: "button", class: "legend-entry", "data-label": label, "aria-pressed": shown, onclick: turn },
      sample(mark, colours),
      make("span", {}, name),
      make("span", { class: "dim" }, ` ${number(count)}`),
    );
  }
}
