/** @typedef {import('playwright-core').Page} Page */

/**
 * What the call page remembers of its visitor, set before it loads.
 * @typedef {object} Visitor
 * @property {string} [name] shown to others
 * @property {string} [user] call name
 * @property {string} [secret] keeps others from the call name; the same for all devices of one person
 */

/**
 * Opens the call page and waits until everything is ready for the click.
 * @param {Page} page
 * @param {string} base
 * @param {Visitor & {query?: string, room?: string}} [visit]
 */
export async function openLobby(page, base, { name = '', user = '', secret = '', query = '', room = '' } = {}) {
  await page.addInitScript((known) => {
    for (const [key, value] of Object.entries(known)) if (value) localStorage.setItem(`turnhub.${key}`, value);
  }, { name, user, secret });
  await page.goto(`${base}/${query}${room && `#${room}`}`);
  await page.waitForSelector('body[data-state=ready]');
}

/**
 * Joins the room of the link.
 * @param {Page} page
 */
export async function join(page) {
  await page.click('#join');
  await page.waitForSelector('body[data-view=call]:is([data-state=waiting], [data-state=connected], [data-state=connecting])');
}

/**
 * Waits until so many other people are connected.
 * @param {Page} page
 * @param {number} [count]
 */
export function connected(page, count = 1) {
  return page.waitForFunction(
    (wanted) => document.querySelectorAll('.tile[data-state=connected]').length === wanted && document.querySelectorAll('.tile:not(.self)').length === wanted,
    count, { timeout: 60_000 });
}
