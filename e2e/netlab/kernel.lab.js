// Calls of real browsers whose media pass inside the kernel (relay.kernel: on), by its own counters; and that the packets of
// who is shut out stop with the answer to whoever did it. Where the kernel does not allow the program these tests are not
// counted as passed.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo, pairInUse } from '../harness/media.js';
import { browsers, connectCall, startCaller } from './calls.js';
import { capture } from './capture.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('./kinds.js').Kind} Kind */

/** @type {Lab} */
let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */
let server;
/** why packets cannot pass inside the kernel here */
let missing = '';

before(async () => {
  lab = await Lab.create();
  try {
    server = await startHost(lab, { config: { relay: { kernel: 'on' } } });
  } catch (error) {
    missing = /relay inside the kernel: .*/.exec(String(error))?.[0] ?? '';
    if (!missing) throw error;
    console.error(`\n**** NOT TESTED: calls inside the kernel. ${missing} ****\n`);
  }
});
after(cleanup);

/**
 * Asks the console, from the server's machine.
 * @param {string} url
 * @param {object} [body] is posted
 * @returns {Promise<{status: number, text: string, at: number}>} at: when the answer was there (milliseconds since 1970)
 */
async function ask(url, body) {
  const options = body ? { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) } : {};
  const script = `fetch(${JSON.stringify(server.admin + url)}, ${JSON.stringify(options)}).then(async r => { const text = await r.text();
    console.log(JSON.stringify({ status: r.status, text, at: Date.now() })); })`;
  const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', lab.netns('host'), process.execPath, '-e', script], { maxBuffer: 1 << 24 });
  return JSON.parse(stdout);
}

/** What has been relayed, and what of it inside the kernel: packets. */
async function relayed() {
  const { text } = await ask('/metrics');
  const sum = (/** @type {string} */ name) => {
    const lines = text.split('\n').filter((line) => line.startsWith(name) && ' {'.includes(line[name.length]));
    assert.notEqual(lines.length, 0, `${name} is in the metrics`);
    return lines.reduce((n, line) => n + Number(line.split(' ').at(-1)), 0);
  };
  return { all: sum('turnhub_relay_packets_total'), inside: sum('turnhub_relay_kernel_packets_total'), flows: sum('turnhub_relay_kernel_flows') };
}

/** Both relayed, one relayed and the other straight, and the two families. @type {[Kind, Kind][]} */
const pairs = [['symmetric', 'symmetric'], ['symmetric', 'cone'], ['symmetric', 'dual-symmetric']];

let clients = 0;
for (const [number, kinds] of pairs.entries()) {
  test(`${kinds.join(' – ')}: media inside the kernel, and none after a revocation`, { timeout: 120_000 }, async (t) => {
    if (missing) return t.skip(missing);
    const callers = await Promise.all(kinds.map(async (kind, side) => {
      const client = await addClient(lab, kind, ++clients);
      return startCaller(client, server.caFile ?? '', { kind: browsers[side], fps: 15 });
    }));
    const call = await connectCall(turnhubSite(server.base), callers[0], callers[1], `kernel-${number}`);
    const pages = [call.pageThere, call.page];
    const pair = await pairInUse(call.page);
    assert.ok(pair.local === 'relay' || pair.remote === 'relay', `the call is relayed, not ${pair.local} – ${pair.remote}`);
    await pause(2000); // flows enter the kernel with their packets, at the latest after a second
    const earlier = await relayed();
    await Promise.all(pages.map((page) => decodesVideo(page, { seconds: 3 })));
    const now = await relayed();
    const all = now.all - earlier.all, inside = now.inside - earlier.inside;
    console.log(`${kinds.join(' – ')}: ${pair.local} – ${pair.remote}, ${inside} of ${all} packets inside the kernel, ${now.flows} flows`);
    assert.ok(now.flows >= 2, `${now.flows} flows are in the kernel`);
    // Connectivity checks are the process's; what else there is, is media.
    assert.ok(all > 100 && inside > 0.8 * all, `${inside} of ${all} packets passed inside the kernel`);

    // Whoever sits behind the symmetric router of the first is shut out.
    const { router } = callers[0].client;
    const end = await capture(lab, router, 'wan', path.join(lab.dir, `kernel-${number}.pcap`));
    await pause(1000);
    const people = JSON.parse((await ask('/api/v1/people')).text).people;
    const shut = people.find((/** @type {any} */ p) => p.address?.startsWith(callers[0].client.wanAddress));
    assert.ok(shut, `who comes from ${callers[0].client.wanAddress} is among ${JSON.stringify(people)}`);
    const answer = await ask('/api/v1/users/revoke', { user: shut.session });
    assert.equal(answer.status, 200, answer.text);
    await pause(2000);
    const packets = await end();
    const media = packets.filter(({ from, what }) => /^203\.0\.113\.10:/.test(from) && /^(TURN: )?(SRTP|DTLS)/.test(what));
    const before = media.filter(({ at }) => at < answer.at);
    // The page may come back and call again: with another address of its own, since its allocation is another.
    const old = new Set(before.map(({ to }) => to));
    const late = media.filter(({ at, to }) => at > answer.at && old.has(to));
    console.log(`${before.length} packets of media before the answer, ${late.length} after it to where they went`);
    assert.ok(before.length > 20, `${before.length} packets of media among ${packets.length} reached the one to be shut out, of\n${[...new Set(packets.map(({ from, to, what }) => `${from} ${to} ${what}`))].join('\n')}`);
    assert.equal(late.length, 0, `after the answer: ${JSON.stringify(late.slice(0, 3))}`);
    await Promise.all(callers.map(({ browser }) => browser.close()));
  });
}
