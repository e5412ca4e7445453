// What a closed range of relay ports costs a call: from the click to the first remote frame with the range open and with it
// dropped both ways, turn by turn with the same browsers, where both sides need the relay, where one does, and where neither
// does. Times need an idle machine. E2E_TIMES chooses how often, E2E_PAIRS="symmetric-cone;open-tls-443" between
// which networks.
import { after, before, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { pairInUse } from '../harness/media.js';
import { browsers, connectCall, startCaller } from './calls.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('./calls.js').Caller} Caller */
/** @typedef {import('./kinds.js').Kind} Kind */

/** How often each call is made in each state; the table says the median and the worst. */
const times = Number(process.env.E2E_TIMES ?? 7);

/** Who is there and who comes. @type {[Kind, Kind][]} */
const pairs = [['symmetric', 'symmetric'], ['symmetric', 'cone'], ['cone', 'symmetric'], ['udp-blocked', 'cone'], ['open', 'tls-443'], ['udp-blocked', 'symmetric'], ['cone', 'cone']];

/** Milliseconds each way between every network and the server. */
const delay = Number(process.env.E2E_DELAY ?? 25);

/** @type {Lab} */
let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */
let server;
const rows = ['| networks | open: first frame | worst | closed: first frame | worst | pair, open | pair, closed |', '|---|--:|--:|--:|--:|---|---|'];
/** @type {Map<string, Promise<Caller>>} */
const callers = new Map();

/** @param {Kind} kind @param {number} side */
function callerOf(kind, side) {
  const key = `${kind} ${side}`;
  let caller = callers.get(key);
  if (!caller) {
    const number = callers.size + 1;
    caller = addClient(lab, kind, number, { delay }).then((client) => startCaller(client, server.caFile ?? '', { kind: browsers[side], fps: 30 }));
    callers.set(key, caller);
  }
  return caller;
}

const range = '49152-65535';
/** @param {boolean} closed */
const firewall = (closed) => lab.nft('host', `table inet range {
  }
  delete table inet range
  ${closed ? `table inet range {
    chain inward { type filter hook input priority filter; policy accept; iifname "eth0" udp dport ${range} drop; }
    chain outward { type filter hook output priority filter; policy accept; oifname "eth0" udp sport ${range} drop; }
  }` : ''}`);

before(async () => {
  lab = await Lab.create();
  server = await startHost(lab);
});
after(async () => {
  console.log(rows.join('\n'));
  await cleanup();
});

/** @param {number[]} values */
const middle = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const wanted = process.env.E2E_PAIRS?.split(';');
for (const [number, [one, other]] of pairs.entries()) {
  if (wanted && !wanted.includes(`${one}-${other}`)) continue;
  test(`${one} – ${other}`, async () => {
    const [there, arriving] = [await callerOf(one, 0), await callerOf(other, 1)];
    /** @type {Record<'open' | 'closed', {first: number[], pair: Map<string, number>}>} */
    const found = { open: { first: [], pair: new Map() }, closed: { first: [], pair: new Map() } };
    for (let i = 0; i < times; i++) {
      for (const state of /** @type {const} */ (['open', 'closed'])) {
        await firewall(state === 'closed');
        const call = await connectCall(turnhubSite(server.base), there, arriving, `range-${number}-${i}-${state}`, 500);
        found[state].first.push(Math.round(call.first));
        const pair = await pairInUse(call.page);
        const name = `${pair.local}${pair.relayProtocol && `/${pair.relayProtocol}`} – ${pair.remote}`;
        found[state].pair.set(name, (found[state].pair.get(name) ?? 0) + 1);
        await Promise.all([call.page.context().close(), call.pageThere.context().close()]);
      }
    }
    const { open, closed } = found;
    const pairsOf = (/** @type {Map<string, number>} */ map) => [...map].map(([name, n]) => `${n} × ${name}`).join(', ');
    rows.push(`| ${one} – ${other} | ${middle(open.first)} ms | ${Math.max(...open.first)} ms | ${middle(closed.first)} ms | ${Math.max(...closed.first)} ms | ${pairsOf(open.pair)} | ${pairsOf(closed.pair)} |`);
    console.log(rows.at(-1));
  });
}
