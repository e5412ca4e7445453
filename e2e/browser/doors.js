// What tests do with two who have nothing but the way through the WebSocket.
import { told } from '../harness/people.js';
import { pauses, perceives } from '../harness/tone.js';

/** @typedef {import('playwright-core').Page} Page */

/** Each says something in the chat, and the other one has it. @param {Page[]} pages of two */
export async function writeToEachOther(pages) {
  for (const [i, page] of pages.entries()) {
    if (!await page.isVisible('#chat-text')) await page.click('#chat-open');
    await page.fill('#chat-text', `from ${i}`);
    await page.click('#chat-form button');
    await pages[1 - i].getByText(`from ${i}`).waitFor({ state: 'attached' });
  }
}

/** They hear and see each other again; says how long they had not. @param {string} what has happened @param {Page[]} pages @param {number} since */
export async function goesOn(what, pages, since) {
  await Promise.all(pages.map(async (page) => { await perceives(page, 5000); await told(page, 'through HTTPS'); }));
  console.log(`${what}: silence of ${(await Promise.all(pages.map((page) => pauses(page, since)))).map(({ silence, still }) => `${silence.toFixed(0)} ms, no picture for ${still}`).join(' and ')} ms`);
}
