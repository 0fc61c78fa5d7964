// Talking to the server: with the token, and what goes wrong as a Problem.

const TOKEN = "apical-token"; // kept until this tab is closed
const NAME = "apical-annotator"; // kept in this browser
const LONGEST = 30_000; // ms that an answer may take, but for whole files

let askToken = async () => null; // given by the page: (was one refused?) → token
let asking = null; // the question for the token, while it is being asked

/** The page says how a token is asked for. */
export function introduce({ whenTokenIsNeeded }) {
  askToken = whenTokenIsNeeded;
}

/** What the server refused: its status (0: it could not be reached), what is wrong, and what to do. */
export class Problem extends Error {
  constructor(status, body, after = null) {
    const text = (value) => (typeof value === "string" ? value : "");
    const what = text(body?.problem) || `the server answered with status ${status}`;
    super(what);
    Object.assign(this, { status, what, do: text(body?.do), body, after });
  }

  /** Whether the same request may succeed later. */
  get passes() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** The JSON at `path`. */
export async function get(path, signal) {
  return (await request(path, { signal })).json();
}

/** Post JSON; the answer's JSON, or null where it has none. `longest`: ms that it may take; Infinity. */
export async function post(path, body, longest = LONGEST) {
  return send(path, JSON.stringify(body), "application/json", longest);
}

/** Post a file as it is; the answer's JSON. Other sites' forms can send neither of the types. */
export async function upload(path, file, format) {
  return send(path, file, { csv: "text/csv", json: "application/json" }[format], Infinity);
}

async function send(path, body, type, longest) {
  const answer = await request(path, { method: "POST", headers: { "Content-Type": type }, body, longest });
  return answer.json().catch(() => null);
}

/** The bytes at `path` as a blob, however long they take. */
export async function blob(path) {
  return (await request(path, { longest: Infinity })).blob();
}

/** A clip's moving picture, decoded: its frames stand side by side in `bitmap`, row by row. */
export async function sprite(clip, size, signal) {
  const answer = await request(`v1/clips/${encodeURIComponent(clip)}/cine?size=${size}`, { signal });
  const number = (name) => Number(answer.headers.get(`X-Cine-${name}`)) || 0;
  const bitmap = await createImageBitmap(await answer.blob());
  const frames = Math.max(number("Frames"), 1);
  return {
    bitmap,
    frames,
    columns: number("Columns") || frames,
    side: number("Side") || bitmap.height,
    ms: number("Ms") || 40,
    source: answer.headers.get("X-Cine-Source") ?? "store",
  };
}

/** 32 hexadecimal digits, never the same twice; the same key when something is sent again. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID needs https
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Who labels, as this browser remembers it; "" where nobody has said yet. */
export function annotator() {
  return localStorage.getItem(NAME) ?? "";
}

/** Remember who labels. */
export function setAnnotator(name) {
  localStorage.setItem(NAME, name);
}

/** Take the token from the address (#token=…), and leave no trace of it there. */
export function takeToken() {
  const found = /^#token=([^&]+)$/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(TOKEN, decodeURIComponent(found[1]));
  history.replaceState(null, "", `${location.pathname}${location.search}`);
}

async function request(path, { signal, headers, longest = LONGEST, ...options }) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const known = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetched(path, { ...options, headers: { ...headers, ...known } }, signal, longest);
    if (answer.ok) return answer;
    if (answer.status !== 401) throw await problemOf(answer);
    await newToken(token);
    signal?.throwIfAborted();
  }
}

async function fetched(path, options, signal, longest) {
  const late = longest < Infinity ? AbortSignal.timeout(longest) : null;
  try {
    return await fetch(path, { ...options, signal: AbortSignal.any([signal, late].filter(Boolean)) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, { problem: "the server cannot be reached", do: "see whether it still runs" });
  }
}

async function problemOf(answer) {
  const body = await answer.json().catch(() => null);
  const after = Number(answer.headers.get("Retry-After"));
  return new Problem(answer.status, body, after > 0 ? after : null);
}

/** Ask for a token, once for all who wait for it; not if there is another than the `refused` one by now. */
async function newToken(refused) {
  if (asking === null && sessionStorage.getItem(TOKEN) !== refused) return;
  asking ??= askToken(refused !== null).then((token) => {
    sessionStorage.setItem(TOKEN, token);
    asking = null;
  });
  await asking;
}
