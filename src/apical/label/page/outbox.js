// What is on its way to the server: in order, with the same key until it is saved, and kept over a reload.

import { Problem, newKey, post } from "./api.js";
import { askConflict } from "./conflict.js";
import { saved, say, sleep } from "./state.js";
import { nameOf, plural } from "./wording.js";

const STORE = "apical-unsaved";
const LONGEST_PAUSE = 15; // seconds between two tries, unless the server asks for more

const unsent = read(); // [{path, body, about: {clip, view}}], the first is on its way
const promised = new Map(); // entry → [resolve, reject]
let sending = false;
let wake = () => {}; // ends the pause between two tries

/**
 * Post `body`, which holds a `key`, to `path`, after all that was given before.
 *
 * Gives the answer, once it is on the server's disk; null where the annotator chose, in a conflict, what was
 * said elsewhere. Throws the Problem where the server refuses it for good.
 */
export function save(path, body, about) {
  const entry = { path, body, about };
  unsent.push(entry);
  keep();
  return new Promise((resolve, reject) => {
    promised.set(entry, [resolve, reject]);
    send();
  });
}

/** How many answers are not saved yet. */
export const pending = () => unsent.length;

/** Resolves when nothing is on its way. */
export async function settled() {
  while (unsent.length > 0) await sleep(0.02);
}

/** Send what an earlier visit to this page could not. */
export async function resume() {
  if (unsent.length === 0) return;
  say(`Sending ${plural(unsent.length, "label")} from before …`);
  send();
  await settled();
  say("The labels from before are saved.");
}

/** Try again now. */
export const tryNow = () => wake();

addEventListener("beforeunload", (event) => {
  if (unsent.length > 0) event.preventDefault();
});
addEventListener("online", () => wake());

async function send() {
  if (sending) return;
  sending = true;
  for (let failures = 0; unsent.length > 0; ) {
    const [entry] = unsent;
    try {
      const answer = await post(entry.path, entry.body);
      failures = 0;
      done(entry, ([resolve]) => resolve(answer));
      saved(answer);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.status === 409 && problem.body?.said) await settle(entry, problem.body);
      else if (problem.passes) await pause(problem, failures++);
      else refuse(entry, problem);
    }
  }
  sending = false;
  tell(null);
}

/** Something else was said of the clip elsewhere: keep that, or say this in spite of it. */
async function settle(entry, body) {
  tell(null);
  if (await askConflict(entry.about, entry.body.said, body.said)) {
    Object.assign(entry.body, { key: newKey(), seen: body.seen });
    keep();
    return;
  }
  done(entry, ([resolve]) => resolve(null));
  say(`${nameOf(body.said.view)} stands.`);
}

function refuse(entry, problem) {
  done(entry, ([, reject]) => reject(problem));
}

function done(entry, tellIt) {
  unsent.shift();
  keep();
  const promise = promised.get(entry);
  promised.delete(entry);
  if (promise) tellIt(promise);
  if (!document.getElementById("unsaved").hidden) tell(unsent.length ? "Sending again." : null);
}

async function pause(problem, failures) {
  tell(problem.status === 0 ? "The server cannot be reached." : `The server has a problem: ${problem.what}.`);
  const seconds = problem.after ?? Math.min(0.5 * 2 ** failures, LONGEST_PAUSE);
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    wake = () => (clearTimeout(timer), resolve());
  });
  wake = () => {};
}

/** The banner: what is not saved, and why; null: all is. */
function tell(why) {
  const at = (id) => document.getElementById(id);
  const labels = plural(unsent.length, "label");
  const words = why === null ? "" : `${labels} not saved yet. ${why} Trying again by itself.`;
  if (at("unsaved-text").textContent !== words) at("unsaved-text").textContent = words;
  at("unsaved").hidden = why === null;
}

function keep() {
  sessionStorage.setItem(STORE, JSON.stringify(unsent));
}

function read() {
  try {
    const found = JSON.parse(sessionStorage.getItem(STORE));
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}
