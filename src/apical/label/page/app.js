// Starts the page: who labels, the token, the tabs, and what is the same in all of them.

import { Problem, annotator, get, introduce, setAnnotator, takeToken } from "./api.js";
import { make } from "./elements.js";
import { toggleHelp } from "./help.js";
import { icon } from "./icons.js";
import { insist } from "./insist.js";
import { addKeys } from "./keys.js";
import { resume, tryNow } from "./outbox.js";
import { remembered, say, session, sleep, warn } from "./state.js";
import { redo, undo } from "./undo.js";
import { sentence } from "./wording.js";

const MODULES = { label: "single", wall: "wall", map: "map", review: "review", progress: "progress" };
const [readTheme, writeTheme] = remembered("theme", "dark");
const at = (id) => document.getElementById(id);
let open = null; // the tab in sight: {name, module}

async function start() {
  takeToken();
  introduce({ whenTokenIsNeeded: askToken });
  theme(readTheme());
  at("undo").append(icon("undo"));
  at("redo").append(icon("redo"));
  at("undo").onclick = () => undo();
  at("redo").onclick = () => redo();
  at("theme").onclick = () => theme(readTheme() === "dark" ? "light" : "dark");
  at("help").onclick = toggleHelp;
  at("annotator").onclick = changeName;
  at("alert-close").onclick = () => warn("");
  at("unsaved-again").onclick = tryNow;
  Object.assign(session, await sessionNow());
  at("research").textContent = session.research;
  if (!annotator()) await askName(false);
  tellName();
  await turn(tabName());
  addKeys("Everywhere", [
    { keys: ["z"], name: "z", words: "undo", run: undo },
    { keys: ["y"], name: "y", words: "redo", run: redo },
    { keys: ["z"], ctrl: true, name: "Ctrl+Z", words: "undo", run: undo },
    { keys: ["y", "Shift+z"], ctrl: true, name: "Ctrl+Shift+Z", words: "redo", run: redo },
    { keys: ["?", "h"], name: "?", words: "this help", run: toggleHelp },
  ]);
  addEventListener("hashchange", () => turn(tabName()));
  resume();
  // The other tabs' modules: they are to open when the server cannot be reached, too.
  for (const name of Object.values(MODULES)) import(`./${name}.js`).catch(() => {});
}

/** The session; asks until the server is there. */
async function sessionNow() {
  for (;;) {
    try {
      const answer = await get("v1/session");
      warn("");
      return answer;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      warn(`${sentence(problem.what)} Trying again by itself.`);
      await sleep(2);
    }
  }
}

function tabName() {
  const [name] = location.hash.slice(1).split("/");
  return name in MODULES ? name : "label";
}

/** Open a tab; its module is loaded when it is first opened. */
async function turn(name) {
  open?.module?.hide();
  if (open) say(""); // what was said in the tab before
  const here = (open = { name, module: null });
  for (const one of Object.keys(MODULES)) at(one).hidden = one !== name;
  for (const link of at("tabs").children) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.tab = name;
  document.title = `Apical: ${at("tabs").querySelector("[aria-current]").textContent}`;
  try {
    const module = await import(`./${MODULES[name]}.js`);
    if (open !== here) return;
    here.module = module;
    await module.show(at(name));
  } catch (error) {
    warn("This tab did not open. See whether the server still runs, and load the page again.");
    throw error;
  }
}

function theme(name) {
  writeTheme(name);
  document.documentElement.dataset.theme = name;
  const other = name === "dark" ? "light" : "dark";
  at("theme").replaceChildren(icon(name === "dark" ? "sun" : "moon"));
  at("theme").title = `Change to the ${other} theme`;
  at("theme").setAttribute("aria-label", at("theme").title);
  document.dispatchEvent(new Event("themechange"));
}

async function changeName() {
  const before = annotator();
  await askName(true);
  if (annotator() === before) return;
  location.reload(); // what is in sight was chosen for the one before
}

function tellName() {
  at("annotator").hidden = false;
  at("annotator").textContent = annotator();
  at("annotator").setAttribute("aria-label", `${annotator()}: change who labels`);
  at("annotator").title = "Change who labels";
}

/** Ask who labels; `mayLeave`: it may be closed without an answer. */
function askName(mayLeave) {
  const dialog = at("name-dialog");
  at("names").replaceChildren(...session.annotators.map((value) => make("option", { value })));
  at("name-text").value = annotator();
  return new Promise((resolve) => {
    let leave = () => dialog.close();
    if (mayLeave) {
      dialog.onclose = resolve;
      dialog.showModal();
    } else leave = insist(dialog);
    at("name-form").onsubmit = (event) => {
      event.preventDefault();
      const name = at("name-text").value.trim();
      if (!name) return (at("name-said").textContent = "A name is needed: 1 to 40 characters.");
      setAnnotator(name);
      leave();
      say(`Welcome, ${name}.`);
      resolve();
    };
  });
}

function askToken(refused) {
  const dialog = at("token-dialog");
  const told = "The server told it when it was started. It is kept until this tab is closed.";
  at("token-said").textContent = refused ? "That token was not accepted." : told;
  at("token-text").value = "";
  return new Promise((resolve) => {
    at("token-form").onsubmit = (event) => {
      event.preventDefault();
      leave();
      resolve(at("token-text").value.trim());
    };
    const leave = insist(dialog);
  });
}

start();
