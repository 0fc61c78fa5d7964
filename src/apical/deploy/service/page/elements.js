// Making elements. Text becomes text, never markup, whatever a file's name or an answer holds.

/** `make("li", {class: "kind", hidden: true, onclick: f}, "text", child, …)`; null children are left out. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element[name] = value;
    else if (typeof value === "boolean" && !name.startsWith("aria-")) element.toggleAttribute(name, value);
    else if (value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A bar of 0 to 1 that only the eye needs; the words beside it say the same. */
export function bar(share, { limit, kind = "" } = {}) {
  const fill = make("i", { class: `fill ${kind}` });
  // The page's security policy allows no style attributes, but it allows this.
  fill.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
  const track = make("span", { class: "bar", "aria-hidden": "true" }, fill);
  if (typeof limit === "number") {
    const mark = make("i", { class: "limit" });
    mark.style.left = `${100 * Math.min(Math.max(limit, 0), 1)}%`;
    track.append(mark);
  }
  return track;
}
