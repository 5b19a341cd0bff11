/* Watching a server start, and the panel that shows it: shared by the workbench, the page of a sleeping server, and in
 * part by the pages of a launch in a frame.
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
  const WAITING = ["queued", "starting"]; // the states in which a server is on its way

  /** The headers of every request: in place of a cookie that the browser does not keep, the page has the session's token. */
  function headers() {
    const session = document.getElementById("workbench")?.dataset.session;
    return { Accept: "application/json", ...(session && { "X-Ipylti-Session": session }) };
  }

  let calm; // the timer of CALM_AFTER, running from the first moment of waiting

  /** Say `text` to those who listen rather than look. */
  function announce(text) {
    document.getElementById("announcer").textContent = text;
  }

  /** Set a node's text, untouched if it is the same: it may be looked at, or read out, at this moment. */
  function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  /** Of all parts below `root` that carry data-when, have those in the page that belong to one of `views`. */
  function choose(root, views) {
    for (const part of root.querySelectorAll("[data-when]")) {
      const waits = part instanceof HTMLTemplateElement;
      if (waits !== part.dataset.when.split(" ").some((view) => views.includes(view))) continue;
      if (waits) part.replaceWith(part.content.firstElementChild);
      else {
        const store = document.createElement("template");
        store.dataset.when = part.dataset.when;
        part.replaceWith(store);
        store.content.append(part);
      }
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

  /** How long it is likely to take, in steps that nobody takes for more exact than they are. */
  function about(seconds) {
    if (!seconds || seconds < 5) return "";
    if (seconds < 55) return `, about ${Math.ceil(seconds / 10) * 10} seconds`;
    const minutes = Math.ceil(seconds / 60);
    return `, about ${minutes} ${minutes === 1 ? "minute" : "minutes"}`;
  }

  function detail(status) {
    if (status.step === "queue" && status.position) return place(status.position) + about(status.wait);
    if (status.step === "copy" && status.bytes?.total) return `${size(status.bytes.done)} of ${size(status.bytes.total)}`;
    return "";
  }

  /**
   * Show a status in the panel.
   * @param view  one of the names in the panel's data-when
   * @param status  the status JSON; null with a view that needs none
   */
  function showPanel(panel, view, status) {
    const changed = panel.dataset.view !== view;
    panel.dataset.view = view;
    choose(panel, [view]);
    if (panel.querySelector(".steps")) showSteps(panel, view, status);
    if (view === "failed" && status.error) {
      write(panel.querySelector(".reason"), status.error.message);
      write(panel.querySelector(".code"), status.error.code);
      write(panel.querySelector(".request"), status.error.request_id);
    }
    if (changed) announce(panel.querySelector("h2").textContent.trim());
    if (WAITING.includes(view)) {
      calm ??= setTimeout(() => panel.querySelector(".calm")?.removeAttribute("hidden"), CALM_AFTER);
    }
  }

  function showSteps(panel, view, status) {
    const bar = panel.querySelector("progress");
    if (view === "ready" || status.progress === null) bar.removeAttribute("value");
    else bar.value = status.progress;

    const items = [...panel.querySelectorAll("[data-step]")];
    const at = view === "ready" ? items.length : items.findIndex((item) => item.dataset.step === status.step);
    items.forEach((item, i) => {
      item.classList.toggle("done", i < at);
      write(item.querySelector(".detail"), i === at ? detail(status) : "");
      if (i !== at) item.removeAttribute("aria-current");
      else if (!item.hasAttribute("aria-current")) {
        item.setAttribute("aria-current", "step");
        announce(item.firstChild.textContent);
      }
    });
  }

  /**
   * Look at a status again and again: not while nobody sees the page, and ever less often while nobody answers.
   * @param url  returns what answers with the status JSON
   * @param seen  called with each status; returns the ms until the next look, or null to end
   * @param lost  called once if the answer is that this person has no business here (any more)
   * @param first  ms until the first look
   * @returns a function that looks at once
   */
  function watch(url, seen, lost, first = 0) {
    let timer, failures = 0, looking = false, over = false;

    /** The status; null if there is none for this person. */
    async function fetchStatus() {
      const answer = await fetch(url(), {
        headers: headers(),
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
      const status = await fetchStatus().catch((error) => console.warn("ipylti: no status", error));
      looking = false;
      if (status === undefined) {
        timer = setTimeout(look, Math.min(LONGEST_PAUSE, 1000 * 2 ** failures++));
        return;
      }
      failures = 0;
      const pause = status === null ? lost() : seen(status);
      over = typeof pause !== "number";
      if (!over) timer = setTimeout(look, pause);
    }

    document.addEventListener("visibilitychange", look);
    timer = setTimeout(look, first);
    return look;
  }

  return { WAITING, WHILE_STARTING, announce, choose, headers, language, showPanel, watch };
})();
