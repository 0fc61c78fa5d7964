// What all tabs share: the session, the lines that say what happened, and news of labels.

/** What GET /v1/session answered. */
export const session = { views: [], annotators: [], clips: 0, fine_tune: false, catalogue: "", research: "" };

const listeners = new Set();
const at = (id) => document.getElementById(id);

/** Say what happened, politely; the eye finds it in the header. `kind`: "saved" has a sign before it. */
export function say(text, kind = "") {
  at("status").dataset.kind = kind;
  at("status-text").textContent = text;
}

/** Say what is wrong, at once; "" takes it away. */
export function warn(text) {
  at("alert-text").textContent = text;
  at("alert").hidden = !text;
}

/** `callback(answer)` after each answer that changed labels; returns what ends it. */
export function onVersion(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

/** Tell everybody of an answer that holds counts and version. */
export function saved(answer) {
  for (const callback of [...listeners]) callback(answer);
}

/** A setting that this browser remembers: [read, write]. */
export function remembered(name, normal) {
  const key = `apical-${name}`;
  return [() => localStorage.getItem(key) ?? normal, (value) => localStorage.setItem(key, value)];
}

/** Wait. */
export function sleep(seconds) {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}
