/* The conversation with the JupyterLab extension in the notebook's frame.
 *
 * Questions go to the notebook's origin only; answers count only from that origin and that very window, and only
 * for a question that is open. What stands in the frame is student code: nothing it says is trusted beyond this. */

const HELLO = 500; // ms for an extension that is there to answer
const HELLOS = 8; // so often a JupyterLab that may be still loading is asked
const SAVE = 10_000; // ms for all open documents to be saved
const MOST = 100; // paths, of those that could not be saved, and ...
const LONGEST = 300; // ... characters of a text that are shown

const words = (text) => String(text).slice(0, LONGEST);

export class Notebook {
  /** @param frame  the iframe; @param origin  the only origin that is spoken to. */
  constructor(frame, origin) {
    this.frame = frame;
    this.origin = origin;
  }

  /** Ask one thing; resolves to the answer, or to null when none came within `patience` ms. */
  ask(type, answerType, patience) {
    const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
    return new Promise((resolve) => {
      const stop = new AbortController();
      const finish = (answer) => {
        stop.abort();
        clearTimeout(timer);
        resolve(answer);
      };
      const timer = setTimeout(finish, patience, null);
      window.addEventListener("message", ({ source, origin, data }) => {
        if (source !== this.frame.contentWindow || origin !== this.origin) return;
        if (data?.type === answerType && data.id === id) finish(data);
      }, { signal: stop.signal });
      this.frame.contentWindow.postMessage({ type, id }, this.origin);
    });
  }

  /** Whether the extension lives in the frame. */
  async answers() {
    for (let i = 0; i < HELLOS; i++) {
      if (await this.ask("ipylti.hello", "ipylti.ready", HELLO)) return true;
    }
    return false;
  }

  /** Save all open documents; resolves to {ok, unsaved: [path], error: text}. */
  async saveAll() {
    const answer = await this.ask("ipylti.save-all", "ipylti.saved", SAVE);
    if (!answer) return { ok: false, unsaved: [], error: "Your notebook didn't answer in time." };
    return {
      ok: answer.ok === true,
      unsaved: Array.isArray(answer.unsaved) ? answer.unsaved.slice(0, MOST).map(words) : [],
      error: words(answer.error ?? ""),
    };
  }
}
