// What tests do with two who have nothing but the way through the WebSocket.
import assert from 'node:assert/strict';
import { others, told } from '../harness/people.js';
import { pauses, perceive, perceives, speakTone } from '../harness/tone.js';
import { openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {typeof import('../harness/browser.js').startBrowser} startBrowser */

/**
 * Somebody at a node, ready for a call.
 * @param {Awaited<ReturnType<startBrowser>>} browser @param {string} base @param {Parameters<typeof openLobby>[2]} visit
 * @param {Parameters<typeof browser.newPage>[0]} [ways] that there are
 */
export async function person(browser, base, visit, ways = { only: 'nothing' }) {
  const page = await browser.newPage({ ...ways, clean: true });
  await speakTone(page);
  await openLobby(page, base, visit);
  return page;
}

/** They hear and see each other, and note from now on where they do not. @param {Page[]} pages of two @param {string} [way] that the page tells of */
export const meet = (pages, way = 'through HTTPS') => Promise.all(pages.map(async (page) => {
  await told(page, way);
  await perceive(page, others);
  await perceives(page, 3000);
}));

/** The first calls the second by name. @param {Page[]} pages of two @param {string} name of the second */
export async function ring(pages, name) {
  await pages[0].fill('#callee', name);
  await pages[0].click('#invite');
  await pages[1].waitForSelector('#incoming[open]');
  await pages[1].click('#accept');
}

/** Each says something in the chat, and the other one has it. @param {Page[]} pages of two */
export async function writeToEachOther(pages) {
  for (const [i, page] of pages.entries()) {
    if (!await page.isVisible('#chat-text')) await page.click('#chat-open');
    await page.fill('#chat-text', `from ${i}`);
    await page.click('#chat-form button');
    await pages[1 - i].getByText(`from ${i}`).waitFor({ state: 'attached' });
  }
}

/** From now on the page notes who comes and leaves. @param {Page} page */
export const noteComings = (page) => page.evaluate(() => {
  const here = /** @type {any} */ (window), people = (/** @type {NodeList} */ nodes) => [...nodes].filter((node) => node instanceof Element && node.matches('.tile:not(.self)')).length;
  here.comings = [];
  new MutationObserver((changes) => {
    for (const { addedNodes, removedNodes } of changes) if (people(addedNodes) + people(removedNodes)) here.comings.push([people(addedNodes), people(removedNodes), Date.now()]);
  }).observe(/** @type {Element} */ (document.querySelector('#grid')), { childList: true });
});

/** How many came, how many left, and when. @param {Page} page @returns {Promise<number[][]>} */
export const comings = (page) => page.evaluate(() => /** @type {any} */ (window).comings);

/** From now on they write to each other twice a second. What it returns ends that, and sees that all was read, once and in order, and nobody has left. @param {Page[]} pages of two */
export async function talk(pages) {
  await Promise.all(pages.map(async (page, who) => {
    await noteComings(page);
    await page.evaluate((who) => {
      const here = /** @type {any} */ (window), text = /** @type {HTMLInputElement} */ (document.querySelector('#chat-text'));
      here.said = [];
      here.talks = setInterval(() => {
        here.said.push(text.value = `${here.said.length} of ${who} at ${Date.now()}`);
        /** @type {HTMLFormElement} */ (document.querySelector('#chat-form')).requestSubmit();
      }, 500);
    }, who);
  }));
  return async () => {
    const said = await Promise.all(pages.map((page) => page.evaluate(() => { clearInterval(/** @type {any} */ (window).talks); return /** @type {any} */ (window).said; })));
    for (const [i, page] of pages.entries()) {
      await page.getByText(said[1 - i].at(-1), { exact: true }).waitFor({ state: 'attached' });
      const read = await page.evaluate(() => [...document.querySelectorAll('#messages li:not(.own) p:not(.from)')].map((each) => each.textContent));
      assert.deepEqual(read, said[1 - i]);
      assert.deepEqual(await comings(page), []);
    }
    return said.flat().length;
  };
}

/** They hear and see each other again; says how long they had not. @param {string} what has happened @param {Page[]} pages @param {number} since @param {string} [way] */
export async function goesOn(what, pages, since, way = 'through HTTPS') {
  await Promise.all(pages.map(async (page) => { await perceives(page, 5000); await told(page, way); }));
  console.log(`${what}: silence of ${(await Promise.all(pages.map((page) => pauses(page, since)))).map(({ silence, still }) => `${silence.toFixed(0)} ms, no picture for ${still}`).join(' and ')} ms`);
}
