// What a call holds on the server, counted there: at most four relays for each person once it has settled, none for a
// connection that nobody has come for, and none more after an outage.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { candidatePairs, decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** For each person in a settled call. */
const most = 4;
/** A connection made ahead is kept so long for somebody who does not come, and healing has so long to give back; seconds. */
const settled = 45;

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Record<string, Awaited<ReturnType<typeof startBrowser>>>} */ let browsers;

before(async () => {
  // By name there are two families, and beside the name there is an address: all four URLs.
  server = await startServer({ tls: true, config: { relay: { peers: 'any' } } });
  const [chromium, firefox] = await Promise.all([startBrowser({ caFile: server.caFile }), startBrowser({ kind: 'firefox', caFile: server.caFile })]);
  browsers = { chromium, firefox };
});
after(cleanup);

/** What there was before. */
let left = 0;

/** How many relays there are now, beside what there was before. The server's own proof of itself takes one for a moment. */
const held = async () => Math.max(0, await counted() - left);

async function counted() {
  const text = await (await fetch(`${server.admin}/metrics`)).text();
  return text.split('\n').filter((line) => line.startsWith('turnhub_relay_allocations{')).reduce((sum, line) => sum + Number(line.split(' ')[1]), 0);
}

const began = Date.now();
/** @param {string} what has happened */
async function note(what) {
  if (process.env.E2E_NOTES) console.log(`${((Date.now() - began) / 1000).toFixed(0)} s: ${what}, ${await held().catch(() => 'no')} relays`);
}

/** Waits until no more than so many are held, for at most so many seconds, and says how many it is. @param {number} wanted @param {number} seconds */
async function heldAfter(wanted, seconds) {
  const deadline = Date.now() + seconds * 1000;
  let now = await held();
  while (now > wanted && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 500)); // the pause of a poll, not a wait that must suffice
    now = await held();
  }
  return now;
}

for (const pair of ['chromium-chromium', 'chromium-firefox', 'firefox-chromium', 'firefox-firefox']) {
  for (const query of ['', '?relay=1']) {
    test(`${pair}${query}: a settled call, and one that has healed`, async () => {
      left = await counted(); // Firefox gives back nothing of a page that is closed: it runs out on the server
      const room = `held-${pair}${query.length}`;
      const [there, arriving] = await Promise.all(pair.split('-').map((kind) => browsers[kind].newPage()));
      await openLobby(there, server.base, { query, room });
      await note('in the lobby');
      assert.ok(await heldAfter(most, 5) <= most, `${await held()} in the lobby`);
      assert.equal(await heldAfter(0, 40), 0, 'nobody came');
      await note('nobody came');
      await join(there);
      await openLobby(arriving, server.base, { query, room });
      await join(arriving);
      const pages = [there, arriving];
      await Promise.all(pages.map((page) => connected(page)));
      await Promise.all(pages.map((page) => decodesVideo(page, { seconds: 1 })));
      await note('a picture');
      assert.ok(await heldAfter(2 * most, settled) <= 2 * most, `${await held()} in a settled call`);
      await note('settled');
      const [{ local }] = await candidatePairs(there);
      await server.kill('SIGKILL');
      await server.start();
      left = 0;
      await note('the server is back');
      await Promise.all(pages.map((page) => page.waitForSelector('body[data-hub=open]')));
      await Promise.all(pages.map((page) => decodesVideo(page, { seconds: 2 })));
      await note('healed');
      assert.ok(await heldAfter(2 * most, settled) <= 2 * most, `${await held()} after an outage, ${local} before it`);
      await note('settled');
      // What was given back was not needed.
      await Promise.all(pages.map((page) => decodesVideo(page, { seconds: 2 })));
      await Promise.all(pages.map((page) => page.context().close()));
    });
  }
}
