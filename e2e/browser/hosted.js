// What hosts and guests do on the call page.
import assert from 'node:assert/strict';
import { join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {Awaited<ReturnType<typeof import('../harness/browser.js').startBrowser>>} Browser */

/**
 * Somebody opens a room in which guests wait, and joins it.
 * @param {Browser} browser @param {string} base @param {string} name
 * @param {{viewport?: {width: number, height: number}}} [options]
 */
export async function hosts(browser, base, name, options) {
  const host = await browser.newPage(options);
  if (browser.kind === 'chromium') await host.context().grantPermissions(['camera', 'microphone', 'clipboard-read', 'clipboard-write']);
  // A browser without a clipboard for tests says what is copied.
  await host.addInitScript(() => { navigator.clipboard.writeText = async (text) => { /** @type {any} */ (window).copied = text; }; });
  await openLobby(host, base, { name });
  await host.fill('#room', 'team');
  await host.check('#hosted');
  await host.waitForSelector('#copy-own:not([hidden])');
  const copied = async (/** @type {string} */ button) => {
    await host.evaluate(() => { /** @type {any} */ (window).copied = ''; });
    await host.click(button);
    return /** @type {Promise<string>} */ ((await host.waitForFunction(() => /** @type {any} */ (window).copied)).jsonValue());
  };
  const guestsLink = await copied('#copy-link'), hostsLink = await copied('#copy-own');
  await join(host);
  await host.waitForSelector('#host-open:not([hidden])');
  return { host, guestsLink, hostsLink };
}

/** Somebody opens a link and clicks. @param {Browser} browser @param {string} link @param {string} name @param {{viewport?: {width: number, height: number}}} [options] */
export async function guest(browser, link, name, options) {
  const page = await browser.newPage(options);
  await page.addInitScript((name) => localStorage.setItem('turnhub.name', name), name);
  await page.goto(link);
  await page.waitForSelector('body[data-state=ready]');
  await page.click('#join');
  return page;
}

/** The host lets in who has waited longest. @param {Page} host */
export const admit = (host) => host.locator('#door').getByRole('button', { name: 'Let in' }).click();

/** Somebody in the host's panel. @param {Page} host @param {string} name */
export const person = (host, name) => host.locator('#host li[data-person]', { hasText: name });

/** A button that asks once more. @param {import('playwright-core').Locator} button */
export async function twice(button) {
  // At once: what asks forgets that it has, and a machine that does much beside clicks slowly.
  const asked = await button.evaluate((button) => {
    const own = /** @type {HTMLElement} */ (button);
    own.click();
    const { textContent } = own;
    own.click();
    return textContent;
  });
  assert.equal(asked, 'Really?');
}
