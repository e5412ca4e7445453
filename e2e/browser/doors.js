// What tests do with two who have nothing but the way through the WebSocket.
import assert from 'node:assert/strict';
import { others, told } from '../harness/people.js';
import { pauses, perceive, perceives, speakTone } from '../harness/tone.js';
import { openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** Somebody at a node, ready for a call. @param {{newPage: (options: any) => Promise<Page>}} browser @param {string} base @param {Parameters<typeof openLobby>[2]} visit */
export async function person(browser, base, visit) {
  const page = await browser.newPage({ only: 'nothing', clean: true });
  await speakTone(page);
  await openLobby(page, base, visit);
  return page;
}

/** They hear and see each other, and note from now on where they do not. @param {Page[]} pages of two */
export const meet = (pages) => Promise.all(pages.map(async (page) => {
  await told(page, 'through HTTPS');
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

/** From now on they say something twice a second, and note who comes and leaves. What it returns ends that, and sees that all was heard once and in order, and nobody has left. @param {Page[]} pages of two */
export async function talk(pages) {
  await Promise.all(pages.map((page) => page.evaluate(() => {
    const here = /** @type {any} */ (window), text = /** @type {HTMLInputElement} */ (document.querySelector('#chat-text'));
    here.said = [];
    here.comings = [];
    here.talks = setInterval(() => {
      here.said.push(text.value = `${here.said.length} at ${Date.now()}`);
      /** @type {HTMLFormElement} */ (document.querySelector('#chat-form')).requestSubmit();
    }, 500);
    const people = (/** @type {NodeList} */ nodes) => [...nodes].filter((node) => node instanceof Element && node.matches('.tile:not(.self)')).length;
    new MutationObserver((changes) => {
      for (const { addedNodes, removedNodes } of changes) {
        if (people(addedNodes) + people(removedNodes)) here.comings.push(`${people(addedNodes)} came and ${people(removedNodes)} left at ${Date.now()}`);
      }
    }).observe(/** @type {Element} */ (document.querySelector('#grid')), { childList: true });
  })));
  return async () => {
    const said = await Promise.all(pages.map((page) => page.evaluate(() => { clearInterval(/** @type {any} */ (window).talks); return /** @type {any} */ (window).said; })));
    for (const [i, page] of pages.entries()) {
      await page.getByText(said[1 - i].at(-1), { exact: true }).waitFor({ state: 'attached' });
      const heard = await page.evaluate(() => [...document.querySelectorAll('#messages li:not(.own) p:not(.from)')].map((said) => said.textContent));
      assert.deepEqual(heard, said[1 - i]);
      assert.deepEqual(await page.evaluate(() => /** @type {any} */ (window).comings), []);
    }
    return said.flat().length;
  };
}

/** They hear and see each other again; says how long they had not. @param {string} what has happened @param {Page[]} pages @param {number} since */
export async function goesOn(what, pages, since) {
  await Promise.all(pages.map(async (page) => { await perceives(page, 5000); await told(page, 'through HTTPS'); }));
  console.log(`${what}: silence of ${(await Promise.all(pages.map((page) => pauses(page, since)))).map(({ silence, still }) => `${silence.toFixed(0)} ms, no picture for ${still}`).join(' and ')} ms`);
}
