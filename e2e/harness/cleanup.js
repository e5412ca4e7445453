// What a test starts must end with it: every server, browser, folder and namespace registers here how it is
// undone. Test files call `after(cleanup)`; signals and a crash of the test process run it too.

/** @type {Set<() => unknown>} */
const pending = new Set();

/**
 * Registers how something is undone. The function returned undoes it now (once).
 * @param {() => unknown} undo
 * @returns {() => Promise<void>}
 */
export function onCleanup(undo) {
  pending.add(undo);
  return async () => {
    if (pending.delete(undo)) await undo();
  };
}

/** Undoes everything, the newest first. Errors are collected and thrown at the end. */
export async function cleanup() {
  const errors = [];
  for (const undo of [...pending].reverse()) {
    pending.delete(undo);
    try {
      await undo();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length) throw new AggregateError(errors, 'cleanup failed');
}

// What waits for ever (a browser that does not answer, say) fails, and does not hold up all that comes after.
const most = process.env.E2E_LONG ? 240 : 30; // minutes
setTimeout(() => {
  console.error(`${process.argv[1]}: not over within ${most} minutes`);
  setTimeout(() => process.exit(1), 60_000).unref();
  process.kill(process.pid, 'SIGTERM');
}, most * 60_000).unref();

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.once(signal, async () => {
    await cleanup().catch((error) => console.error(error));
    process.kill(process.pid, signal);
  });
}
