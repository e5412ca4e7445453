// Who waits in the lobby is connected already, without anybody seeing, hearing or learning an address.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { candidatePairs, decodesVideo, firstFrame } from '../harness/media.js';
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

/** A page, and every signaling message that it gets. */
async function listeningPage() {
  const page = await browser.newPage();
  /** @type {any[]} */
  const heard = [];
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => heard.push(JSON.parse(String(payload)))));
  return { page, heard };
}

/** The states of the page's connections that carry something or could. @param {Page} page @returns {Promise<string[]>} */
const connections = (page) => page.evaluate(() => /** @type {any} */ (window).calls
  .filter((/** @type {RTCPeerConnection} */ pc) => pc.connectionState !== 'closed' && pc.currentRemoteDescription)
  .map((/** @type {RTCPeerConnection} */ pc) => pc.connectionState));

/** Waits until the page has exactly these connections with others. @param {Page} page @param {string[]} states */
async function untilConnections(page, states) {
  const until = Date.now() + 20_000;
  let now = '';
  do {
    now = (await connections(page)).join();
    if (now === states.join()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  } while (Date.now() < until);
  assert.equal(now, states.join());
}

/** What a page has got and knows of the other's media and addresses. @param {Page} page */
const known = (page) => page.evaluate(async () => {
  let bytes = 0;
  const remote = [];
  for (const pc of /** @type {any} */ (window).calls) {
    for (const entry of (await /** @type {any} */ (window).statsOf(pc)).values()) {
      if (entry.type === 'inbound-rtp') bytes += entry.bytesReceived;
      if (entry.type === 'remote-candidate') remote.push(entry.candidateType);
    }
  }
  return { bytes, remote, frames: /** @type {any} */ (window).firstFrames.length };
});

test('the lobby: connected through the relay, and nothing to see, hear or learn before the click', async () => {
  const [there, comes] = await Promise.all([listeningPage(), listeningPage()]);
  await openLobby(there.page, server.base, { room: 'warm', name: 'Vasya' });
  await openLobby(comes.page, server.base, { room: 'warm', name: 'Petya' });
  await Promise.all([comes, there].map(({ page }) => untilConnections(page, ['connected'])));
  await join(there.page);

  for (const { page, heard } of [there, comes]) {
    assert.doesNotMatch(JSON.stringify(heard.filter(({ type }) => type !== 'welcome' && type !== 'config')), /typ (host|srflx|prflx)|raddr (?!0\.0\.0\.0)|Petya|Vasya/);
    const { bytes, remote, frames } = await known(page);
    assert.equal(bytes, 0);
    assert.equal(frames, 0);
    assert.deepEqual([...new Set(remote)].filter((type) => type !== 'relay' && type !== 'prflx'), []);
  }
  assert.ok(there.heard.some(({ type }) => type === 'lobby-peer'));
  assert.equal(await there.page.locator('.tile:not(.self)').count(), 0);
  assert.equal(await there.page.getAttribute('body', 'data-state'), 'waiting');

  await join(comes.page);
  await Promise.all([firstFrame(comes.page), firstFrame(there.page)]);
  await Promise.all([connected(comes.page), connected(there.page)]);
  // The connection of the lobby is the one of the call, and goes over to the direct path. On a machine that stood still another
  // one may have taken its place, and it is kept for two seconds.
  for (const { page } of [there, comes]) {
    await page.waitForSelector('.tile:not(.self)[data-path=direct]');
    await untilConnections(page, ['connected']);
  }
  await Promise.all([decodesVideo(comes.page), decodesVideo(there.page)]);
  const [pair] = await candidatePairs(comes.page);
  assert.deepEqual([pair.local, pair.remote].includes('relay'), false);
  assert.equal(await there.page.textContent('.tile:not(.self) .name'), 'Petya');
  await Promise.all([there, comes].map(({ page }) => page.context().close()));
});

long('the lobby: who came later joins first', async () => {
  const [early, late] = await Promise.all([browser.newPage(), browser.newPage()]);
  await openLobby(early, server.base, { room: 'order' });
  await openLobby(late, server.base, { room: 'order' });
  await Promise.all([early, late].map((page) => untilConnections(page, ['connected'])));
  await join(late);
  await join(early);
  await Promise.all([early, late].flatMap((page) => [connected(page), decodesVideo(page)]));
  await Promise.all([early, late].map((page) => page.context().close()));
});

test('the lobby: a network that changes while the offer is made', async () => {
  const page = await browser.newPage();
  await page.addInitScript(() => {
    const { setLocalDescription } = RTCPeerConnection.prototype;
    let changed = false;
    RTCPeerConnection.prototype.setLocalDescription = function (...args) {
      const set = Reflect.apply(setLocalDescription, this, args);
      if (!changed) queueMicrotask(() => /** @type {any} */ (navigator).connection.dispatchEvent(new Event('change')));
      changed = true;
      return set;
    };
  });
  await openLobby(page, server.base, { room: 'changing' });
  await page.context().close();
});

test('the lobby: no offer coaxes an address out of a host', async () => {
  const [there, stranger] = await Promise.all([browser.newPage(), browser.newPage()]);
  await openLobby(there, server.base, { room: 'coaxed' });
  await join(there);
  await stranger.goto(server.base);
  const heard = await stranger.evaluate(async () => {
    const client = '/client/turnhub.js';
    const { Hub } = await import(client);
    const hub = new Hub();
    await hub.connect();
    const pc = new RTCPeerConnection();
    // The host would rather send too, so once this is answered its own side wants to negotiate.
    pc.addTransceiver('audio', { direction: 'sendonly' });
    await pc.setLocalDescription();
    /** @type {any[]} */
    const signals = [];
    hub.on('signal', ({ data }) => signals.push(data));
    await hub.lobby('coaxed', { description: pc.localDescription });
    await new Promise((resolve) => setTimeout(resolve, 4000));
    hub.close();
    return signals;
  });
  assert.ok(heard.some(({ description }) => description?.type === 'answer'));
  assert.doesNotMatch(JSON.stringify(heard), /typ (host|srflx|prflx)|raddr (?!0\.0\.0\.0)/);
  await Promise.all([there, stranger].map((page) => page.context().close()));
});

long('the lobby: who goes, and a host who goes', async () => {
  const [first, second, comes] = await Promise.all([browser.newPage(), browser.newPage(), browser.newPage()]);
  await openLobby(first, server.base, { room: 'hosts' });
  await join(first);
  await openLobby(second, server.base, { room: 'hosts' });
  await join(second);
  await Promise.all([connected(first), connected(second)]);
  await openLobby(comes, server.base, { room: 'hosts' });
  await untilConnections(first, ['connected', 'connected']);
  await untilConnections(second, ['connected']);

  await first.click('#hang-up');
  await untilConnections(second, ['connected']); // the visitor's, in place of the one that has ended
  await untilConnections(comes, ['connected']);
  await join(comes);
  await Promise.all([connected(comes), connected(second), decodesVideo(comes), decodesVideo(second)]);

  const third = await browser.newPage();
  await openLobby(third, server.base, { room: 'hosts' });
  await untilConnections(second, ['connected', 'connected']);
  await third.context().close();
  await untilConnections(second, ['connected']);
  await Promise.all([first, second, comes].map((page) => page.context().close()));
});
