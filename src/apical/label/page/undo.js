// Taking back, and taking back the taking back, from any tab.

import { Problem, annotator, newKey, post } from "./api.js";
import { pending, settled } from "./outbox.js";
import { saved, say, sleep, warn } from "./state.js";
import { plural, saidWords, sentences } from "./wording.js";

let busy = Promise.resolve();
let showClip = null; // given by the Label tab: it shows a clip again, and gives whether it did

/** The Label tab says how a clip is shown again: `show(clip)`. */
export function whenUndone(show) {
  showClip = show;
}

/** Take back the annotator's latest action. */
export const undo = () => inTurn("undo");

/** Do again what was taken back last. */
export const redo = () => inTurn("redo");

function inTurn(what) {
  busy = busy.then(() => once(what));
  return busy;
}

async function once(what) {
  if (pending() > 0) {
    say("Waiting until your last label is saved …");
    await settled();
  }
  try {
    const answer = await insisting(`v1/${what}`, { annotator: annotator(), key: newKey() });
    if (answer.clips.length === 0) return say(`There is nothing to ${what}.`);
    saved(answer);
    const done = what === "undo" ? "Undone" : "Done again";
    if (answer.clips.length > 1) return say(`${done}: ${plural(answer.clips.length, "clip")}.`);
    const none = "What you had said is taken back.";
    const stands = answer.said?.view ? `Your label is now: ${saidWords(answer.said)}.` : none;
    await showClip?.(answer.clips[0]);
    say(`${done}. ${stands}`);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    warn(`It could not be ${what === "undo" ? "undone" : "done again"}. ${sentences(problem)}`);
  }
}

/** Post; a second time, with the same key, where the first answer got lost. */
async function insisting(path, body) {
  try {
    return await post(path, body);
  } catch (problem) {
    if (!problem.passes) throw problem;
    await sleep(0.5);
    return post(path, body);
  }
}
