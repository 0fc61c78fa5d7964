// Drawings: SVG elements, a figure with its interval on a line, and tables.

import { make } from "./elements.js";

const SVG = "http://www.w3.org/2000/svg";

/** As `make`, for SVG: `svg("line", {x1: 0, …}, child, …)`. */
export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * A figure between `from` and `to` with its interval, for the eye alone: the words beside it say the same.
 *
 * With `filled` a bar up to the figure and a whisker; else a point and a whisker. `ticks` are thin lines.
 */
export function intervalPlot({ value, low, high, from = 0, to = 1, ticks = [], filled = false }) {
  const [width, height] = [200, 20];
  const at = (one) => (width * (Math.min(Math.max(one, from), to) - from)) / (to - from);
  const plot = svg("svg", {
    class: "interval-plot",
    viewBox: `-4 0 ${width + 8} ${height}`,
    "aria-hidden": "true",
    preserveAspectRatio: "none",
  });
  for (const tick of ticks)
    plot.append(svg("line", { class: "tick", x1: at(tick), x2: at(tick), y1: 1, y2: height - 1 }));
  if (filled) plot.append(svg("rect", { class: "track", x: 0, y: 5, width, height: 10, rx: 2 }));
  if (typeof value !== "number") return plot;
  if (filled) plot.append(svg("rect", { class: "value", x: 0, y: 5, width: at(value), height: 10, rx: 2 }));
  if (typeof low === "number" && typeof high === "number") {
    plot.append(
      svg("line", { class: "whisker", x1: at(low), x2: at(high), y1: height / 2, y2: height / 2 }),
      ...[low, high].map((end) =>
        svg("line", { class: "whisker", x1: at(end), x2: at(end), y1: 5, y2: height - 5 }),
      ),
    );
  }
  if (!filled) plot.append(svg("rect", { class: "point", x: at(value) - 4, y: 6, width: 8, height: 8 }));
  return plot;
}

/**
 * A table that may scroll sideways: `head` its columns, `rows` lists of cells (text or elements), the first
 * naming the row.
 */
export function table({ caption, head, rows, kind = "" }) {
  const cells = (row) =>
    row.map((cell, place) =>
      make(
        place === 0 ? "th" : "td",
        place === 0 ? { scope: "row", "data-head": head[0] } : { "data-head": head[place] },
        cell,
      ),
    );
  return make(
    "div",
    { class: `table-box ${kind}`, tabindex: "0", role: "region", "aria-label": caption },
    make(
      "table",
      {},
      make("caption", { class: "unseen" }, caption),
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row)))),
    ),
  );
}
