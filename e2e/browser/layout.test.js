// Every view at 200 % zoom, on a phone on its side, and 320 px wide: nothing lies on anything else, nothing is cut off, and
// what begins a call is on the first screen.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startCrowd } from '../harness/crowd.js';
import { faults, faultsNow } from '../harness/layout.js';
import { long } from '../harness/long.js';
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

/** In CSS pixels, which is all that zoom changes: 1280 × 800 at 200 %, a phone on its side, a small one upright; with E2E_LONG
 * 1440 × 900 at 200 %, and larger ones of both. */
const sizes = [[640, 400], [667, 375], [320, 568], [720, 450], [844, 390], [360, 740]].slice(0, process.env.E2E_LONG ? 6 : 3)
  .map(([width, height]) => ({ width, height }));

/** @type {string[]} */ let complaints = [];

/** @param {Page} page @param {string} view @param {(size: {width: number, height: number}) => Promise<void>} [more] */
async function judge(page, view, more) {
  for (const size of sizes) {
    await page.setViewportSize(size);
    const wrong = await faultsNow(page);
    complaints.push(...wrong.map((fault) => `${view} at ${size.width} × ${size.height}: ${fault}`));
    await screenshot(page, `layout-${view}-${size.width}x${size.height}`);
    await more?.(size);
  }
}

/** @param {() => Promise<void>} run */
const judged = (run) => async () => {
  complaints = [];
  await run();
  assert.deepEqual(complaints, []);
};

test('the judge sees what lies on something else, and what is cut off', async () => {
  const page = await browser.newPage();
  await page.goto(`${server.base}/healthz`);
  await page.setContent('<p style="position: absolute; top: 5px; left: 5px">one text</p><button style="position: absolute; top: 20px; left: 20px">over it</button>');
  assert.match((await page.evaluate(faults)).join(), /lie on each other/);
  await page.setContent('<div style="width: 30px; height: 12px; overflow: hidden; white-space: nowrap">a long text</div>');
  assert.match((await page.evaluate(faults)).join(), /^$|cut off/);
  await page.setContent('<div style="width: 30px; height: 12px; overflow: hidden"><p>a long text that does not fit</p></div>');
  assert.match((await page.evaluate(faults)).join(), /cut off/);
  await page.setContent('<div style="width: 3000px">x</div>');
  assert.match((await page.evaluate(faults)).join(), /wider than the screen/);
  await page.setContent('<div style="width: 90px; overflow: auto"><button style="width: 120px">two</button></div>');
  assert.match((await page.evaluate(faults)).join(), /scrolled sideways/);
  await page.setContent('<button style="width: 40px; white-space: nowrap">a long label</button>');
  assert.match((await page.evaluate(faults)).join(), /larger than its button/);
  await page.setContent('<p>one</p><button>two</button>');
  assert.deepEqual(await page.evaluate(faults), []);
  await page.context().close();
});

long('lobby, wrong link, ringing, incoming call, what ended', judged(async () => {
  const [vasya, petya] = await Promise.all([browser.newPage(), browser.newPage()]);
  await openLobby(vasya, server.base, { name: 'Vasya', user: 'vasya', secret: 'secret-of-vasya' });
  await openLobby(petya, server.base, { name: 'Petya', user: 'petya', secret: 'secret-of-petya' });
  assert.ok(await petya.locator('#away-field').isVisible(), 'the switch to be rung with the page closed is among what is looked at');
  await judge(petya, 'lobby', async ({ width, height }) => {
    const reached = await petya.evaluate(() => /** @type {HTMLElement} */ (document.querySelector('#room')).getBoundingClientRect().bottom);
    const most = width > 560 ? height : 1.15 * height; // an upright phone shows the picture first
    if (reached > most) complaints.push(`lobby at ${width} × ${height}: name and room are ${Math.round(reached)} px down`);
  });
  await vasya.fill('#callee', 'petya');
  await vasya.click('#invite');
  await petya.waitForSelector('#incoming[open]');
  await judge(vasya, 'ringing');
  await judge(petya, 'incoming');
  await petya.click('#decline');
  await vasya.waitForSelector('body[data-view=notice]');
  await judge(vasya, 'ended');
  await vasya.goto(`${server.base}/some-room-with-a-name-that-is-rather-long-for-a-small-screen`);
  await judge(vasya, 'wrong-link');
  await vasya.goto(`${server.base}/#ein%20Name%20mit%20Ümläuten`);
  await vasya.waitForSelector('#room-hint:not([hidden])');
  await judge(vasya, 'misnamed');
  await Promise.all([vasya, petya].map((page) => page.context().close()));
}));

long('waiting, dialogs, calls of two, four and six, chat', judged(async () => {
  const page = await browser.newPage();
  const host = await browser.newPage();
  await openLobby(page, server.base, { name: 'Vasya', room: 'layout' });
  await page.click('#show-qr');
  await judge(page, 'qr');
  await page.click('#qr-dialog .secondary');
  await join(page);
  await page.waitForFunction(() => /** @type {HTMLCanvasElement} */ (document.querySelector('#waiting-qr')).width !== 300);
  await judge(page, 'waiting');
  await host.goto(`${server.base}/healthz`);
  const crowd = await startCrowd(host);
  let people = 1;
  const names = ['Anna Maria Bartholomäus-Schmidt', 'محمد', 'Čeněk', 'Bo', 'Ida'];
  for (const name of names) {
    await crowd.enter(name, 'layout');
    people++;
    if (people % 2) continue;
    await connected(page, people - 1);
    await judge(page, `call-of-${people}`);
    if (people !== 2) continue;
    await page.click('#more');
    await page.waitForSelector('#more-dialog[open]');
    await judge(page, 'more');
    await page.keyboard.press('Escape');
    await page.evaluate(() => document.querySelector('#settings')?.dispatchEvent(new MouseEvent('click'))); // on a phone it is in that menu
    await judge(page, 'devices');
    await page.keyboard.press('Escape');
    await page.keyboard.press('c');
    await page.fill('#chat-text', 'Look at this: a sentence that is long enough for two lines on a small screen.');
    await page.keyboard.press('Enter');
    await judge(page, 'chat');
    await page.click('#chat-close');
  }
  await Promise.all([page, host].map((page) => page.context().close()));
}));

long('the network check and the console', judged(async () => {
  const [check, operator] = await Promise.all([browser.newPage(), browser.newPage()]);
  await check.goto(`${server.base}/check`);
  await check.waitForSelector('body[data-state=done]', { timeout: 60_000 });
  await judge(check, 'check');
  await operator.goto(server.admin);
  await operator.locator('#probes .good').first().waitFor();
  await judge(operator, 'console');
  await Promise.all([check, operator].map((page) => page.context().close()));
}));
