/*
 * ipylti's JupyterLab extension, in the form of a prebuilt one: written by hand, without a bundler.
 *
 * JupyterLab loads this file before its application starts, and then asks the container at the end for the module
 * "./extension". What it does:
 *
 * - Where the browser refuses storage to a frame of another site, a stand-in in memory takes its place.
 * - The tool's page, and nobody else, can have all documents saved before a hand-in:
 *     tool -> { type: 'ipylti.hello', id }       notebook -> { type: 'ipylti.ready', id, version }
 *     tool -> { type: 'ipylti.save-all', id }    notebook -> { type: 'ipylti.saved', id, ok, unsaved, error }
 *   `unsaved` lists the paths of the documents whose changes are not on the disk, `error` says why or is null.
 *   When JupyterLab has started, the parent frame gets { type: 'ipylti.ready', version } unasked.
 * - The server, too, can have all documents saved, before it is ended: by a WebSocket that each tab keeps (tabs.py).
 * - What a page asks for that nobody touches is no activity: JupyterLab looks every ten seconds at what there is, and
 *   would keep its server awake for as long as its window can be seen.
 */
(() => {
  'use strict';

  const VERSION = '1.2.0';

  // A save that takes longer waits for an answer to one of JupyterLab's questions. The tool waits 10 s for ours.
  const SAVE_TIMEOUT = 8_000;

  // After that long a WebSocket to the server that broke is opened anew.
  const RECONNECT = 5_000;

  // Somebody who touched the page counts as being there for so long.
  const TOUCH = 60_000;

  // Somebody may go on typing while documents are saved: so often are they saved again.
  const SAVE_ROUNDS = 3;

  /** The methods of Storage, on a Map that lives as long as the page. */
  class MemoryStorage {
    #items = new Map();

    get length() {
      return this.#items.size;
    }

    key(index) {
      return [...this.#items.keys()][index] ?? null;
    }

    getItem(key) {
      return this.#items.get(String(key)) ?? null;
    }

    setItem(key, value) {
      this.#items.set(String(key), String(value));
    }

    removeItem(key) {
      this.#items.delete(String(key));
    }

    clear() {
      this.#items.clear();
    }
  }

  /** Replace localStorage and sessionStorage where reading them throws: without, JupyterLab reloads for ever. */
  function ensureStorage() {
    for (const name of ['localStorage', 'sessionStorage']) {
      try {
        void window[name].length;
      } catch {
        Object.defineProperty(window, name, { configurable: true, value: new MemoryStorage() });
      }
    }
  }

  /** The same request, of which Jupyter Server makes no note (its REST API, `no_track_activity`). */
  async function untracked(request) {
    const url = new URL(request.url);
    url.searchParams.set('no_track_activity', '1');
    const body = ['GET', 'HEAD'].includes(request.method) ? undefined : await request.arrayBuffer();
    const { method, headers, credentials, cache, redirect, referrer, signal } = request;
    return new Request(url, { method, headers, body, credentials, cache, redirect, referrer, signal });
  }

  /** Have requests count as activity only while somebody is at the page. */
  function trackPeopleOnly() {
    let touched = Date.now();
    const note = () => {
      touched = Date.now();
    };
    for (const type of ['pointerdown', 'pointermove', 'wheel', 'keydown', 'touchstart']) {
      window.addEventListener(type, note, { capture: true, passive: true });
    }
    const ask = window.fetch.bind(window);
    window.fetch = async (input, init) => {
      if (Date.now() - touched < TOUCH) {
        return ask(input, init);
      }
      const request = new Request(input, init);
      return ask(new URL(request.url).origin === location.origin ? await untracked(request) : request);
    };
  }

  /** The tool's origin, from the page's configuration; '' where the server was not told one. */
  function toolOrigin() {
    const element = document.getElementById('jupyter-config-data');
    return element ? JSON.parse(element.textContent).ipyltiToolOrigin || '' : '';
  }

  /** Whether a window frames this one, at whatever depth, or has opened it. */
  function isAbove(source) {
    if (!source) {
      return false;
    }
    for (let frame = window; frame !== frame.parent; frame = frame.parent) {
      if (frame.parent === source) {
        return true;
      }
    }
    return source === window.opener;
  }

  /** The contexts of all open documents with changes that are not saved; a document in two tabs counts once. */
  function dirtyDocuments(app) {
    const contexts = new Set();
    for (const area of ['main', 'left', 'right', 'down']) {
      for (const widget of app.shell.widgets(area)) {
        if (widget.context?.model?.dirty) {
          contexts.add(widget.context);
        }
      }
    }
    return [...contexts];
  }

  /** Reject after some milliseconds; `cancel` ends the waiting. */
  function timeout(milliseconds) {
    let timer;
    const promise = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('saving takes too long')), milliseconds);
    });
    return { promise, cancel: () => clearTimeout(timer) };
  }

  /** Save what is not saved, and say what could not be. */
  async function saveAll(app) {
    const limit = timeout(SAVE_TIMEOUT);
    let error = null;
    try {
      for (let round = 0; round < SAVE_ROUNDS && error === null; round += 1) {
        const saves = dirtyDocuments(app).map((context) => context.save());
        if (saves.length === 0) {
          break;
        }
        // All of them are tried, whatever becomes of the first.
        const results = await Promise.race([Promise.allSettled(saves), limit.promise]);
        const failed = results.find((result) => result.status === 'rejected');
        error = failed ? String(failed.reason?.message ?? failed.reason) : null;
      }
    } catch (reason) {
      error = reason.message;
    } finally {
      limit.cancel();
    }
    const unsaved = dirtyDocuments(app).map((context) => context.path);
    return { ok: unsaved.length === 0 && error === null, unsaved, error };
  }

  /** Save all documents whenever the server says so, and tell it what could not be saved. */
  function listenToServer(app) {
    const socket = new WebSocket(`${app.serviceManager.serverSettings.wsUrl}ipylti/tab`);
    socket.addEventListener('message', async () => {
      const { unsaved } = await saveAll(app);
      socket.send(JSON.stringify({ unsaved }));
    });
    socket.addEventListener('close', () => setTimeout(() => listenToServer(app), RECONNECT));
  }

  /** Answer the tool's messages, and tell the parent frame that JupyterLab is there. */
  function activate(app) {
    app.restored.then(() => listenToServer(app));
    const origin = toolOrigin();
    if (!origin) {
      return;
    }
    window.addEventListener('message', async (event) => {
      if (event.origin !== origin || !isAbove(event.source)) {
        return;
      }
      const { type, id } = event.data ?? {};
      if (type === 'ipylti.hello') {
        event.source.postMessage({ type: 'ipylti.ready', id, version: VERSION }, origin);
      } else if (type === 'ipylti.save-all') {
        event.source.postMessage({ type: 'ipylti.saved', id, ...(await saveAll(app)) }, origin);
      }
    });
    app.restored.then(() => {
      if (window.parent !== window) {
        window.parent.postMessage({ type: 'ipylti.ready', version: VERSION }, origin);
      }
    });
  }

  ensureStorage();
  trackPeopleOnly();

  const plugin = {
    id: 'ipylti:plugin',
    description: "Saves all documents when the tool's page or the server asks for it.",
    autoStart: true,
    activate,
  };

  // A webpack container, as JupyterLab's loader wants it: init() gets the shared packages, none of which is needed.
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB.ipylti = {
    init: () => {},
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
