// One clock for all moving pictures.

const listeners = new Set();

/** Whether the annotator's system asks for little motion: {matches}. */
export const STILL = matchMedia("(prefers-reduced-motion: reduce)");

/** `callback(milliseconds since the last tick)` before each repaint; returns what ends it. */
export function onTick(callback) {
  listeners.add(callback);
  if (listeners.size === 1) begin();
  return () => listeners.delete(callback);
}

function begin() {
  let last = null;
  const tick = (now) => {
    if (listeners.size === 0) return;
    const passed = last === null ? 0 : Math.min(now - last, 250); // a tab that slept does not catch up
    last = now;
    for (const callback of [...listeners]) callback(passed);
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

/** Where frame `index` stands in a sprite: [x, y] of its corner. */
export function corner({ columns, side }, index) {
  return [(index % columns) * side, Math.floor(index / columns) * side];
}
