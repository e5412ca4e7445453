import { test } from 'node:test';
import { startBrowser } from './browser.js';
import { long } from './long.js';
import { startSound } from './sound.js';

/** @typedef {Awaited<ReturnType<typeof startBrowser>>} Browser */

/** Of this file's tests, each started when the first of them needs it. @type {Map<'chromium' | 'firefox', Promise<Browser>>} */
const started = new Map();

/** @param {'chromium' | 'firefox'} kind */
export function browserOf(kind) {
  const known = started.get(kind) ?? (kind === 'chromium' ? startBrowser() : startSound().then((sound) => startBrowser({ kind, sound })));
  started.set(kind, known);
  return known;
}

/**
 * A test in Chromium, and the same in Firefox, for which `make test` has no time.
 * @param {string} name
 * @param {(browser: Browser, t: import('node:test').TestContext) => unknown} run
 */
export function inBoth(name, run) {
  test(name, async (t) => run(await browserOf('chromium'), t));
  long(`${name} (Firefox)`, async (t) => run(await browserOf('firefox'), t));
}

/**
 * Presses a button or a switch by a key. The keys of Firefox's driver do not reach what a page has the focus on while its window has
 * none: there it is clicked.
 * @param {import('playwright-core').Page} page @param {string} selector @param {string} key
 */
export async function press(page, selector, key) {
  if (page.context().browser()?.browserType().name() === 'firefox') return page.click(selector);
  await page.focus(selector);
  await page.keyboard.press(key);
}
