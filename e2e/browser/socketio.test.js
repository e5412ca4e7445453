// The unmodified socket.io-client, in Node and in Chromium, over each transport.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startServer } from '../harness/server.js';
import { startPages } from '../seeds/pages.js';

after(cleanup);

/** A page that waits for something that does not come must not wait for ever. */
const limit = { timeout: 180_000 };

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;

before(async () => {
  server = await startServer();
});

/** @typedef {import('socket.io-client').Socket} Socket */

/** @type {Record<string, Partial<import('socket.io-client').ManagerOptions>>} */
const transports = {
  'long-polling only': { transports: ['polling'] },
  'WebSocket only': { transports: ['websocket'] },
  'long-polling, then the upgrade': { transports: ['polling', 'websocket'] },
};

/**
 * @param {import('node:test').TestContext} t
 * @param {object} [options]
 * @returns {Promise<Socket>}
 */
async function connect(t, options = {}) {
  const socket = io(server.base, { forceNew: true, ...options });
  t.after(() => socket.disconnect());
  await once(/** @type {any} */ (socket), 'connect');
  return socket;
}

/**
 * @param {Socket} socket
 * @param {string} event
 * @returns {Promise<any[]>}
 */
const next = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));

for (const [name, options] of Object.entries(transports)) {
  test(`Node, ${name}: messages, order, acknowledgements, no echo`, limit, async (t) => {
    const query = { channel: name };
    const [a, b] = [await connect(t, { ...options, query }), await connect(t, { ...options, query })];
    const outsider = await connect(t, { ...options, query: { channel: 'another' } });
    /** @type {any[]} */
    const echoes = [];
    a.on('message', (message) => echoes.push(message));
    outsider.on('message', (message) => echoes.push(message));
    const sent = [
      'ready',
      { type: 'candidate', label: 0, id: '0', candidate: null },
      { nested: [1, null, { deep: '€ 😀 \u2028' }] },
      ['an', 'array'],
      42,
      null,
      { big: 'x'.repeat(100_000) },
    ];
    /** @type {any[]} */
    const got = [];
    const all = new Promise((resolve) => b.on('message', (message) => got.push(message) === sent.length && resolve(undefined)));
    for (const message of sent) a.emit('message', message);
    await all;
    assert.deepEqual(got, sent);
    assert.equal(await a.emitWithAck('message', 'acknowledged'), undefined);
    assert.deepEqual(echoes, []);
  });

  test(`Node, ${name}: binary`, limit, async (t) => {
    const query = { channel: `binary ${name}` };
    const [a, b] = [await connect(t, { ...options, query }), await connect(t, { ...options, query })];
    const sent = { data: Buffer.from([0, 255, 10]), more: [Buffer.alloc(70_000, 7), 'text'], none: Buffer.alloc(0) };
    const arrived = next(b, 'message');
    a.emit('message', sent);
    const [got] = await arrived;
    assert.deepEqual(got, sent);
  });

  test(`Node, ${name}: a room for two`, limit, async (t) => {
    const [a, b, c] = [await connect(t, options), await connect(t, options), await connect(t, options)];
    const room = `room ${name}`;
    const created = next(a, 'created');
    assert.equal(await a.emitWithAck('join', room), 'created');
    await created;
    assert.equal(await b.emitWithAck('join', room), 'joined');
    const full = next(c, 'full');
    assert.equal(await c.emitWithAck('join', room), 'full');
    await full;
    /** @type {any[]} */
    const outside = [];
    c.on('message', (message) => outside.push(message));
    const arrived = next(b, 'message');
    a.emit('message', 'inside');
    assert.deepEqual(await arrived, ['inside']);
    const bye = next(a, 'bye');
    b.disconnect();
    await bye;
    assert.deepEqual(outside, []);
  });
}

