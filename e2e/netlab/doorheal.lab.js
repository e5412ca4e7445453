// The way through the WebSocket, broken as networks, proxies and servers break it, and the changes between it and WebRTC: how long
// nothing is heard and no picture moves, on either side. Times need an idle machine, so these are not part of make test:
// E2E_PAIR=firefox-chromium node --test netlab/doorheal.lab.js; E2E_RECORD=1 keeps the rows for docs/browsers.md.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { others, told } from '../harness/people.js';
import { pauses, perceive, perceives, speakTone } from '../harness/tone.js';
import { browsers } from './calls.js';
import { forgetConnections, newAddress } from './faults.js';
import { held } from './held.js';
import { otherBuilding, restartProxy } from './kinds.js';
import { orFailed, record } from './record.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('./calls.js').Caller} Caller */
/** @typedef {import('./kinds.js').Kind} Kind */
/** @typedef {import('playwright-core').Page} Page */

/** @type {import('./lab.js').Lab} */ let lab;
/** @type {Awaited<ReturnType<typeof import('./host.js').startHost>>} */ let server;
const { start, callerIn } = held();
let rooms = 0;

before(async () => { ({ lab, server } = await start()); });

/** A call in which both speak all the time. @param {[Kind, Kind]} kinds @param {string} way what the tile says @param {import('../harness/observe.js').Narrowing} [narrowing] */
async function call(kinds, way, narrowing = {}) {
  const site = turnhubSite(server.base), room = `doorheal-${rooms++}`, people = [await callerIn(kinds[0], 0), await callerIn(kinds[1], 1)];
  const pages = await Promise.all(people.map(({ browser }) => browser.newPage({ clean: true, ...narrowing })));
  for (const [i, page] of pages.entries()) {
    await speakTone(page);
    await site.open(page, room, people[i].client.port);
    await site.join(page);
    await site.joined(page);
  }
  await Promise.all(pages.map(async (page) => { await told(page, way); await perceive(page, others); await perceives(page, 3000); }));
  return { pages, people };
}

/** What both sides missed since a moment, for the table. @param {string} what @param {Page[]} pages @param {number} since */
async function missed(what, pages, since) {
  const each = await Promise.all(pages.map((page) => pauses(page, since))), most = (/** @type {number[]} */ all) => Math.max(...all);
  const silence = most(each.map((one) => one.silence)), still = most(each.map((one) => one.still)), seconds = (/** @type {number} */ ms) => (ms / 1000).toFixed(1);
  console.log(`${browsers.join(' – ')}, ${what}: silence of ${each.map((one) => one.silence.toFixed(0)).join(' and ')} ms, over after ${each.map((one) => one.over).join(' and ')} ms; no picture for ${each.map((one) => one.still).join(' and ')} ms; pauses ${JSON.stringify(each.map(({ all }) => all.map(({ at, ms }) => [at - since, Math.round(ms)])))}; load ${os.loadavg()[0].toFixed(0)}`);
  for (const page of pages) console.log(JSON.stringify((await page.evaluate(() => /** @type {any} */ (window).trace ?? [])).map(([at, ...rest]) => [at - since, ...rest]).filter(([at]) => at > -500)));
  record('door', [what, `${seconds(silence)} s, ${seconds(still)} s`]);
  return silence;
}

/** The program that `labtool hold` runs, whichever thread has started it. */
function turnhub() {
  const [pid] = fs.readdirSync(`/proc/${server.pid}/task`).flatMap((task) => fs.readFileSync(`/proc/${server.pid}/task/${task}/children`, 'utf8').split(' ').map(Number)).filter(Boolean);
  assert.ok(pid, 'it runs');
  return pid;
}

/** Nothing comes through the router's line, to the proxy on it neither. @param {string} router */
async function offline(router) {
  await lab.sh(`ip netns exec $${router} nft -f - <<'END'
    table inet gone {
      chain input { type filter hook input priority -10; iifname "wan" drop; }
      chain output { type filter hook output priority -10; oifname "wan" drop; }
    }
END`);
  await pause(8000);
  await lab.sh(`ip netns exec $${router} nft delete table inet gone`);
}

