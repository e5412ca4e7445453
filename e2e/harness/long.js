import { test } from 'node:test';

/**
 * A test for which `make test` has no time: what it holds is held there in a shorter way. `make soak` and E2E_LONG=1 run it.
 * @param {string} name
 * @param {[run: () => unknown] | [options: import('node:test').TestOptions, run: (t: import('node:test').TestContext) => unknown]} rest as of node:test
 */
export function long(name, ...rest) {
  const run = rest.length === 1 ? rest[0] : rest[1];
  const options = rest.length === 1 ? {} : rest[0];
  return test(name, { ...options, skip: process.env.E2E_LONG ? false : 'make soak' }, /** @type {any} */ (run));
}
