/* Handing in: ask where there is reason to, save all, send. The form works without this, too. */

const PATIENCE = 30_000; // ms for the tool to take the submission

/** Open a <dialog>; resolves to whether the person said yes. Escape and "Cancel" are no. */
function confirmed(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Why to ask before handing in; the names of paragraphs in the dialog. */
export function reasonsToAsk({ dueAt, submission, state, alive, elsewhere }, now = Date.now()) {
  return [
    dueAt && new Date(dueAt) < now && "late",
    submission.number > 0 && "again",
    state === "ready" && !alive && "save",
    state === "ready" && alive && elsewhere && "tab",
    state !== "ready" && "stopped",
  ].filter(Boolean);
}

/** POST a form's token, as the form itself would, and have JSON back; a refusal is thrown as {message, code, request_id}. */
export async function post(form) {
  let answer, body;
  try {
    answer = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json", "X-CSRF-Token": form.elements.csrf_token.value },
      signal: AbortSignal.timeout(PATIENCE),
    });
    body = await answer.json();
  } catch {
    body = null;
  }
  if (answer?.ok && body) return body;
  if ([401, 403, 404].includes(answer?.status)) throw { message: "Please launch again from your course." };
  throw body?.error ?? { message: "The server didn't answer. Please try again in a moment." };
}

/**
 * Hand in once.
 * @param form  the Submit form
 * @param facts  see reasonsToAsk
 * @param notebook  a Notebook, asked to save if facts.alive
 * @param progress  called with "saving" and "sending"
 * @returns the new submission state, or null if the person decided against it
 */
export async function handIn(form, facts, notebook, progress) {
  const reasons = reasonsToAsk(facts);
  const dialog = document.getElementById("confirm");
  for (const part of dialog.querySelectorAll("[data-reason]")) part.hidden = !reasons.includes(part.dataset.reason);
  if (reasons.length && !(await confirmed(dialog))) return null;

  if (facts.alive) {
    progress("saving");
    const saved = await notebook.saveAll();
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
