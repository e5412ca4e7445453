// Chrome's checks of who may reach the local network, which are to hold for WebRTC too (Local Network Access): calls of a public
// server come up with the permission refused, so nobody is asked; so do those of a page on a private address. Where the page is
// public and the relay is not, the network check says what to allow.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { connectCall, startCaller } from './calls.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab, serverIPv4 } from './lab.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('./calls.js').Caller} Caller */
/** @typedef {import('./kinds.js').Kind} Kind */

const args = ['--enable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebRTC'];
/** Of the host too, for those who know the way. */
const privateIPv4 = '10.5.0.1';

/** @type {Lab} */ let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */ let server;
/** @type {Caller[]} */ let callers = [];
let clients = 0;

before(async () => { lab = await Lab.create(); });
afterEach(async () => {
  await Promise.all(callers.map(({ browser }) => browser.close()));
  callers = [];
});
after(cleanup);

/** @param {Kind} kind */
async function callersOf(kind) {
  const two = await Promise.all([1, 2].map(() => addClient(lab, kind, ++clients)));
  for (const { router } of two) await lab.sh(`ip -n $${router} route add ${privateIPv4}/32 via ${serverIPv4}`);
  callers = await Promise.all(two.map((client) => startCaller(client, server.caFile ?? '', { args })));
  return callers;
}

/** @param {Kind} kind @param {string} base */
async function call(kind, base) {
  const [there, arriving] = await callersOf(kind);
  const { page, pageThere } = await connectCall(turnhubSite(base), there, arriving, `local-${clients}`);
  await Promise.all([page, pageThere].map((each) => decodesVideo(each)));
  const granted = await page.evaluate(async () => (await navigator.permissions.query({ name: /** @type {any} */ ('local-network') })).state);
  assert.notEqual(granted, 'granted');
}

test('a public server: calls straight and over the relay', async () => {
  server = await startHost(lab);
  for (const kind of /** @type {Kind[]} */ (['cone', 'symmetric'])) {
    await call(kind, server.base);
    await Promise.all(callers.splice(0).map(({ browser }) => browser.close()));
  }
  await server.kill('SIGTERM');
});

test('a server on a private address: its own page needs nothing, and a public one says what to allow', async () => {
  // On the same host, beside the public address, of which the page of the second part comes.
  await lab.sh(`ip -n $host address add ${privateIPv4}/32 dev eth0`);
  server = await startHost(lab, { again: true, names: [privateIPv4],
    config: { public_host: privateIPv4, relay: { external_ip: [privateIPv4], allow_peers: ['10.5.0.0/16', '203.0.113.0/24'] } } });
  await call('symmetric', `https://${privateIPv4}`);
  const page = await callers[0].browser.newPage();
  await page.goto(`${server.base}/check`);
  await page.waitForSelector('body[data-state=done]', { timeout: 90_000 });
  assert.match(await page.innerText('#text'), /local network access/);
});
