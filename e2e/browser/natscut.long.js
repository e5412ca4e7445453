// Three nodes and three NATS servers by deploy/cluster, under a call from one node to another. Each server dies in turn; and the one stands still
// that is all of NATS that one node knows, so that this node is alone while calls go on and new ones begin on either side.
import assert from 'node:assert/strict';
import { afterEach } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { alive, startNatsCluster, startNodes, whole } from '../harness/nodes.js';
import { screenshot } from '../harness/screenshot.js';
import { comings, goesOn, meet, noteComings, person, ring, talk } from './doors.js';
import { join } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

afterEach(cleanup);

const pause = (/** @type {number} */ ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** @param {boolean} own each node knows one server, and no other */
async function start(own) {
  const nats = await startNatsCluster(3, own), nodes = await startNodes(nats.map((server) => (own ? [server] : nats)));
  await whole(nodes);
  const browser = await startBrowser({ fps: 5 });
  /** A call by name from the first node to the second. @param {string} name @param {Parameters<typeof person>[3]} ways @param {string} way */
  const across = async (name, ways, way) => {
    const users = [`anna-${name}`, `boris-${name}`];
    const pages = await Promise.all(users.map((user, i) => person(browser, nodes[i].base, { name: user, user, secret: `secret-of-${user}` }, ways)));
    await ring(pages, users[1]);
    await meet(pages, way);
    return { pages, quiet: await talk(pages) };
  };
  return { nats, nodes, browser, across };
}

long('each of three NATS servers is killed in turn', { timeout: 230_000 }, async () => {
  const { nats, nodes, across } = await start(false);
  const calls = [{ what: 'through the WebSocket', way: 'through HTTPS', ...await across('door', { only: 'nothing' }, 'through HTTPS') },
    { what: 'direct', way: 'direct', ...await across('direct', {}, 'direct') }];
  for (const [i, server] of nats.entries()) {
    const since = Date.now();
    await server.kill();
    await Promise.all(calls.map(({ what, way, pages }) => goesOn(`NATS server ${i} of three killed, ${what}`, pages, since, way)));
    server.start();
    await pause(3000); // it has what the others have
    await whole(nodes);
  }
  for (const { what, quiet } of calls) console.log(`${what}: ${await quiet()} messages`);
});

/** @param {Page} page @param {number} count of others who are seen */
const surrounded = async (page, count) => {
  await page.waitForFunction((count) => document.querySelectorAll('.tile[data-state=connected]').length === count && document.querySelectorAll('.tile:not(.self)').length === count, count, { timeout: 60_000, polling: 50 });
  return Date.now();
};

long('a node is alone for 20 s: calls go on, new ones begin on both sides, and rooms become one', { timeout: 230_000 }, async () => {
  const { nats, nodes, browser, across } = await start(true);
  const { pages, quiet } = await across('cut', {}, 'direct'), since = Date.now();
  nats[1].freeze();
  await Promise.all([alive(nodes[0], 2), alive(nodes[1], 1), alive(nodes[2], 2)]);
  const cut = Date.now();
  /** @type {Page[]} */ const split = [];
  for (const [i, at] of [0, 1, 0, 1].entries()) {
    const page = await person(browser, nodes[at].base, { name: `${i}`, room: 'split' }, {});
    await page.click('#lobby-video'); // four pictures more are too many for a small machine
    await join(page);
    split.push(page);
  }
  await Promise.all(split.map((page) => surrounded(page, 1)));
  await Promise.all(split.map(noteComings));
  await pause(Math.max(0, cut + 20_000 - Date.now()));
  await goesOn('a node without NATS, a direct call to another node', pages, since, 'direct');
  const back = Date.now();
  nats[1].thaw();
  const connected = await Promise.all(split.map((page) => surrounded(page, 3)));
  const seen = await Promise.all(split.map(async (page) => (await comings(page)).map(([came, left, at]) => `+${came} -${left} ${at - back}`)));
  console.log(`a room begun on both sides, after NATS is back: who comes and goes ${seen.join(' | ')} ms, all are connected ${connected.map((at) => at - back).join(', ')} ms`);
  await whole(nodes);
  await screenshot(split[0], 'natscut-one-room');
  for (const page of split) assert.deepEqual((await comings(page)).map(([came, left]) => [came, left]), [[1, 0], [1, 0]]);
  await goesOn('NATS is back, a direct call to another node', pages, back, 'direct');
  console.log(`${await quiet()} messages`);
});
