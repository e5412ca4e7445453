// Two nodes, and people who have nothing but the way through the WebSocket: they meet on one node, the call outlives it where it is drained
// or killed, and where the two cannot meet, in a call by name from one node to the other, both read that there is no connection.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { others, told } from '../harness/people.js';
import { freePorts } from '../harness/ports.js';
import { startServer } from '../harness/server.js';
import { pauses, perceive, perceives, speakTone } from '../harness/tone.js';
import { join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>[]} */ let nodes;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  if (!process.env.E2E_LONG) return;
  const [port, ...ports] = await freePorts(3), dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-nats-'));
  const nats = spawn('nats-server', ['-js', '-a', '127.0.0.1', '-p', String(port), '-sd', dir], { stdio: 'ignore' }), ended = new Promise((resolve) => nats.once('exit', resolve));
  onCleanup(async () => {
    nats.kill();
    await ended;
    await fs.rm(dir, { recursive: true, force: true });
  });
  nodes = await Promise.all(ports.map((http, i) => startServer({ base: `http://localhost:${http}`, config: {
    listen: { tcp: [`:${http}`] }, credentials: { secrets: ['one-and-the-same-on-all-nodes'] },
    cluster: { nats: [`nats://127.0.0.1:${port}`], node: 'ab'[i], url: `http://localhost:${http}` } } })));
  await Promise.all(nodes.map(known));
  browser = await startBrowser({ fps: 15 });
});
after(cleanup);

/** @param {typeof nodes[number]} node @param {RegExp} what */
const metric = async (node, what) => Number(what.exec(await (await fetch(`${node.admin}/metrics`)).text())?.[1] ?? NaN);

/** Waits until a node knows of both. @param {typeof nodes[number]} node */
async function known(node) {
  for (const end = Date.now() + 60_000; await metric(node, /^turnhub_cluster_nodes\{state="alive"\} (\d+)/m) !== 2; await new Promise((resolve) => { setTimeout(resolve, 200); })) {
    assert.ok(Date.now() < end, 'the nodes know each other');
  }
}

/** @param {string} base @param {Parameters<typeof openLobby>[2]} visit */
async function person(base, visit) {
  const page = await browser.newPage({ only: 'nothing', clean: true });
  await speakTone(page);
  await openLobby(page, base, visit);
  return page;
}

/** @param {string} room @param {number[]} at the nodes that the two come to */
async function call(room, at) {
  const pages = [];
  for (const [i, node] of at.entries()) {
    const page = await person(nodes[node].base, { name: `${i}`, room });
    await join(page);
    pages.push(page);
  }
  await Promise.all(pages.map(async (page) => { await told(page, 'through HTTPS'); await perceive(page, others); await perceives(page, 3000); }));
  return pages;
}

const sockets = () => Promise.all(nodes.map((node) => metric(node, /^turnhub_media_sockets (\d+)/m)));
const close = (/** @type {Page[]} */ pages) => Promise.all(pages.map((page) => page.context().close()));

long('two who come to two nodes meet on one', { timeout: 180_000 }, async () => {
  const pages = await call('apart', [0, 1]);
  assert.deepEqual((await sockets()).toSorted(), [0, 2]);
  await close(pages);
});

for (const [how, signal] of /** @type {[string, NodeJS.Signals][]} */ ([['drained', 'SIGTERM'], ['killed', 'SIGKILL']])) {
  long(`the node is ${how}: the call goes on through another`, { timeout: 180_000 }, async () => {
    const pages = await call(how, [0, 0]), at = (await sockets()).indexOf(2), since = Date.now();
    await nodes[at].kill(signal);
    await Promise.all(pages.map(async (page) => { await perceives(page, 5000); await told(page, 'through HTTPS'); }));
    console.log(`${how}: silence of ${(await Promise.all(pages.map((page) => pauses(page, since)))).map(({ silence, still }) => `${silence.toFixed(0)} ms, no picture for ${still}`).join(' and ')} ms`);
    assert.equal(await metric(nodes[1 - at], /^turnhub_media_sockets (\d+)/m), 2);
    await nodes[at].start();
    await Promise.all(nodes.map(known));
    await close(pages);
  });
}

long('a call by name from one node to the other: both read that there is no connection', { timeout: 180_000 }, async () => {
  const [anna, boris] = await Promise.all(['anna', 'boris'].map((user, i) => person(nodes[i].base, { name: user, user, secret: `secret-of-${user}` })));
  await anna.fill('#callee', 'boris');
  await anna.click('#invite');
  await boris.waitForSelector('#incoming[open]');
  await boris.click('#accept');
  await Promise.all([anna, boris].map((page) => page.getByText(/No connection with (anna|boris): one of the networks lets only HTTPS through/).first().waitFor()));
  await close([anna, boris]);
});
