// Networks that let nothing through but HTTPS that their proxy has read: calls go through a WebSocket of the server. With
// E2E_LONG=1 with every other kind of network; E2E_KINDS=a,b names those.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { hears, moves, others, told } from '../harness/people.js';
import { screenshot } from '../harness/screenshot.js';
import { browsers } from './calls.js';
import { newAddress } from './faults.js';
import { held } from './held.js';
import { dualKinds, kinds, otherBuilding, rareKinds, restartProxy } from './kinds.js';
import { orFailed, record } from './record.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('./kinds.js').Kind} Kind */

/** @type {import('./lab.js').Lab} */ let lab;
/** @type {Awaited<ReturnType<typeof import('./host.js').startHost>>} */ let server;
const { start, callerIn } = held();
let rooms = 0;

before(async () => { ({ lab, server } = await start()); });

/** A call between two networks. @param {Kind} there @param {Kind} comes */
async function call(there, comes) {
  const site = turnhubSite(server.base), room = `inspected-${rooms++}`;
  const people = [await callerIn(there, 0), await callerIn(comes, 1)];
  const pages = await Promise.all(people.map(async ({ browser, client }) => {
    const page = await browser.newPage({ clean: true });
    await site.open(page, room, client.port);
    return page;
  }));
  await site.join(pages[0]);
  await site.joined(pages[0]);
  const click = await site.join(pages[1]);
  const first = await Promise.all(pages.map(async (page) => {
    const shown = await page.waitForFunction((selector) => {
      const video = /** @type {HTMLVideoElement | null} */ (document.querySelector(`${selector}[data-state=connected] video`));
      return video && video.videoWidth > 0 && Date.now();
    }, others);
    return Number(await shown.jsonValue()) - click;
  }));
  return { pages, first };
}

/** @type {[Kind, Kind][]} */
const few = [['inspected', 'inspected'], ['inspected', 'open'], ['symmetric', 'inspected'], ['inspected', 'tls-443'],
  ['inspected-password', 'inspected'], ['proxy', 'inspected-password'], ['inspected', 'inspected-cutting']];
const named = process.env.E2E_KINDS?.split(',') ?? [...kinds, ...rareKinds, ...dualKinds];
const pairs = process.env.E2E_LONG ? named.map((other) => /** @type {[Kind, Kind]} */ (['inspected', other])) : few;

for (const [there, comes] of pairs) {
  test(`${there} – ${comes}`, () => orFailed('calls', [`${there} – ${comes}`], async () => {
    const { pages, first } = await call(there, comes);
    await Promise.all(pages.map(async (page) => { await moves(page, 20); await hears(page); await told(page, 'through HTTPS'); }));
    console.log(`${browsers.join(' and ')}, ${there} – ${comes}: first picture after ${first[1]} ms, there after ${first[0]} ms`);
    record('calls', [`${there} – ${comes}`, `through HTTPS, ${(first[1] / 1000).toFixed(1)} s`]);
    await screenshot(pages[1], `inspected-${there}-${comes}`);
  }));
}

/** @type {[string, () => Promise<void>][]} */
const faults = [
  ['the proxy is restarted', async () => restartProxy(lab, (await callerIn('inspected', 0)).client)],
  ['the server is killed', async () => { process.kill(server.pid ?? 0, 'SIGUSR1'); }],
  ['the line gets another address', async () => newAddress(lab, (await callerIn('inspected', 0)).client)],
  ['one goes to another building', async () => (await otherBuilding(lab, (await callerIn('inspected', 1)).client, 90, server.caFile ?? ''))()],
];
for (const [fault, happens] of faults) {
  test(`inspected – inspected, ${fault}`, { timeout: 180_000 }, async () => {
    const { pages } = await call('inspected', 'inspected');
    await Promise.all(pages.map((page) => moves(page, 20)));
    await happens();
    const since = Date.now();
    await Promise.all(pages.map(async (page) => { await moves(page, 30); await hears(page); await told(page, 'through HTTPS'); }));
    console.log(`${browsers.join(' and ')}, ${fault}: thirty more pictures and sound after ${Date.now() - since} ms`);
  });
}

/** How many pictures each of these tiles shows in 1.5 s. Firefox counts none of a MediaStream in getVideoPlaybackQuality. @param {string} selector */
async function pictures(selector) {
  const counted = [...document.querySelectorAll(`${selector} video`)].map((element) => {
    const video = /** @type {HTMLVideoElement} */ (element), shown = { count: 0 };
    const next = () => { shown.count++; video.requestVideoFrameCallback(next); };
    video.requestVideoFrameCallback(next);
    return shown;
  });
  await new Promise((resolve) => { setTimeout(resolve, 1500); });
  return counted.map(({ count }) => count);
}

test('one in such a network, and two elsewhere: those two stay on WebRTC', { timeout: 120_000 }, async () => {
  const site = turnhubSite(server.base), all = [await callerIn('inspected', 0), await callerIn('open', 1), await callerIn('cone', 1)];
  const pages = await Promise.all(all.map(({ browser }) => browser.newPage({ clean: true })));
  await Promise.all(pages.map((page) => site.open(page, 'inspected-three')));
  for (const page of pages) {
    await site.join(page);
    await site.joined(page);
  }
  const ways = await Promise.all(pages.map(async (page) => {
    await page.waitForFunction((selector) => {
      const tiles = [...document.querySelectorAll(`${selector}[data-state=connected]`)];
      return tiles.length === 2 && tiles.every((tile) => (tile.querySelector('video')?.videoWidth ?? 0) > 0);
    }, others, { timeout: 60_000 });
    await page.waitForTimeout(4000); // whoever is connected by any way settles on the best
    const counted = await page.evaluate(pictures, others);
    assert.ok(counted.every((frames) => frames > 0), `pictures move: ${counted}`);
    return (await page.locator(others).allTextContents()).map((text) => text.includes('through HTTPS')).toSorted();
  }));
  assert.deepEqual(ways, [[true, true], [false, true], [false, true]]);
  // A page that was busy for a moment takes all that came late: that is not the line's doing, and no picture is given up for it.
  await pages[0].evaluate(() => { for (const until = performance.now() + 1500; performance.now() < until;); });
  await pages[0].waitForTimeout(500);
  const shown = await pages[0].evaluate(pictures, others);
  console.log(`after 1.5 s in which the page stood still: ${shown} pictures in as long`);
  assert.ok(shown.every((frames) => frames > 0), `pictures move: ${shown}`);
});

test('where no WebSocket passes, the page says so within 5 s', async () => {
  const { browser } = await callerIn('no-websocket', 1);
  const page = await browser.newPage();
  await page.goto(`${server.base}/#blocked`);
  const begun = Date.now();
  await page.waitForSelector('body[data-state=no-websocket]');
  const took = Date.now() - begun;
  console.log(`no WebSocket: said after ${took} ms`);
  assert.ok(took < 5000, `said after ${took} ms`);
  await page.getByText('wss://turnhub.test/').waitFor();
  await screenshot(page, 'no-websocket');
  const check = await browser.newPage();
  await check.goto(`${server.base}/check`);
  await check.waitForSelector('body[data-state=done]', { timeout: 120_000 });
  await screenshot(check, 'no-websocket-check');
});

test('the network check names this kind of network', async () => {
  const { browser } = await callerIn('inspected', 1);
  const page = await browser.newPage();
  await page.goto(`${server.base}/check`);
  await page.waitForSelector('body[data-state=done]', { timeout: 120_000 });
  await page.getByText('turnhub.test', { exact: false }).first().waitFor();
  await screenshot(page, 'inspected-check');
});
