// Words and numbers, the same way in every tab.

const NAMES = { none: "Not a view", "cannot-tell": "Cannot tell" };
const NUMBERS = new Intl.NumberFormat("en");
const SHARE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TIMES = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A view's name for people; "Not a view" and "Cannot tell" for the two answers that are none. */
export const nameOf = (view) => NAMES[view] ?? view ?? "nothing";

/** 0.934 → "93 %". */
export const percent = (share) => `${SHARE.format(100 * share)} %`;

/** 20000 → "20,000". */
export const number = (value) => NUMBERS.format(value);

/** `plural(1, "clip")` → "1 clip"; `plural(2, "clip")` → "2 clips". */
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** A figure of -1 to 1 with two places and a true minus sign; a dash where there is none. */
export function figure(value) {
  if (value === null || value === undefined) return "–";
  return value.toFixed(2).replace("-", "−");
}

/** "0.85 to 0.95"; a dash where the interval is not known. */
export const interval = (low, high) =>
  typeof low === "number" && typeof high === "number" ? `${figure(low)} to ${figure(high)}` : "–";

/** What somebody said of a clip, in one line. */
export function saidWords(said) {
  if (!said || said.view === null) return "nothing";
  const agent = { true: "contrast agent", false: "no contrast agent" }[String(said.contrast_agent)];
  const quality = said.quality ? `${said.quality} quality` : null;
  return [nameOf(said.view), agent, quality].filter(Boolean).join(", ");
}

/** A guess of the model, in one line. */
export function guessWords(view, probability) {
  if (!view) return "no guess yet";
  return typeof probability === "number" ? `${nameOf(view)} ${percent(probability)}` : nameOf(view);
}

/** "the file is empty" → "The file is empty." */
export function sentence(text) {
  const whole = capital(String(text || "it did not work").trim());
  return whole + (/[.!?…]$/.test(whole) ? "" : ".");
}

/** "clip 3 of 12" → "Clip 3 of 12". */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** What a Problem says is wrong and what to do, in whole sentences. */
export const sentences = (problem) => [problem.what, problem.do].filter(Boolean).map(sentence).join(" ");

/** Where help is needed most, of the entries that /v1/progress gives. */
export const helpWords = ({ view, patients }) =>
  `${view} is known worst: ${plural(patients, "more patient")} could help`;

/** An instant of the audit trail in the reader's own time zone. */
export const when = (text) => TIMES.format(new Date(text));

/** Seconds as people say them: "12 s", "3 min", "2 h". */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
