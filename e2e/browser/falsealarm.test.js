// Nothing comes from somebody for about a second although nothing is lost: a browser that stands still, a busy machine, a relay that is
// silent. What stands in meanwhile is heard, and seen by nobody: the symbols that people compare stay, and so does the connection.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startBrowser } from '../harness/browser.js';
import { changesOf, countDoors, doorsOf, watchChanges } from '../harness/changes.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { decodesVideo, hearsSound } from '../harness/media.js';
import { processesBelow } from '../harness/processes.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';
import { compareKeys } from './deeds.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../harness/browser.js').Kind} Kind */
/** @typedef {Awaited<ReturnType<typeof startBrowser>>} Browser */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;

before(async () => { server = await startServer(); });
after(cleanup);

/** The processes of a browser that run its pages. @param {Browser} browser */
function renderers({ home }) {
  /** @param {number} pid @param {string} file */
  const read = (pid, file) => { try { return fs.readFileSync(`/proc/${pid}/${file}`, 'utf8'); } catch { return ''; } }; // gone meanwhile
  return [...processesBelow(process.pid)].filter(([, { name }]) => name !== 'turnhub').map(([pid]) => pid)
    .filter((pid) => /--type=renderer|\btab\b/.test(read(pid, 'cmdline')) && isBelow(pid, (parent) => read(parent, 'environ').split('\0').includes(`HOME=${home}`)));
}

/** @param {number} pid @param {(pid: number) => boolean} is @returns {boolean} */
function isBelow(pid, is) {
  for (let at = pid; at > 1; ) {
    if (is(at)) return true;
    try {
      at = Number(/\) \S (\d+)/.exec(fs.readFileSync(`/proc/${at}/stat`, 'utf8'))?.[1]);
    } catch {
      return false;
    }
  }
  return false;
}

/** @param {Browser} browser @param {number} ms */
async function standStill(browser, ms) {
  const all = renderers(browser);
  assert.ok(all.length, 'a page runs');
  for (const pid of all) process.kill(pid, 'SIGSTOP');
  await pause(ms);
  for (const pid of all) process.kill(pid, 'SIGCONT');
}

/** Keeps so many processors busy. @param {number} count @returns {() => void} */
function busy(count) {
  const loops = Array.from({ length: count }, () => spawn(process.execPath, ['-e', 'for (;;);']));
  const end = () => { for (const loop of loops) loop.kill('SIGKILL'); };
  onCleanup(end);
  return end;
}

/** What comes at a UDP port is passed on to the server's relay, and back; while `open` is false nothing is. */
async function startSilencer() {
  const front = dgram.createSocket('udp4'), way = { open: true, port: 0 };
  /** @type {Map<string, dgram.Socket>} */ const backs = new Map();
  front.on('message', (datagram, { port, address }) => {
    let back = backs.get(`${address} ${port}`);
    if (!back) {
      back = dgram.createSocket('udp4');
      back.on('message', (answer) => { if (way.open) front.send(answer, port, address); });
      backs.set(`${address} ${port}`, back);
    }
    if (way.open) back.send(datagram, server.ports.turn, '127.0.0.1');
  });
  front.bind(0, '127.0.0.1');
  await new Promise((resolve) => { front.once('listening', resolve); });
  onCleanup(() => { front.close(); for (const back of backs.values()) back.close(); });
  way.port = front.address().port;
  return way;
}

/** Two people who have compared their symbols. @param {[Kind, Kind]} kinds @param {string} room @param {number} [relay] the port of a relay that is to be used alone */
async function meet(kinds, room, relay) {
  const people = await Promise.all(kinds.map((kind) => startBrowser({ kind })));
  const pages = await Promise.all(people.map((browser) => browser.newPage(relay ? { policy: 'relay', only: 'udp' } : {})));
  for (const page of pages) {
    await countDoors(page);
    if (relay) {
      await page.addInitScript((port) => {
        const here = /** @type {any} */ (window), Native = RTCPeerConnection;
        const through = (/** @type {RTCConfiguration} */ config) => ({ ...config, iceServers: config?.iceServers?.map((each) => ({ ...each, urls: `turn:127.0.0.1:${port}?transport=udp` })) });
        here.RTCPeerConnection = class extends Native {
          /** @param {RTCConfiguration} config */ constructor(config) { super(through(config)); }
          /** @param {RTCConfiguration} config */ setConfiguration(config) { super.setConfiguration(through(config)); }
        };
      }, relay);
    }
    await openLobby(page, server.base, { room });
    await join(page);
  }
  await Promise.all(pages.flatMap((page) => [connected(page), decodesVideo(page), hearsSound(page)]));
  if (relay) await Promise.all(pages.map((page) => page.waitForSelector('.tile:not(.self)[data-path=relay-udp]')));
  else await Promise.all(pages.map((page) => page.waitForSelector('.tile:not(.self)[data-path=direct]')));
  const symbols = await compareKeys(pages);
  await pause(4000); // what a new call still looks for, and what is even
  await Promise.all(pages.map(watchChanges));
  return { people, pages, symbols };
}

/** @param {Awaited<ReturnType<typeof meet>>} call @returns {Promise<number>} how many sockets were opened for nothing */
async function unchanged({ people, pages, symbols }) {
  await pause(2000);
  for (const page of pages) {
    const changes = await changesOf(page);
    assert.equal(changes.length, 1, changes.join('\n'));
  }
  assert.equal(await compareKeys(pages), symbols);
  for (const page of pages) assert.equal(await page.evaluate(() => /** @type {any} */ (window).calls.filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState === 'connected').length), 1);
  await Promise.all(pages.flatMap((page) => [decodesVideo(page), hearsSound(page)]));
  const doors = (await Promise.all(pages.map(doorsOf))).reduce((sum, each) => sum + each, 0);
  await Promise.all(people.map((browser) => browser.close()));
  return doors;
}

test('a relay is silent for a moment', { timeout: 120_000 }, async () => {
  const way = await startSilencer(), call = await meet(['chromium', 'chromium'], 'silent', way.port);
  for (const ms of [800, 1500]) {
    way.open = false;
    await pause(ms);
    way.open = true;
    await pause(3000);
  }
  assert.ok(await unchanged(call) >= 2, 'sound had another way meanwhile');
});

long('a browser stands still for a moment', { timeout: 180_000 }, async () => {
  for (const kinds of /** @type {[Kind, Kind][]} */ ([['chromium', 'chromium'], ['chromium', 'firefox'], ['firefox', 'chromium']])) {
    const call = await meet(kinds, `still-${kinds.join('-')}`);
    for (const ms of [800, 1200, 1500]) {
      await standStill(call.people[0], ms);
      await pause(3500);
      await standStill(call.people[1], ms);
      await pause(3500);
    }
    console.log(`${kinds.join(' and ')}: ${await unchanged(call)} sockets in vain`);
  }
});

long('a busy machine', { timeout: 180_000 }, async () => {
  const call = await meet(['chromium', 'chromium'], 'busy');
  const end = busy(Number(process.env.E2E_BUSY ?? 8));
  await pause(45_000);
  end();
  console.log(`busy: ${await unchanged(call)} sockets in vain`);
});
