/* Watching a server start, and the panel that shows it: shared by the workbench and by the page of a sleeping server.
 *
 * A classic script, since on a notebook host it is loaded from the tool's origin, where a module would need CORS.
 * It leaves one name, `ipylti`. The status is documented in docs/architecture.md; all words stand in panel.jinja2. */
"use strict";

globalThis.ipylti = (() => {
  const language = document.documentElement.lang || "en";
  const WHILE_STARTING = 400; // ms between looks
  const CALM_AFTER = 20_000; // ms of waiting until the page says that all is well
  const GIVE_UP = 10_000; // ms for one look
  const LONGEST_PAUSE = 30_000; // ms between looks while nobody answers

  /** Say `text` to those who listen rather than look. */
  function announce(text) {
    document.getElementById("announcer").textContent = text;
  }

  /** Set a node's text, untouched if it is the same: it may be looked at, or read out, at this moment. */
  function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  /** Of all parts below `root` that carry data-when, show those of `view`. */
  function choose(root, view) {
    for (const part of root.querySelectorAll("[data-when]")) {
      part.hidden = !part.dataset.when.split(" ").includes(view);
    }
  }

  function size(bytes) {
    const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
    const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
    const format = { style: "unit", unit: units[power], maximumSignificantDigits: 3 };
    return new Intl.NumberFormat(language, format).format(bytes / 1000 ** power);
  }

  function place(position) {
    const ending = { one: "st", two: "nd", few: "rd", other: "th" };
    return `${position}${ending[new Intl.PluralRules("en", { type: "ordinal" }).select(position)]} in the queue`;
  }

  function detail(status) {
    if (status.step === "queue" && status.position) return place(status.position);
    if (status.step === "copy" && status.bytes?.total) return `${size(status.bytes.done)} of ${size(status.bytes.total)}`;
    return "";
  }

  /**
   * Show a status in the panel.
   * @param view  one of the names in the panel's data-when
   * @param status  the status JSON, or null to leave steps and reasons as they are
   */
  function showPanel(panel, view, status) {
    const changed = panel.dataset.view !== view;
    panel.dataset.view = view;
    choose(panel, view);
    if (status) {
      const bar = panel.querySelector("progress");
      if (status.progress === null) bar.removeAttribute("value");
      else bar.value = status.progress;
      let passed = status.step !== null || view === "ready";
      for (const item of panel.querySelectorAll("[data-step]")) {
        const current = item.dataset.step === status.step;
        if (current) passed = false;
        if (current && !item.hasAttribute("aria-current")) announce(item.firstChild.textContent);
        item.toggleAttribute("aria-current", false);
        if (current) item.setAttribute("aria-current", "step");
        item.classList.toggle("done", passed);
        write(item.querySelector(".detail"), current ? detail(status) : "");
      }
      if (status.error) {
        write(panel.querySelector(".reason"), status.error.message);
        write(panel.querySelector(".code"), status.error.code);
        write(panel.querySelector(".request"), status.error.request_id);
      }
    }
    if (changed) announce(panel.querySelector("h2").innerText);
    const waiting = view === "queued" || view === "starting";
    panel.calm ??= waiting ? setTimeout(() => (panel.querySelector(".calm").hidden = false), CALM_AFTER) : undefined;
  }

  /**
   * Look at a status again and again: not while nobody sees the page, and ever less often while nobody answers.
   * @param url  answers with the status JSON
   * @param seen  called with each status; returns the ms until the next look, or null to end
   * @param lost  called once if the answer is that this person has no business here (any more)
   * @param first  ms until the first look
   * @returns a function that looks at once
   */
  function watch(url, seen, lost, first = 0) {
    let timer, failures = 0, looking = false, over = false;

    async function fetchStatus() {
      const answer = await fetch(url, {
        headers: { Accept: "application/json" },
        cache: "no-store",
        signal: AbortSignal.timeout(GIVE_UP),
      });
      if ([401, 403, 404].includes(answer.status)) return null;
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      return answer.json();
    }

    async function look() {
      clearTimeout(timer);
      if (looking || over || document.hidden) return; // a page that is shown again looks at once
      looking = true;
      let pause;
      try {
        const status = await fetchStatus();
        failures = 0;
        pause = status ? seen(status) : lost();
      } catch (error) {
        failures += 1;
        pause = Math.min(LONGEST_PAUSE, 1000 * 2 ** (failures - 1));
        console.warn("ipylti: no status", error);
      }
      looking = false;
      over = typeof pause !== "number";
      if (!over) timer = setTimeout(look, pause);
    }

    document.addEventListener("visibilitychange", look);
    timer = setTimeout(look, first);
    return look;
  }

  return { WHILE_STARTING, announce, choose, language, showPanel, watch };
})();
