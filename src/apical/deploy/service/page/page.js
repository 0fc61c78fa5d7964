// The page: takes files, has them sent, asks for their answers, and shows them.

import { Refused, forget, getJson, introduce, sleep } from "./api.js";
import { hideClip, showClip } from "./detail.js";
import { make } from "./elements.js";
import { fillKinds, fillRow, fillStrip, rowOf } from "./list.js";
import { chosenFiles, droppedFiles, isHidden, sendClips } from "./sending.js";
import { asCsv, kindOf, records } from "./words.js";

const at = (id) => document.getElementById(id);
const NARROW = matchMedia("(max-width: 60rem)"); // as in page.css: a clip then lies over the list
const BEHIND = "header, footer, #drop, #sending, #overview";
const QUICK = 0.4; // seconds between two looks while answers come
const SLOW = 5;
const ORDER = new Intl.Collator("en", { numeric: true }); // IM_2 before IM_10
const JOBS_A_LOOK = 4; // the service answers the oldest first, so these are enough

let clips = []; // {path, file, size, state, job, item, answer, trouble, row, shown: the state its row tells}
let model = null;
let titles = new Map();
let opened = null;
let kind = "all";
let study = "";
let toSend = [];
let sending = null; // what ends the sending that goes on
let lookingGoesOn = false;
let drawn = true;

const titleOf = (view) => titles.get(view) ?? "";

introduce({
  whenConnectionChanges: (words) => {
    if (at("connection").textContent === (words ?? "")) return;
    at("connection").textContent = words ?? "";
    at("connection").hidden = words === null;
  },
  whenTokenIsNeeded: (refused) =>
    new Promise((resolve) => {
      const form = at("token");
      form.hidden = false;
      if (refused) at("token-said").textContent = "That token was not accepted.";
      at("token-text").value = "";
      at("token-text").focus();
      form.onsubmit = (event) => {
        event.preventDefault();
        form.hidden = true;
        resolve(at("token-text").value.trim());
      };
    }),
});

function take(found) {
  const wanted = found.filter(([path]) => !isHidden(path)).sort(([a], [b]) => ORDER.compare(a, b));
  const left = found.length - wanted.length;
  if (left > 0) say(`${left} hidden or index files were left out.`);
  else say(found.length > 0 ? "" : "There was no file in it.");
  const added = wanted.map(([path, file]) => newClip(path, file));
  at("clips").append(...added.map((clip) => clip.row));
  clips = clips.concat(added);
  toSend.push(...added);
  if (added.length > 0) sendAll();
}

function newClip(path, file) {
  const clip = { path, file, size: file?.size, state: "to send" };
  clip.row = rowOf(clip, (one) => open(one, true));
  mark(clip);
  return clip;
}

/** Clips in place of the archive that they were in. */
function unpacked(archive, count) {
  if (archive === opened) close();
  const members = Array.from({ length: count }, (_, place) => newClip(`${archive.path}/${place + 1}`, null));
  archive.row.replaceWith(...members.map((clip) => clip.row));
  clips.splice(clips.indexOf(archive), 1, ...members);
  return members;
}

async function sendAll() {
  if (sending) return;
  sending = new AbortController();
  try {
    const changed = (bytes) => {
      clips.forEach((clip) => clip.shown === clip.state || mark(clip));
      showSending(bytes);
      look();
    };
    await sendClips(toSend, sending.signal, { changed, unpacked });
  } catch (error) {
    if (!sending.signal.aborted) throw error;
  }
  sending = null;
  at("sending").hidden = true;
  if (toSend.length > 0) sendAll(); // dropped after the sending was cancelled
}

function showSending(bytes) {
  const gone = clips.filter((clip) => clip.file === null).length;
  const now = clips.filter((clip) => clip.state === "sending");
  const size = now.reduce((sum, clip) => sum + clip.size, 0);
  const part = size > 0 ? Math.min(bytes / size, 1) * now.length : 0;
  at("sending").hidden = gone === clips.length;
  at("sent").value = (gone + part) / clips.length;
  at("sent-words").textContent = `${gone} of ${clips.length} clips sent`;
}

function cancel() {
  sending?.abort(new DOMException("cancelled", "AbortError"));
  toSend.length = 0;
  for (const clip of clips.filter((one) => one.file)) {
    mark(Object.assign(clip, { state: "done", trouble: "not sent: it was cancelled", file: null }));
  }
  at("sending").hidden = true;
  say("Sending was cancelled. What had been sent before is still looked at.");
}

/** Ask for answers until every clip that was sent has one. */
async function look() {
  if (lookingGoesOn) return;
  lookingGoesOn = true;
  for (let seconds = QUICK; ; ) {
    const jobs = new Set(clips.filter((clip) => clip.job && clip.state !== "done").map((clip) => clip.job));
    if (jobs.size === 0) break;
    let news = false;
    for (const job of [...jobs].slice(0, JOBS_A_LOOK)) news = (await lookAt(job)) || news;
    seconds = news ? QUICK : Math.min(seconds * 1.5, SLOW);
    await sleep(seconds);
  }
  lookingGoesOn = false;
  const count = clips.filter((clip) => kindOf(clip) !== "waiting").length;
  if (!sending) say(`${count} of ${clips.length} clips are answered.`);
}

