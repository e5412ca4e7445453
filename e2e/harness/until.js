/** @typedef {import('playwright-core').Page} Page */

/**
 * Waits until a function in the page resolves to something true; throws when it has not by the deadline. It is what
 * `page.waitForFunction` is for functions that are not async: that takes the promise itself for true.
 * @template A
 * @param {Page} page
 * @param {(arg: A) => Promise<unknown>} ask
 * @param {A} arg
 * @param {number} [timeout] milliseconds
 */
export async function until(page, ask, arg, timeout = 40_000) {
  const deadline = Date.now() + timeout;
  while (!(await page.evaluate(/** @type {any} */ (ask), arg))) {
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${ask}`);
    await new Promise((resolve) => setTimeout(resolve, 50)); // the pause of a poll
  }
}
