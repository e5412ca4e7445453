// How many round trips lie between the second user's click and that user's first remote frame, when a packet to the server and
// back takes 200 ms from either side: with the connection that the lobby makes early, and (direct and over the relay) without
// it. For each path a table row, and the ladder: what went out of and into the second user's network, from a capture of
// tcpdump, beside what the page saw. Captures stay in out/far-*.pcap. E2E_PAIR=firefox-chromium chooses the browsers,
// E2E_PATHS='direct;UDP relay' the paths, E2E_TIMES how often, E2E_TRIALS=1 has Chromium try what saves it round trips (SNAP, SPED).
import fs from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cleanup } from '../harness/cleanup.js';
import { trials } from '../harness/browser.js';
import { pairInUse } from '../harness/media.js';
import { browsers, connectCall, startCaller } from './calls.js';
import { capture, noteSteps } from './capture.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab, serverIPv4 } from './lab.js';
import { turnhubSite } from './sites.js';

/** Milliseconds to the server and back. */
const roundTrip = 200;
/** How often each call is made; the table says the median. */
const times = Number(process.env.E2E_TIMES ?? 3);
/** What we aim at, in round trips, with the lobby's connection and without. */
const aims = { lobby: 2.5, none: 4.5 };
/** The paths that are called without the lobby's connection as well. */
const cold = ['direct', 'UDP relay'];

/** The calls by what carries them, and the kind of both networks. */
const paths = /** @type {const} */ ({
  direct: 'open', cone: 'cone', 'UDP relay': 'symmetric', 'TCP relay': 'udp-blocked', 'TLS relay, 443 only': 'tcp-443',
  'TLS relay': 'tls-443', proxy: 'proxy',
});

/** @type {Lab} */
let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */
let server;
/** @type {string[]} */
const rows = [`${browsers.join(' is there, ')} comes`, '', '| path | early connection | pair | first frame | worst | round trips | aim |', '|---|---|---|---|---|---|---|'];
const out = fileURLToPath(new URL('../out/', import.meta.url));

before(async () => {
  await fs.mkdir(out, { recursive: true });
  lab = await Lab.create();
  server = await startHost(lab);
});
after(async () => {
  console.log(rows.join('\n'));
  await cleanup();
});

const wanted = Object.entries(paths).filter(([path]) => !process.env.E2E_PATHS || process.env.E2E_PATHS.split(';').includes(path));
/**
 * Who comes has looked into the mirror before another room, so that at the click there is no connection with this one.
 * @param {import('./calls.js').Site} site @param {string} room @returns {import('./calls.js').Site}
 */
function withoutLobby(site, room) {
  return {
    ...site,
    async open(page, _, port) {
      await site.open(page, '', port);
      await page.evaluate((room) => { /** @type {HTMLInputElement} */ (document.querySelector('#room')).value = room; }, room);
    },
  };
}

for (const [index, [path, kind]] of wanted.entries()) {
  test(`${path}, 100 ms each way to either side`, async () => {
    const clients = await Promise.all([1, 2].map((side) => addClient(lab, kind, 2 * index + side, { delay: roundTrip / 2 })));
    const [there, arriving] = await Promise.all(clients.map((client, side) => startCaller(client, server.caFile ?? '', { kind: browsers[side], fps: 30, args: process.env.E2E_TRIALS ? [trials] : undefined })));
    const site = turnhubSite(server.base);
    /** @type {import('./calls.js').Site} */
    const noted = {
      ...site,
      async open(page, room, port) {
        await page.addInitScript(noteSteps);
        await site.open(page, room, port);
      },
    };
    for (const early of /** @type {const} */ (cold.includes(path) ? ['lobby', 'none'] : ['lobby'])) {
      const taken = [];
      for (let n = 0; n < times; n++) {
        const file = `${out}far-${kind}.pcap`;
        const stop = await capture(lab, arriving.client.router, 'wan', file);
        const room = `far-${index}-${early}-${n}`;
        const call = await connectCall(early === 'lobby' ? noted : withoutLobby(noted, room), there, arriving, room, 2000);
        const packets = await stop();
        const pair = await pairInUse(call.page);
        const steps = await call.page.evaluate(() => /** @type {any} */ (window).steps);
        const stepsThere = await call.pageThere.evaluate(() => /** @type {any} */ (window).steps);
        await Promise.all([call.page.context().close(), call.pageThere.context().close()]);
        taken.push({ own: arriving.client.wanAddress, first: call.first, click: call.click, pair, packets, steps, stepsThere });
      }
      taken.sort((a, b) => a.first - b.first);
      const median = taken[taken.length >> 1];
      const { local, relayProtocol, remote } = median.pair;
      rows.push(`| ${path} | ${early === 'lobby' ? 'yes' : 'no'} | ${local}${relayProtocol && `/${relayProtocol}`} – ${remote} | ${median.first} ms | ${taken.at(-1)?.first} ms | ${(median.first / roundTrip).toFixed(1)} | ${aims[early]} |`);
      console.log(`\n${path}${early === 'lobby' ? '' : ', without the lobby\'s connection'}\n${ladder(median)}\n`);
    }
    await Promise.all([there, arriving].map(({ browser }) => browser.close()));
  });
}

/**
 * What went over the wire and what the page saw, from the click to the first frame, in round trips since the click.
 * The same thing said again within the same tenth of a round trip is told once.
 * @param {{own: string, click: number, first: number, packets: import('./packets.js').Packet[], steps: {at: number, what: string}[], stepsThere: {at: number, what: string}[]}} call
 */
function ladder({ own: address, click, first, packets, steps, stepsThere }) {
  const arriving = packets.filter(({ what }) => what !== 'TCP ACK' && what !== 'DNS').map(({ at, from, to, what }) => {
    const outward = from.startsWith(`${address}:`);
    return { at, side: outward ? '-->' : '<--', what: `${what}${to.startsWith(`${serverIPv4}:`) || from.startsWith(`${serverIPv4}:`) ? '' : ' (direct)'}` };
  });
  const own = steps.map(({ at, what }) => ({ at, side: '   ', what: `(${what})` }));
  const other = stepsThere.map(({ at, what }) => ({ at, side: '                                                       ', what: `there: (${what})` }));
  const events = [...arriving, ...own, ...other, { at: click + first, side: '   ', what: '(FIRST FRAME)' }]
    .filter(({ at }) => at >= click - 1 && at <= click + first + 1).sort((a, b) => a.at - b.at);
  const lines = [];
  const seen = new Map();
  for (const { at, side, what } of events) {
    const trips = (at - click) / roundTrip;
    if (trips - (seen.get(side + what) ?? -Infinity) < 0.1) continue;
    seen.set(side + what, trips);
    lines.push(`${trips.toFixed(2).padStart(6)}  ${side} ${what}`);
  }
  return lines.join('\n');
}
