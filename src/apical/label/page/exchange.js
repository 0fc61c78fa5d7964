// Labels out of the page and into it: export, import, and writing them into the catalogue.

import { annotator, blob, post, upload } from "./api.js";
import { make } from "./elements.js";
import { saved, say, session } from "./state.js";
import { capital, number, plural, sentence, sentences } from "./wording.js";

const EXPORTS = [
  ["labels.csv", "Labels as CSV", "One line a clip: what is settled, and who said it."],
  ["labels.json", "Labels as JSON", "All opinions of all annotators, to be read back in."],
  ["history.json", "History as JSON", "The audit trail: who, when, before, after, what the model said."],
  ["reports.zip", "DICOM reports (SR)", "One structured report a clip, for the PACS."],
];
const IDENTITY =
  "DICOM reports carry the patient’s identity, as a PACS needs it to file them. Keep this file where " +
  "patient data may be kept.";
const HIDDEN =
  "They carry the patient’s identity, and this page shows none: it is to be started with " +
  "--show-identifiers for them.";
const MERGED = [
  ["labelled", "got a label"],
  ["changed", "changed their label"],
  ["cleared", "got back what they had before"],
  ["disputed", "are disputed, so they have none"],
  ["cannot_tell", "cannot be told, so they have none"],
];

/** Show what leads out and in. */
export function showExchange(place) {
  place.replaceChildren(make("div", { class: "exchange" }, exports(), imports(), merging()));
}

const part = (title, ...content) => make("section", { class: "panel" }, make("h2", {}, title), ...content);
const saying = () => make("div", { class: "exchange-said", role: "status" });

function exports() {
  const said = saying();
  const entry = ([name, title, about]) => {
    const reports = name === "reports.zip";
    const button = make(
      "button",
      {
        type: "button",
        class: "export",
        "data-file": name,
        disabled: reports && !session.shows_identifiers,
        "aria-describedby": `about-${name}`,
        onclick: () => attempt(said, button, () => download(name, said)),
      },
      title,
    );
    const words = make("p", { class: "dim", id: `about-${name}` }, about);
    const identity = session.shows_identifiers ? `⚠ ${IDENTITY}` : HIDDEN;
    if (reports) words.append(make("strong", { class: "identity" }, identity));
    return make("li", {}, button, words);
  };
  return part("Export", make("ul", { class: "exports" }, ...EXPORTS.map(entry)), said);
}

async function download(name, said) {
  said.replaceChildren("It is being made …");
  const address = URL.createObjectURL(await blob(`v1/export/${name}`));
  const link = make("a", { href: address, download: `apical-${name}`, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  said.replaceChildren(`apical-${name} was given to the browser.`);
}

function imports() {
  const said = saying();
  const file = make("input", {
    type: "file",
    id: "import-file",
    accept: ".csv,.json,text/csv,application/json",
  });
  const button = make(
    "button",
    {
      type: "button",
      class: "import",
      disabled: true,
      onclick: () => attempt(said, button, () => take(file.files[0], said)),
    },
    "Import",
  );
  file.onchange = () => (button.disabled = !file.files[0]);
  return part(
    "Import",
    make(
      "p",
      { class: "dim" },
      "A CSV or JSON file as exported here, or a CSV with the columns clip and view. Each line counts " +
        "as said by whom it names, else by you.",
    ),
    make("label", { for: "import-file" }, "File of labels"),
    make("div", { class: "row" }, file, button),
    said,
  );
}

async function take(file, said) {
  const format = /\.json$/i.test(file.name) ? "json" : "csv";
  const { labelled, problems, ...answer } = await upload(
    `v1/import?annotator=${encodeURIComponent(annotator())}&format=${format}`,
    file,
    format,
  );
  said.replaceChildren(make("p", {}, `${plural(labelled, "clip")} labelled.`));
  if (problems.length > 0) {
    said.append(
      make("p", {}, `${plural(problems.length, "line")} left out:`),
      make("ul", {}, ...problems.slice(0, 20).map((one) => make("li", {}, sentence(one)))),
    );
    if (problems.length > 20)
      said.append(make("p", { class: "dim" }, `and ${number(problems.length - 20)} more`));
  }
  say(`${plural(labelled, "clip")} imported.`);
  saved(answer);
}

function merging() {
  const said = saying();
  const button = make("button", { type: "button", class: "merge main" }, "Write labels into the catalogue");
  const sure = make("button", { type: "button", class: "merge-sure main", hidden: true }, "Yes, write them");
  const no = make("button", { type: "button", class: "merge-no", hidden: true }, "No");
  const ask = (asked) => {
    [button.hidden, sure.hidden, no.hidden] = [asked, !asked, !asked];
    (asked ? sure : button).focus();
  };
  button.onclick = () => (
    said.replaceChildren(`${capital(session.catalogue)} is written anew with the labels. Go on?`),
    ask(true)
  );
  no.onclick = () => (said.replaceChildren(), ask(false));
  sure.onclick = async () => {
    await attempt(said, sure, () => merge(said));
    ask(false);
  };
  return part(
    "Into the catalogue",
    make(
      "p",
      { class: "dim" },
      `Labels are kept beside ${session.catalogue}, which stays as it is until you write them into ` +
        "it here. Writing twice changes nothing more.",
    ),
    make("div", { class: "row" }, button, sure, no),
    said,
  );
}

async function merge(said) {
  said.replaceChildren("It is being written …");
  const report = await post("v1/merge", {}, Infinity);
  const lines = MERGED.filter(([name]) => report[name] > 0).map(([name, words]) =>
    make("li", {}, `${plural(report[name], "clip")} ${words}`),
  );
  said.replaceChildren(
    make("p", {}, `${capital(session.catalogue)} is written.`),
    lines.length > 0 ? make("ul", {}, ...lines) : make("p", {}, "Nothing in it changed."),
  );
}

/** Do something once at a time, and say in place what went wrong. */
async function attempt(said, button, does) {
  button.setAttribute("aria-busy", "true");
  if (button.disabled) return;
  button.disabled = true;
  try {
    await does();
  } catch (problem) {
    if (typeof problem.status !== "number") throw problem;
    said.replaceChildren(
      make("p", { class: "wrong" }, sentences(problem)),
    );
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}
