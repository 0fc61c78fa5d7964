// What is said of a clip, in words: its kind, its sentence, tables for programs. No page and no service here.

/** Kinds of clips in the order of the page, with the words of their tiles. */
export const KINDS = {
  named: "named",
  doubtful: "doubtful",
  unknown: "unknown",
  other: "not 2-D",
  problem: "problem",
  waiting: "waiting",
};

const MODES = {
  colour: "colour Doppler",
  "tissue-doppler": "tissue Doppler",
  spectral: "spectral Doppler",
  "m-mode": "M-mode",
  dual: "two pictures side by side",
  "3d": "a 3-D rendering",
  report: "a report page",
  other: "something else",
};

export function kindOf(clip) {
  if (clip.trouble) return "problem";
  const answer = clip.answer;
  if (!answer) return "waiting";
  if (answer.problem) return "problem";
  if (!answer.likeliest) return "other";
  if (answer.unknown) return "unknown";
  return answer.doubtful ? "doubtful" : "named";
}

export function modeWords(mode) {
  return MODES[mode] ?? mode ?? "something else";
}

/** A probability as people read it; never 0 % or 100 %, which nothing here is. */
export function percent(probability) {
  if (probability >= 0.995) return "> 99 %";
  if (probability < 0.005) return "< 1 %";
  return `${Math.round(probability * 100)} %`;
}

/** Whether tags or pixels tell of contrast agent. */
export function hasAgent(answer) {
  return answer?.contrast_agent ?? (answer?.contrast_agent_probability ?? 0) >= 0.5;
}

const STATES = {
  "to send": "to be sent",
  sending: "being sent",
  waiting: "in the queue",
  looking: "being looked at",
};

export function waitingWords(clip) {
  return STATES[clip.state];
}

/** One or two sentences: what is in the clip and how far to believe it. */
export function sentence(clip, titleOf, evidence) {
  const { answer } = clip;
  const kind = kindOf(clip);
  if (kind === "waiting") return `This clip is ${waitingWords(clip)}.`;
  if (kind === "problem") return `It could not be looked at: ${clip.trouble ?? answer.problem}.`;
  if (kind === "other") return `Shows ${modeWords(answer.mode)}. Views are named in 2-D clips only.`;
  const likeliest = `${answer.likeliest}${inWords(titleOf(answer.likeliest))}`;
  if (kind === "unknown") return `Looks like none of the views taught; the nearest is ${likeliest}.`;
  const others = answer.views.filter((view) => view !== answer.likeliest);
  const best = `${likeliest} with ${percent(answer.probability)}`;
  const also = others.length > 0 ? `Also credible: ${others.join(", ")}.` : "No other view is credible.";
  if (kind === "named") return `${best}. ${also}`;
  return `Doubtful: most likely ${best}${tooLittle(evidence)}. ${also}`;
}

function inWords(title) {
  return title ? ` (${title})` : "";
}

function tooLittle(evidence) {
  const limit = evidence?.doubtful_below;
  return typeof limit === "number" ? `, where ${percent(limit)} is asked for` : "";
}

/** Which taught views are there: [{view, state: "present" | "doubtful" | "missing", clips}]. */
export function completeness(taught, clips) {
  return taught.map((view) => {
    const mine = clips.filter((clip) => clip.answer?.likeliest === view).map(kindOf);
    const [named, doubtful] = ["named", "doubtful"].map((kind) => mine.filter((one) => one === kind).length);
    return { view, state: named ? "present" : doubtful ? "doubtful" : "missing", clips: named + doubtful };
  });
}

/** Plain records of the answers, numbered as the page does; file names only where `withNames`. */
export function records(clips, withNames) {
  return clips
    .filter((clip) => clip.answer || clip.trouble)
    .map((clip, place) => {
      const { item, number, ...answer } = clip.answer ?? { problem: clip.trouble };
      return { number: place + 1, ...(withNames ? { file: clip.path } : {}), ...answer };
    });
}

/** The records as CSV (RFC 4180), lists with spaces between. */
export function asCsv(rows) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  return lines.map((line) => line.map(cell).join(",") + "\r\n").join("");
}

function cell(value) {
  let text = Array.isArray(value) ? value.join(" ") : String(value ?? "");
  const isFormula = typeof value === "string" && /^[=+\-@\t\r]/.test(text); // which a table program would run
  if (isFormula) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
