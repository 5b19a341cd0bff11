/* A launch in a frame without cookies: the platform gives the login's secret back, and the server compares. */

import { Refused, send, show } from "./framed.js";
import { capability, get } from "./storage.js";

const main = document.getElementById("matching");
const { parked, state, storage, storageOrigin, matchUrl } = main.dataset;

async function kept() {
  const value = await get(storage, storageOrigin, state);
  if (value !== null) return value;
  const frame = await capability(); // the same, where its page was too busy to answer
  return frame !== null ? get(frame, storageOrigin, state) : null;
}

/** Open a page whose session no cookie keeps: its token goes along in the body, never in an address. */
function go({ location: address, session, csrf_token }) {
  const form = document.createElement("form");
  form.method = "post";
  form.action = address;
  for (const [name, value] of Object.entries({ session, csrf_token, do: "show" })) {
    const field = document.createElement("input");
    field.type = "hidden";
    field.name = name;
    field.value = value;
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}

async function match() {
  const secret = await kept();
  if (secret === null) return show(main, "refused");
  go(await send(matchUrl, { parked, secret }));
}

match().catch((error) => {
  show(main, "failed");
  if (!(error instanceof Refused)) return;
  main.querySelector(".reason").textContent = error.message;
  main.querySelector(".code").textContent = error.code;
  main.querySelector(".request").textContent = error.request;
});
