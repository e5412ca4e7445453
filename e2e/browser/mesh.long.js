// A room that fills up: what each gets falls, and everybody still finds a place on the screen.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startCrowd } from '../harness/crowd.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

/** Waits until every connection of the page sends to so many others within one limit, and returns it. @param {import('playwright-core').Page} page @param {number} others @param {number} below */
async function limit(page, others, below) {
  const handle = await page.waitForFunction(([others, below]) => {
    const limits = /** @type {any} */ (window).calls
      .filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState === 'connected')
      .flatMap((/** @type {RTCPeerConnection} */ call) => call.getSenders())
      .filter((/** @type {RTCRtpSender} */ { track }) => track?.kind === 'video')
      .map((/** @type {RTCRtpSender} */ sender) => sender.getParameters().encodings[0].maxBitrate);
    return limits.length === others && new Set(limits).size === 1 && limits[0] < below && limits[0];
  }, [others, below]);
  return /** @type {Promise<number>} */ (handle.jsonValue());
}

test('bitrates fall as the room grows to six, and rise as it empties', async () => {
  const [people, page] = await Promise.all([browser.newPage(), browser.newPage({ viewport: { width: 360, height: 740 } })]);
  await people.goto(`${server.base}/healthz`);
  const crowd = await startCrowd(people);
  await openLobby(page, server.base, { room: 'mesh' });
  await join(page);
  const persons = [], limits = [Infinity];
  for (let others = 1; others <= 5; others++) {
    persons.push(await crowd.enter(`Guest ${others}`, 'mesh'));
    await connected(page, others);
    limits.push(await limit(page, others, limits[others - 1]));
    assert.ok(limits[others] * others <= 3_000_000, `${others} others: ${limits[others]} bit/s each`);
  }
  await decodesVideo(page, { count: 5, seconds: 2 });
  const outside = await page.evaluate(() => [...document.querySelectorAll('.tile')].filter((tile) => {
    const { left, top, right, bottom } = tile.getBoundingClientRect();
    return left < 0 || top < 0 || right > innerWidth || bottom > innerHeight || right - left < 100;
  }).length);
  assert.equal(outside, 0, 'tiles outside of the screen');
  for (const person of persons.slice(1)) await crowd.leave(person);
  await connected(page, 1);
  assert.equal(await limit(page, 1, Infinity), limits[1]);
  await Promise.all([people, page].map((one) => one.context().close()));
});
