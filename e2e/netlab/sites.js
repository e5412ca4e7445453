import { clickJoin, inRoom, openLobby } from '../harness/callpage.js';

/** @typedef {import('./calls.js').Site} Site */

/**
 * turnhub's own call page.
 * @param {string} base
 * @returns {Site}
 */
export function turnhubSite(base) {
  return { open: (page, room, port) => openLobby(page, port ? `${base}:${port}` : base, room), join: clickJoin, joined: inRoom };
}

/**
 * The plain page, see plain/.
 * @param {string} base
 * @returns {Site}
 */
export function plainSite(base) {
  return {
    async open(page, room) {
      await page.goto(`${base}/?${room}`);
      await page.waitForSelector('body[data-state=ready]');
    },
    join: (page) => page.evaluate(() => {
      const now = Date.now();
      document.querySelector('button')?.click();
      return now;
    }),
    joined: (page) => page.waitForSelector('body[data-state=waiting]'),
  };
}
