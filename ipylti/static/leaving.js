/* A login in a frame without cookies: the platform may keep the login's secret; else it goes on in a tab of its own. */

import { show, send } from "./framed.js";
import { capability, put } from "./storage.js";

const main = document.getElementById("leaving");
const { state, secret, storageOrigin, ticketUrl } = main.dataset;

/**
 * Whether the platform has kept the secret. The frame that it named goes first, then the one that it names when asked:
 * which may be the same, of a page that was too busy to answer.
 */
async function stored() {
  if (await put(main.dataset.storage, storageOrigin, state, secret)) return true;
  const frame = await capability();
  return frame !== null && put(frame, storageOrigin, state, secret);
}

async function begin() {
  if (await stored()) location.replace(main.dataset.location);
  else show(main, "tab");
}

/** Begin anew in a tab. It has to be opened on the click, and waits for the ticket. */
async function openTab() {
  const tab = window.open("about:blank");
  if (!tab) return show(main, "blocked");
  tab.opener = null;
  try {
    const { url } = await send(ticketUrl, { state, secret });
    tab.location.replace(new URL(url, location.href));
    show(main, "opened");
  } catch {
    tab.close();
    show(main, "over");
  }
}

main.addEventListener("click", (event) => {
  if (event.target.closest("[data-do=tab]")) openTab();
});

begin();
