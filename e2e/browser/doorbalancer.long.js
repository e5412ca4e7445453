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
import { others, told } from '../harness/people.js';
import { freePorts } from '../harness/ports.js';
import { startServer } from '../harness/server.js';
import { perceive, perceives, speakTone } from '../harness/tone.js';
import { goesOn, writeToEachOther } from './doors.js';
import { join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

const host = 'calls.test';
/** @type {Awaited<ReturnType<typeof startServer>>[]} */ let nodes;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;
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
    access: { allowed_origins: [base] }, cluster: { nats: [`nats://127.0.0.1:${nats.port}`], node: 'abc'[i], url: `https://${'abc'[i]}.${host}` } } })));
  await startBalancer(front, ports);
  // The names of the nodes lead nowhere.
  browser = await startBrowser({ fps: 15, caFile: tls.caFile, args: [`--host-resolver-rules=MAP ${host} 127.0.0.1, MAP *.${host} ~NOTFOUND`] });
});
after(cleanup);

/** Two in a room. @param {string} room */
async function call(room) {
  await whole(nodes);
  const pages = [];
  for (const name of ['anna', 'boris']) {
    const page = await browser.newPage({ only: 'nothing', clean: true });
    await speakTone(page);
    await openLobby(page, base, { name, room });
    await join(page);
    pages.push(page);
  }
  await Promise.all(pages.map(async (page) => { await told(page, 'through HTTPS'); await perceive(page, others); await perceives(page, 3000); }));
  const sockets = await mediaSockets(nodes);
  console.log(`${room}: media sockets on the three nodes: ${sockets.join(', ')}`);
  assert.equal(sockets.reduce((sum, n) => sum + n, 0), 2);
  return pages;
}

/** @param {Page[]} pages */
const close = (pages) => Promise.all(pages.map((page) => page.context().close()));

long('behind a balancer with one name sound, pictures and messages arrive', { timeout: 180_000 }, async () => {
  const pages = await call('plain');
  await writeToEachOther(pages);
  await close(pages);
});

for (const [how, signal] of /** @type {[string, NodeJS.Signals][]} */ ([['drained', 'SIGTERM'], ['killed', 'SIGKILL']])) {
  long(`behind a balancer a node is ${how}: the call goes on`, { timeout: 240_000 }, async () => {
    const pages = await call(how), sockets = await mediaSockets(nodes), at = sockets.indexOf(Math.max(...sockets)), since = Date.now();
    await nodes[at].kill(signal);
    await goesOn(`a node behind a balancer ${how}`, pages, since);
    await nodes[at].start();
    await close(pages);
  });
}
