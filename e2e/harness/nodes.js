// Nodes of a cluster, and the NATS server between them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { onCleanup } from './cleanup.js';
import { freePorts } from './ports.js';
import { startServer } from './server.js';

/** @typedef {Awaited<ReturnType<typeof startServer>>} Node */

/** A NATS server, which can be ended, frozen and started again. */
export async function startNats() {
  const [port] = await freePorts(1), dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-nats-'));
  /** @type {import('node:child_process').ChildProcess} */ let child;
  /** @type {Promise<any>} */ let ended;
  const start = () => {
    child = spawn('nats-server', ['-js', '-a', '127.0.0.1', '-p', String(port), '-sd', dir], { stdio: 'ignore' });
    ended = new Promise((resolve) => { child.once('exit', resolve); });
  };
  const kill = async () => { child.kill('SIGKILL'); await ended; };
  onCleanup(async () => {
    await kill();
    await fs.rm(dir, { recursive: true, force: true });
  });
  start();
  return { port, start, kill };
}

/** Three nodes, which know each other. @param {number[][]} nats ports of the NATS servers that each knows */
export async function startNodes(nats) {
  const ports = await freePorts(3);
  const nodes = await Promise.all(ports.map((http, i) => startServer({ base: `http://localhost:${http}`, config: {
    listen: { tcp: [`:${http}`] }, credentials: { secrets: ['one-and-the-same-on-all-nodes'] },
    cluster: { nats: nats[i].map((port) => `nats://127.0.0.1:${port}`), node: 'abc'[i], url: `http://localhost:${http}` } } })));
  await Promise.all(nodes.map(known));
  return nodes;
}

/** NaN: the node is not there. @param {Node} node @param {RegExp} what */
export const metric = async (node, what) => {
  const answer = await fetch(`${node.admin}/metrics`).catch(() => null);
  return Number(what.exec(answer ? await answer.text() : '')?.[1] ?? NaN);
};

/** Waits until a node knows of all three. @param {Node} node */
export async function known(node) {
  for (const end = Date.now() + 60_000; await metric(node, /^turnhub_cluster_nodes\{state="alive"\} (\d+)/m) !== 3; await new Promise((resolve) => { setTimeout(resolve, 200); })) {
    assert.ok(Date.now() < end, 'the nodes know each other');
  }
}

/** All three live and know it, again. @param {Node[]} nodes */
export async function whole(nodes) {
  await Promise.all(nodes.map(known));
  for (const end = Date.now() + 60_000; (await Promise.all(nodes.map((node) => metric(node, /^turnhub_cluster_up\{what="second"\} (\d+)/m)))).join('') !== '111'; await new Promise((resolve) => { setTimeout(resolve, 200); })) {
    assert.ok(Date.now() < end, 'each node has a second one');
  }
}

/** How many media sockets each has. @param {Node[]} nodes */
export const mediaSockets = (nodes) => Promise.all(nodes.map(async (node) => await metric(node, /^turnhub_media_sockets (\d+)/m) || 0));
