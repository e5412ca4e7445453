// What two people do to each other in a call, and what the other then has.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';

/** @typedef {import('playwright-core').Page} Page */

const others = '.tile:not(.self):not(.screen)';

/** @param {Page} from @param {Page} to @param {string} text */
export async function chat(from, to, text) {
  if (!await from.isVisible('#chat-text')) await from.click('#chat-open');
  await from.fill('#chat-text', text);
  await from.click('#chat-form button');
  await to.locator('#messages li:last-child p:last-child', { hasText: text }).waitFor({ state: 'attached' });
}

/**
 * Two people compare what their pages show of the keys between their browsers.
 * @param {Page[]} pages @returns {Promise<string>} what both show
 */
export async function compareKeys(pages) {
  const read = () => Promise.all(pages.map(async (page) => {
    const quality = page.locator(`${others} .quality`);
    if (await quality.getAttribute('aria-expanded') !== 'true') await quality.click();
    await page.waitForSelector(`${others} .symbols li:nth-child(4)`);
    return page.locator(`${others} .symbols`).innerText();
  }));
  let shown = await read();
  // Where a connection takes another one's place they are compared anew, on one side a moment later.
  for (const end = Date.now() + 10_000; shown[0] !== shown[1] && Date.now() < end; shown = await read()) await new Promise((resolve) => { setTimeout(resolve, 200); });
  assert.equal(shown[0], shown[1], 'both see the same symbols');
  return shown[0].replace(/\s+/g, ' ');
}

/** Keeps what the page makes links of: a page's own rules keep a test from fetching them. */
export function keepBlobs() {
  const blobs = /** @type {any} */ (window).blobs = new Map();
  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => {
    const url = make.call(URL, blob);
    blobs.set(url, blob);
    return url;
  };
}

/** @param {Page} from @param {Page} to */
export async function sendFile(from, to) {
  const contents = randomBytes(500_001);
  await from.setInputFiles('#chat-file', { name: 'plan.bin', mimeType: 'application/octet-stream', buffer: contents });
  if (!await to.isVisible('#chat-text')) await to.click('#chat-open');
  await to.getByRole('button', { name: 'Take it' }).click();
  const link = to.getByRole('link', { name: 'Save' });
  await link.waitFor();
  const digest = await link.evaluate(async (link) => {
    const bytes = await /** @type {any} */ (window).blobs.get(/** @type {HTMLAnchorElement} */ (link).href).arrayBuffer();
    return [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  });
  assert.equal(digest, createHash('sha256').update(contents).digest('hex'), 'the file arrives byte for byte');
}

/** Somebody's camera goes off and on, and the other sees it go and come. @param {Page} page @param {Page} other */
export async function cameraOffAndOn(page, other) {
  await page.click('#video');
  await other.waitForSelector(`${others}:not([data-media~=video])`);
  await page.click('#video');
  await other.waitForSelector(`${others}[data-media~=video]`);
}

/** Somebody shows the screen, and takes it back. @param {Page} page @param {Page} other */
export async function shareScreen(page, other) {
  await page.click('#screen');
  await other.waitForSelector('.tile.screen');
  await other.waitForFunction(() => /** @type {HTMLVideoElement} */ (document.querySelector('.tile.screen video')).videoWidth > 0);
  await page.click('#screen');
  await other.waitForSelector('.tile.screen', { state: 'detached' });
}
