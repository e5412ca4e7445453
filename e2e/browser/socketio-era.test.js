// The unmodified socket.io-client of the 1.x and 2.x era, which speaks Engine.IO 3, in Node and in Chromium, over each
// transport, alone and in one room with today's client.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { io as today } from 'socket.io-client';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startServer } from '../harness/server.js';
import { startPages } from '../seeds/pages.js';

after(cleanup);

/** A page that waits for something that does not come must not wait for ever. */
const limit = { timeout: 180_000 };

const require = createRequire(import.meta.url);

/** @type {Record<string, any>} */
const clients = {
  '1.7.4': require('socket.io-client-1.7'),
  '2.0.4': require('socket.io-client-2.0'),
  '2.5.0': require('socket.io-client-2.5'),
  '4.8.4': today,
};
const era = Object.keys(clients).filter((version) => version < '3');

/** @type {Record<string, object>} */
const transports = {
  'long-polling only': { transports: ['polling'] },
  'WebSocket only': { transports: ['websocket'] },
  'WebSocket only, no binary': { transports: ['websocket'], forceBase64: true },
  'long-polling, then the upgrade': { transports: ['polling', 'websocket'] },
};

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;

before(async () => {
  server = await startServer();
});

/**
 * @param {import('node:test').TestContext} t
 * @param {string} version
 * @param {object} [options]
 * @returns {Promise<any>}
 */
async function connect(t, version, options = {}) {
  const socket = clients[version](server.base, { forceNew: true, ...options });
  t.after(() => socket.disconnect());
  await next(socket, 'connect');
  return socket;
}

/** @param {any} socket @param {string} event @returns {Promise<any[]>} */
const next = (socket, event) => new Promise((resolve) => socket.once(event, (/** @type {any[]} */ ...args) => resolve(args)));

/** @param {any} socket @param {any[]} args @returns {Promise<any>} the acknowledgement: old clients have no emitWithAck */
const ask = (socket, ...args) => new Promise((resolve) => socket.emit(...args, resolve));

const texts = [
  'ready', 'Zażółć gęślą jaźń', 'Привет, Вася', '€ 😀 \u2028 \u2029', 'é', 'line\nfeed, \\n and \\\\n', '"quoted"', '+&=%20;',
  { type: 'candidate', label: 0, id: '0', candidate: null }, { nested: [1, null, { deep: 'ø' }] }, ['an', 'array'], 42, null,
  { big: 'xж'.repeat(20_000) },
];
const binaries = { data: Buffer.from([0, 255, 10, 4]), more: [Buffer.alloc(70_000, 7), 'тext'], none: Buffer.alloc(0) };

/**
 * Whatever one says, the other hears as it was, once and in order, and nobody hears their own words.
 * @param {any} from @param {any} to
 */
async function talk(from, to) {
  /** @type {any[]} */
  const [got, echoes] = [[], []];
  const echo = (/** @type {any} */ message) => echoes.push(message);
  from.on('message', echo);
  const all = new Promise((resolve) => to.on('message', (/** @type {any} */ message) => got.push(message) === texts.length && resolve(undefined)));
  for (const message of texts) from.emit('message', message);
  await all;
  to.off('message');
  assert.deepEqual(got, texts);
  const arrived = next(to, 'message');
  from.emit('message', binaries);
  assert.deepEqual(await arrived, [binaries]);
  const last = next(to, 'message');
  assert.equal(await ask(from, 'message', 'acknowledged'), undefined);
  assert.deepEqual(await last, ['acknowledged']);
  assert.deepEqual(echoes, []);
  from.off('message', echo);
}

