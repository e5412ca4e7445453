import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { until } from '../harness/until.js';
import { connected, join, openLobby } from './callpage.js';
import { startProxy } from './proxy.js';

// Running calls that lose their socket or their server. How fast they heal is measured in the lab; here they must.

after(cleanup);

/** @typedef {import('playwright-core').Page} Page */

/** The session of a page, as the server names it. @param {Page} page */
const session = (page) => page.evaluate(() => document.body.dataset.session);

/** @param {Page} page @param {string} state */
const hub = (page, state) => page.waitForSelector(`body[data-hub=${state}]`, { timeout: 60_000 });

/** Frames decoded so far. @param {Page} page @returns {Promise<number>} */
const frames = (page) => page.evaluate(async () => {
  let total = 0;
  for (const call of /** @type {any} */ (window).calls) {
    if (call.connectionState === 'closed') continue;
    for (const stat of (await /** @type {any} */ (window).statsOf(call)).values()) if (stat.type === 'inbound-rtp' && stat.kind === 'video') total += stat.framesDecoded ?? 0;
  }
  return total;
});

test('a socket cut for ten seconds: media goes on, signaling resumes, a third person can come', async () => {
  const server = await startServer();
  const browser = await startBrowser();
  const proxy = await startProxy(server.ports.http);
  const [vasya, petya, masha] = await Promise.all([browser.newPage(), browser.newPage(), browser.newPage()]);
  await openLobby(vasya, proxy.base, { name: 'Vasya', room: 'cut' });
  await join(vasya);
  await openLobby(petya, server.base, { name: 'Petya', room: 'cut' });
  await join(petya);
  await Promise.all([connected(vasya), connected(petya)]);
  const before = await session(vasya);
  proxy.cut();
  await hub(vasya, 'reconnecting');
  await vasya.waitForSelector('#banner:not([hidden])');
  await Promise.all([decodesVideo(vasya, { seconds: 9 }), decodesVideo(petya, { seconds: 9 })]);
  assert.equal(await petya.getAttribute('.tile:not(.self)', 'data-away'), 'true', 'Petya knows that Vasya is away');
  proxy.mend();
  await hub(vasya, 'open');
  assert.equal(await session(vasya), before, 'the session was resumed');
  await petya.waitForSelector('.tile[data-away=false]:not(.self)');
  await openLobby(masha, server.base, { name: 'Masha', room: 'cut' });
  await join(masha);
  await Promise.all([vasya, petya, masha].map((page) => connected(page, 2)));
  await browser.close();
  await server.stop();
});

// pairs.test.js has the same over a relay and UDP, for every two browsers.
for (const [kind, query] of [['a direct', ''], ['a call over TCP: a relayed', '?relay=1&transport=tcp'], ['a relayed', '?relay=1']]) {
  test(`the server is killed and started again: ${kind} call goes on`, async () => {
    const server = await startServer();
    const browser = await startBrowser();
    const [vasya, petya] = await Promise.all([browser.newPage(), browser.newPage()]);
    for (const page of [vasya, petya]) {
      await openLobby(page, server.base, { query, room: 'crash' });
      await join(page);
    }
    await Promise.all([connected(vasya), connected(petya)]);
    await decodesVideo(vasya, { seconds: 2 });
    const old = await session(vasya);
    await server.kill('SIGKILL');
    await hub(vasya, 'reconnecting');
    if (!query) await Promise.all([decodesVideo(vasya, { seconds: 4 }), decodesVideo(petya, { seconds: 4 })]);
    await server.start();
    const started = Date.now();
    const counts = await Promise.all([frames(vasya), frames(petya)]);
    await Promise.all([vasya, petya].map((page, i) => until(page, async (count) => {
      let total = 0;
      for (const call of /** @type {any} */ (window).calls) {
        if (call.connectionState === 'closed') continue;
        for (const stat of (await /** @type {any} */ (window).statsOf(call)).values()) if (stat.type === 'inbound-rtp' && stat.kind === 'video') total += stat.framesDecoded ?? 0;
      }
      return total > count + 5;
    }, counts[i])));
    console.log(`${kind} call: frames again ${Date.now() - started} ms after the server was ready`);
    await Promise.all([hub(vasya, 'open'), hub(petya, 'open')]);
    assert.notEqual(await session(vasya), old, 'a fresh session');
    await Promise.all([decodesVideo(vasya), decodesVideo(petya), connected(vasya), connected(petya)]);
    await browser.close();
    await server.stop();
  });
}

test('an orderly restart: told first, back by itself', async () => {
  const server = await startServer();
  const browser = await startBrowser();
  const [vasya, petya] = await Promise.all([browser.newPage(), browser.newPage()]);
  for (const page of [vasya, petya]) {
    await openLobby(page, server.base, { query: '?relay=1', room: 'restart' });
    await join(page);
  }
  await Promise.all([connected(vasya), connected(petya)]);
  await server.kill('SIGTERM');
  await server.start();
  await Promise.all([vasya, petya].map((page) => hub(page, 'open')));
  await Promise.all([decodesVideo(vasya), decodesVideo(petya), connected(vasya), connected(petya)]);
  await browser.close();
  await server.stop();
});

test('a call by name outlives the server too', async () => {
  const server = await startServer();
  const browser = await startBrowser();
  const [vasya, petya] = await Promise.all([browser.newPage(), browser.newPage()]);
  await openLobby(vasya, server.base, { user: 'vasya', secret: 'vasyas-secret', query: '?relay=1' });
  await openLobby(petya, server.base, { user: 'petya', secret: 'petyas-secret', query: '?relay=1' });
  await vasya.fill('#callee', 'petya');
  await vasya.click('#invite');
  await petya.click('#accept');
  await Promise.all([connected(vasya), connected(petya)]);
  await server.kill('SIGKILL');
  await server.start();
  await Promise.all([vasya, petya].map((page) => hub(page, 'open')));
  await Promise.all([decodesVideo(vasya), decodesVideo(petya), connected(vasya), connected(petya)]);
  await browser.close();
  await server.stop();
});
