// The clips to come, with their pictures decoded before they are needed.

import { Problem, annotator, get, sprite } from "./api.js";
import { sleep } from "./state.js";

const CLIPS = 8; // that the queue holds when it is full
const FEWEST = 6; // with fewer, more are asked for
const REST = 120; // ms after a step in which nothing is fetched: the picture that is there comes first
const PICTURES = 4; // decoded ahead: of long clips one may take 60 MB

/** A clip to be looked at: its item, and its picture once it is there. */
export class Entry {
  constructor(item) {
    this.item = item;
    this.sprite = null;
    this.loading = null;
  }

  get clip() {
    return this.item.clip;
  }

  /** The picture, decoded; rejects with the Problem where there is none. */
  load() {
    if (this.loading) return this.loading;
    this.ending = new AbortController();
    const { signal } = this.ending;
    this.loading = sprite(this.clip, "large", signal).then((found) => {
      if (signal.aborted) found.bitmap.close();
      else this.sprite = found;
      return found;
    });
    this.loading.catch(() => {}); // told to who waits for it
    return this.loading;
  }

  /** Give the picture's memory back. */
  release() {
    this.ending?.abort();
    this.sprite?.bitmap.close();
    this.sprite = this.loading = null;
  }
}

/** One clip by its id, as an entry whose picture comes. */
export async function fetchClip(clip) {
  const { items } = await get(nextPath(`clip:${clip}`, 1, []));
  const gone = { problem: "the clip is not there any more", do: "go on with the next" };
  if (items.length === 0) throw new Problem(404, gone);
  const entry = new Entry(items[0]);
  entry.load();
  return entry;
}

/** The clips to come of the server's queue `name`; `known()` gives those it need not send. */
export class Queue {
  constructor(name, { known, changed }) {
    Object.assign(this, { name, known, changed });
    this.ahead = [];
    this.state = "asking"; // or some, empty, preparing (the server has not chosen yet), lost (out of reach)
    this.problem = null;
    this.round = 0; // answers to what was asked in an earlier round are too old
    this.asking = false;
    this.refill();
  }

  /** The next clip; undefined while there is none. */
  take() {
    const entry = this.ahead.shift();
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      this.tend();
      this.refill();
    }, entry ? REST : 0);
    return entry;
  }

  /** Show `entry` next. */
  putBack(entry) {
    this.drop(entry.clip);
    this.ahead.unshift(entry);
    this.tend();
  }

  /** This clip is not needed any more. */
  drop(clip) {
    this.ahead.filter((entry) => entry.clip === clip).forEach((entry) => entry.release());
    this.ahead = this.ahead.filter((entry) => entry.clip !== clip);
  }

  /** Begin anew: what there is to ask about has changed. */
  clear() {
    this.end();
    this.state = "asking";
    this.refill();
  }

  /** Forget all clips. */
  end() {
    clearTimeout(this.later);
    this.round += 1;
    this.asking = false;
    this.ahead.forEach((entry) => entry.release());
    this.ahead = [];
  }

  async refill() {
    if (this.asking || this.ahead.length >= FEWEST) return;
    this.asking = true;
    const { round } = this;
    for (let failures = 0; round === this.round; ) {
      try {
        const without = [...this.known(), ...this.ahead.map((entry) => entry.clip)];
        const { items, left } = await get(nextPath(this.name, CLIPS - this.ahead.length, without));
        if (round !== this.round) return;
        const here = new Set([...this.known(), ...this.ahead.map((entry) => entry.clip)]);
        this.ahead.push(...items.filter((item) => !here.has(item.clip)).map((item) => new Entry(item)));
        this.turn(this.ahead.length > 0 ? "some" : left > 0 ? "preparing" : "empty");
        if (this.state !== "preparing") break;
        await sleep(2);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (round !== this.round) return;
        this.turn("lost", problem);
        await sleep(problem.after ?? Math.min(0.5 * 2 ** failures++, 15));
      }
    }
    if (round === this.round) this.asking = false;
  }

  turn(state, problem = null) {
    Object.assign(this, { state, problem });
    this.tend();
    this.changed();
  }

  /** Load the first pictures, and no others. */
  tend() {
    this.ahead.forEach((entry, place) => (place < PICTURES ? entry.load() : entry.release()));
  }
}

function nextPath(queue, count, without) {
  const words = new URLSearchParams({ annotator: annotator(), queue, count, without: without.join(",") });
  return `v1/next?${words}`;
}
