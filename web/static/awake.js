/** What a running call asks of the browser: a screen that stays on, and a question before the tab closes. */

/** @type {WakeLockSentinel | null} */ let lock = null;
let wanted = false;

/** The browser takes the lock away whenever the page is hidden. */
async function hold() {
  if (!wanted || document.hidden || lock) return;
  try {
    const taken = await navigator.wakeLock?.request('screen');
    if (!taken) return;
    if (!wanted) return void taken.release().catch(() => {});
    lock = taken;
    taken.addEventListener('release', () => { if (lock === taken) lock = null; });
  } catch {
    // low battery, or not allowed in a frame: the screen goes dark as it would without us
  }
}

/** @param {BeforeUnloadEvent} event */
const ask = (event) => { event.preventDefault(); };

/** A call has begun, or ended. @param {boolean} running */
export function keepOpen(running) {
  if (wanted === running) return;
  wanted = running;
  // Only while it is needed: a page that listens is not kept for the way back.
  if (running) addEventListener('beforeunload', ask);
  else removeEventListener('beforeunload', ask);
  if (running) hold();
  else lock?.release().catch(() => {});
}

document.addEventListener('visibilitychange', hold);
