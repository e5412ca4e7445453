// No path of WebRTC comes about: picture, sound, chat, files and the screen go through a WebSocket of the server, and go over
// to WebRTC once there is a way. Whoever calls whom; Firefox neither captures nor plays by an AudioContext without a sound card.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { decodesVideo } from '../harness/media.js';
import { hears, moves, others, told } from '../harness/people.js';
import { screenshot } from '../harness/screenshot.js';
import { startSound } from '../harness/sound.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';
import { cameraOffAndOn, chat, keepBlobs, sendFile, shareScreen } from './deeds.js';

/** @typedef {import('../harness/browser.js').Kind} Kind */

/** @type {Record<Kind, Awaited<ReturnType<typeof startBrowser>>>} */ let browsers;
/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;

before(async () => {
  if (!process.env.E2E_LONG) return;
  browsers = { chromium: await startBrowser({ fps: 15 }), firefox: await startBrowser({ kind: 'firefox', fps: 15, sound: await startSound() }) };
  server = await startServer();
});
after(cleanup);

const sockets = async () => Number(/^turnhub_media_sockets (\d+)/m.exec(await (await fetch(`${server.admin}/metrics`)).text())?.[1]);

/**
 * Two people who have nothing but this way.
 * @param {Kind} there @param {Kind} comes @param {string} room @param {() => void} [without] takes something from the browser of who comes
 */
async function meet(there, comes, room, without) {
  const pages = [];
  for (const [i, kind] of [there, comes].entries()) {
    const page = await browsers[kind].newPage({ only: 'nothing', clean: true });
    pages.push(page);
    await page.addInitScript(keepBlobs);
    if (i && without) await page.addInitScript(without);
    await openLobby(page, server.base, { name: i ? 'Petya' : 'Vasya', room });
    await join(page);
  }
  await Promise.all(pages.map(async (page) => { await connected(page); await moves(page, 20); await hears(page); await told(page, 'through HTTPS'); }));
  return pages;
}

long('all of a call through the WebSocket, and over to WebRTC', { timeout: 240_000 }, async () => {
  const pages = await meet('chromium', 'chromium', 'door'), [first, second] = pages;
  await screenshot(first, 'websocket');
  assert.equal(await first.evaluate(() => /** @type {any} */ (window).calls.filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState === 'connected').length), 0);
  assert.equal(await sockets(), 2);
  await chat(first, second, 'through the wall');
  await chat(second, first, 'and back');
  await sendFile(first, second);
  await cameraOffAndOn(first, second);
  await moves(second, 5);
  await shareScreen(second, first);
  await moves(first, 5);
  // A way out: the next connection that is tried is taken.
  for (const page of pages) await page.evaluate(() => { /** @type {any} */ (window).wayOut = true; });
  await Promise.all(pages.map((page) => decodesVideo(page)));
  await Promise.all(pages.map((page) => told(page, 'direct')));
  await chat(first, second, 'straight');
  const end = Date.now() + 30_000;
  while (await sockets() > 0) {
    assert.ok(Date.now() < end, 'the sockets are given back');
    await new Promise((resolve) => { setTimeout(resolve, 200); });
  }
  for (const page of pages) await page.context().close();
});

for (const [there, comes] of /** @type {[Kind, Kind][]} */ ([['chromium', 'firefox'], ['firefox', 'chromium'], ['firefox', 'firefox']])) {
  long(`${there} is there, ${comes} comes`, { timeout: 180_000 }, async () => {
    const pages = await meet(there, comes, `${there}-${comes}`);
    await chat(pages[0], pages[1], 'through the wall');
    await sendFile(pages[1], pages[0]);
    for (const page of pages) await page.context().close();
  });
}

/** What came for the page's sound. @param {import('playwright-core').Page} page */
const loaded = (page) => page.evaluate(() => performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.wasm')).length);

for (const kind of /** @type {Kind[]} */ (['chromium', 'firefox'])) {
  long(`${kind} without a coder of sound of its own`, { timeout: 180_000 }, async () => {
    const pages = await meet('chromium', kind, `without-${kind}`, () => {
      delete (/** @type {any} */ (window).AudioEncoder);
      delete (/** @type {any} */ (window).AudioDecoder);
    });
    assert.deepEqual(await Promise.all(pages.map(loaded)), [0, 1], 'who has one loads none');
    for (const page of pages) await page.context().close();
  });
}

long('a browser that has no VP8 is sent H.264, and sends it', { timeout: 180_000 }, async () => {
  const pages = await meet('chromium', 'chromium', 'h264', () => {
    for (const codec of [VideoEncoder, VideoDecoder]) {
      const known = codec.isConfigSupported.bind(codec);
      codec.isConfigSupported = async (/** @type {any} */ config) => (config.codec === 'vp8' ? { supported: false, config } : known(config));
      const configure = codec.prototype.configure;
      codec.prototype.configure = function (/** @type {any} */ config) {
        if (config.codec === 'vp8') throw new Error('there is no VP8 here');
        configure.call(this, config);
      };
    }
  });
  for (const page of pages) await page.context().close();
});

/** From now on the page notes the longest time without a picture of the other one, milliseconds. @param {import('playwright-core').Page} page */
const watchGaps = (page) => page.evaluate((selector) => {
  const video = /** @type {HTMLVideoElement} */ (document.querySelector(`${selector} video`)), here = /** @type {any} */ (window);
  let last = performance.now();
  here.longestGap = 0;
  const shown = () => {
    here.longestGap = Math.max(here.longestGap, performance.now() - last);
    last = performance.now();
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);
}, others);
/** @param {import('playwright-core').Page} page @returns {Promise<number>} */
const longestGap = (page) => page.evaluate(() => Math.round(/** @type {any} */ (window).longestGap));

long('the server is upgraded, and then killed: the path outlives its sockets', { timeout: 240_000 }, async () => {
  const pages = await meet('chromium', 'chromium', 'outlives'), [first, second] = pages;
  for (const page of pages) await watchGaps(page);
  await server.upgrade();
  for (const page of pages) await moves(page, 60);
  await chat(first, second, 'in the new process');
  console.log(`upgrade: longest gaps ${await Promise.all(pages.map(longestGap))} ms`);
  for (const page of pages) await watchGaps(page);
  await server.kill('SIGKILL');
  await first.fill('#chat-text', 'said meanwhile');
  await first.keyboard.press('Enter');
  await server.start();
  await second.getByText('said meanwhile').waitFor({ state: 'attached' });
  for (const page of pages) { await moves(page, 60); await hears(page); await told(page, 'through HTTPS'); }
  assert.equal(await second.getByText('said meanwhile').count(), 1);
  const gaps = await Promise.all(pages.map(longestGap));
  console.log(`killed: longest gaps ${gaps} ms`);
  assert.ok(Math.max(...gaps) < 8000, `the path was begun anew: ${gaps} ms`);
  for (const page of pages) await page.context().close();
});
