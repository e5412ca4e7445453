// Running calls are broken in every way that networks and servers break them, and have to come back by themselves.
// The times are told in a table beside what we aim at; what is asserted is that the video comes back.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo, pairInUse } from '../harness/media.js';
import { browsers, connectCall, startCaller } from './calls.js';
import { cutTunnels, loss, newAddress, offline, resetConnections, secondNetwork } from './faults.js';
import { heal, healingTable } from './heal.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { orFailed } from './record.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('./calls.js').Caller} Caller */

/** @type {Lab} */
let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */
let server;
/** @type {Map<Path, Promise<[Caller, Caller]>>} */
const callers = new Map();
/** @type {import('./heal.js').Healing[]} */
const healings = [];
/** @type {string[]} */
const setUps = [];
let rooms = 0;

/** The calls by what carries them, and the kind of both networks. */
const paths = /** @type {const} */ ({ direct: 'open', cone: 'cone', 'UDP relay': 'symmetric', 'TLS relay': 'tls-443', proxy: 'proxy' });

/** @typedef {keyof typeof paths} Path */

before(async () => {
  lab = await Lab.create();
  server = await startHost(lab);
});
afterEach(hangUp);
after(async () => {
  if (healings.length) console.log(healingTable(healings));
  if (setUps.length) console.log(setUps.join('\n'));
  await cleanup();
});

/**
 * Both ends of the calls over a path, started when they are needed first. Of a new encoder Chromium leaves out up to four pictures:
 * of a camera with five a second these would be told as the network's.
 * @param {Path} path
 */
function callersOf(path) {
  let pair = callers.get(path);
  if (!pair) {
    const first = 2 * Object.keys(paths).indexOf(path) + 1;
    const starting = browsers.map(async (kind, side) => startCaller(await addClient(lab, paths[path], first + side), server.caFile ?? '', { kind, fps: 15 }));
    pair = /** @type {Promise<[Caller, Caller]>} */ (Promise.all(starting));
    callers.set(path, pair);
  }
  return pair;
}

/** Connects a call over a path. @param {Path} path */
async function call(path) {
  const [there, arriving] = await callersOf(path);
  const { page, pageThere, first } = await connectCall(turnhubSite(server.base), there, arriving, `heal-${rooms++}`);
  return { first, pages: [page, pageThere], there: there.client, arrived: arriving.client };
}

/** Ends every call. */
async function hangUp() {
  const all = (await Promise.all(callers.values())).flat();
  const contexts = all.flatMap(({ browser }) => browser.browser.contexts());
  await Promise.all(contexts.map((context) => context.close()));
}

/**
 * Breaks calls over some paths and notes how they healed.
 * @param {string} what
 * @param {Partial<Record<Path, number>>} aims paths, and after how many milliseconds video should be back
 * @param {(calls: Awaited<ReturnType<typeof call>>[]) => Promise<number | void>} breakIt
 */
async function broken(what, aims, breakIt) {
  const names = /** @type {Path[]} */ (Object.keys(aims));
  const calls = [];
  for (const name of names) calls.push(await orFailed('faults', [`${what}, ${name}`], () => call(name)));
  const watched = calls.map(({ pages }, index) => ({ name: names[index], pages, aim: aims[names[index]] ?? 0 }));
  healings.push(...(await heal(what, watched, () => breakIt(calls))));
}

/** Kills the server, and starts it again after two seconds. Returns when. */
async function killServer() {
  await server.kill('SIGKILL');
  await pause(2000);
  const restarted = Date.now();
  await server.start();
  return restarted;
}

// One call at a time: two would compete for the machine's two cores, and that time would be told as the network's.

/** The pair in use once it leads through no relay: with Firefox a call begins on one. @param {import('playwright-core').Page} page */
async function direct(page) {
  for (const deadline = Date.now() + 10_000; ; await pause(200)) {
    const pair = await pairInUse(page);
    if (pair.local !== 'relay' && pair.remote !== 'relay') return pair;
    assert.ok(Date.now() < deadline, `not direct after 10 s: ${JSON.stringify(pair)}`);
  }
}

test('the server is killed and started again after two seconds: direct', async () => {
  await broken('server killed', { direct: 0 }, async ([{ pages }]) => {
    await Promise.all(pages.map((page) => decodesVideo(page, { seconds: 2 })));
    const before = await direct(pages[0]);
    const restarted = await killServer();
    await decodesVideo(pages[0], { seconds: 2 });
    assert.deepEqual(await pairInUse(pages[0]), before, 'a direct call does not notice');
    return restarted;
  });
});

for (const [path, limit] of /** @type {[Path, number][]} */ ([['UDP relay', 2000], ['TLS relay', 3000], ['proxy', 3000]])) {
  test(`the server is killed and started again after two seconds: ${path}`, async () => {
    await broken('server killed', { [path]: limit }, killServer);
  });
}

test('the firewall cuts every connection: TLS relay', async () => {
  await broken('connections cut', { 'TLS relay': 1000 }, ([{ arrived }]) => resetConnections(lab, arrived));
});

test('the proxy cuts every connection', async () => {
  await broken('connections cut', { proxy: 1000 }, ([{ arrived }]) => cutTunnels(lab, arrived));
});

for (const path of /** @type {Path[]} */ (['cone', 'UDP relay', 'TLS relay'])) {
  test(`a router takes a new address and forgets its mappings: ${path}`, async () => {
    await broken('new address', { [path]: 4000 }, ([{ arrived }]) => newAddress(lab, arrived));
  });

  test(`eight seconds offline: ${path}`, async () => {
    await broken('8 s offline', { [path]: 3000 }, async ([{ arrived }]) => {
      await offline(lab, arrived, 8000);
      return Date.now();
    });
  });
}

for (const [index, path] of /** @type {Path[]} */ (['cone', 'TLS relay']).entries()) {
  test(`a client moves to another network: ${path}`, async () => {
    const move = await secondNetwork(lab, (await callersOf(path))[1].client, 31 + index);
    await broken('other network', { [path]: 4000 }, move);
  });
}

for (const path of /** @type {Path[]} */ (['UDP relay', 'TLS relay', 'proxy'])) {
  test(`calls begin on networks that lose packets: ${path}`, async () => {
    const clients = (await callersOf(path)).map(({ client }) => client);
    for (const percent of [5, 10, 20]) {
      for (const client of clients) await loss(lab, client, percent);
      const { first } = await call(path);
      setUps.push(`${percent} % of the packets lost on both lines, ${path}: first remote frame after ${first} ms`);
      await hangUp();
    }
    for (const client of clients) await loss(lab, client, 0);
  });
}
