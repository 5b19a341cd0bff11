/* Handing in: ask where there is reason to, save all, send. The form works without this, too. */

const { choose, headers } = globalThis.ipylti;

const PATIENCE = 30_000; // ms for the tool to take the submission

/** Open a <dialog>; resolves to whether the person said yes. Escape and "Cancel" are no. */
function confirmed(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Why to ask before handing in; the names of parts of the dialog. */
export function reasonsToAsk({ dueAt, submission, state, alive, elsewhere }, now = Date.now()) {
  return [
    dueAt && new Date(dueAt) < now && "late",
    submission.number > 0 && "again",
    state === "ready" && !alive && "save",
    state === "ready" && alive && elsewhere && "tab",
    state !== "ready" && "stopped",
  ].filter(Boolean);
}

/** The server said no: `message` is its sentence for the person, `traces` is for whoever helps. */
export class Refused extends Error {
  constructor({ message, code, request_id }) {
    super(message);
    this.traces = code ? ` (code ${code}, request ${request_id})` : "";
  }
}

/**
 * Send a form's token, as the form itself would.
 * @returns the JSON that came back
 * @throws {Refused} the server said no; any other error means that it isn't known whether it heard
 */
export async function post(form) {
  const answer = await fetch(form.action, {
    method: "POST",
    headers: { ...headers(), "X-CSRF-Token": form.elements.csrf_token.value },
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => null);
  throw new Refused(body?.error ?? { message: `The server couldn't do it (${answer.status}).` });
}

/**
 * Hand in once.
 * @param form  the Submit form
 * @param facts  see reasonsToAsk
 * @param notebook  a Notebook, asked to save if facts.alive
 * @param progress  called with "saving" and "sending", and with "idle" while the person is asked
 * @returns the new submission state, or null if the person decided against it
 */
export async function handIn(form, facts, notebook, progress) {
  const reasons = reasonsToAsk(facts);
  const dialog = document.getElementById("confirm");
  choose(dialog, reasons);
  if (reasons.length) {
    progress("idle");
    if (!(await confirmed(dialog))) return null;
  }
  if (facts.alive) {
    progress("saving");
    const saved = await notebook.saveAll();
    progress("idle");
    if (!saved.ok && !(await confirmed(describe(saved)))) return null;
  }
  progress("sending");
  return (await post(form)).submission;
}

/** The dialog that names what could not be saved. */
function describe({ unsaved, error }) {
  const dialog = document.getElementById("unsaved");
  dialog.querySelector(".why").textContent = error;
  dialog.querySelector(".which").hidden = unsaved.length === 0;
  dialog.querySelector("ul").replaceChildren(...unsaved.map((path) => {
    const item = document.createElement("li");
    item.textContent = path;
    item.dir = "auto";
    return item;
  }));
  return dialog;
}
