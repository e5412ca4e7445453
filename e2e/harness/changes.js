// What a page shows of the other person, and whether any of it changes.
import { others } from './people.js';

/** @typedef {import('playwright-core').Page} Page */

/** From now on the page notes each change of what it shows of the other person, but for pictures and numbers, and each connection that it makes. @param {Page} page */
export const watchChanges = (page) => page.evaluate((others) => {
  const here = /** @type {any} */ (window), { body } = document;
  const read = () => {
    const tiles = [...document.querySelectorAll(others)], [tile] = /** @type {HTMLElement[]} */ (tiles);
    const { state, path, line, trouble, away } = tile?.dataset ?? {};
    return JSON.stringify({ tiles: tiles.length, state, path, line, trouble, away, symbols: tile?.querySelector('.symbols')?.textContent,
      call: body.dataset.state, hub: body.dataset.hub, connections: here.calls.length });
  };
  here.changes = [read()];
  here.changing?.disconnect();
  here.changing = new MutationObserver(() => {
    const now = read();
    if (now !== here.changes.at(-1)) here.changes.push(now);
  });
  here.changing.observe(body, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ['data-state', 'data-path', 'data-line', 'data-trouble', 'data-away', 'data-hub'] });
}, others);

/** What was noted, the first as it was: each change with all that is shown then. @param {Page} page @returns {Promise<string[]>} */
export const changesOf = (page) => page.evaluate(() => [.../** @type {any} */ (window).changes]);

/** Counts the sockets for media that the page opens, from its next address on. @param {Page} page */
export const countDoors = (page) => page.addInitScript(() => {
  const here = /** @type {any} */ (window), Native = WebSocket;
  here.doors = 0;
  here.WebSocket = class extends Native {
    /** @param {string | URL} url @param {string | string[]} [protocols] */
    constructor(url, protocols) {
      super(url, protocols);
      if (String(protocols).includes('turnhub.media')) here.doors++;
    }
  };
});

/** @param {Page} page @returns {Promise<number>} */
export const doorsOf = (page) => page.evaluate(() => /** @type {any} */ (window).doors);
