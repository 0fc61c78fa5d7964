// Talking to the service: with the token, and again when it is busy, restarting or out of reach.

const KEY = "apical-token";
const LONGEST_PAUSE = 15; // seconds between two tries, unless the service itself asks for more
const BUSY = new Set([429, 502, 503, 504]);

let askToken = async () => null; // given by the page: (was one refused?) → token
let tellConnection = () => {}; // given by the page: a sentence, or null when all is well
let asking = null; // the question for the token, when it is being asked

export function introduce({ whenTokenIsNeeded, whenConnectionChanges }) {
  askToken = whenTokenIsNeeded;
  tellConnection = whenConnectionChanges;
}

/** What went wrong for good: the answer's status, and its own words if it has some. */
export class Refused extends Error {
  constructor(status, words) {
    super(words || `the service answered with status ${status}`);
    this.status = status;
  }
}

/** The JSON at `path`; tries until there is an answer. */
export async function getJson(path, signal) {
  return (await untilAnswered((headers) => fetch(path, { headers, signal }), signal)).json();
}

/** The bytes at `path` as a blob. */
export async function getBlob(path, signal) {
  return (await untilAnswered((headers) => fetch(path, { headers, signal }), signal)).blob();
}

/** Ask the service to forget a job; what cannot be reached is not asked twice. */
export async function forget(job) {
  const headers = authorisation();
  await fetch(`v1/jobs/${encodeURIComponent(job)}`, { method: "DELETE", headers }).catch(() => null);
}

/** Send a form; `progress` hears of the bytes sent, and `check` may throw before each try. */
export async function postForm(path, form, { signal, progress, check }) {
  const once = async (headers) => {
    await check();
    return upload(path, form, headers, signal, progress);
  };
  return (await untilAnswered(once, signal)).json();
}

async function untilAnswered(once, signal) {
  for (let failures = 0; ; failures += 1) {
    const token = sessionStorage.getItem(KEY);
    const response = await once(authorisation()).catch((error) => {
      if (error.name !== "TypeError") throw error; // a TypeError is fetch's word for an unreachable server
      return null;
    });
    if (response?.ok) {
      tellConnection(null);
      return response;
    }
    if (response?.status === 401) {
      tellConnection(null);
      await newToken(token);
      failures = -1;
    } else if (response === null || BUSY.has(response.status)) {
      await pause(response, failures, signal);
    } else {
      tellConnection(null);
      throw new Refused(response.status, await wordsOf(response));
    }
    signal?.throwIfAborted();
  }
}

function authorisation() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Ask for a token, once for all who wait for it; not if there is another than the `refused` one by now. */
async function newToken(refused) {
  if (asking === null && sessionStorage.getItem(KEY) !== refused) return;
  asking ??= askToken(Boolean(refused)).then((token) => {
    sessionStorage.setItem(KEY, token);
    asking = null;
  });
  await asking;
}

async function pause(response, failures, signal) {
  const wanted = secondsToWait(response);
  const seconds = wanted ?? Math.min(0.5 * 2 ** failures, LONGEST_PAUSE);
  if (response === null) tellConnection("Connection lost, trying again …");
  else if (wanted === null) tellConnection("The service is not ready, trying again …");
  else tellConnection(`The service is busy, going on in ${Math.ceil(seconds)} s …`);
  await sleep(seconds, signal);
}

function secondsToWait(response) {
  const words = response?.headers.get("Retry-After");
  if (!words) return null;
  const seconds = /^\d+$/.test(words) ? Number(words) : (Date.parse(words) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0.1), 300) : null;
}

/** Wait; ends early, without an error, when `signal` says so. */
export function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

async function wordsOf(response) {
  const said = await response.json().catch(() => null);
  return typeof said?.problem === "string" ? said.problem : "";
}

/** As fetch, but it tells how much has been sent, which fetch cannot. */
function upload(path, form, headers, signal, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    signal?.addEventListener("abort", stop, { once: true });
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () => resolve(asResponse(request));
    request.onerror = () => reject(new TypeError("the service cannot be reached"));
    request.onabort = () => reject(signal.reason);
    request.onloadend = () => signal?.removeEventListener("abort", stop);
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(form);
  });
}

function asResponse(request) {
  const wait = request.getResponseHeader("Retry-After");
  const headers = wait === null ? {} : { "Retry-After": wait };
  return new Response(request.responseText || null, { status: request.status, headers });
}
