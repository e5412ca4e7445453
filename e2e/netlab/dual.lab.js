// Calls between networks that have both families: IPv4 behind a router of each kind, IPv6 straight behind a stateful firewall.
// IPv6 without a relay is the best path, whatever the routers do to IPv4. Then the firewall closes in the middle of the call,
// and opens again. The times are told beside what we aim at; what is asserted is the path, and that the video comes back.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { candidatePairs, decodesVideo } from '../harness/media.js';
import { browsers, connectCall, startCaller } from './calls.js';
import { closeIPv6 } from './faults.js';
import { heal, healingTable } from './heal.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { orFailed, record } from './record.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('./kinds.js').Kind} Kind */

/** @type {Lab} */
let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */
let server;
/** @type {Map<string, Promise<import('./calls.js').Caller>>} */
const callers = new Map();
/** @type {import('./heal.js').Healing[]} */
const healings = [];
const rows = ['| networks | first frame | on the best path after | pair, who was there | pair, who came |', '|---|--:|--:|---|---|'];
let rooms = 0;

before(async () => {
  lab = await Lab.create();
  server = await startHost(lab);
});
afterEach(async () => {
  for (const { browser } of await Promise.all(callers.values())) await Promise.all(browser.browser.contexts().map((context) => context.close()));
});
after(async () => {
  console.log(rows.join('\n'));
  if (healings.length) console.log(healingTable(healings));
  await cleanup();
});

/** @param {Kind} kind @param {number} side */
function callerOf(kind, side) {
  const key = `${kind} ${side}`;
  let caller = callers.get(key);
  if (!caller) {
    caller = addClient(lab, kind, callers.size + 1).then((client) => startCaller(client, server.caFile ?? '', { kind: browsers[side], fps: 10 }));
    callers.set(key, caller);
  }
  return caller;
}

/** What a path is, read off the pair in use: "IPv6", "IPv4", or "relay", where it passes one. */
const pathOf = (/** @type {import('../harness/media.js').CandidatePair | undefined} */ pair) => {
  if (!pair) return 'none';
  if (pair.local === 'relay' || pair.remote === 'relay') return 'relay';
  // Firefox gives its own address as a name of mDNS.
  return [pair.localAddress, pair.remoteAddress].some((address) => address.split(':').length > 2) ? 'IPv6' : 'IPv4';
};

/** Whether a path is the one that is wanted, or as good: where either family leads straight, Firefox stays on the one that was there first. @param {string} path @param {string} wanted @param {Kind[]} kinds */
const isBest = (path, wanted, kinds) => path === wanted || (path === 'IPv4' && browsers.includes('firefox') && kinds.length > 0 && kinds.every((kind) => kind === 'dual-cone'));

/**
 * Waits until both pages are on a path of a kind, and says how long that took.
 * @param {Page[]} pages @param {string} path @param {number} since milliseconds since 1970 @param {Kind[]} [kinds]
 */
async function settlesOn(pages, path, since, kinds = []) {
  for (const deadline = Date.now() + 30_000; ; ) {
    const pairs = (await Promise.all(pages.map(candidatePairs))).map((all) => all.at(-1));
    if (pairs.every((pair) => isBest(pathOf(pair), path, kinds))) return { after: Date.now() - since, pairs };
    assert.ok(Date.now() < deadline, `not on ${path}: ${JSON.stringify(pairs)}`);
    await decodesVideo(pages[0], { seconds: 1 });
  }
}

/** @param {Kind} a who is there @param {Kind} b who comes @param {string} path */
async function call(a, b, path) {
  const [there, arriving] = await Promise.all([callerOf(a, 0), callerOf(b, 1)]);
  const { page, pageThere, click, first } = await connectCall(turnhubSite(server.base), there, arriving, `dual-${rooms++}`);
  const pages = [pageThere, page];
  await Promise.all(pages.map((each) => decodesVideo(each)));
  const settled = await settlesOn(pages, path, click, [a, b]);
  const words = settled.pairs.map((pair) => `${pair?.local} ${pair?.localAddress} – ${pair?.remote} ${pair?.remoteAddress}`);
  const [, mine] = settled.pairs;
  record('calls', [`${a} – ${b}`, `${path === 'relay' ? path : `${pathOf(mine)} straight`}: ${mine?.local} – ${mine?.remote}, ${(first / 1000).toFixed(1)} s`]);
  rows.push(`| ${a} – ${b} | ${first} ms | ${settled.after} ms | ${words.join(' | ')} |`);
  return { pages, client: arriving.client };
}

/** Who calls whom, and what is best there. @type {[Kind, Kind, string][]} */
const calls = [
  ['dual-symmetric', 'dual-symmetric', 'IPv6'],
  ['dual-cone', 'dual-symmetric', 'IPv6'],
  ['dual-udp-blocked', 'dual-tls-443', 'IPv6'],
  ['dual-cone', 'dual-cone', 'IPv6'],
  ['dual-symmetric', 'ipv6', 'IPv6'],
  ['dual-cone', 'cone', 'IPv4'],
  ['dual-symmetric', 'symmetric', 'relay'],
];

for (const [a, b, path] of calls) {
  test(`${a} with ${b}: ${path}`, () => orFailed('calls', [`${a} – ${b}`], async () => void (await call(a, b, path))));
}

/** What remains where nothing of IPv6 passes. @type {[Kind, string][]} */
const without = [['dual-cone', 'IPv4'], ['dual-symmetric', 'relay'], ['dual-tls-443', 'relay']];

for (const [kind, path] of without) {
  for (const what of /** @type {const} */ (['UDP', 'everything'])) {
    test(`the firewall closes for ${what} of IPv6, and opens again: ${kind}`, async () => {
      const { pages, client } = await call(kind, kind, 'IPv6');
      let open = async () => {};
      healings.push(...(await heal(`no ${what} of IPv6`, [{ name: kind, pages, aim: 4000 }], async () => { open = await closeIPv6(lab, client, what); })));
      await settlesOn(pages, path, Date.now());
      let opened = 0;
      const again = () => {
        opened = Date.now();
        return open();
      };
      healings.push(...(await heal(`${what} of IPv6 again`, [{ name: kind, pages, aim: 0 }], again)));
      const { after } = await settlesOn(pages, 'IPv6', opened, [kind, kind]);
      rows.push(`| ${kind}, ${what} of IPv6 again | | ${after} ms | | |`);
    });
  }
}
