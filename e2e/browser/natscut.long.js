// Three nodes and three NATS servers by deploy/cluster, under calls from one node to another: each server dies in turn.
import { afterEach } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { startNatsCluster, startNodes, whole } from '../harness/nodes.js';
import { goesOn, meet, person, ring, talk } from './doors.js';

afterEach(cleanup);

const pause = (/** @type {number} */ ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** @param {boolean} own each node knows one server, and no other */
async function start(own) {
  const nats = await startNatsCluster(3, own), nodes = await startNodes(nats.map((server) => (own ? [server] : nats)));
  await whole(nodes);
  const browser = await startBrowser({ fps: 5 });
  /** A call by name from the first node to the second. @param {string} name @param {Parameters<typeof person>[3]} ways @param {string} way */
  const across = async (name, ways, way) => {
    const users = [`anna-${name}`, `boris-${name}`];
    const pages = await Promise.all(users.map((user, i) => person(browser, nodes[i].base, { name: user, user, secret: `secret-of-${user}` }, ways)));
    await ring(pages, users[1]);
    await meet(pages, way);
    return { pages, quiet: await talk(pages) };
  };
  return { nats, nodes, browser, across };
}

long('each of three NATS servers is killed in turn', { timeout: 230_000 }, async () => {
  const { nats, nodes, across } = await start(false);
  const calls = [{ what: 'through the WebSocket', way: 'through HTTPS', ...await across('door', { only: 'nothing' }, 'through HTTPS') },
    { what: 'direct', way: 'direct', ...await across('direct', {}, 'direct') }];
  for (const [i, server] of nats.entries()) {
    const since = Date.now();
    await server.kill();
    await Promise.all(calls.map(({ what, way, pages }) => goesOn(`NATS server ${i} of three killed, ${what}`, pages, since, way)));
    server.start();
    await pause(3000); // it has what the others have
    await whole(nodes);
  }
  for (const { what, quiet } of calls) console.log(`${what}: ${await quiet()} messages`);
});
