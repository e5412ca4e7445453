// Three nodes, and people who have nothing but the way through the WebSocket: they meet on one node, or each on his own in a call by name from
// one node to another, which hand the frames to each other; the call outlives any of these that is drained, killed or frozen, and NATS.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { known, mediaSockets, metric, startNats, startNodes, whole } from '../harness/nodes.js';
import { startSound } from '../harness/sound.js';
import { goesOn, meet, person, ring, talk, writeToEachOther } from './doors.js';
import { join } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @typedef {Awaited<ReturnType<typeof startBrowser>>} Browser */

/** @type {Awaited<ReturnType<typeof startNodes>>} */ let nodes;
/** @type {Browser} */ let browser;
/** @type {Awaited<ReturnType<typeof startNats>>} */ let nats;

before(async () => {
  if (!process.env.E2E_LONG) return;
  nats = await startNats();
  nodes = await startNodes([[nats], [nats], [nats]]);
  browser = await startBrowser({ fps: 15 });
});
after(cleanup);

/** @param {string} room @param {number[]} at the nodes that the two come to */
async function call(room, at) {
  const pages = [];
  for (const [i, node] of at.entries()) {
    const page = await person(browser, nodes[node].base, { name: `${i}`, room });
    await join(page);
    pages.push(page);
  }
  await meet(pages);
  return pages;
}

const sockets = () => mediaSockets(nodes);
const close = (/** @type {Page[]} */ pages) => Promise.all(pages.map((page) => page.context().close()));

long('two who come to two nodes meet on one', { timeout: 180_000 }, async () => {
  const pages = await call('apart', [0, 1]);
  assert.deepEqual((await sockets()).toSorted(), [0, 0, 2]);
  await close(pages);
});

for (const [how, signal] of /** @type {[string, NodeJS.Signals][]} */ ([['drained', 'SIGTERM'], ['killed', 'SIGKILL']])) {
  long(`the node is ${how}: the call goes on through another`, { timeout: 180_000 }, async () => {
    await whole(nodes);
    const pages = await call(how, [0, 0]), at = (await sockets()).indexOf(2), since = Date.now();
    await nodes[at].kill(signal);
    await goesOn(how, pages, since);
    assert.equal((await sockets()).toSorted()[2], 2);
    await nodes[at].start();
    await Promise.all(nodes.map(known));
    await close(pages);
  });
}

/** A call by name from the first node to the second. @param {string} name of both @param {Browser} [by] that of the other one */
async function across(name, by = browser) {
  const users = [`anna-${name}`, `boris-${name}`];
  const pages = await Promise.all(users.map((user, i) => person([browser, by][i], nodes[i].base, { name: user, user, secret: `secret-of-${user}` })));
  await ring(pages, users[1]);
  await meet(pages);
  assert.deepEqual(await sockets(), [1, 1, 0]);
  assert.deepEqual(await crossing(), [1, 1, 0]);
  return pages;
}

const crossing = () => Promise.all(nodes.map((node) => metric(node, /^turnhub_media_paths_across (\d+)/m)));

long('a call by name from one node to another: sound, pictures and messages arrive', { timeout: 180_000 }, async () => {
  const pages = await across('plain');
  await writeToEachOther(pages);
  await close(pages);
});

long('and between Chromium and Firefox', { timeout: 180_000 }, async () => {
  const firefox = await startBrowser({ kind: 'firefox', fps: 15, sound: await startSound() });
  await close(await across('firefox', firefox));
});

for (const [how, signal] of /** @type {[string, NodeJS.Signals][]} */ ([['drained', 'SIGTERM'], ['killed', 'SIGKILL']])) {
  for (const at of [0, 1]) {
    long(`one of the two nodes is ${how}: the call goes on through another: ${at}`, { timeout: 180_000 }, async () => {
      await whole(nodes);
      const pages = await across(`${how}-${at}`), since = Date.now();
      await nodes[at].kill(signal);
      await goesOn(`node ${at} ${how}`, pages, since);
      console.log(`media sockets on the three nodes: ${await sockets()}`);
      await nodes[at].start();
      await Promise.all(nodes.map(known));
      await close(pages);
    });
  }
}

for (const seconds of [12, 3]) {
  long(`both nodes of a call are drained, ${seconds} s apart: it goes on through the third`, { timeout: 180_000 }, async () => {
    await whole(nodes);
    const pages = await across(`both-${seconds}`), quiet = await talk(pages), since = Date.now();
    const first = nodes[0].kill('SIGTERM');
    await new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
    await Promise.all([first, nodes[1].kill('SIGTERM')]);
    await goesOn(`both nodes drained, ${seconds} s apart`, pages, since);
    assert.deepEqual(await sockets(), [0, 0, 2]);
    console.log(`${await quiet()} messages`);
    await Promise.all([nodes[0].start(), nodes[1].start()]);
    await close(pages);
  });
}

long('one of the two nodes freezes, for a moment and for long', { timeout: 180_000 }, async () => {
  await whole(nodes);
  for (const [name, ms] of /** @type {[string, number][]} */ ([['moment', 1500], ['long', 15_000]])) {
    const pages = await across(name), since = Date.now();
    process.kill(Number(nodes[1].pid), 'SIGSTOP');
    await new Promise((resolve) => { setTimeout(resolve, ms); });
    if (ms > 5000) await goesOn('a node frozen', pages, since);
    const thawed = Date.now();
    process.kill(Number(nodes[1].pid), 'SIGCONT');
    await goesOn(`a node frozen for ${ms} ms, after that`, pages, thawed);
    await whole(nodes);
    await close(pages);
  }
});

long('NATS is lost and comes back, and so does the call', { timeout: 180_000 }, async () => {
  await whole(nodes);
  const pages = await across('nats');
  await nats.kill();
  for (const end = Date.now() + 60_000; (await crossing()).join('') !== '000'; await new Promise((resolve) => { setTimeout(resolve, 100); })) {
    assert.ok(Date.now() < end, 'nothing goes between the nodes');
  }
  const since = Date.now();
  nats.start();
  await goesOn('NATS away, after its return', pages, since);
  await close(pages);
});
