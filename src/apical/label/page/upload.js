// Sending a file as it is; api.js posts JSON that the page made.

import { Problem } from "./api.js";

const TOKEN = "apical-token"; // as in api.js
// Neither is a type that another site's form can send.
const TYPES = { csv: "text/csv", json: "application/json" };

/** Post a file ("csv" or "json") to `path`; the answer's JSON. */
export async function upload(path, file, format) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { "Content-Type": TYPES[format], ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(path, { method: "POST", headers, body: file }).catch(() => null);
  if (!answer)
    throw new Problem(0, { problem: "the server cannot be reached", do: "see whether it still runs" });
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Problem(answer.status, body);
  return body;
}
