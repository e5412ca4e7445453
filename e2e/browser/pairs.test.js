// A call between every two browsers, in both orders: it comes about, carries all that a call carries, and heals. The
// server speaks TLS alone, with an authority of its own.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { makeCertificates } from '../harness/certificates.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { startDisplay } from '../harness/display.js';
import { candidatePairs, decodesVideo, hearsSound } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';
import { cameraOffAndOn, chat, compareKeys, keepBlobs, sendFile, shareScreen } from './deeds.js';
import { startProxy } from './proxy.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../harness/browser.js').Kind} Kind */
/** @typedef {Awaited<ReturnType<typeof startServer>>} Server */
/** @typedef {Awaited<ReturnType<typeof startProxy>>} Proxy */

/** @type {Awaited<ReturnType<typeof makeCertificates>>} */ let certificates;
/** @type {Record<Kind, Awaited<ReturnType<typeof startBrowser>>>} */ let browsers;

before(async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'turnhub-pairs-'));
  onCleanup(() => rm(dir, { recursive: true }));
  certificates = await makeCertificates(dir, ['localhost']);
  const { caFile } = certificates;
  const display = await startDisplay();
  const [chromium, firefox] = await Promise.all([startBrowser({ caFile }), startBrowser({ kind: 'firefox', caFile, display })]);
  browsers = { chromium, firefox };
});
after(cleanup);

const others = '.tile:not(.self):not(.screen)';

/** Waits until both pages see and hear each other. @param {Page[]} pages @param {number} [seconds] */
async function seeAndHear(pages, seconds = 1) {
  await Promise.all(pages.flatMap((page) => [connected(page), decodesVideo(page, { seconds }), hearsSound(page)]));
}

/** The ICE credentials of the page's living connections. @param {Page} page */
const credentials = (page) => page.evaluate(() => /** @type {any} */ (window).calls
  .filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState === 'connected')
  .map((/** @type {RTCPeerConnection} */ call) => call.currentLocalDescription?.sdp.match(/^a=ice-ufrag:(.*)$/m)?.[1]));

/** The session of a page, as the server names it. @param {Page} page */
const session = (page) => page.evaluate(() => document.body.dataset.session);

/** @param {Page} page @param {string} state */
const hub = (page, state) => page.waitForSelector(`body[data-hub=${state}]`, { timeout: 60_000 });

/** One side restarts ICE: both get other credentials, on this connection or on another one. @param {Page} page @param {Page[]} pages */
async function restartIce(page, pages) {
  const before = (await Promise.all(pages.map(credentials))).flat();
  await page.evaluate(() => {
    for (const call of /** @type {any} */ (window).calls) if (call.connectionState === 'connected') call.restartIce();
  });
  for (const each of pages) {
    await each.waitForFunction((before) => {
      const now = /** @type {any} */ (window).calls.filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState === 'connected')
        .map((/** @type {RTCPeerConnection} */ call) => call.currentLocalDescription?.sdp.match(/^a=ice-ufrag:(.*)$/m)?.[1]);
      return now.length === 1 && !before.includes(now[0]);
    }, before);
  }
}

/** The socket of whoever came is cut; the session is resumed. @param {Page} page @param {Proxy} proxy */
async function cutSocket(page, proxy) {
  const before = await session(page);
  proxy.cut();
  await hub(page, 'reconnecting');
  proxy.mend();
  await hub(page, 'open');
  assert.equal(await session(page), before, 'the session was resumed');
}

/**
 * All that happens in a call of two.
 * @param {Page[]} pages of who is there, and of who comes
 * @param {Server} server
 * @param {Proxy} proxy through which the second comes
 */
async function callOf(pages, server, proxy) {
  const [there, arriving] = pages;
  const room = 'pairs';
  await arriving.addInitScript(keepBlobs);
  await openLobby(there, server.base, { name: 'Vasya', room });
  await join(there);
  await openLobby(arriving, proxy.base, { name: 'Petya', room });
  await join(arriving);
  await seeAndHear(pages);
  await chat(there, arriving, 'is there');
  await chat(arriving, there, 'has come');
  await sendFile(there, arriving);
  await cameraOffAndOn(arriving, there);
  await shareScreen(arriving, there);
  await seeAndHear(pages);

  const symbols = await compareKeys(pages);
  for (const page of pages) {
    await restartIce(page, pages);
    await seeAndHear(pages);
  }
  assert.equal(await compareKeys(pages), symbols, 'healing changes no keys');
  await Promise.all([cutSocket(arriving, proxy), ...pages.map((page) => decodesVideo(page, { seconds: 3 }))]);

  // Away, and back over the relay alone: that is gone with the server, and comes back with it.
  await arriving.click('#hang-up');
  await there.waitForSelector('body[data-state=waiting]');
  await openLobby(arriving, proxy.base, { query: '?relay=1', room });
  await join(arriving);
  await seeAndHear(pages);
  assert.equal((await candidatePairs(arriving))[0].local, 'relay');
  await chat(arriving, there, 'back again');
  await server.kill('SIGKILL');
  await Promise.all(pages.map((page) => hub(page, 'reconnecting')));
  await server.start();
  await Promise.all(pages.map((page) => hub(page, 'open')));
  await seeAndHear(pages);
  await chat(there, arriving, 'still here');
}

/** @type {[Kind, Kind][]} */
const pairs = [['chromium', 'chromium'], ['chromium', 'firefox'], ['firefox', 'chromium'], ['firefox', 'firefox']];
for (const [first, second] of pairs) {
  test(`${first} is there, ${second} comes`, async () => {
    const server = await startServer({ tls: certificates }); // its own, as it is killed in the middle
    const proxy = await startProxy(server.ports.http, 'https');
    const pages = await Promise.all([first, second].map((kind) => browsers[kind].newPage()));
    try {
      await callOf(pages, server, proxy);
    } finally {
      await Promise.all(pages.map((page) => page.context().close()));
      await server.stop();
    }
  });
}
