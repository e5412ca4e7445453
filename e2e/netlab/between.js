// Calls between kinds of network, in a lab of their own, and what each must come to.
import assert from 'node:assert/strict';
import { cleanup } from '../harness/cleanup.js';
import { merge } from '../harness/server.js';
import { browsers, found, holdCalls, startCaller, summary, table } from './calls.js';
import { counted } from './counted.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { record } from './record.js';
import { turnhubSite } from './sites.js';

/** What each network must come to where the other end is as closed: the transports over which it reaches the relay. */
const transports = {
  'udp-blocked': ['tcp', 'tls'],
  'tcp-443': ['tcp', 'tls'],
  'tls-443': ['tls'],
  proxy: ['tls'],
  'proxy-no-dns': ['tls'],
  'quic-only': ['udp'],
  tcp80: ['tcp', 'tls'],
};

/** What a server listens on whose firewall lets three ports in. */
export const threePorts = { listen: { tcp: [':80', ':443'], udp: [':443'] } };

/**
 * Calls within a lab of its own.
 * @param {import('./kinds.js').Kind[]} chosen
 * @param {{nat?: boolean, firewall?: import('./host.js').Firewall, config?: Record<string, any>, every?: (a: string, b: string) => boolean}} options
 *   every: which kinds call each other; without it each calls its like
 */
export async function callsBetween(chosen, { nat, firewall, config, every = (a, b) => a === b }) {
  const lab = await Lab.create();
  const server = await startHost(lab, { nat, firewall, config: firewall ? merge(threePorts, config ?? {}) : config });
  assert.ok(server.caFile);
  const caFile = server.caFile;
  const wanted = chosen.flatMap((a, i) => chosen.slice(i).flatMap((b, more) => (every(a, b) ? [[2 * i, 2 * (i + more) + 1]] : [])));
  // Who is there has an even number, who comes an odd one.
  const callers = Object.fromEntries(await Promise.all([...new Set(wanted.flat())].map(async (number) => [number,
    await startCaller(await addClient(lab, chosen[number >> 1], number + 1), caFile, { kind: browsers[number % 2] })])));
  /** @type {[import('./calls.js').Caller, import('./calls.js').Caller][]} */
  const pairs = wanted.map(([there, comes]) => [callers[there], callers[comes]]);
  const conditions = [nat && 'server behind 1:1 NAT', firewall === 'three' && 'three ports open', firewall === 'no range' && 'no range'].filter(Boolean).join(', ');
  const { results, failures } = await holdCalls(turnhubSite(server.base), pairs, {
    told: (name, result) => record('calls', [`${name}${conditions && ` (${conditions})`}`, typeof result === 'string' ? `**${result}**` : found(result)]),
  });
  console.log(`${table(results)}\n${summary(results)}`);
  if (failures.length) throw new AggregateError(failures, failures.map((failure) => `${failure.message}: ${failure.cause}`).join('\n'));
  assert.equal(results.length, pairs.length);
  // No line here is narrow: nothing was too old to be sent.
  assert.equal(await counted(lab, server, 'turnhub_relay_stream_late_total'), 0, 'packets dropped for their age in ordinary calls');
  await cleanup();
  return results;
}

/** Fails where somebody is on another path than his network needs. @param {import('./calls.js').CallResult[]} results */
export function judge(results) {
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
