// The Label tab: one clip after another, one press each.

import { Problem, newKey } from "./api.js";
import { BESIDE } from "./buttons.js";
import { cover, showEnd, showNoPicture } from "./ending.js";
import { addKeys } from "./keys.js";
import { openAlike } from "./more.js";
import { pending, save, settled } from "./outbox.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { Queue, fetchClip } from "./queue.js";
import { onVersion, say, session, warn } from "./state.js";
import { Strip } from "./strip.js";
import { whenUndone } from "./undo.js";
import { make } from "./elements.js";
import { nameOf, sentences } from "./wording.js";

const REMEMBERED = 40; // clips back that ← reaches, and that are not asked for again
const COMING = "The picture is still coming.";

const skipped = new Set();
const past = []; // clips looked at before the current one, the newest last
let place, stage, player, panel, strip, queue;
let current = null; // the Entry in sight
let shownAt = null; // when its picture came; null: not yet
let resting = false; // it played when the tab was left
let lastPress = null; // when the answer came whose next picture is still waited for
let wanted = null; // the queue to turn to when the tab opens
let moving = false; // another clip was asked for by its id

window.apicalTimes = []; // ms from each answer to the next picture on the screen

/** Show the tab. */
export async function show(section) {
  if (!place) build(section);
  strip.show();
  const [, clip] = /^#label\/(.+)$/.exec(location.hash) ?? [];
  player.fit();
  if (resting) player.turn(player.frames > 1);
  resting = false;
  if (clip) history.replaceState(null, "", "#label");
  if (clip) await goTo(decodeURIComponent(clip));
  else if (wanted) panel.turnTo(wanted);
  else if (!current) advance();
  wanted = null;
}

/** Which clips the tab asks for when it opens next: "useful" or "view:NAME". */
export function openNext(name) {
  wanted = name;
}

/** The tab is left: the picture rests. */
export function hide() {
  strip?.hide();
  resting = Boolean(player?.playing);
  player?.turn(false);
}

function build(section) {
  place = section;
  stage = make("div", { id: "cine", tabindex: -1, role: "group", "aria-label": "Clip" });
  player = new Player(stage);
  panel = new Panel({ answer, skip, back, like, focus: () => stage.focus({ preventScroll: true }), choose });
  strip = new Strip(panel.queue);
  section.replaceChildren(
    make("div", { class: "stage" }, panel.top, stage), panel.element, strip.element);
  queue = new Queue("useful", { known, changed });
  whenUndone(async (clip) => {
    queue.drop(clip);
    if (!section.hidden) await goTo(clip);
  });
  onVersion(heard);
  addKeys("Answer", [
    ...session.views.filter(({ key }) => key).map(({ name, key, title }) =>
      ({ keys: [key], name: key, words: `${name}, ${title}`, run: (event) => answer(name, event) })),
    ...BESIDE.map(([value, words, key]) =>
      ({ keys: [key], name: key, words, run: (event) => answer(value, event) })),
  ], inUse);
  addKeys("Clips", [
    { keys: ["s", "ArrowRight"], name: "s or →", words: "skip", run: skip },
    { keys: ["ArrowLeft"], name: "←", words: "the clip before", run: back },
    { keys: ["m"], name: "m", words: "more like this", run: like },
    ...panel.keys(),
  ], inUse);
  addKeys("Picture", pictureKeys(), inUse);
}

const inUse = () => !place.hidden;
const known = () => [...skipped, ...past.slice(-REMEMBERED), ...(current ? [current.clip] : [])];

function pictureKeys() {
  const zoom = (by) => () => (player.zoom *= by);
  return [
    { keys: [" "], name: "Space", words: "play or pause", run: () => player.toggle() },
    { keys: [","], name: ",", words: "frame before", run: () => player.step(-1), repeats: true },
    { keys: ["."], name: ".", words: "frame after", run: () => player.step(1), repeats: true },
    { keys: ["["], name: "[", words: "slower", run: () => player.changeSpeed(-1) },
    { keys: ["]"], name: "]", words: "faster", run: () => player.changeSpeed(1) },
    { keys: ["+", "="], name: "+", words: "zoom in", run: zoom(1.25), repeats: true },
    { keys: ["-"], name: "-", words: "zoom out", run: zoom(0.8), repeats: true },
    { keys: ["r"], name: "r", words: "picture as it came", run: () => player.reset() },
  ];
}

/** Say `view` of the clip in sight, and go on. */
function answer(view, event) {
  if (!current || shownAt === null || moving) return say(COMING);
  const { item } = current;
  const said = { view, ...panel.extras() };
  const seconds = Math.round((performance.now() - shownAt) / 10) / 100;
  const body = { task: item.task, said, key: newKey(), shown: panel.guessSeen, seconds, seen: item.seen };
  remember(item.clip);
  skipped.delete(item.clip);
  say(`Saving ${nameOf(view)} …`);
  panel.flash(view);
  save("v1/labels", body, { clip: item.clip }).then(
    (done) => done && say(`Saved ${nameOf(view)}.${current ? " Next clip." : ""}`, "saved"),
    (problem) => refused(problem, item.clip, view),
  );
  advance(event?.timeStamp ?? performance.now());
}

