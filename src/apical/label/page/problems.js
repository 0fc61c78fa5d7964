// What went wrong, in whole sentences.

import { sentence } from "./waiting.js";

/** What is wrong and what to do. */
export function sentences(problem) {
  return [problem.what, problem.do].filter(Boolean).map(sentence).join(" ");
}
