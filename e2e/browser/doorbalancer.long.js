// Three nodes behind the HAProxy of deploy/cluster, and people who know the balancer's name alone and have nothing but the way through the
// WebSocket: their sessions and their media sockets come to whichever node.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startBrowser } from '../harness/browser.js';
import { makeCertificates } from '../harness/certificates.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { mediaSockets, startNats, whole } from '../harness/nodes.js';
import { freePorts } from '../harness/ports.js';
import { startServer } from '../harness/server.js';
import { startSound } from '../harness/sound.js';
import { goesOn, meet, person, writeToEachOther } from './doors.js';
import { join } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

const host = 'calls.test';
/** @type {Awaited<ReturnType<typeof startServer>>[]} */ let nodes;
/** @type {Record<string, Awaited<ReturnType<typeof startBrowser>>>} */ const browsers = {};
let base = '';

/** @param {number} port @param {number[]} to ports of the nodes */
async function startBalancer(port, to) {
  const file = fileURLToPath(new URL('../../deploy/cluster/haproxy.cfg', import.meta.url));
  const env = { ...process.env, HOST: host, BIND: `127.0.0.1:${port}`, ...Object.fromEntries(to.map((each, i) => [`NODE_${'ABC'[i]}`, `127.0.0.1:${each}`])) };
  const child = spawn('haproxy', ['-db', '-f', file], { env, stdio: 'ignore' }), ended = new Promise((resolve) => { child.once('exit', resolve); });
  onCleanup(async () => { child.kill('SIGKILL'); await ended; });
  const listens = () => /** @type {Promise<boolean>} */ (new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); }).once('error', () => resolve(false));
  }));
  for (const end = Date.now() + 60_000; !await listens();) {
    assert.ok(child.exitCode === null && Date.now() < end, 'HAProxy runs, and listens');
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

before(async () => {
  if (!process.env.E2E_LONG) return;
  const nats = await startNats(), [front, ...ports] = await freePorts(4);
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-balancer-'));
  onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
  const tls = await makeCertificates(dir, [host, `*.${host}`]);
  base = `https://${host}:${front}`;
  nodes = await Promise.all(ports.map((port, i) => startServer({ base, tls, config: {
    listen: { tcp: [`127.0.0.1:${port}`], trusted_proxies: ['127.0.0.1/32'] }, credentials: { secrets: ['one-and-the-same-on-all-nodes'] },
    access: { allowed_origins: [base] }, cluster: { nats: [nats.url], node: 'abc'[i], url: `https://${'abc'[i]}.${host}` } } })));
  await startBalancer(front, ports);
  // The names of the nodes lead nowhere.
  browsers.chromium = await startBrowser({ fps: 15, caFile: tls.caFile, args: [`--host-resolver-rules=MAP ${host} 127.0.0.1, MAP *.${host} ~NOTFOUND`] });
  browsers.firefox = await startBrowser({ kind: 'firefox', fps: 10, caFile: tls.caFile, here: [host], sound: await startSound() });
});
after(cleanup);

/** Two in a room. @param {string} room @param {string[]} kinds of their browsers */
async function call(room, kinds) {
  await whole(nodes);
  const pages = [];
  for (const [i, kind] of kinds.entries()) {
    const page = await person(browsers[kind], base, { name: `${i}`, room });
    await join(page);
    pages.push(page);
  }
  await meet(pages);
  const sockets = await mediaSockets(nodes);
  console.log(`${room}: media sockets on the three nodes: ${sockets.join(', ')}`);
  assert.equal(sockets.reduce((sum, n) => sum + n, 0), 2);
  return { pages, fullest: sockets.indexOf(Math.max(...sockets)) };
}

/** @param {Page[]} pages */
const close = (pages) => Promise.all(pages.map((page) => page.context().close()));

for (const kinds of [['chromium', 'chromium'], ['firefox', 'chromium']]) {
  const who = `behind a balancer, ${kinds.join(' and ')}`;

  long(`${who}: sound, pictures and messages arrive`, { timeout: 180_000 }, async () => {
    const { pages } = await call(`plain-${kinds[0]}`, kinds);
    await writeToEachOther(pages);
    await close(pages);
  });

  for (const [how, signal] of /** @type {[string, NodeJS.Signals][]} */ ([['drained', 'SIGTERM'], ['killed', 'SIGKILL']])) {
    long(`${who}: a node is ${how}, and the call goes on`, { timeout: 240_000 }, async () => {
      const { pages, fullest } = await call(`${how}-${kinds[0]}`, kinds), since = Date.now();
      await nodes[fullest].kill(signal);
      await goesOn(`${kinds.join(' and ')}, a node behind a balancer ${how}`, pages, since);
      await nodes[fullest].start();
      await close(pages);
    });

    long(`${who}: a page is loaded again while a node is ${how}`, { timeout: 240_000 }, async () => {
      const { pages, fullest } = await call(`again-${how}-${kinds[0]}`, kinds), killed = Date.now(), ended = nodes[fullest].kill(signal);
      await pages[0].reload();
      await pages[0].waitForSelector('body[data-state=ready]');
      const since = Date.now();
      await join(pages[0]);
      await meet(pages);
      console.log(`${kinds.join(' and ')}, loaded again while a node is ${how}: ready after ${since - killed} ms, met ${Date.now() - since - 3000} ms later`);
      await ended;
      await goesOn(`${kinds.join(' and ')}, loaded again, after that`, pages, Date.now());
      await nodes[fullest].start();
      await close(pages);
    });
  }
}
