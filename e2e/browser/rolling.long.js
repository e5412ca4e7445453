// Three nodes are upgraded, one after the other, under calls of browsers: two who have nothing but the way through the WebSocket, on two nodes,
// Chromium with Firefox so, and two who meet at the relay. They talk and write all the time; nobody leaves.
import { after, before } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { startNats, startNodes, whole } from '../harness/nodes.js';
import { startSound } from '../harness/sound.js';
import { goesOn, meet, person, ring, talk } from './doors.js';
import { join } from './callpage.js';

/** @typedef {Awaited<ReturnType<typeof startBrowser>>} Browser */

/** @type {Awaited<ReturnType<typeof startNodes>>} */ let nodes;
/** @type {Browser} */ let chromium;
/** @type {Browser} */ let firefox;

before(async () => {
  if (!process.env.E2E_LONG) return;
  const nats = await startNats();
  nodes = await startNodes([[nats], [nats], [nats]]);
  chromium = await startBrowser({ fps: 5 });
  firefox = await startBrowser({ kind: 'firefox', fps: 5, sound: await startSound() });
});
after(cleanup);

const small = { viewport: { width: 480, height: 360 } };

/** Two in a room, each come to his own node. @param {string} room @param {Browser[]} by @param {Parameters<typeof person>[3]} ways */
async function inRoom(room, by, ways) {
  const pages = await Promise.all(by.map((browser, i) => person(browser, nodes[i].base, { name: `${room} ${i}`, room }, { ...ways, ...small })));
  for (const page of pages) await join(page);
  return pages;
}

async function byName() {
  const pages = await Promise.all(['anna', 'boris'].map((user, i) => person(chromium, nodes[i].base, { name: user, user, secret: `secret-of-${user}` }, { only: 'nothing', ...small })));
  await ring(pages, 'boris');
  return pages;
}

/** @type {{what: string, way: string, begin: () => Promise<import('playwright-core').Page[]>}[]} */
const calls = [
  { what: 'by name, through the WebSocket', way: 'through HTTPS', begin: byName },
  { what: 'Chromium and Firefox in a room, through the WebSocket', way: 'through HTTPS', begin: () => inRoom('both', [chromium, firefox], { only: 'nothing' }) },
  { what: 'in a room, through the relay', way: 'relayed over UDP', begin: () => inRoom('relayed', [chromium, chromium], { policy: 'relay', only: 'udp' }) },
];

/** @param {typeof calls} calls */
async function upgrade(calls) {
  const going = [];
  for (const { what, way, begin } of calls) {
    const pages = await begin();
    await meet(pages, way);
    going.push({ what, way, pages, quiet: await talk(pages) });
  }
  for (const [i, node] of nodes.entries()) {
    const since = Date.now();
    await node.kill('SIGTERM');
    await Promise.all(going.map(({ what, pages, way }) => goesOn(`node ${i} upgraded, ${what}`, pages, since, way)));
    await node.start();
    await whole(nodes);
  }
  for (const { what, quiet, pages } of going) {
    console.log(`${what}: ${await quiet()} messages`);
    await Promise.all(pages.map((page) => page.context().close()));
  }
}

for (const call of calls) long(`three nodes are upgraded one after the other under a call ${call.what}`, { timeout: 230_000 }, () => upgrade([call]));
long('three nodes are upgraded one after the other under two calls of Chromium at once', { timeout: 230_000 }, () => upgrade([calls[0], calls[2]]));
