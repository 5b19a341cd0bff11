/* The workbench: watches the server, opens the notebook in its frame, hands in. */

import { Notebook } from "./notebook.js";
import { handIn, post } from "./submit.js";
import { localize } from "./times.js";

const { WHILE_STARTING, announce, choose, showPanel, watch } = globalThis.ipylti;

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
const submitForm = $("submit-form"); // null where there is nothing to hand in
const submitButton = $("submit");
const notebook = new Notebook(frame, main.dataset.notebookOrigin);

let status = JSON.parse($("status").textContent);
let opened = frame.hasAttribute("src"); // the ticket in it is good once: never again set while the page lives
let loaded = opened;
let elsewhere = false; // the notebook was opened in another tab, whose documents can't be saved from here
let busy = false; // handing in
let submittedAt = 0; // when this page handed in, ms since the epoch

/* -- what the page shows ------------------------------------------------------------------------------ */

function notice(text) {
  $("notice").hidden = !text;
  $("notice").querySelector("p").textContent = text;
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

function showServer() {
  const apart = status.state === "ready" && status.extension === false;
  const view = apart ? "apart" : status.state;
  if (view === "ready" && !opened && status.url) open(status.url);
  showPanel(panel, view, status);
  panel.querySelector("[data-do=uncover]").hidden = !(loaded && (view === "stopped" || view === "failed"));
  cover(!(view === "ready" && loaded));
}

function showSubmission() {
  if (!submitForm) return;
  const { submission } = status;
  const telling = submission.lms === "waiting" && Date.now() - submittedAt < PATIENCE_WITH_LMS;
  const box = $("submission");
  const before = box.innerText;
  const lms = telling ? "telling" : submission.lms;
  box.dataset.state = submission.state;
  box.dataset.lms = lms;
  for (const part of box.querySelectorAll("[data-when]")) {
    part.hidden = ![submission.state, `${submission.state}-${lms}`].includes(part.dataset.when);
  }
  box.querySelector("time").dateTime = submission.submitted_at ?? "";
  box.querySelector(".message").textContent = submission.message;
  localize();
  if (box.innerText !== before) announce(box.innerText);
  submitButton.disabled = ["queued", "starting", "not_ready"].includes(status.state);
}

/* -- watching ----------------------------------------------------------------------------------------- */

/** Show a status; returns the ms until the next look. */
function seen(next) {
  status = next;
  showServer();
  showSubmission();
  if (status.state === "queued" || status.state === "starting") return WHILE_STARTING;
  if (status.state === "not_ready") return LOOK_AGAIN;
  const { state, lms } = status.submission;
  const telling = state === "freezing" || lms === "waiting";
  return telling && Date.now() - submittedAt < TELLING ? WHILE_TELLING : WHILE_RUNNING;
}

function lost() {
  if (loaded) return notice("Please launch again from your course."); // the notebook may go on: it stays in view
  showPanel(panel, "lost", null);
  cover(true);
}

const look = watch(main.dataset.statusUrl, seen, lost, seen(status));

/* -- what the person does ----------------------------------------------------------------------------- */

document.addEventListener("click", (event) => {
  switch (event.target.closest("[data-do]")?.dataset.do) {
    case "reload": case "look": return location.reload();
    case "uncover": return cover(false);
    case "dismiss": return notice("");
  }
});

submitForm?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy) return;
  const progress = (name) => {
    choose(submitButton, name);
    submitButton.setAttribute("aria-disabled", String(name !== "idle"));
    if (name !== "idle") announce(submitButton.innerText);
  };
  busy = true;
  notice("");
  try {
    progress("saving");
    const framed = status.state === "ready" && loaded && status.extension !== false;
    const alive = framed && (await notebook.answers());
    const facts = { dueAt: main.dataset.dueAt, submission: status.submission, state: status.state, alive, elsewhere };
    const submission = await handIn(submitForm, facts, notebook, progress);
    if (submission) {
      submittedAt = Date.now();
      status.submission = submission;
    }
  } catch (error) {
    const traces = error.code ? ` (code ${error.code}, request ${error.request_id})` : "";
    notice(`Not handed in. ${error.message}${traces}`);
  }
  progress("idle");
  busy = false;
  showSubmission();
  look();
});

setInterval(localize, 60_000);
localize();
