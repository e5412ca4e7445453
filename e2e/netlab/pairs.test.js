// Calls between every two kinds of network, on turnhub's own page.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { browsers, found, holdCalls, startCaller, summary, table } from './calls.js';
import { startHost } from './host.js';
import { addClient, kinds, rareKinds } from './kinds.js';
import { Lab } from './lab.js';
import { record } from './record.js';
import { turnhubSite } from './sites.js';

after(cleanup);

/** What each network must come to where the other end is as closed: the transports over which it reaches the relay. */
const transports = {
  'udp-blocked': ['tcp', 'tls'],
  'tcp-443': ['tcp', 'tls'],
  'tls-443': ['tls'],
  proxy: ['tls'],
  'proxy-no-dns': ['tls'],
  'quic-only': ['udp'],
  tcp80: ['tls'],
};

/**
 * Calls within a lab of its own.
 * @param {import('./kinds.js').Kind[]} chosen
 * @param {{nat?: boolean, firewall?: import('./host.js').Firewall, config?: Record<string, any>, every?: (a: string, b: string) => boolean}} options
 *   every: which kinds call each other; without it each calls its like
 */
async function callsBetween(chosen, { nat, firewall, config, every = (a, b) => a === b }) {
  const lab = await Lab.create();
  const server = await startHost(lab, { nat, firewall, config });
  assert.ok(server.caFile);
  const caFile = server.caFile;
  const wanted = chosen.flatMap((a, i) => chosen.slice(i).flatMap((b, more) => (every(a, b) ? [[2 * i, 2 * (i + more) + 1]] : [])));
  // Who is there has an even number, who comes an odd one.
  const callers = Object.fromEntries(await Promise.all([...new Set(wanted.flat())].map(async (number) => [number,
    await startCaller(await addClient(lab, chosen[number >> 1], number + 1), caFile, { kind: browsers[number % 2] })])));
  /** @type {[import('./calls.js').Caller, import('./calls.js').Caller][]} */
  const pairs = wanted.map(([there, comes]) => [callers[there], callers[comes]]);
  const { results, failures } = await holdCalls(turnhubSite(server.base), pairs);
  console.log(`${table(results)}\n${summary(results)}`);
  const conditions = [nat && 'server behind 1:1 NAT', firewall === 'three' && 'three ports open', firewall === 'no range' && 'no range'].filter(Boolean).join(', ');
  await record('calls', [
    ...results.map((result) => /** @type {const} */ ([result.kinds, found(result)])),
    ...failures.map(({ message }) => /** @type {const} */ (message.split(': '))),
  ].map(([name, what]) => [`${name}${conditions && ` (${conditions})`}`, what]));
  if (failures.length) throw new AggregateError(failures, failures.map((failure) => `${failure.message}: ${failure.cause}`).join('\n'));
  assert.equal(results.length, pairs.length);
  await cleanup();
  return results;
}

/** In `make test` each kind in one call, the hardest with its like; with E2E_LONG each with all. */
const short = ['symmetric – symmetric', 'cone – tls-443', 'open – udp-blocked', 'tcp-443 – proxy-no-dns', 'proxy – ipv6'];
const every = (/** @type {string[]} */ ...pair) => Boolean(process.env.E2E_LONG) || short.includes(pair.join(' – '));

test('every kind of network with others', async () => {
  judge(await callsBetween([...kinds], { every }));
});

/** As README says. */
const allPorts = { listen: { tcp: [':80', ':443', ':3478'], udp: [':443', ':3478'] } };

/** What each kind that is rare calls: its like, those after it, and two that are not rare. */
for (const [i, rare] of rareKinds.entries()) {
  test(`${rare} with its like and others`, { skip: !process.env.E2E_LONG }, async () => {
    const results = await callsBetween([...rareKinds.slice(i), 'symmetric', 'tls-443'], { firewall: 'three', config: allPorts, every: (one) => one === rare });
    judge(results);
    for (const { kinds: name, pair, pairThere } of results) {
      const sides = name.split(' – ');
      for (const [index, mine] of [pairThere, pair].entries()) {
        if (sides[index] === 'slow-tcp') assert.ok(mine.local !== 'relay' || mine.relayProtocol === 'udp', `${name}: ${JSON.stringify(mine)}`);
        // The statistics of Firefox have no URL.
        if (mine.url && sides[index] === 'quic-only') assert.match(mine.url, /:443\?transport=udp/, name);
        if (mine.url && sides[index] === 'tcp80') assert.match(mine.url, /^turns:turnhub\.test:80\?/, name);
      }
    }
  });
}

/** @param {import('./calls.js').CallResult[]} results */
function judge(results) {
  for (const { kinds: name, pair, pairThere } of results) {
    const [there, arrived] = name.split(' – ');
    for (const [kind, mine] of /** @type {const} */ ([[there, pairThere], [arrived, pair]])) {
      const allowed = transports[/** @type {keyof typeof transports} */ (kind)];
      if (!allowed) continue;
      assert.equal(mine.local, 'relay', `${name}: ${JSON.stringify(mine)}`);
      assert.ok(allowed.includes(mine.relayProtocol), `${name}: ${JSON.stringify(mine)}`);
    }
  }
}

test('the server behind 1:1 NAT', async () => {
  if (process.env.E2E_LONG) await callsBetween(['open', 'cone', 'symmetric', 'udp-blocked', 'tcp-443', 'tls-443', 'proxy'], { nat: true });
  else await callsBetween(['symmetric', 'tls-443'], { nat: true, every: (a, b) => a !== b });
});

for (const firewall of /** @type {const} */ (['three', 'no range'])) {
  test(`every kind of network with every other, ${firewall === 'three' ? 'three ports open' : 'and nothing passes the relay\'s range'}`, { skip: !process.env.E2E_LONG }, async () => {
    await callsBetween([...kinds], { firewall, every });
  });
}
