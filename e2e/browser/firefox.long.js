// What only shows where one of two is a Firefox: its DTLS role after a restart of ICE, and candidates that it takes no more
// once it is connected.
import { after, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

after(cleanup);

/** @typedef {import('playwright-core').Page} Page */

test('Chromium restarts ICE where Firefox has offered first: the call goes on', async () => {
  const server = await startServer();
  const [chromium, firefox] = await Promise.all([startBrowser(), startBrowser({ kind: 'firefox' })]);
  const [there, comes] = await Promise.all([chromium.newPage(), firefox.newPage()]);
  await openLobby(there, server.base, { name: 'Vasya', room: 'roles' });
  await join(there);
  await openLobby(comes, server.base, { name: 'Petya', room: 'roles' });
  await join(comes);
  await Promise.all([connected(there), connected(comes), decodesVideo(there, { seconds: 2 }), decodesVideo(comes, { seconds: 2 })]);
  // The client does not do so by itself: this is a client from before, or a browser that does for reasons of its own.
  await there.evaluate(() => {
    const { calls } = /** @type {any} */ (window);
    const { promise, resolve } = /** @type {any} */ (Promise).withResolvers();
    const old = calls.findLast((/** @type {RTCPeerConnection} */ call) => call.connectionState === 'connected');
    // Refused, and replaced: the connection is another one in the end.
    const closed = setInterval(() => {
      if (old.connectionState !== 'closed') return;
      clearInterval(closed);
      resolve();
    }, 50);
    old.restartIce();
    return promise;
  });
  await Promise.all([decodesVideo(there, { seconds: 2 }), decodesVideo(comes, { seconds: 2 }), connected(there), connected(comes)]);
  await Promise.all([chromium, firefox].map((browser) => browser.close()));
});

test('two Firefox that were connected through the relay before the click go over to a direct path', async () => {
  const server = await startServer();
  const browser = await startBrowser({ kind: 'firefox' });
  const [there, comes] = await Promise.all([browser.newPage(), browser.newPage()]);
  await openLobby(there, server.base, { name: 'Vasya', room: 'late' });
  await join(there);
  await openLobby(comes, server.base, { name: 'Petya', room: 'late' });
  await comes.waitForFunction(() => /** @type {any} */ (window).calls.some((/** @type {RTCPeerConnection} */ call) => call.connectionState === 'connected'));
  await join(comes);
  await Promise.all([there, comes].map((page) => page.waitForSelector('.tile[data-path=direct]', { timeout: 60_000 })));
  await Promise.all([decodesVideo(there, { seconds: 2 }), decodesVideo(comes, { seconds: 2 })]);
  await browser.close();
});
