/* What the pages of a launch in a frame have in common. */

const { announce, choose } = globalThis.ipylti;

const PATIENCE = 10_000; // ms for the server to answer

/** The server said no. */
export class Refused extends Error {
  constructor({ message, code, request_id }) {
    super(message);
    this.code = code ?? "";
    this.request = request_id ?? "";
  }
}

/** Show the part of the page that belongs to a view, in place of what is there. */
export function show(main, view) {
  choose(main, [view]);
  announce(main.querySelector("h1").textContent);
}

/** POST a form's fields; resolves to the JSON that comes back. */
export async function send(url, fields) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { Accept: "application/json" },
    body: new URLSearchParams(fields),
    signal: AbortSignal.timeout(PATIENCE),
  });
  const content = await answer.json().catch(() => null);
  if (!answer.ok || content === null) throw new Refused(content?.error ?? { message: `Status ${answer.status}.` });
  return content;
}
