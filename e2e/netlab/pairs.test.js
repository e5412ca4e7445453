// Calls between every two kinds of network, on turnhub's own page.
import { after, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { callsBetween, judge } from './between.js';
import { kinds } from './kinds.js';

after(cleanup);

/** In `make test` each kind in one call, the hardest with its like; with E2E_LONG each with all. */
const short = ['symmetric – symmetric', 'cone – tls-443', 'open – udp-blocked', 'tcp-443 – proxy-no-dns', 'proxy – ipv6'];
const every = (/** @type {string[]} */ ...pair) => Boolean(process.env.E2E_LONG) || short.includes(pair.join(' – '));

test('every kind of network with others', async () => {
  judge(await callsBetween([...kinds], { every }));
});

test('the server behind 1:1 NAT', async () => {
  if (process.env.E2E_LONG) await callsBetween(['open', 'cone', 'symmetric', 'udp-blocked', 'tcp-443', 'tls-443', 'proxy'], { nat: true });
  else await callsBetween(['symmetric', 'tls-443'], { nat: true, every: (a, b) => a !== b });
});