/** What happens, and what is done once the call has been measured. @type {[string, (people: Caller[]) => Promise<void | boolean | (() => Promise<unknown>)>][]} */
const faults = [
  ['the server is killed', async () => process.kill(server.pid ?? 0, 'SIGUSR1')],
  ['the proxy is restarted', ([{ client }]) => restartProxy(lab, client)],
  ['the line gets another address', ([{ client }]) => newAddress(lab, client)],
  ['both lines get another address', async (people) => void (await Promise.all(people.map(({ client }) => newAddress(lab, client))))],
  ['connections to the proxy are forgotten', async ([{ client }]) => {
    await forgetConnections(lab, client);
    return () => lab.sh(`ip netns exec $${client.router} nft delete table inet forgotten`);
  }],
  ['8 s offline', async ([{ client }]) => {
    await offline(client.router);
    return () => restartProxy(lab, client); // squid answers 503 for a while, to the next test's pages too
  }],
  ['one goes to another building', async ([, { client }]) => (await otherBuilding(lab, client, 90, server.caFile ?? ''))()],
];
for (const [fault, happens] of faults) {
  test(fault, { timeout: 180_000 }, () => orFailed('door', [fault], async () => {
    const { pages, people } = await call(['inspected', 'inspected'], 'through HTTPS');
    const since = Date.now();
    const done = await happens(people);
    await Promise.all(pages.map(async (page) => { await perceives(page, 5000); await told(page, 'through HTTPS'); }));
    await missed(fault, pages, since);
    if (typeof done === 'function') await done();
  }));
}

const cut = 'the proxy cuts each socket after a minute';
test(cut, { timeout: 300_000 }, () => orFailed('door', [cut], async () => {
  const { pages } = await call(['inspected', 'inspected-cutting'], 'through HTTPS');
  const since = Date.now();
  await pause(130_000); // each socket of the call has been cut twice
  await Promise.all(pages.map(async (page) => { await perceives(page, 3000); await told(page, 'through HTTPS'); }));
  await missed(cut, pages, since);
}));

/**
 * The last path of one of the two, of WebRTC: what is dropped in which of his namespaces. Those without a router, as Firefox finds the way through two in its own
 * time, and with its relays alone. Over TCP it goes silent without a word, as a line does for a moment that has become narrow.
 * @type {{of: string, kind: Kind, only: 'udp' | 'tcp', way: string, where: 'name' | 'router', drops: string}[]}
 */
const lasts = [
  { of: 'WebRTC', kind: 'open', only: 'udp', way: 'direct', where: 'name', drops: `
      chain input { type filter hook input priority -10; udp dport != 53 udp sport != 53 drop; }
      chain output { type filter hook output priority -10; udp dport != 53 udp sport != 53 drop; }` },
  { of: 'WebRTC, over TCP,', kind: 'udp-blocked', only: 'tcp', way: 'over TCP', where: 'router', drops: `
      chain forward { type filter hook forward priority -10; tcp dport 3478 drop; tcp sport 3478 drop; }` },
];
for (const { of, kind, only, way, where, drops } of lasts) {
  test(`from ${of} through the door, and back`, { timeout: 240_000 }, async () => {
    const { pages, people: [{ client }] } = await call([kind, kind], way, { only }), space = client[where];
    await pause(5000);
    const parted = Date.now();
    await lab.sh(`ip netns exec $${space} nft -f - <<'END'
    table inet gone {${drops}
    }
END`);
    await Promise.all(pages.map(async (page) => { await told(page, 'through HTTPS'); await perceives(page, 5000); }));
    const away = await missed(`the last path of ${of} is lost`, pages, parted), freed = Date.now();
    await lab.sh(`ip netns exec $${space} nft delete table inet gone`);
    await Promise.all(pages.map(async (page) => { await told(page, way); await perceives(page, 7000); })); // the sockets are given back
    const back = await missed(`a path of ${of} appears`, pages, freed);
    assert.ok(Math.max(away, back) < 2000, `silence of ${away} and ${back} ms (aim 1000)`);
  });
}

const upgraded = 'the server is upgraded in place';
test(upgraded, { timeout: 180_000 }, () => orFailed('door', [upgraded], async () => {
  const { pages } = await call(['inspected', 'inspected'], 'through HTTPS');
  const since = Date.now();
  process.kill(turnhub(), 'SIGUSR2');
  await pause(15_000); // what the old process carries has ended
  await Promise.all(pages.map(async (page) => { await perceives(page, 3000); await told(page, 'through HTTPS'); }));
  await missed(upgraded, pages, since);
}));
