"use strict";
// The platform's side of LTI's client-side messages and of its storage (LTI Client Side postMessages; LTI
// postMessage Storage): a tool whose cookies are refused keeps its state here. Each origin has its own store,
// which lasts as long as this page.
//
// The script stands in two kinds of page. On campus' own pages, which hold the tool's frame or opened its
// window, it says what there is and in which frame. In the frame that was told, which may be the page itself,
// it also keeps what it is given.
(() => {
  const { target, here, origins } = document.currentScript.dataset;
  const known = new Set(JSON.parse(origins));
  const keeps = target === here;
  const MOST_KEYS = 500;
  const LONGEST = 4096;
  const stores = new Map();

  class Refusal extends Error {
    constructor(code, message) {
      super(message);
      this.code = code;
    }
  }

  const frame = target === "_parent" ? {} : { frame: target };
  const supported = [
    { subject: "lti.capabilities" },
    { subject: "lti.put_data", ...frame },
    { subject: "lti.get_data", ...frame },
  ];

  function keyOf(message) {
    const { key } = message;
    if (typeof key !== "string" || !key || key.length > LONGEST) throw new Refusal("bad_request", "key is no text, empty or too long");
    return key;
  }

  const answers = {
    "lti.capabilities": () => ({ supported_messages: supported }),
    "lti.put_data": (message, origin) => {
      const key = keyOf(message);
      const { value } = message;
      const store = stores.get(origin) ?? new Map();
      stores.set(origin, store);
      if (value === null || value === undefined) {
        store.delete(key);
        return { key };
      }
      if (typeof value !== "string") throw new Refusal("bad_request", "value is no text");
      const full = store.size >= MOST_KEYS && !store.has(key);
      if (full || value.length > LONGEST) throw new Refusal("storage_exhaustion", "that is too much");
      store.set(key, value);
      return { key, value };
    },
    "lti.get_data": (message, origin) => {
      const key = keyOf(message);
      return { key, value: stores.get(origin)?.get(key) ?? null };
    },
  };

  function answerTo(message, origin) {
    const { subject, message_id: id } = message;
    if (typeof id !== "string" || !id) throw new Refusal("bad_request", "message_id is no text or empty");
    if (!known.has(origin)) throw new Refusal("wrong_origin", `${origin} is not an origin of the tool`);
    const answer = Object.hasOwn(answers, subject) ? answers[subject] : null;
    if (!answer) throw new Refusal("unsupported_subject", `${subject} is not known here`);
    if (!keeps && subject !== "lti.capabilities") throw new Refusal("wrong_frame", `${subject} is for the frame ${target}`);
    return answer(message, origin);
  }

  window.addEventListener("message", ({ data: message, origin, source }) => {
    if (typeof message?.subject !== "string" || !message.subject.startsWith("lti.")) return;
    if (message.subject.endsWith(".response")) return;
    const response = { subject: `${message.subject}.response`, message_id: message.message_id };
    try {
      Object.assign(response, answerTo(message, origin));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      response.error = { code: error.code, message: error.message };
    }
    source.postMessage(response, origin);
  });
})();
