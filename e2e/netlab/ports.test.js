// Calls between every two kinds of network where a firewall before the server lets in three ports alone (TCP 80 and 443, UDP 443),
// and where it drops the relay's range both ways as well: the long rounds, a few calls in each test, so that what is too slow
// hides nothing else.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { callsBetween, judge } from './between.js';
import { kinds, rareKinds } from './kinds.js';

after(cleanup);

/** Calls in one test. */
const few = 5;

/** Every kind, the rare ones among them, with its like and those after it; the rare ones first, which fewer have called from. */
const all = [...rareKinds, ...kinds];

for (const firewall of /** @type {const} */ (['three', 'no range'])) {
  for (const [i, kind] of all.entries()) {
    for (let from = i; from < all.length; from += few) {
      const others = all.slice(from, from + few);
      const name = `${kind} with ${others.join(', ')}: ${firewall === 'three' ? 'three ports open' : "and nothing passes the relay's range"}`;
      test(name, { skip: !process.env.E2E_LONG }, async () => {
        const results = await callsBetween([...new Set([kind, ...others])], { firewall, every: (one, other) => one === kind && others.includes(other) });
        judge(results);
        for (const { kinds: pairOfKinds, pair, pairThere } of results) {
          const sides = pairOfKinds.split(' – ');
          for (const [index, mine] of [pairThere, pair].entries()) {
            const said = `${pairOfKinds}: ${JSON.stringify(mine)}`;
            if (firewall === 'no range' && mine.local === 'relay') assert.equal(mine.remote, 'relay', said);
            if (sides[index] === 'slow-tcp') assert.ok(mine.local !== 'relay' || mine.relayProtocol === 'udp', said);
            // The statistics of Firefox have no URL.
            if (mine.url && sides[index] === 'quic-only') assert.match(mine.url, /:443\?transport=udp/, said);
            if (mine.url && sides[index] === 'tcp80') assert.match(mine.url, /^turns?:turnhub\.test:80\?/, said);
          }
        }
      });
    }
  }
}