/** Take the answers of a job that are new; whether there were some. */
async function lookAt(job) {
  const mine = clips.filter((clip) => clip.job === job && clip.state !== "done");
  let told;
  try {
    told = await getJson(`v1/jobs/${encodeURIComponent(job)}`);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const words = error.status === 404 ? "the service has forgotten this clip; send it again" : error.message;
    for (const clip of mine) mark(Object.assign(clip, { state: "done", trouble: words }));
    return true;
  }
  const answers = new Map(told.answers.map((answer) => [answer.item, answer]));
  let running = told.running;
  let news = false;
  for (const clip of mine) {
    const answer = answers.get(clip.item);
    const state = answer ? "done" : running-- > 0 ? "looking" : "waiting";
    if (state === clip.state) continue;
    news = true;
    mark(Object.assign(clip, { state, answer }));
  }
  return news;
}

/** Note that a clip has changed, and draw what follows from it before the next picture. */
function mark(clip) {
  clip.shown = null;
  if (!drawn) return;
  drawn = false;
  setTimeout(draw);
}

function draw() {
  drawn = true;
  at("results").hidden = clips.length === 0;
  document.body.classList.toggle("filled", clips.length > 0);
  for (const clip of clips) {
    if (clip.shown === clip.state) continue;
    clip.shown = clip.state;
    fillRow(clip.row, clip, titleOf);
    if (clip === opened) showClip(at("detail"), clip, model, titleOf, close);
  }
  showStudies();
  const mine = study ? clips.filter((clip) => clip.answer?.study === study) : clips;
  fillKinds(at("kinds"), mine, kind, (chosen) => ((kind = chosen === kind ? "all" : chosen), draw()));
  const wanted = new Set(mine.filter((clip) => kind === "all" || kindOf(clip) === kind));
  for (const clip of clips) clip.row.hidden = !wanted.has(clip);
  at("none").hidden = wanted.size > 0;
  if (model) at("strip-words").textContent = fillStrip(at("strip"), model.taught, mine, titleOf);
  const waiting = clips.filter((clip) => kindOf(clip) === "waiting").length;
  document.title = waiting > 0 ? `${clips.length - waiting} of ${clips.length} · Apical` : "Apical";
  const first = clips.find((clip) => clip.answer?.likeliest);
  if (!opened && first && !NARROW.matches && !at("detail").dataset.closed) open(first, false);
}

/** Offer a choice of studies where the answers tell of more than one. */
function showStudies() {
  const names = [...new Set(clips.map((clip) => clip.answer?.study).filter(Boolean))];
  at("study-choice").hidden = names.length < 2;
  if (at("study").options.length === names.length + 1) return;
  const choices = names.map((name, place) => make("option", { value: name }, `study ${place + 1}`));
  at("study").replaceChildren(make("option", { value: "" }, `all ${names.length} studies`), ...choices);
  at("study").value = study;
}

function open(clip, byHand) {
  opened?.row.removeAttribute("aria-current");
  opened = clip;
  clip.row.setAttribute("aria-current", "true");
  showClip(at("detail"), clip, model, titleOf, close);
  if (!byHand || !NARROW.matches) return;
  for (const part of document.querySelectorAll(BEHIND)) part.inert = true;
  at("detail").focus();
}

function close() {
  const row = opened?.row;
  row?.removeAttribute("aria-current");
  opened = null;
  at("detail").dataset.closed = "by hand"; // so that no clip opens itself again
  uncover();
  hideClip(at("detail"));
  row?.querySelector("button").focus();
}

/** Go `step` rows on from the clip that has the focus or is open. */
function go(step) {
  const shown = clips.filter((clip) => !clip.row.hidden);
  const from = shown.findIndex((clip) => clip.row.contains(document.activeElement));
  const next = shown[(from >= 0 ? from : shown.indexOf(opened)) + step];
  if (!next) return;
  next.row.querySelector("button").focus();
  open(next, true);
}

/** A clip lies over the rest of the page no more. */
function uncover() {
  for (const part of document.querySelectorAll(BEHIND)) part.inert = false;
}

async function clear() {
  cancel();
  const jobs = new Set(clips.map((clip) => clip.job).filter(Boolean));
  clips = [];
  [kind, study] = ["all", ""];
  close();
  delete at("detail").dataset.closed;
  at("clips").replaceChildren();
  draw();
  say("");
  for (const job of jobs) await forget(job);
}

function save(text, type, name) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function say(words) {
  at("said").textContent = words;
}

function listen() {
  for (const id of ["files", "folder"]) {
    at(id).onchange = (event) => {
      take(chosenFiles(event.target));
      event.target.value = ""; // so that the same files can be chosen again
    };
  }
  const over = (event, on) => {
    event.preventDefault();
    document.body.classList.toggle("over", on);
  };
  document.ondragover = (event) => over(event, true);
  document.ondragleave = (event) => over(event, event.relatedTarget !== null);
  document.ondrop = (event) => {
    over(event, false);
    droppedFiles(event.dataTransfer).then(take);
  };
  document.onkeydown = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select")) return;
    if (event.key === "Escape" && opened) close();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || clips.length === 0 || (NARROW.matches && opened)) return;
    event.preventDefault();
    go(step);
  };
  at("cancel").onclick = cancel;
  at("clear").onclick = clear;
  at("study").onchange = (event) => ((study = event.target.value), draw());
  const answers = () => records(clips, at("with-names").checked);
  at("csv").onclick = () => save(asCsv(answers()), "text/csv", "answers.csv");
  at("json").onclick = () => save(JSON.stringify(answers(), null, 2), "application/json", "answers.json");
  NARROW.onchange = uncover;
  addEventListener("beforeunload", (event) => sending && event.preventDefault());
}

async function meet() {
  model = await getJson("v1/model");
  titles = new Map(model.views.map(({ name, title }) => [name, title]));
  const { taught, version } = model;
  at("model").textContent = `names ${taught.length} views of echocardiogram clips · model ${version}`;
  clips.forEach((clip) => mark(clip));
}

listen();
meet();
