// The best path that the two networks allow: in use 5 s after the click, and 10 s after a better one has come, without a
// missing second of sound and with pictures in every second. For every two browsers by `make browsers`; E2E_PAIR chooses.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { cleanup } from '../harness/cleanup.js';
import { candidatePairs, decodesVideo } from '../harness/media.js';
import { browsers, connectCall, startCaller } from './calls.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { orFailed, record } from './record.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('./calls.js').Caller} Caller */

/** Milliseconds from the click, and from when a better path has come. */
const atFirst = 5000, again = 10_000;

/** The best path of a network that calls its like: what leads to the other side, or to the relay. */
const best = /** @type {const} */ ({ open: 'direct', cone: 'direct', symmetric: 'relay-udp', 'udp-blocked': 'relay-tcp', 'tls-443': 'relay-tls' });

/** @type {Lab} */ let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */ let server;
/** @type {Caller[]} */ let callers = [];
let clients = 0;

before(async () => {
  lab = await Lab.create();
  server = await startHost(lab);
});
afterEach(async () => {
  await Promise.all(callers.map(({ browser }) => browser.close()));
  callers = [];
});
after(cleanup);

/** @param {keyof typeof best} kind @returns {Promise<Caller[]>} */
async function callersOf(kind) {
  callers = await Promise.all(browsers.map(async (browser) => startCaller(await addClient(lab, kind, ++clients), server.caFile ?? '', { kind: browser, fps: 10 })));
  return callers;
}

/** The path of a page, by the pair of candidates in use. @param {Page} page */
async function pathOf(page) {
  // Of two connections the newer takes the other's place.
  const pair = (await candidatePairs(page)).at(-1);
  if (!pair) return '';
  if (pair.local !== 'relay') return pair.remote === 'relay' ? 'relay-udp' : 'direct';
  // One relay is enough where its ports can be reached: over UDP they can.
  return `relay-${pair.relayProtocol || 'udp'}${pair.remote === 'relay' && (pair.relayProtocol || 'udp') === 'udp' ? ' twice' : ''}`;
}

/** Waits for a path until a moment, and says which it is then. @param {Page} page @param {string} wanted @param {number} until milliseconds since 1970 */
async function pathUntil(page, wanted, until) {
  let path = await pathOf(page);
  while (path !== wanted && Date.now() < until) {
    await pause(100);
    path = await pathOf(page);
  }
  return path;
}

/** From now on counts what comes: packets of sound, and pictures. @param {Page} page */
function watchMedia(page) {
  return page.evaluate(() => {
    const watched = /** @type {any} */ (window);
    watched.arrived = [];
    const look = async () => {
      const at = performance.now();
      let sound = 0, pictures = 0;
      for (const call of watched.calls) {
        if (call.connectionState === 'closed') continue;
        for (const stat of (await watched.statsOf(call)).values()) {
          if (stat.type !== 'inbound-rtp') continue;
          if (stat.kind === 'audio') sound += stat.packetsReceived;
          else pictures += stat.framesDecoded ?? 0;
        }
      }
      watched.arrived.push({ at, sound, pictures });
    };
    watched.looking = setInterval(look, 200);
  });
}

/** The longest time in which no sound came, and no picture was decoded; milliseconds. @param {Page} page */
function longestGaps(page) {
  return page.evaluate(() => {
    const { arrived, looking } = /** @type {any} */ (window);
    clearInterval(looking);
    const gap = (/** @type {'sound' | 'pictures'} */ what) => {
      let since = arrived[0].at, longest = 0;
      for (const [i, each] of arrived.entries()) {
        // What a replaced connection had counted is gone with it: another number is news as well.
        if (i && each[what] !== arrived[i - 1][what]) since = each.at;
        longest = Math.max(longest, each.at - since);
      }
      return longest;
    };
    return { sound: gap('sound'), pictures: gap('pictures') };
  });
}

for (const [kind, wanted] of /** @type {[keyof typeof best, string][]} */ (Object.entries(best))) {
  for (const lobby of [true, false]) {
    const name = `${kind}, ${lobby ? 'with' : 'without'} the lobby's connection: ${wanted} 5 s after the click`;
    test(name, () => orFailed('best', [name], async () => {
      const [there, arriving] = await callersOf(kind);
      const site = turnhubSite(server.base), room = `best-${clients}`;
      // Who comes has looked into the mirror before another room.
      const { open } = site;
      if (!lobby) {
        site.open = async (page, _, port) => {
          await open(page, '', port);
          await page.evaluate((room) => { /** @type {HTMLInputElement} */ (document.querySelector('#room')).value = room; }, room);
        };
      }
      const { page, pageThere, click } = await connectCall(site, there, arriving, room, lobby ? 2000 : 0);
      const found = await Promise.all([page, pageThere].map((each) => pathUntil(each, wanted, click + atFirst)));
      const took = Date.now() - click;
      assert.deepEqual(found, [wanted, wanted]);
      await Promise.all([decodesVideo(page), decodesVideo(pageThere)]);
      record('best', [name, `within ${(took / 1000).toFixed(1)} s`]);
    }));
  }
}

const letThrough = 'UDP is let through again: on it within 10 s, without a gap';
test(letThrough, () => orFailed('best', [letThrough], async () => {
  const [there, arriving] = await callersOf('symmetric');
  const blocked = async (/** @type {boolean} */ wanted) => {
    const { router } = arriving.client;
    if (!wanted) return lab.sh(`ip netns exec $${router} nft delete table inet closed`);
    return lab.sh(`ip netns exec $${router} nft -f - <<'END'
      table inet closed {
        chain forward {
          type filter hook forward priority -10;
          udp dport 53 accept
          udp sport 53 accept
          meta l4proto udp drop
        }
      }
END`);
  };
  await blocked(true);
  const { page, pageThere, click } = await connectCall(turnhubSite(server.base), there, arriving, 'back', 2000);
  assert.equal(await pathUntil(page, 'relay-tcp', click + atFirst), 'relay-tcp');
  await Promise.all([decodesVideo(page), decodesVideo(pageThere)]);
  await Promise.all([page, pageThere].map(watchMedia));
  await blocked(false);
  const opened = Date.now();
  assert.equal(await pathUntil(page, 'relay-udp', opened + again), 'relay-udp');
  const took = Date.now() - opened;
  console.log(`on UDP after ${took} ms`);
  await Promise.all([decodesVideo(page), decodesVideo(pageThere)]);
  for (const each of [page, pageThere]) {
    const { sound, pictures } = await longestGaps(each);
    console.log(`longest without sound ${sound.toFixed(0)} ms, without a picture ${pictures.toFixed(0)} ms`);
    assert.ok(sound < 1000, `${sound} ms without sound`);
    assert.ok(pictures < 1000, `${pictures} ms without a picture`);
  }
  record('best', [letThrough, `after ${(took / 1000).toFixed(1)} s`]);
}));