function skip() {
  if (!current || moving) return;
  skipped.add(current.clip);
  remember(current.clip);
  say("Skipped. Next clip.");
  advance();
}

const like = () => current && openAlike(current.clip);

async function back() {
  const clip = past.at(-1);
  if (!clip) return say("There is no clip before this one.");
  if (moving) return;
  if (pending() > 0) say("Waiting until your last label is saved …");
  moving = true;
  await settled();
  moving = false;
  const came = current;
  if (await goTo(clip)) {
    past.pop();
    skipped.delete(clip);
    const { said } = current.item;
    say(said ? `The clip before. You said ${nameOf(said.view)}.` : "The clip before.");
  } else if (came) present(came);
}

function remember(clip) {
  if (past.at(-1) !== clip) past.push(clip);
  if (past.length > REMEMBERED) past.shift();
}

/** Show a clip by its id; the one in sight comes after it. Whether it is there. */
async function goTo(clip) {
  moving = true;
  try {
    const entry = await fetchClip(clip);
    await entry.load().catch(() => {});
    queue.drop(clip);
    if (current && current.clip !== clip) queue.putBack(current);
    present(entry);
    return true;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    warn(`The clip cannot be shown. ${sentences(problem)}`);
    return false;
  } finally {
    moving = false;
  }
}

/** The next clip; `pressed`: when the answer to the last one came. */
function advance(pressed = null) {
  const entry = queue.take();
  if (entry) return present(entry, pressed);
  leave(null);
  waiting(pressed);
}

/** Show a clip, at once if its picture is there. */
function present(entry, pressed = null) {
  const before = leave(entry);
  const free = () => queue.ahead.includes(before) || before?.release();
  panel.show(entry.item);
  const ready = () => {
    player.load(entry.sprite);
    free();
    cover(stage, "ready");
    stage.dataset.clip = entry.clip;
    shownAt = performance.now();
    panel.enable(true);
    if (pressed !== null) afterPaint(() => window.apicalTimes.push(performance.now() - pressed));
  };
  if (entry.sprite) return ready();
  player.load(null);
  free();
  cover(stage, "loading", COMING);
  stage.dataset.clip = entry.clip;
  entry.load().then(
    () => current === entry && entry.sprite && ready(),
    (problem) => current === entry && noPicture(entry, problem),
  );
}

/** Have another clip, or none, as the current one; the one before. */
function leave(entry) {
  const before = current;
  current = entry;
  shownAt = null;
  return before === entry ? null : before;
}

function noPicture(entry, problem) {
  showNoPicture(stage, problem, {
    skip,
    again: () => {
      entry.release();
      present(entry);
    },
  });
  say("There is no picture of this clip. Skip it with s.");
}

/** There is no clip now: say why, until there is one. */
function waiting(pressed = null) {
  player.load(null);
  delete stage.dataset.clip;
  panel.enable(false);
  lastPress = pressed ?? lastPress;
  if (queue.state === "empty" && queue.ahead.length === 0) {
    const ask = () => queue.clear();
    const lookAgain = () => (skipped.clear(), (past.length = 0), queue.clear());
    const usual = () => panel.turnTo("useful");
    showEnd(stage, { skipped: skipped.size, queue: queue.name, ask, lookAgain, usual });
    say("No clip is left.");
  } else if (queue.state === "lost") {
    cover(stage, "lost", `${sentences(queue.problem)} Trying again by itself.`);
  } else cover(stage, "loading", queue.state === "preparing" ? "The model is choosing clips …" : COMING);
}

/** The queue has news. */
function changed() {
  if (current || moving) return;
  if (queue.ahead.length === 0) return waiting();
  const pressed = lastPress;
  lastPress = null;
  advance(pressed);
}

/** Other clips are wanted. */
function choose(name) {
  queue.end();
  leave(null)?.release();
  queue = new Queue(name, { known, changed });
  say("");
  waiting();
}

/** Labels changed, here or in another tab of this page: clips answered there need not be asked. */
function heard(answer) {
  const clips = answer.clips ?? (answer.clip ? [answer.clip] : []);
  clips.forEach((clip) => queue.drop(clip));
  if (answer.clips) past.splice(0, past.length, ...past.filter((clip) => !clips.includes(clip)));
  if (!place.hidden || !(answer.events || clips.includes(current?.clip))) return;
  player.load(null);
  leave(null)?.release();
  if (answer.events) queue.clear();
  waiting();
}

/** The server will never take this label: say so, and show the clip again. */
async function refused(problem, clip, view) {
  warn(`${nameOf(view)} could not be saved. ${sentences(problem)} The clip is shown again.`);
  await goTo(clip);
}

/** Call after the picture is on the screen. */
function afterPaint(callback) {
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = callback;
    channel.port2.postMessage(null);
  });
}
