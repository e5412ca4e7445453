// Ten calls through each proxy that docs/front.md shows, set up by that text, and the proxy is reloaded in the midst of all
// ten: the picture of each goes on, on the connection that it had, and no session is lost.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { makeCertificates } from '../harness/certificates.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { startCrowd } from '../harness/crowd.js';
import { fronts } from '../harness/fronts.js';
import { long } from '../harness/long.js';
import { candidatePairs, decodesVideo } from '../harness/media.js';
import { freePorts } from '../harness/ports.js';
import { startServer } from '../harness/server.js';
import { until } from '../harness/until.js';

/** @typedef {import('playwright-core').Page} Page */

afterEach(cleanup);

const calls = 10;
/** A proxy for TCP has an address of this host for itself, so that its port can be 443, where TURN goes through it. */
const ownAddress = '127.0.0.77';

/** What must last: who everybody is at the hub, and the connections. @param {Page} page */
const note = (page) => page.evaluate(() => {
  const notes = /** @type {any} */ (window);
  notes.sockets = 0;
  notes.resumed = 0;
  for (const { hub } of notes.people) {
    hub.on('state', () => { if (hub.state === 'reconnecting') notes.sockets++; });
    hub.on('welcome', (/** @type {{resumed: boolean}} */ { resumed }) => { if (resumed) notes.resumed++; });
  }
  notes.before = notes.people.map((/** @type {any} */ { hub }) => hub.id);
  notes.connections = notes.calls.filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState === 'connected');
  return notes.connections.length;
});

/** What has become of it. @param {Page} page */
const noted = (page) => page.evaluate(() => {
  const { people, before, connections, sockets, resumed } = /** @type {any} */ (window);
  return {
    sockets, resumed,
    lost: people.filter((/** @type {any} */ { hub }, /** @type {number} */ i) => hub.state !== 'open' || hub.id !== before[i]).length,
    ended: connections.filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState !== 'connected').length,
  };
});

for (const [name, { tcp = false, closes = false, start }] of Object.entries(fronts)) {
  long(`ten calls through ${name}, which is reloaded`, async () => {
    const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-front-tls-'));
    onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
    const certificates = await makeCertificates(dir, ['localhost', '127.0.0.1', ownAddress]);
    const [port, to] = await freePorts(2);
    const at = tcp ? `${ownAddress}:443` : `127.0.0.1:${port}`;
    const reload = await start({ at, to: `127.0.0.1:${to}`, ...certificates });
    await startServer({ tls: certificates, config: { public_host: tcp ? ownAddress : 'localhost',
      listen: { tcp: [`127.0.0.1:${to}`], trusted_proxies: ['127.0.0.1/32'] } } });
    const base = `https://${tcp ? ownAddress : at.replace('127.0.0.1', 'localhost')}`;

    const browser = await startBrowser({ caFile: certificates.caFile });
    // Pictures by the relay alone: through the proxy where it passes TURN on, else beside it.
    const only = tcp ? 'tls' : 'udp';
    const pages = await Promise.all([0, 1].map(() => browser.newPage({ policy: 'relay', only })));
    const crowds = await Promise.all(pages.map(async (page) => {
      await page.goto(`${base}/healthz`);
      // The way through the proxy is named once it is proved.
      if (tcp) await until(page, async () => (await (await fetch('/config')).text()).includes('turns:'), undefined);
      return startCrowd(page, { width: 160, height: 90, fps: 5 });
    }));
    for (let call = 0; call < calls; call++) {
      for (const [side, crowd] of crowds.entries()) await crowd.enter(`Guest ${side}`, `front-${call}`);
    }
    await Promise.all(pages.map((page) => decodesVideo(page, { count: calls })));
    for (const page of pages) {
      assert.equal(await note(page), calls);
      for (const pair of await candidatePairs(page)) {
        assert.deepEqual([pair.local, pair.relayProtocol], ['relay', only], JSON.stringify(pair));
        if (tcp) assert.match(pair.url, RegExp(`^turns:${ownAddress}:443`));
      }
    }

    await reload();
    await Promise.all(pages.map((page) => decodesVideo(page, { count: calls, seconds: 3 })));
    if (closes) { // everybody comes back
      await Promise.all(pages.map((page) => page.waitForFunction((calls) => /** @type {any} */ (window).resumed >= calls, calls)));
    }
    for (const page of pages) {
      const { lost, ended, sockets } = await noted(page);
      assert.deepEqual({ lost, ended }, { lost: 0, ended: 0 });
      if (closes) assert.ok(sockets >= calls, `${sockets} sockets ended: has it been reloaded?`);
      else assert.equal(sockets, 0, 'sockets that ended');
    }
    // Who comes now gets through too.
    for (const [side, crowd] of crowds.entries()) await crowd.enter(`Guest ${side}`, 'front-after');
    await Promise.all(pages.map((page) => decodesVideo(page, { count: calls + 1 })));
  });
}
