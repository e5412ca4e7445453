// Nodes of a cluster, and the NATS server between them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { onCleanup } from './cleanup.js';
import { freePorts } from './ports.js';
import { startServer } from './server.js';

/** @typedef {Awaited<ReturnType<typeof startServer>>} Node */

/** NATS servers by deploy/cluster, which know each other; each can be ended, frozen and started again. @param {number} count @param {boolean} silent they do not tell nodes of each other */
export async function startNatsCluster(count, silent) {
  const ports = await freePorts(2 * count), routes = ports.splice(count), password = 'n0123456789abcdef';
  const file = fileURLToPath(new URL('../../deploy/cluster/nats.conf', import.meta.url));
  return Promise.all(ports.map((port, i) => startProgram(`nats://turnhub:${password}@127.0.0.1:${port}`, (dir) => ['env', `NATS_DATA=${dir}`, `NATS_PASSWORD=${password}`,
    'nats-server', '-a', '127.0.0.1', '-p', String(port), '-c', file, '--name', `nats-${i}`, ...(silent ? ['--no_advertise'] : []), '--cluster', `nats://127.0.0.1:${routes[i]}`,
    '--routes', routes.filter((_, k) => k !== i).map((other) => `nats://route:${password}@127.0.0.1:${other}`).join(',')])));
}

/** A NATS server, which can be ended, frozen and started again. */
export async function startNats() {
  const [port] = await freePorts(1);
  return startProgram(`nats://127.0.0.1:${port}`, (dir) => ['nats-server', '-a', '127.0.0.1', '-p', String(port), '-js', '-sd', dir]);
}

/** @param {string} url of the server @param {(dir: string) => string[]} command with a folder of its own */
async function startProgram(url, command) {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-nats-')), [program, ...args] = command(dir);
  /** @type {import('node:child_process').ChildProcess} */ let child;
  /** @type {Promise<any>} */ let ended;
  const start = () => {
    child = spawn(program, args, { stdio: 'ignore' });
    ended = new Promise((resolve) => { child.once('exit', resolve); });
  };
  const kill = async () => { child.kill('SIGKILL'); await ended; };
  onCleanup(async () => {
    await kill();
    await fs.rm(dir, { recursive: true, force: true });
  });
  start();
  return { url, start, kill, freeze: () => child.kill('SIGSTOP'), thaw: () => child.kill('SIGCONT') };
}

/** Three nodes, which know each other. @param {{url: string}[][]} nats the servers that each knows */
export async function startNodes(nats) {
  const ports = await freePorts(3);
  const nodes = await Promise.all(ports.map((http, i) => startServer({ base: `http://localhost:${http}`, config: {
    listen: { tcp: [`:${http}`] }, credentials: { secrets: ['one-and-the-same-on-all-nodes'] },
    cluster: { nats: nats[i].map(({ url }) => url), node: 'abc'[i], url: `http://localhost:${http}` } } })));
  await Promise.all(nodes.map(known));
  return nodes;
}

/** NaN: the node is not there. @param {Node} node @param {RegExp} what */
export const metric = async (node, what) => {
  const answer = await fetch(`${node.admin}/metrics`).catch(() => null);
  return Number(what.exec(answer ? await answer.text() : '')?.[1] ?? NaN);
};

/** Waits until a node knows of so many, itself with them. @param {Node} node @param {number} count */
export async function alive(node, count) {
  for (const end = Date.now() + 60_000; await metric(node, /^turnhub_cluster_nodes\{state="alive"\} (\d+)/m) !== count; await new Promise((resolve) => { setTimeout(resolve, 200); })) {
    assert.ok(Date.now() < end, `a node knows of ${count}`);
  }
}

/** Waits until a node knows of all three. @param {Node} node */
export const known = (node) => alive(node, 3);

/** All three live and know it, again. @param {Node[]} nodes */
export async function whole(nodes) {
  await Promise.all(nodes.map(known));
  for (const end = Date.now() + 60_000; (await Promise.all(nodes.map((node) => metric(node, /^turnhub_cluster_up\{what="second"\} (\d+)/m)))).join('') !== '111'; await new Promise((resolve) => { setTimeout(resolve, 200); })) {
    assert.ok(Date.now() < end, 'each node has a second one');
  }
}

/** How many media sockets each has. @param {Node[]} nodes */
export const mediaSockets = (nodes) => Promise.all(nodes.map(async (node) => await metric(node, /^turnhub_media_sockets (\d+)/m) || 0));
