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
  watch(document.getElementById("waking").dataset.awakeUrl, seen, () => showPanel(panel, "lost", null));
}
