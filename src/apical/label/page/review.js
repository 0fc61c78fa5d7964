// The Review tab: what is disputed, what is likely wrong, how well annotators agree, the history, and the
// ways out.

import { showAgreement } from "./agreement.js";
import { decide } from "./deciding.js";
import { make } from "./elements.js";
import { showExchange } from "./exchange.js";
import { neighbour } from "./grid.js";
import { showHistory } from "./history.js";

const PARTS = [
  ["disagreements", "Disagreements", (place, signal) => decide(place, "disagreements", signal)],
  ["suspects", "Likely wrong", (place, signal) => decide(place, "suspects", signal)],
  ["agreement", "Agreement", showAgreement],
  ["history", "History", showHistory],
  ["exchange", "Export and import", showExchange],
];

let opened = PARTS[0][0]; // the part shown last
let tab = null; // where it is shown
let showing = null; // what ends it

/** Show the tab, and in it the part that was open. */
export async function show(place) {
  hide();
  tab = place;
  const panel = make("div", { id: "review-panel", class: "review-panel", role: "tabpanel" });
  const tabs = PARTS.map(([name, title]) =>
    make(
      "button",
      {
        type: "button",
        id: `review-${name}`,
        class: "review-tab",
        role: "tab",
        "aria-controls": "review-panel",
        onclick: () => open(name),
      },
      title,
    ),
  );
  const list = make(
    "div",
    { class: "review-tabs", role: "tablist", "aria-label": "Parts of the review" },
    ...tabs,
  );
  list.onkeydown = (event) => {
    const to = neighbour(tabs, document.activeElement, event.key);
    if (!to || ["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    to.focus();
    to.click();
  };
  place.replaceChildren(list, panel);
  await open(opened);

  async function open(name) {
    showing?.abort();
    opened = name;
    showing = new AbortController();
    for (const tab of tabs) {
      const on = tab.id === `review-${name}`;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `review-${name}`);
    panel.replaceChildren();
    await PARTS.find(([one]) => one === name)[2](panel, showing.signal);
  }
}

/**
 * Which part the tab shows when it opens next: "disagreements", "suspects", "agreement", "history" or
 * "exchange".
 */
export function openNext(name) {
  opened = name;
}

/** End what goes on in the tab. */
export function hide() {
  showing?.abort();
  showing = null;
  tab?.replaceChildren();
}