for (const version of era) {
  for (const [name, options] of Object.entries(transports)) {
    test(`Node, client ${version}, ${name}: messages both ways, with its like and with today's`, limit, async (t) => {
      const query = { channel: `${version} ${name}` };
      const [a, b] = [await connect(t, version, { ...options, query }), await connect(t, version, { ...options, query })];
      const outsider = await connect(t, version, { ...options, query: { channel: 'another' } });
      outsider.on('message', () => assert.fail('heard in another channel'));
      await talk(a, b);
      b.disconnect();
      const now = await connect(t, '4.8.4', { query });
      await talk(a, now);
      await talk(now, a);
    });

    test(`Node, client ${version}, ${name}: a room for two`, limit, async (t) => {
      const [a, b, c] = [await connect(t, version, options), await connect(t, '4.8.4'), await connect(t, version, options)];
      const room = `room ${version} ${name}`;
      const created = next(a, 'created');
      assert.equal(await ask(a, 'join', room), 'created');
      assert.deepEqual(await created, [room]);
      assert.equal(await ask(b, 'join', room), 'joined');
      const full = next(c, 'full');
      assert.equal(await ask(c, 'join', room), 'full');
      await full;
      c.on('message', () => assert.fail('heard outside'));
      const arrived = next(b, 'message');
      a.emit('message', 'inside');
      assert.deepEqual(await arrived, ['inside']);
      const bye = next(a, 'bye');
      b.disconnect();
      await bye;
      assert.equal(await ask(c, 'join', room), 'joined');
    });
  }

  test(`Node, client ${version}: the upgrade takes place, and nothing is lost on the way`, limit, async (t) => {
    const query = { channel: `upgrade ${version}` };
    const receiver = await connect(t, '4.8.4', { transports: ['websocket'], query });
    const socket = clients[version](server.base, { forceNew: true, query });
    t.after(() => socket.disconnect());
    const upgraded = new Promise((resolve) => socket.io.engine.once('upgrade', resolve));
    await next(socket, 'connect');
    const [forth, back] = [/** @type {number[]} */ ([]), /** @type {number[]} */ ([])];
    const count = 200;
    const done = Promise.all([
      new Promise((resolve) => receiver.on('message', (/** @type {number} */ n) => forth.push(n) === count && resolve(undefined))),
      new Promise((resolve) => socket.on('message', (/** @type {number} */ n) => back.push(n) === count && resolve(undefined))),
    ]);
    for (let n = 0; n < count; n++) {
      socket.emit('message', n);
      receiver.emit('message', n);
      if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await upgraded;
    await done;
    const order = Array.from({ length: count }, (_, n) => n);
    assert.deepEqual([forth, back], [order, order]);
  });

  test(`Node, client ${version}: a namespace that is not there, and the end of the other side`, limit, async (t) => {
    const socket = clients[version](`${server.base}/admin`, { forceNew: true, transports: ['websocket'] });
    t.after(() => socket.disconnect());
    assert.deepEqual(await next(socket, 'error'), ['Invalid namespace']);
    const own = await startServer();
    const old = clients[version](own.base, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200 });
    t.after(() => old.disconnect());
    await next(old, 'connect');
    const again = next(old, 'connect');
    await own.kill('SIGTERM');
    await own.start();
    await again;
    await own.stop();
  });
}

/** @type {Record<string, string>} */
const files = {
  '1.0.6': '/vendor/socket.io-client-1.0.6/socket.io.js',
  '1.7.4': '/npm/socket.io-client-1.7/dist/socket.io.js',
  '2.5.0': '/npm/socket.io-client-2.5/dist/socket.io.js',
};

test('Chromium, clients 1.0.6 to 2.5.0: a page of another origin, each transport, JSONP too, with today\'s client in the room', limit, async (t) => {
  const browser = await startBrowser();
  const pages = await startPages();
  for (const [version, file] of Object.entries(files)) {
    const page = await browser.newPage();
    await page.goto(`${pages.base}/step3/index.html?server=${server.base}`);
    await page.addScriptTag({ url: pages.base + file });
    // JSONP last: 1.0.6 runs into itself when it disconnects there.
    const ways = [['polling'], ['websocket'], ['polling', 'websocket'], ['polling', 'jsonp']];
    for (const way of ways) {
      const channel = `${version} ${way}`;
      const other = await connect(t, '4.8.4', { query: { channel } });
      /** @type {any[]} */
      const heard = [];
      const wanted = texts.slice(0, -1);
      other.on('message', (message) => {
        if (message === 'here') for (const text of wanted) other.emit('message', text);
        else if (message === 'now binary') other.emit('message', Buffer.from([1, 2, 255]));
        else heard.push(message);
      });
      const stuck = setTimeout(() => page.close(), 20_000); // ends the evaluation: say where
      const [got, binary, transport] = await page.evaluate(async ([base, query, way, count]) => {
        const { io } = /** @type {any} */ (window);
        const transports = way.filter((name) => ['polling', 'websocket'].includes(name));
        const socket = io(base, { forceNew: true, transports, query, forceJSONP: way.includes('jsonp') });
        await new Promise((resolve) => socket.on('connect', resolve));
        if (transports.length === 2 && socket.io.engine.transport.name !== 'websocket') {
          await new Promise((resolve) => socket.io.engine.once('upgrade', resolve));
        }
        const got = /** @type {any[]} */ ([]);
        const all = new Promise((resolve) => socket.on('message', (message) => got.push(message) === count && resolve(undefined)));
        socket.emit('message', 'here');
        await all;
        for (const message of got) socket.emit('message', message);
        socket.off('message');
        const arrived = new Promise((resolve) => socket.once('message', resolve));
        if (!way.includes('jsonp')) socket.emit('message', new Uint8Array([9, 8, 255]).buffer);
        socket.emit('message', 'now binary');
        const data = await arrived;
        const name = socket.io.engine.transport.name;
        if (!way.includes('jsonp')) socket.disconnect();
        return [got, [...new Uint8Array(data)], name];
      }, /** @type {[string, string, string[], number]} */ ([server.base, `channel=${encodeURIComponent(channel)}`, way, wanted.length])
      ).finally(() => clearTimeout(stuck)).catch((error) => assert.fail(`${channel}: ${error}; the other heard ${JSON.stringify(heard).slice(0, 300)}`));
      assert.deepEqual(got, wanted, channel);
      const binaryHeard = way.includes('jsonp') ? [] : [Buffer.from([9, 8, 255])];
      assert.deepEqual(heard, [...wanted, ...binaryHeard], channel);
      assert.deepEqual(binary, [1, 2, 255], channel);
      assert.equal(transport, way.at(-1) === 'websocket' ? 'websocket' : 'polling', channel);
      other.disconnect();
    }
    await page.close();
  }
});
