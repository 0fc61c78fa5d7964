// Waiting for what is still being made, and saying what went wrong.

import { make } from "./elements.js";

const PAUSE = 3; // seconds between two looks at what is still being made, unless the server names others

/**
 * What `ask` answers. Until it does, `place` says why not, and it is asked again: by itself while the
 * server is still making it (503), at the press of a button where it went wrong.
 *
 * Gives null once `signal` has ended it.
 */
export async function whenReady(place, ask, signal, making = "The model is reading the clips.") {
  for (;;) {
    let problem;
    try {
      const answer = await ask();
      return signal.aborted ? null : answer;
    } catch (error) {
      if (signal.aborted) return null;
      if (typeof error.status !== "number") throw error;
      problem = error;
    }
    const again = make("button", { type: "button" }, "Try again");
    const pressed = new Promise((resolve) => (again.onclick = resolve));
    place.replaceChildren(problem.status === 503 ? stillMaking(making, again) : wentWrong(problem, again));
    await Promise.race([
      pressed,
      ended(signal),
      ...(problem.status === 503 ? [sleep(problem.after ?? PAUSE)] : []),
    ]);
    if (signal.aborted) return null;
  }
}

function stillMaking(making, again) {
  const words = make(
    "p",
    { class: "busy-words" },
    make("span", { class: "turning", "aria-hidden": "true" }),
    making,
  );
  const more = make(
    "p",
    { class: "dim" },
    "This comes by itself as soon as it is ready; the Label tab works already.",
  );
  return make("div", { class: "notice-box", role: "status" }, words, more, again);
}

function wentWrong(problem, again) {
  const box = make(
    "div",
    { class: "notice-box wrong", role: "alert" },
    make("p", {}, make("b", {}, sentence(problem.what))),
  );
  if (problem.do) box.append(make("p", { class: "dim" }, sentence(problem.do)));
  box.append(again);
  return box;
}

/** "the file is empty" → "The file is empty." */
export function sentence(text) {
  const whole = String(text || "it did not work").trim();
  return whole[0].toUpperCase() + whole.slice(1) + (/[.!?…]$/.test(whole) ? "" : ".");
}

/** Resolves when the signal ends. */
export function ended(signal) {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Wait. */
export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
