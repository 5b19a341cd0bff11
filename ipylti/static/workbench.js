/* The workbench: watches the server, opens the notebook in its frame, hands in. */

import { Notebook } from "./notebook.js";
import { Refused, handIn, post } from "./submit.js";
import { localize } from "./times.js";

const { WAITING, WHILE_STARTING, announce, choose, headers, showPanel, watch } = globalThis.ipylti;

const WHILE_RUNNING = 15_000; // ms between looks
const WHILE_TELLING = 1500; // ms between looks after handing in ...
const TELLING = 60_000; // ... for so long
const PATIENCE_WITH_LMS = 5000; // ms until "telling your course" becomes "hasn't got it yet"
const LOOK_AGAIN = 20_000; // ms between looks for something to start from
const FRAME_LOAD = 15_000; // ms until the frame is shown, loaded or not

const $ = (id) => document.getElementById(id);
const main = $("workbench");
const panel = $("panel");
const frame = $("notebook");
const again = $("again"); // the form that asks for this page anew, where no cookie does
const ending = $("ending");
const submitForm = $("submit-form"); // null where there is nothing to hand in
const submitButton = $("submit");
const notebook = new Notebook(frame, main.dataset.notebookOrigin);

let status = JSON.parse($("status").textContent);
let opened = frame.hasAttribute("src"); // the ticket in it is good once: never again set while the page lives
let loaded = opened;
let elsewhere = false; // the notebook was opened in another tab, whose documents can't be saved from here
let busy = false; // handing in
let submittedAt = 0; // when this page handed in, ms since the epoch
let uncovered = ""; // the view of the panel that the person put away
let understood = ""; // the codes of the notices that the person put away
let shownFacts = ""; // what the page says of the submission
let knocking; // the timer of LOOK_AGAIN

/* -- what the page shows ------------------------------------------------------------------------------ */

function notice(text) {
  $("notice").hidden = !text;
  $("notice").querySelector("p").textContent = text;
}

/** Words for what post() threw. */
function said(error) {
  if (error instanceof Refused) return error.message + error.traces;
  console.warn("ipylti: no answer", error);
  return "The server didn't answer. Nothing is lost: look at the state above, and try again if need be.";
}

/** Cover the frame by the panel, or uncover it; who types goes on in what is to be seen. */
function cover(covered) {
  if (panel.hidden === !covered) return;
  const inside = covered ? document.activeElement === frame : panel.contains(document.activeElement);
  panel.hidden = !covered;
  frame.inert = covered;
  if (covered && inside) panel.querySelector("h2").focus();
  if (!covered && (inside || document.activeElement === document.body)) frame.focus();
}

function open(url) {
  opened = true;
  const show = () => {
    if (loaded) return;
    loaded = true;
    if (status.state === "ready") cover(false);
    announce("Your notebook is open.");
  };
  frame.addEventListener("load", show, { once: true });
  setTimeout(show, FRAME_LOAD);
  frame.src = url;
  frame.hidden = false;
}

/** The panel's view of the status; the same rule as view_of in panel.jinja2, and one more. */
function viewOf({ state, step, bytes, extension }) {
  if (state === "ready" && (again || extension === false)) return "apart";
  // While it is being looked whether there is something to start from, the page goes on saying that there isn't.
  const looking = WAITING.includes(state) && [null, "queue", "copy"].includes(step) && !bytes?.done;
  return panel.dataset.view === "not_ready" && looking ? "not_ready" : state;
}

/** Let the person see, and copy, what a server that has ended left on the screen. */
function uncover() {
  uncovered = panel.dataset.view;
  cover(false);
  notice("Your notebook isn't running. Copy what you need, then reload this page.");
}

function showServer() {
  const view = viewOf(status);
  if (view === "ready") uncovered = "";
  if (view === "ready" && !opened && status.url) open(status.url);
  showPanel(panel, view, status);
  panel.querySelector("[data-do=uncover]").hidden = !(loaded && (view === "stopped" || view === "failed"));
  cover(!(view === "ready" && loaded) && view !== uncovered);
}

/** Say that the server is about to end; what is open and not saved is saved first. */
function showEnding() {
  const soon = status.state === "ready" && Boolean(status.ends_at);
  if (ending.hidden === !soon) return;
  if (soon) {
    ending.querySelector("time").dateTime = status.ends_at;
    localize();
    if (opened && !again && status.extension !== false) notebook.saveAll();
  }
  ending.hidden = !soon;
}

/** Say what of memory and files is used up, until that is understood; anew where it has become another. */
function showLimits() {
  const said = status.notices.map((each) => each.message).join(" ");
  const box = $("limits");
  const known = status.notices.map((each) => each.code).join(" ");
  if (understood && known !== understood) understood = "";
  box.hidden = !said || Boolean(understood);
  if (!box.hidden && box.querySelector("p").textContent !== said) box.querySelector("p").textContent = said;
}

