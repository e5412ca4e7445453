// The sound of a page through WebSockets: one context for all the people in it.

/** What it needs is asked for again after so long, milliseconds. */
const again = 1000;

/** @type {Promise<AudioContext> | null} kept as long as the page is there: on a line that is broken its modules may not be had again */ let shared = null;
let users = 0;

/** @returns {Promise<AudioContext>} */
async function make() {
  // Said whole, each: programs that pack modules look for such words.
  const modules = [new URL('./capture.worklet.js', import.meta.url), new URL('./playout.js', import.meta.url)];
  for (;;) {
    const context = new AudioContext({latencyHint: 'interactive'});
    try {
      await Promise.all(modules.map(({href}) => context.audioWorklet.addModule(href)));
      return context;
    } catch (error) {
      context.close().catch(() => {}); // it never asks twice for a module that did not come
      console.warn('turnhub: sound', error);
      await new Promise((resolve) => { setTimeout(resolve, again); });
      if (!users) throw error;
    }
  }
}

/** The context, once its modules are there. It rejects where there can be none, or nobody waits for it any more. */
export function open() {
  users++;
  const context = (shared ??= make());
  context.catch(() => { if (shared === context) shared = null; });
  return context;
}

/** Whoever has opened it needs it no more. */
export function close() {
  users--;
  shared?.then((context) => { if (!users) context.suspend(); }).catch(() => {});
}
