// The container image on a Docker host in the lab: calls from every kind of network, and through the container's replacement.
// On rules like Docker's, and in a real Docker where the machine has one.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { cleanup } from '../harness/cleanup.js';
import { candidatePairs, decodesVideo } from '../harness/media.js';
import { browsers, connectCall, holdCalls, startCaller, summary, table } from './calls.js';
import { hasDocker, replaceDocker, startDocker } from './container-docker.js';
import { replaceContainer, startContainer } from './container.js';
import { heal, healingTable } from './heal.js';
import { addClient, kinds, rareKinds } from './kinds.js';
import { Lab } from './lab.js';
import { turnhubSite } from './sites.js';

after(cleanup);

/**
 * @template {import('../harness/server.js').Server} S
 * @param {import('./container.js').Publishing} publishing
 * @param {readonly import('./kinds.js').Kind[]} chosen
 * @param {(lab: Lab, options: {publishing: import('./container.js').Publishing}) => Promise<S>} start
 */
async function matrix(publishing, chosen, start) {
  const lab = await Lab.create();
  const server = await start(lab, { publishing });
  const callers = await Promise.all(chosen.map(async (kind, index) => Promise.all([0, 1].map(async (side) =>
    startCaller(await addClient(lab, kind, 2 * index + side + 1), server.caFile ?? '', { kind: browsers[side] })))));
  /** @type {[import('./calls.js').Caller, import('./calls.js').Caller][]} */
  const pairs = chosen.flatMap((_, a) => chosen.slice(a).map((_, more) => /** @type {[any, any]} */ ([callers[a][0], callers[a + more][1]])));
  const { results, failures } = await holdCalls(turnhubSite(server.base), pairs);
  console.log(`${table(results)}\n${summary(results)}`);
  if (failures.length) throw new AggregateError(failures, `${failures.map((failure) => `${failure.message}: ${failure.cause}`).join('\n')}\n${server.log}`);
  assert.equal(results.length, pairs.length);
  // The name has an IPv6 address, by which the engine's proxy passes people on; the container has none.
  assert.match(server.log, /has no IPv6, so the URL's IPv6 address cannot be tried from here/);
  assert.doesNotMatch(server.log, /correct the DNS record/);
  return { lab, server };
}

/** E2E_KINDS="open symmetric" chooses some of them. */
const chosen = /** @type {import('./kinds.js').Kind[]} */ (process.env.E2E_KINDS?.split(' ') ?? [...kinds]);

test('every kind of network with every other, the server in a container', { skip: !process.env.E2E_LONG }, async () => {
  await matrix('dnat', chosen, startContainer);
  await cleanup();
});

test('the rare kinds of networks, the server in a container', { skip: !process.env.E2E_LONG }, async () => {
  await matrix('dnat', ['symmetric', ...rareKinds], startContainer);
  await cleanup();
});

test('everybody comes from the container\'s default gateway', { skip: !process.env.E2E_LONG }, async () => {
  const { server } = await matrix('userland', chosen.filter((kind) => ['open', 'symmetric', 'tls-443', 'ipv6'].includes(kind)), startContainer);
  assert.match(server.log, /container's own gateway/);
  await cleanup();
});

/** @param {(lab: Lab) => Promise<import('../harness/server.js').Server>} start @param {typeof replaceContainer} replace */
async function replacement(start, replace) {
  const lab = await Lab.create();
  const server = await start(lab);
  /** @type {import('./kinds.js').Kind[][]} */
  const wanted = [['symmetric', 'tls-443'], ['cone', 'cone']];
  const calls = [];
  for (const [index, [one, other]] of wanted.entries()) {
    const sides = await Promise.all([one, other].map(async (kind, side) =>
      startCaller(await addClient(lab, kind, 2 * index + side + 1), server.caFile ?? '', { kind: browsers[side] })));
    const { page, pageThere } = await connectCall(turnhubSite(server.base), sides[0], sides[1], `container-${index}`);
    calls.push({ name: `${one} – ${other}`, pages: [page, pageThere], aim: one === 'cone' ? 0 : 5000 });
  }
  // Whoever needs no relay should notice nothing; the times need an idle machine.
  const healings = await heal('the container is replaced', calls, () => replace(lab, server), 60_000);
  console.log(healingTable(healings));
  for (const { pages } of calls) {
    await Promise.all(pages.map((page) => decodesVideo(page)));
    for (const page of pages) {
      assert.ok((await candidatePairs(page)).length);
      assert.equal(await page.evaluate(() => document.body.dataset.view), 'call');
    }
  }
  await cleanup();
}

test('calls go on through the next container', { skip: !process.env.E2E_LONG }, () => replacement(startContainer, replaceContainer));

const docker = { skip: process.env.E2E_LONG ? hasDocker ? false : 'there is no Docker (apt-get install docker.io)' : true };

test('networks of all sorts with each other, in a real Docker', docker, async () => {
  const { server } = await matrix('dnat', ['open', 'cone', 'symmetric', 'udp-blocked', 'tls-443', 'ipv6', 'quic-only'], startDocker);
  const deadline = Date.now() + 60_000;
  while (await server.healthy() === 'starting' && Date.now() < deadline) await pause(500);
  assert.equal(await server.healthy(), 'healthy');
  await cleanup();
});

test('everybody by a real Docker\'s own proxy', docker, async () => {
  const { server } = await matrix('userland', ['open', 'symmetric', 'tls-443', 'ipv6'], startDocker);
  assert.match(server.log, /container's own gateway/);
  await cleanup();
});

test('calls go on through the next container of a real Docker', docker, () => replacement(startDocker, replaceDocker));
