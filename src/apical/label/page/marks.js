// How a view looks on the map: a colour and a shape of its own, so that neither the eye nor colour is
// needed alone.

const COLOURS = 7; // --mark-0 … in map.css: Okabe and Ito's palette, fitted to each theme
const polygon = (corners, turn = 0) =>
  Array.from({ length: corners }, (_, place) => {
    const angle = 2 * Math.PI * (place / corners + turn) - Math.PI / 2;
    return [Math.cos(angle), Math.sin(angle)];
  });
const CROSS = [
  [-0.35, -1],
  [0.35, -1],
  [0.35, -0.35],
  [1, -0.35],
  [1, 0.35],
  [0.35, 0.35],
  [0.35, 1],
  [-0.35, 1],
  [-0.35, 0.35],
  [-1, 0.35],
  [-1, -0.35],
  [-0.35, -0.35],
];
const turned = (points) => points.map(([x, y]) => [Math.SQRT1_2 * (x - y), Math.SQRT1_2 * (x + y)]);
const STAR = polygon(10).map(([x, y], place) => (place % 2 ? [0.45 * x, 0.45 * y] : [x, y]));
const SHAPES = [
  polygon(24),
  polygon(4, 1 / 8),
  polygon(3),
  polygon(4),
  polygon(3, 1 / 2),
  CROSS,
  STAR,
  turned(CROSS),
  polygon(5),
  polygon(6),
  [
    [-1, -0.4],
    [1, -0.4],
    [1, 0.4],
    [-1, 0.4],
  ],
];

/**
 * The mark of each of these views: {colour: 0 to 6, shape: its corners in -1 to 1, hollow}. No two are the
 * same.
 */
export function marksOf(views) {
  return new Map(
    views.map((view, place) => [
      view,
      {
        colour: place % COLOURS,
        shape: SHAPES[place % SHAPES.length],
        hollow: Math.floor(place / SHAPES.length) % 2 === 1,
      },
    ]),
  );
}

/** The colours of the theme that is on: {marks: [7], dots, chosen, ink, page}. */
export function coloursNow() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  const marks = Array.from({ length: COLOURS }, (_, place) => of(`--mark-${place}`));
  return { marks, dots: of("--mark-dots"), chosen: of("--accent"), ink: of("--ink"), page: of("--page") };
}

/** Draw a mark with its middle at (x, y). */
export function drawMark(context, mark, colours, x, y, radius) {
  const size = radius * (mark.shape.length === 3 ? 1.15 : 1);
  context.beginPath();
  for (const [dx, dy] of mark.shape) context.lineTo(x + size * dx, y + size * dy);
  context.closePath();
  context.lineJoin = "round";
  context.lineWidth = radius * (mark.hollow ? 0.6 : 0.3);
  context.fillStyle = mark.hollow ? colours.page : colours.marks[mark.colour];
  context.strokeStyle = mark.hollow ? colours.marks[mark.colour] : colours.page;
  context.stroke();
  context.fill();
}

/** A canvas that shows a mark, or a dot where there is none, for the legend. */
export function sample(mark, colours) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 40;
  canvas.className = "mark";
  canvas.setAttribute("aria-hidden", "true");
  const context = canvas.getContext("2d");
  if (mark) drawMark(context, mark, colours, 20, 20, mark.hollow ? 12 : 15);
  else {
    context.fillStyle = colours.dots;
    context.beginPath();
    context.arc(20, 20, 7, 0, 2 * Math.PI);
    context.fill();
  }
  return canvas;
}
