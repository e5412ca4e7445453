// Every view in light and dark: accessible by axe-core's rules, and nothing wider than the screen from a phone to 4K.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { complaints as complaintsOf } from '../harness/accessible.js';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { screenshot } from '../harness/screenshot.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);
afterEach(() => {
  const said = complaints;
  complaints = [];
  assert.deepEqual(said, []);
});

const sizes = { phone: { width: 360, height: 740 }, laptop: { width: 1280, height: 800 }, '4K screen': { width: 3840, height: 2160 } };

/** What axe says against the views of one test. @type {string[]} */
let complaints = [];

/** @param {Page} page @param {string} view @param {boolean} [large] also on a 4K screen, which takes long to paint */
async function judge(page, view, large = false) {
  for (const [name, size] of Object.entries(sizes)) {
    if (size === sizes['4K screen'] && !large) continue;
    await page.setViewportSize(size);
    const overflow = await page.evaluate(async () => {
      for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame); // observers of sizes have run
      return document.documentElement.scrollWidth - document.documentElement.clientWidth;
    });
    assert.equal(overflow, 0, `${view} is wider than a ${name}`);
    if (size === sizes['4K screen']) {
      await screenshot(page, `${view}-4k`);
      continue;
    }
    for (const colorScheme of /** @type {const} */ (size === sizes.phone ? ['dark'] : ['light', 'dark'])) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const found = (await complaintsOf(page)).filter(({ impact }) => impact === 'serious' || impact === 'critical');
      complaints.push(...found.map(({ text }) => `${view}, ${name}, ${colorScheme}: ${text}`));
      await screenshot(page, `${view}-${name}-${colorScheme}`);
    }
  }
}

test('lobby, calling, incoming call, notice', async () => {
  const [vasya, petya] = await Promise.all([browser.newPage(), browser.newPage()]);
  await openLobby(vasya, server.base, { name: 'Vasya', user: 'vasya', secret: 'secret-of-vasya' });
  await openLobby(petya, server.base, { name: 'Petya', user: 'petya', secret: 'secret-of-petya' });
  assert.ok(await petya.locator('#away-field').isVisible(), 'the switch to be rung with the page closed is among what is looked at');
  await judge(petya, 'lobby');
  await vasya.fill('#callee', 'petya');
  await vasya.click('#invite');
  await petya.waitForSelector('#incoming[open]');
  await judge(vasya, 'calling');
  await judge(petya, 'incoming');
  await petya.click('#decline');
  await vasya.waitForSelector('body[data-view=notice]');
  await judge(vasya, 'notice', true);
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

test('waiting, in a call, chat, devices', async () => {
  const [vasya, petya] = await Promise.all([browser.newPage(), browser.newPage()]);
  await openLobby(vasya, server.base, { name: 'Vasya', room: 'look' });
  await join(vasya);
  await judge(vasya, 'waiting');
  await openLobby(petya, server.base, { name: 'Petya', room: 'look' });
  await join(petya);
  await Promise.all([connected(vasya), connected(petya)]);
  await vasya.click('.tile .quality');
  await vasya.waitForSelector('.quality-panel canvas');
  await judge(vasya, 'call');
  await vasya.click('.tile .quality');
  await petya.keyboard.press('c');
  await petya.fill('#chat-text', 'Look at this.');
  await petya.keyboard.press('Enter');
  await petya.setInputFiles('#chat-file', { name: 'plan.txt', mimeType: 'text/plain', buffer: Buffer.from('a plan') });
  await vasya.keyboard.press('c');
  await vasya.getByRole('button', { name: 'Take it' }).waitFor();
  await judge(vasya, 'chat');
  await vasya.click('#chat-close');
  await vasya.click('#settings');
  await judge(vasya, 'devices');
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

test('what the server keeps, and a wrong link, from left and from right', async () => {
  const page = await browser.newPage();
  for (const language of ['en', 'ar']) {
    await page.goto(`${server.base}/privacy?language=${language}`);
    await judge(page, `privacy-${language}`);
    await page.goto(`${server.base}/rondvraag?language=${language}`);
    await judge(page, `wrong-link-${language}`);
  }
  await page.context().close();
});

test('the network check and the console', async () => {
  const [check, operator] = await Promise.all([browser.newPage(), browser.newPage()]);
  await check.goto(`${server.base}/check`);
  await check.waitForSelector('body[data-state=done]', { timeout: 60_000 });
  assert.equal(await check.getAttribute('body', 'data-level'), 'good');
  await judge(check, 'check', true);
  await operator.goto(server.admin);
  await operator.locator('#probes .good').first().waitFor();
  await judge(operator, 'operator', true);
  await Promise.all([check, operator].map((page) => page.context().close()));
});
