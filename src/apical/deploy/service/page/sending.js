// From what was dropped or chosen to jobs of the service: a few files a request, never with their names.

import { Refused, postForm } from "./api.js";

const FILES_A_REQUEST = 4;
const BYTES_A_REQUEST = 24e6;
const ARCHIVE = "PK\x03\x04"; // the first bytes of a zip
const UNREADABLE = "the file has gone, has changed or cannot be read";
// An ending may be part of an identifier (1.2.840.113619.2.1), so only these are told to the service.
const ENDINGS = /\.(dcm|dicom|ima|avi|mp4|m4v|mov|gif|png|jpe?g|nii|nii\.gz|mhd|mha|zip)$/i;

/** The files of a drop, those of its folders too: pairs of a path to show and a File. */
export async function droppedFiles(transfer) {
  // Both must be asked for before the first wait: the browser then takes them away.
  const given = [...transfer.items].filter((item) => item.kind === "file");
  const entries = given.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = [];
  for (const entry of entries) {
    if (entry instanceof File) found.push([entry.name, entry]);
    else if (entry) await walk(entry, found);
  }
  return found;
}

/** The files of a file chooser, likewise. */
export function chosenFiles(input) {
  return [...input.files].map((file) => [file.webkitRelativePath || file.name, file]);
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file) found.push([entry.fullPath.replace(/^\//, ""), file]);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // It gives about a hundred at a time, and none when there are no more.
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (some.length === 0) return;
    for (const one of some) await walk(one, found);
  }
}

/** Files that a computer puts into folders for itself. */
export function isHidden(path) {
  return /(^|\/)(\.|Thumbs\.db$|desktop\.ini$|DICOMDIR$)/i.test(path);
}

/**
 * Send clips, oldest first, until none is left or `signal` ends it.
 *
 * Each clip has a `file`; it is given `job` and `item`, or `trouble` where it cannot be sent.
 * `tell.changed(bytes)` is called after each change, with the bytes of the present request that are sent;
 * `tell.unpacked(clip, count)` makes the clips that take an archive's place.
 */
export async function sendClips(clips, signal, tell) {
  while (clips.length > 0) {
    signal.throwIfAborted();
    await sendTogether(nextFew(clips), signal, tell);
  }
}

function nextFew(clips) {
  const few = [clips.shift()];
  let bytes = few[0].size;
  while (few.length < FILES_A_REQUEST && clips.length > 0 && bytes + clips[0].size <= BYTES_A_REQUEST) {
    bytes += clips[0].size;
    few.push(clips.shift());
  }
  return few;
}

async function sendTogether(few, signal, tell) {
  const clips = [];
  const archives = [];
  for (const clip of few) {
    const kind = await firstBytes(clip).catch(() => null);
    if (kind === null) failed(clip, UNREADABLE);
    else (kind === ARCHIVE ? archives : clips).push(clip);
  }
  tell.changed(0);
  // An archive becomes as many items as it has members, so it must come alone.
  for (const some of [clips, ...archives.map((archive) => [archive])]) await send(some, signal, tell);
}

async function send(clips, signal, tell) {
  if (clips.length === 0) return;
  for (const clip of clips) clip.state = "sending";
  tell.changed(0);
  const check = () => Promise.all(clips.map(firstBytes)); // a file that has gone looks like a lost connection
  try {
    const told = await postForm("v1/jobs", formOf(clips), { signal, progress: tell.changed, check });
    const sent = told.items.length === clips.length ? clips : tell.unpacked(clips[0], told.items.length);
    sent.forEach((clip, place) => accepted(clip, told.job, told.items[place].item));
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (clips.length === 1) failed(clips[0], wordsOf(error));
    else for (const clip of clips) await send([clip], signal, tell); // one bad file spoils no other
  }
  tell.changed(0);
}

/** Four bytes of a file; throws if it cannot be read or has changed (Chromium reads a lost file as empty). */
async function firstBytes(clip) {
  if (clip.file.size !== clip.size) throw new Error("it has changed");
  return String.fromCharCode(...new Uint8Array(await clip.file.slice(0, 4).arrayBuffer()));
}

function formOf(clips) {
  const form = new FormData();
  clips.forEach((clip, place) => {
    const ending = clip.path.match(ENDINGS)?.[0].toLowerCase() ?? "";
    form.append("files", new Blob([clip.file]), `clip-${place + 1}${ending}`);
  });
  return form;
}

function accepted(clip, job, item) {
  Object.assign(clip, { job, item, state: "waiting", file: null });
}

function failed(clip, words) {
  Object.assign(clip, { state: "done", trouble: words, file: null });
}

function wordsOf(error) {
  if (!(error instanceof Refused)) return UNREADABLE;
  return error.status === 413 ? "too large for this service" : error.message;
}
