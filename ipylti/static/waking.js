/* The page of a sleeping server: show how far it is, then load the same address again, which is the notebook's. */
"use strict";

{
  const { WAITING, WHILE_STARTING, showPanel, watch } = globalThis.ipylti;
  const panel = document.getElementById("panel");

  function seen(status) {
    showPanel(panel, status.state, status);
    if (status.state === "ready") location.reload();
    return WAITING.includes(status.state) ? WHILE_STARTING : null;
  }

  panel.addEventListener("click", (event) => {
    if (event.target.closest("[data-do=reload]")) location.reload();
  });

  // "Ready", and yet this page: the server has just ended, and it takes a moment until that is noticed.
  const first = panel.dataset.view === "ready" ? 1500 : WHILE_STARTING;
  const { awakeUrl } = document.getElementById("waking").dataset;
  watch(() => awakeUrl, seen, () => showPanel(panel, "lost", null), first);
}
