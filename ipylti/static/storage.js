/* The platform keeps data for tools: Client Side postMessages with Platform Storage (lti-cs-pm, lti-pm-s). */

const PATIENCE = 2000; // ms for the platform to answer

/** The window of the platform's page, whether this one is a frame of it or was opened by it. */
const platform = () => (window.parent !== window ? window.parent : window.opener);

/** The frame of that name in the platform's page; the page itself for "_parent" and where there is none. */
function frameOf(name) {
  const page = platform();
  if (!page || name === "_parent") return page;
  try {
    return page.frames[name] ?? page;
  } catch {
    return page;
  }
}

/**
 * Send a message and wait for its answer.
 * @param target  the window to ask
 * @param origin  the only origin that may hear it and answer; "*" where nothing secret is said
 * @returns the answer, or null if none came in time or it is an error
 */
function ask(target, origin, message) {
  if (!target) return Promise.resolve(null);
  const message_id = crypto.randomUUID();
  return new Promise((resolve) => {
    const done = (answer) => {
      clearTimeout(timer);
      window.removeEventListener("message", heard);
      resolve(answer);
    };
    const heard = ({ source, origin: from, data }) => {
      if (source !== target || (origin !== "*" && from !== origin)) return;
      if (data?.message_id !== message_id || data.subject !== `${message.subject}.response`) return;
      done(data.error ? null : data);
    };
    const timer = setTimeout(done, PATIENCE, null);
    window.addEventListener("message", heard);
    target.postMessage({ ...message, message_id }, origin);
  });
}

/**
 * Whether the platform keeps data, and in which frame.
 * @returns the frame's name, or null
 */
export async function capability() {
  const answer = await ask(platform(), "*", { subject: "lti.capabilities" });
  const supported = Array.isArray(answer?.supported_messages) ? answer.supported_messages : [];
  const found = supported.find((each) => each?.subject === "lti.put_data");
  return found ? (found.frame ?? "_parent") : null;
}

/** Have the platform keep a value; resolves to whether it says that it does. */
export async function put(frame, origin, key, value) {
  const answer = await ask(frameOf(frame), origin, { subject: "lti.put_data", key, value });
  return answer !== null && answer.key === key;
}

/** The value that the platform keeps, or null. */
export async function get(frame, origin, key) {
  const answer = await ask(frameOf(frame), origin, { subject: "lti.get_data", key });
  return answer?.key === key && typeof answer.value === "string" ? answer.value : null;
}
