/** @typedef {import('playwright-core').Page} Page */

/**
 * Opens the call page on the link to a room and waits until everything is ready for the click.
 * @param {Page} page
 * @param {string} base URL of the server
 * @param {string} room
 * @param {string} [query] such as "?relay=1&transport=tls"
 */
export async function openLobby(page, base, room, query = '') {
  await page.goto(`${base}/${query}#${room}`);
  await page.waitForSelector('body[data-view=lobby][data-state=ready]');
}

/**
 * Clicks on "Join the room".
 * @param {Page} page
 * @returns {Promise<number>} when that was, in milliseconds since 1970
 */
export function clickJoin(page) {
  return page.evaluate(() => {
    const now = Date.now();
    /** @type {HTMLElement} */ (document.querySelector('#join')).click();
    return now;
  });
}

/**
 * Waits until this page is in the room.
 * @param {Page} page
 */
export async function inRoom(page) {
  await page.waitForSelector('body[data-view=call]');
  await page.waitForFunction(() => document.body.dataset.state !== 'joining');
}
