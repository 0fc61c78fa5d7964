// Going about a grid of elements with the arrow keys.

/**
 * The element that a key leads to from `from`, null where it leads to none; the first one where nothing is
 * `from`.
 */
export function neighbour(elements, from, key) {
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(key)) return null;
  if (elements.length === 0) return null;
  const at = elements.indexOf(from);
  if (at < 0) return elements[0];
  const columns = elements.filter((one) => one.offsetTop === elements[0].offsetTop).length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  if (key === "Home") return elements[0];
  if (key === "End") return elements.at(-1);
  const to = at + steps[key];
  if (key === "ArrowDown" && to >= elements.length) {
    const lastRow = elements.at(-1).offsetTop;
    return elements[at].offsetTop < lastRow ? elements.at(-1) : null;
  }
  return elements[to] ?? null;
}
