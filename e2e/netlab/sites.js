/** @typedef {import('./calls.js').Site} Site */

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