test('Node: the upgrade takes place, and nothing is lost on the way', limit, async (t) => {
  const query = { channel: 'upgrade' };
  const receiver = await connect(t, { transports: ['websocket'], query });
  const socket = io(server.base, { forceNew: true, query });
  t.after(() => socket.disconnect());
  // Before the connection is made: on a fast machine the upgrade is over when `connect` has been told.
  const upgraded = new Promise((resolve) => socket.io.engine.once('upgrade', resolve));
  await once(/** @type {any} */ (socket), 'connect');
  /** @type {number[]} */
  const [forth, back] = [/** @type {number[]} */ ([]), /** @type {number[]} */ ([])];
  const count = 200;
  const done = Promise.all([
    new Promise((resolve) => receiver.on('message', (n) => forth.push(n) === count && resolve(undefined))),
    new Promise((resolve) => socket.on('message', (n) => back.push(n) === count && resolve(undefined))),
  ]);
  for (let n = 0; n < count; n++) {
    socket.emit('message', n);
    receiver.emit('message', n);
    if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await upgraded;
  assert.equal(socket.io.engine.transport.name, 'websocket');
  await done;
  const order = Array.from({ length: count }, (_, n) => n);
  assert.deepEqual(forth, order);
  assert.deepEqual(back, order);
});

test('Node: a client comes back by itself after a restart of the server', limit, async (t) => {
  const own = await startServer();
  const sockets = ['polling', 'websocket'].map((transport) =>
    io(own.base, { forceNew: true, transports: [/** @type {any} */ (transport)], reconnectionDelay: 50, reconnectionDelayMax: 200 }),
  );
  t.after(() => sockets.forEach((socket) => socket.disconnect()));
  await Promise.all(sockets.map((socket) => once(/** @type {any} */ (socket), 'connect')));
  const again = sockets.map((socket) => once(/** @type {any} */ (socket), 'connect'));
  await own.kill('SIGTERM');
  await own.start();
  await Promise.all(again);
  const arrived = next(sockets[0], 'message');
  sockets[1].emit('message', 'after the restart');
  assert.deepEqual(await arrived, ['after the restart']);
  await own.stop();
});

test('Node: what passes the server passes the clients’ own decoder', limit, async (t) => {
  // Raw packets that only just are in order, or are not: a client that is sent one which its decoder refuses disconnects.
  const victim = await connect(t, { transports: ['websocket'], query: { channel: 'fuzz' } });
  let lost = '';
  victim.on('disconnect', (reason) => (lost = reason));
  for (const packet of [
    '2["message",1e400]', '2["message"]', '20["message","\\ud800"]', '2["message",{"__proto__":1,"_placeholder":true,"num":9}]',
    '51-["message",{"_placeholder":true,"num":7}]', '51-["message"]', '512-["message"]', '2["connect"]', '29999999999999999["message"]',
  ]) {
    const socket = await connect(t, { transports: ['websocket'], query: { channel: 'fuzz' }, reconnection: false });
    const engine = socket.io.engine;
    engine.write(packet);
    if (packet[0] === '5') engine.write(Buffer.from([1]));
    socket.emit('message', 'behind it');
    await new Promise((resolve) => {
      socket.once('disconnect', resolve);
      socket.emitWithAck('message', 'over').then(resolve, () => {});
    });
    socket.disconnect();
  }
  assert.equal(await victim.emitWithAck('message', 'still here'), undefined);
  assert.equal(lost, '');
});

test('Chromium: the client that the server itself serves, from a page of another origin, over each transport', limit, async () => {
  const browser = await startBrowser();
  const pages = await startPages();
  const page = await browser.newPage();
  await page.goto(`${pages.base}/step3/index.html?server=${server.base}`);
  await page.addScriptTag({ url: `${server.base}/socket.io/socket.io.js` });
  const results = await page.evaluate(async (base) => {
    const { io } = /** @type {any} */ (window);
    /** @type {Record<string, any>} */
    const seen = {};
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      const query = { channel: transports.join() };
      const [a, b] = [0, 1].map(() => io(base, { forceNew: true, withCredentials: true, transports, query }));
      await Promise.all([a, b].map((socket) => new Promise((resolve) => socket.on('connect', resolve))));
      const text = new Promise((resolve) => b.once('message', resolve));
      a.emit('message', { sdp: 'v=0', none: null });
      const gotText = await text;
      const binary = new Promise((resolve) => a.once('message', resolve));
      b.emit('message', new Uint8Array([1, 2, 3]).buffer);
      const gotBinary = [...new Uint8Array(/** @type {any} */ (await binary))];
      if (transports.length === 2 && a.io.engine.transport.name !== 'websocket') await new Promise((resolve) => a.io.engine.once('upgrade', resolve));
      seen[transports.join()] = [gotText, gotBinary, a.io.engine.transport.name];
      a.disconnect();
      b.disconnect();
    }
    // Two sockets of one page on one connection to the server.
    const manager = new io.Manager(base, { query: { channel: 'one page' } });
    const first = manager.socket('/');
    await new Promise((resolve) => first.on('connect', resolve));
    const refusal = await new Promise((resolve) => manager.socket('/admin').on('connect_error', resolve));
    seen.admin = /** @type {Error} */ (refusal).message;
    return seen;
  }, server.base);
  const message = { sdp: 'v=0', none: null };
  assert.deepEqual(results, {
    polling: [message, [1, 2, 3], 'polling'],
    websocket: [message, [1, 2, 3], 'websocket'],
    'polling,websocket': [message, [1, 2, 3], 'websocket'],
    admin: 'Invalid namespace',
  });
  await browser.close();
});