function showSubmission() {
  if (!submitForm) return;
  submitButton.disabled = [...WAITING, "not_ready"].includes(status.state);
  const { submission } = status;
  const telling = submission.lms === "waiting" && Date.now() - submittedAt < PATIENCE_WITH_LMS;
  const lms = telling ? "telling" : submission.lms;
  const box = $("submission");
  const facts = JSON.stringify([submission, lms]);
  if (facts === shownFacts) return; // it may be looked at, or read out, at this moment
  const before = shownFacts;
  shownFacts = facts;
  choose(box, [submission.state, `${submission.state}-${lms}`]);
  const time = box.querySelector("time");
  if (time) time.dateTime = submission.submitted_at;
  box.querySelector(".message").textContent = submission.message;
  box.dataset.state = submission.state;
  box.dataset.lms = lms;
  localize();
  if (before) announce(box.innerText);
}

/* -- watching ----------------------------------------------------------------------------------------- */

/** Show a status; returns the ms until the next look. */
function seen(next) {
  // An answer may be older than what handing in has told meanwhile.
  if (next.submission.number < status.submission.number) next.submission = status.submission;
  status = next;
  showServer();
  showEnding();
  showLimits();
  showSubmission();
  if (WAITING.includes(status.state) || (panel.dataset.view === "ready" && !opened)) return WHILE_STARTING;
  if (status.state === "not_ready") {
    clearTimeout(knocking);
    knocking = setTimeout(knock, LOOK_AGAIN);
    return 2 * LOOK_AGAIN;
  }
  const { state, lms } = status.submission;
  const telling = state === "freezing" || lms === "waiting";
  return telling && Date.now() - submittedAt < TELLING ? WHILE_TELLING : WHILE_RUNNING;
}

/** Ask for this page, as a reload would. */
function ask() {
  if (!again) return fetch(location.href, { cache: "no-store" });
  const csrf = { "X-CSRF-Token": again.elements.csrf_token.value };
  return fetch(location.href, { method: "POST", cache: "no-store", headers: { ...headers(), ...csrf } });
}

/** Ask for the server anew, which is what opening this page does; a reload would take the reader's place away. */
async function knock() {
  if (document.hidden) return;
  await ask().catch((error) => console.warn("ipylti: not asked", error));
  look();
}

function lost() {
  if (loaded) {
    // The notebook may go on: it stays in view. So does what was told last, as that nothing was handed in.
    const told = $("notice").hidden ? "" : $("notice").querySelector("p").textContent;
    return notice(told.includes("from your course") ? told : `${told} Please launch again from your course.`.trim());
  }
  showPanel(panel, "lost", null);
  cover(true);
}

/** Who has the notebook needs no ticket to it any more. */
const statusUrl = () => main.dataset.statusUrl + (opened ? "?opened" : "");

const look = watch(statusUrl, seen, lost, seen(status));

/* -- what the person does ----------------------------------------------------------------------------- */

document.addEventListener("click", (event) => {
  switch (event.target.closest("[data-do]")?.dataset.do) {
    case "reload": return again ? again.submit() : location.reload();
    case "uncover": return uncover();
    case "dismiss": return notice("");
    case "understood":
      understood = status.notices.map((each) => each.code).join(" ");
      return showLimits();
  }
});

/**
 * Open the notebook in a tab. In a frame of the LMS our cookie belongs to the LMS' partition and would not go along
 * with the form into a tab: so the ticket is fetched here, and the tab, which has to be opened on the click, waits.
 */
async function openTab(event) {
  event.preventDefault();
  const tab = window.open("about:blank");
  if (!tab) return notice("Your browser doesn't let this page open a tab. Please allow it and try again.");
  tab.opener = null;
  try {
    tab.location.replace((await post(event.target)).url);
    elsewhere = true;
  } catch (error) {
    tab.close();
    notice(`The notebook could not be opened. ${said(error)}`);
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.matches("form.tab")) openTab(event);
});

ending.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    seen(await post(ending));
    announce("Your notebook stays awake.");
    if (!frame.hidden) frame.focus();
  } catch (error) {
    notice(said(error));
  }
});

submitForm?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy) return;
  const progress = (name) => {
    choose(submitButton, [name]);
    submitButton.setAttribute("aria-disabled", String(name !== "idle"));
    if (name !== "idle") announce(submitButton.innerText);
  };
  busy = true;
  notice("");
  try {
    progress("saving");
    const framed = status.state === "ready" && opened && !again && status.extension !== false;
    const alive = framed && (await notebook.answers());
    const facts = { dueAt: main.dataset.dueAt, submission: status.submission, state: status.state, alive, elsewhere };
    const submission = await handIn(submitForm, facts, notebook, progress);
    if (submission) {
      submittedAt = Date.now();
      status.submission = submission;
    }
  } catch (error) {
    notice(error instanceof Refused ? `Not handed in. ${said(error)}` : said(error));
  }
  progress("idle");
  busy = false;
  showSubmission();
  look();
});

// "About" lies over the notebook: it goes with Escape, and when the person turns to the notebook.
const about = document.querySelector(".about");
window.addEventListener("blur", () => about?.removeAttribute("open"));
about?.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  about.open = false;
  about.querySelector("summary").focus();
});

setInterval(localize, 60_000);
localize();
