// How well annotators agree: with each other, with themselves, and what they take for one another.

import { get } from "./api.js";
import { intervalPlot, table } from "./drawing.js";
import { make } from "./elements.js";
import { whenReady } from "./waiting.js";
import { figure, interval, nameOf, number, percent } from "./wording.js";

const TICKS = [0, 0.5, 1];
const KAPPA =
  "Kappa says how much more often two agree than chance alone would have them: 1 is always, 0 is no " +
  "better than chance. " +
  "With other patients it might lie anywhere in the interval.";

/** Show the agreement in `place` until `signal` ends it. */
export async function showAgreement(place, signal) {
  const answer = await whenReady(place, () => get("v1/agreement"), signal);
  if (!answer) return;
  const { pairs, selves, confusions } = answer;
  const head = ["Clips", "Agree", "Kappa", "95 % interval", "0 to 1"];
  place.replaceChildren(
    make(
      "div",
      { class: "agreement" },
      make("p", { class: "explains" }, KAPPA),
      part(
        "Between annotators",
        "Clips that two looked at, each without knowing what the other had said.",
        pairs.length > 0
          ? table({
              caption: "Agreement between annotators",
              head: ["Annotators", ...head],
              rows: pairs.map((one) => [`${one.one} and ${one.other}`, ...cells(one)]),
              kind: "kappas",
            })
          : nothing("No clip has been labelled by two annotators yet."),
      ),
      part(
        "With oneself",
        "Some clips come a second time, unannounced.",
        selves.length > 0
          ? table({
              caption: "Agreement of annotators with themselves",
              head: ["Annotator", ...head],
              rows: selves.map((one) => [one.annotator, ...cells(one)]),
              kind: "kappas",
            })
          : nothing("No clip has come a second time yet."),
      ),
      part(
        "Most often confused",
        "What two annotators called the same clip.",
        confusions.length > 0
          ? table({
              caption: "Most often confused",
              head: ["One said", "The other said", "Clips"],
              rows: confusions.map((one) => [
                nameOf(one.one_said),
                nameOf(one.other_said),
                number(one.clips),
              ]),
              kind: "confusions",
            })
          : nothing("Nobody has disagreed yet."),
      ),
    ),
  );
}

const nothing = (words) => make("p", { class: "dim" }, words);

const part = (title, words, content) =>
  make("section", {}, make("h2", {}, title), make("p", { class: "dim" }, words), content);

function cells({ clips, share, kappa, low, high }) {
  const known = typeof kappa === "number";
  const agreed = typeof share === "number" ? percent(share) : "–";
  if (!known) return [number(clips), agreed, "too few clips", "–", ""];
  return [
    number(clips),
    agreed,
    make("b", {}, figure(kappa)),
    interval(low, high),
    intervalPlot({ value: kappa, low, high, ticks: TICKS }),
  ];
}
