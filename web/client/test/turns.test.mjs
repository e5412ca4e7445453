// What the way through the WebSocket makes of what the other end says of itself, and of silence.
import test from 'node:test';
import assert from 'node:assert/strict';
import {WebSocketPath} from '../call/websocket/path.js';
import {Exchange, kinds} from '../call/websocket/seal.js';

/** What browsers have, as far as it is needed where no sound and no picture is sent. */
Object.assign(globalThis, {
  document: {visibilityState: 'visible'},
  MediaStreamTrackGenerator: class { writable = {getWriter: () => ({desiredSize: 0})}; stop() {} },
});

/** What is being opened of what has come. @type {Set<Promise<any>>} */ const opening = new Set();
const decrypt = crypto.subtle.decrypt.bind(crypto.subtle);
crypto.subtle.decrypt = (...sealed) => {
  const plain = decrypt(...sealed), over = plain.then(() => {}, () => {}).then(() => { opening.delete(over); });
  opening.add(over);
  return plain;
};

/** All that has come is opened and handled: on a busy machine that takes longer than a turn of the loop. */
async function opened() {
  do {
    await Promise.all(opening);
    await new Promise((resolve) => { setImmediate(resolve); });
  } while (opening.size);
}

/** A path, and its other end as the test plays it. */
async function begin() {
  /** @type {any[]} */ const sockets = [];
  const told = {wanted: 0, line: 0};
  const path = new WebSocketPath(/** @type {any} */ ({
    socket: () => { sockets.push({readyState: 1, bufferedAmount: 0, send() {}, close() {}}); return sockets.at(-1); },
    media: {audio: null, camera: null, screen: null}, sending: () => false, standing: () => false, pictures: () => 1e6,
    opened() {}, incoming() {}, tracks() {}, shown() {}, closed() {}, wanted() { told.wanted++; }, line() { told.line++; },
  }));
  await path.begin();
  const other = await Exchange.begin(), {sealer} = await other.agree(path.publicKey);
  await path.agree({key: other.publicKey, pictures: [], sound: false});
  sockets[0].onmessage({data: '{"type":"ready","here":true}'});
  const say = async (/** @type {any} */ kind, /** @type {Uint8Array} */ content) => {
    sockets[0].onmessage({data: (await sealer.seal(kind, /** @type {any} */ (content))).buffer});
    await opened();
  };
  const report = (/** @type {object} */ more) => say(kinds.report, new TextEncoder().encode(JSON.stringify({age: 0, got: 0, lost: 0, ...more})));
  return {path, sockets, told, say, report};
}

test('who wants our sound and does not, a thousand times a second, has it turned on and off a few times', async () => {
  const {path, told, report: say} = await begin();
  const since = performance.now();
  for (let n = 0; n < 1000; n++) await say({uses: n % 2 === 0, asks: n % 3 === 0, fits: n % 2 === 0});
  const most = 6 + Math.ceil((performance.now() - since) / 500) + 1;
  assert.ok(told.wanted > 0 && told.wanted <= most && told.line > 0 && told.line <= most, `${told.wanted} and ${told.line} times of at most ${most}`);
  // What it says in the end counts: it says it again twice a second.
  for (const end = performance.now() + 10_000; !path.used; await new Promise((resolve) => { setTimeout(resolve, 100); })) {
    assert.ok(performance.now() < end, 'what it wants in the end is believed');
    await say({uses: true, asks: false});
  }
  path.close();
});

test('sound that came evenly and ends in the middle has another socket opened soon; one who says little has not', async (t) => {
  let now = 1000;
  t.mock.method(performance, 'now', () => now);
  t.mock.timers.enable({apis: ['setTimeout', 'setInterval']});
  const {path, sockets, say, report} = await begin(), after = [];
  const pass = async (/** @type {number} */ ms, speaks = false) => {
    for (let at = 0; at < ms; at += 20) {
      now += 20;
      if (speaks) await say(kinds.sound, new Uint8Array(40));
      else await new Promise((resolve) => { setImmediate(resolve); });
      t.mock.timers.tick(20);
    }
  };
  for (const speaks of [true, false]) {
    for (let n = 0; n < 6; n++) {
      await report({});
      await pass(500, speaks);
    }
    await opened();
    const before = sockets.length, since = now;
    assert.ok(path.open);
    while (sockets.length === before && now - since < 5000) await pass(20);
    after.push(now - since);
    for (const socket of sockets.slice(1)) socket.onclose({code: 1006}); // they come to nothing, and the first one lives
  }
  assert.ok(after[0] > 350 && after[0] < 600 && after[1] > 900 && after[1] < 1700, `after ${after} ms`);
  path.close();
});
