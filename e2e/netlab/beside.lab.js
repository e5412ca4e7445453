// turnhub beside a plain page over pion's TURN server, in the same lab, with the same browsers, in turns: the time from
// the second user's click to that user's first remote frame. The times need an idle machine, so nothing is asserted of them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { connectCall, startCaller } from './calls.js';
import { startHost, startPlainHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab, plainName, plainTURN } from './lab.js';
import { plainSite, turnhubSite } from './sites.js';

/** How often each pair calls on either page. */
const times = Number(process.env.E2E_TIMES ?? 5);

/** @typedef {import('./calls.js').Caller} Caller */
const kinds = /** @type {const} */ (['open', 'cone', 'symmetric', 'udp-blocked', 'tcp-443', 'tls-443', 'proxy']);
/** Each kind with its like, and these. */
const mixed = /** @type {const} */ ([['open', 'symmetric'], ['cone', 'tls-443'], ['symmetric', 'proxy']]);

/** @type {Record<string, import('./calls.js').Site>} */
let sites;
/** @type {Record<string, [Caller, Caller]>} */
const callers = {};
/** first remote frames in milliseconds, by pair and site @type {{pair: string, site: string, firsts: number[]}[]} */
const results = [];

before(async () => {
  const lab = await Lab.create();
  const server = await startHost(lab, { names: [plainName, plainTURN] });
  const { cert_file: certFile, key_file: keyFile } = server.config.tls;
  const plain = await startPlainHost(lab, { certFile, keyFile });
  sites = { turnhub: turnhubSite(server.base), plain: plainSite(plain.base) };
  for (const [index, kind] of kinds.entries()) {
    if (!pairs.some((pair) => pair.includes(kind))) continue;
    const pair = [1, 2].map(async (side) => startCaller(await addClient(lab, kind, 2 * index + side), server.caFile ?? '', { fps: 30 }));
    callers[kind] = /** @type {[Caller, Caller]} */ (await Promise.all(pair));
  }
});
after(async () => {
  console.log(table());
  await cleanup();
});

/** @type {(readonly [typeof kinds[number], typeof kinds[number]])[]} */
const pairs = [...kinds.map((kind) => /** @type {const} */ ([kind, kind])), ...mixed]
  .filter((pair) => !process.env.E2E_PAIRS || process.env.E2E_PAIRS.split(';').includes(pair.join('-')));
for (const [first, second] of pairs) {
  const pair = `${first} – ${second}`;
  test(pair, async () => {
    for (let n = 0; n < times; n++) {
      // Whichever comes first finds the browsers cold: each does, in turn.
      const turn = n % 2 ? Object.entries(sites).reverse() : Object.entries(sites);
      for (const [site, page] of turn) {
        const call = await connectCall(page, callers[first][0], callers[second][1], `beside-${first}-${second}-${n}`, 1000);
        const known = results.find((each) => each.pair === pair && each.site === site);
        if (known) known.firsts.push(call.first);
        else results.push({ pair, site, firsts: [call.first] });
        await Promise.all([call.page.context().close(), call.pageThere.context().close()]);
      }
    }
    assert.equal(results.filter((each) => each.pair === pair && each.firsts.length === times).length, 2);
  });
}

/** Median and worst of each pair on each page, ready to print. */
function table() {
  const row = (/** @type {string} */ name, /** @type {(site: string) => number[]} */ of) => {
    const cells = ['turnhub', 'plain'].flatMap((site) => {
      const sorted = of(site).sort((a, b) => a - b);
      return sorted.length ? [`${sorted[sorted.length >> 1]} ms`, `${sorted.at(-1)} ms`] : ['–', '–'];
    });
    return `| ${[name, ...cells].join(' | ')} |`;
  };
  const of = (/** @type {string} */ site, /** @type {string} */ pair) => results.filter((each) => each.site === site && (!pair || each.pair === pair)).flatMap(({ firsts }) => firsts);
  return [
    `first remote frame after the second user's click, ${times} calls each`,
    '| networks | turnhub, median | worst | plain page over pion, median | worst |',
    '|---|---|---|---|---|',
    ...pairs.map(([first, second]) => `${first} – ${second}`).map((pair) => row(pair, (site) => of(site, pair))),
    row('all', (site) => of(site, '')),
  ].join('\n');
}
