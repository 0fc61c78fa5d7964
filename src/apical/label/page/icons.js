// Small drawn signs for buttons; the words are beside them or in the button's name.

import { svg } from "./drawing.js";

const PATHS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  before: "M16.5 5v14L6.5 12z",
  after: "M7.5 5v14l10-7z",
  minus: "M5 10.8h14v2.4H5z",
  plus: "M5 10.8h5.8V5h2.4v5.8H19v2.4h-5.8V19h-2.4v-5.8H5z",
  undo: "M9 4v4h5a6 6 0 0 1 0 12H7v-2.4h7a3.6 3.6 0 0 0 0-7.2H9v4L3.5 9.2z",
  redo: "M15 4v4h-5a6 6 0 0 0 0 12h7v-2.4h-7a3.6 3.6 0 0 1 0-7.2h5v4l5.5-5.2z",
  left: "M10.5 5 3.5 12l7 7v-5.8H20.5v-2.4H10.5z",
  right: "M13.5 5l7 7-7 7v-5.8H3.5v-2.4H13.5z",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  looks: "M3 7h10v2H3zM18 7h3v2h-3zM14 5h3v6h-3zM3 15h3v2H3zM11 15h10v2H11zM7 13h3v6H7z",
  sun:
    "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10zM11 1.5h2v3.5h-2zM11 19h2v3.5h-2zM1.5 11h3.5v2H1.5z" +
    "M19 11h3.5v2H19zM4 5.4 5.4 4l2.5 2.5-1.4 1.4z" +
    "M16.1 17.5l1.4-1.4 2.5 2.5-1.4 1.4zM18.6 4 20 5.4l-2.5 2.5-1.4-1.4z" +
    "M6.5 16.1l1.4 1.4L5.4 20 4 18.6z",
};

/** A sign by its name; it takes the colour of the text. */
export function icon(name) {
  const properties = { viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" };
  return svg("svg", properties, svg("path", { d: PATHS[name] }));
}
