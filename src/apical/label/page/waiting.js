// Waiting for what is still being made, and saying what went wrong.

import { make } from "./elements.js";
import { sleep } from "./state.js";
import { sentence } from "./wording.js";

const PAUSE = 3; // seconds between two looks at what is still being made, unless the server names others

/**
 * What `ask` answers. Until it does, `place` says why not, and it is asked again: by itself while the
 * server is still making it or cannot be reached, at the press of a button where it went wrong.
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
      ...(problem.passes ? [sleep(problem.after ?? PAUSE)] : []),
    ]);
    if (signal.aborted) return null;
  }
}

function stillMaking(making, again) {
  const words = make("p", { class: "busy" }, making);
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
  const todo = [problem.do && sentence(problem.do), problem.passes && "Trying again by itself."];
  box.append(make("p", { class: "dim" }, todo.filter(Boolean).join(" ")));
  box.append(again);
  return box;
}

/** Resolves when the signal ends. */
export function ended(signal) {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
