// The curve of the macro F1 over the number of labels, with its intervals.

import { svg } from "./drawing.js";
import { number } from "./wording.js";

const [WIDTH, HEIGHT] = [640, 260];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 14, 12, 40];

/** A drawing of points [{labels, f1, low, high}]; `words` says in words what it shows. */
export function curve(points, words) {
  const most = roundUp(Math.max(...points.map((point) => point.labels), 10));
  const x = (labels) => LEFT + ((WIDTH - LEFT - RIGHT) * labels) / most;
  const y = (f1) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - f1);
  const known = points.filter((point) => typeof point.low === "number" && typeof point.high === "number");
  const drawing = svg("svg", {
    class: "curve",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": words,
  });
  for (const f1 of [0, 0.25, 0.5, 0.75, 1]) {
    drawing.append(
      svg("line", { class: "grid-line", x1: LEFT, x2: WIDTH - RIGHT, y1: y(f1), y2: y(f1) }),
      svg("text", { x: LEFT - 8, y: y(f1) + 4, "text-anchor": "end" }, f1.toFixed(2)),
    );
  }
  for (const labels of [0, most / 4, most / 2, (3 * most) / 4, most]) {
    drawing.append(
      svg(
        "text",
        { x: x(labels), y: HEIGHT - BOTTOM + 20, "text-anchor": labels === most ? "end" : "middle" },
        number(labels),
      ),
    );
  }
  drawing.append(
    svg(
      "text",
      { class: "axis", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" },
      "labels",
    ),
  );
  if (known.length > 1) {
    const corners = [
      ...known.map((one) => [one.labels, one.high]),
      ...known.toReversed().map((one) => [one.labels, one.low]),
    ];
    drawing.append(
      svg("polygon", { class: "band", points: corners.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }),
    );
  }
  drawing.append(
    svg("polyline", {
      class: "line",
      points: points.map((one) => `${x(one.labels)},${y(one.f1)}`).join(" "),
    }),
  );
  for (const { labels, f1, low, high } of sparse(points)) {
    if (typeof low === "number")
      drawing.append(
        svg("line", { class: "whisker", x1: x(labels), x2: x(labels), y1: y(low), y2: y(high) }),
      );
    drawing.append(svg("circle", { class: "dot-mark", cx: x(labels), cy: y(f1), r: 4 }));
  }
  return drawing;
}

/** At most about 24 of the points, the last one among them, so that their marks stay apart. */
function sparse(points) {
  const every = Math.ceil(points.length / 24);
  return points.filter((_, place) => (points.length - 1 - place) % every === 0);
}

/**
 * The next of 12, 16, 20, 24, 32, 40, 60, 80, 100, 120 … that is not below a number; a quarter of it is
 * whole.
 */
function roundUp(value) {
  const step = 10 ** Math.floor(Math.log10(value));
  return (
    [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10]
      .map((times) => times * step)
      .find((top) => top >= value && top % 4 === 0) ?? 10 * step
  );
}
