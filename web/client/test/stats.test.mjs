// Firefox never answers a question about a connection that is closed meanwhile: whoever asked goes on all the same.
import test from 'node:test';
import assert from 'node:assert/strict';
import {readFileSync, readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {Line} from '../call/path/line.js';
import {PathWatch} from '../call/path/watch.js';
import {hasPicture, statsOf} from '../call/path/stats.js';
import {callTimes, lineTimes} from '../base/times.js';
import {FakeClock} from './fakes.mjs';

const never = {getStats: () => new Promise(() => {})};
const heard = (at) => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: at, lastPacketReceivedTimestamp: at,
  bytesSent: at * 1000, bytesReceived: at, packetsSent: 1}]]);

/** @param {FakeClock} clock @param {number} milliseconds */
async function pass(clock, milliseconds) {
  for (let t = 0; t < milliseconds; t += 50) {
    clock.advance(50);
    for (let i = 0; i < 10; i++) await null;
  }
}

test('a browser that does not answer is waited for until then, and no longer', async () => {
  const clock = new FakeClock(), said = [];
  statsOf(never, clock).then((report) => said.push(report));
  hasPicture(never, clock).then((has) => said.push(has));
  await pass(clock, callTimes.statistics - 100);
  assert.deepEqual(said, []);
  await pass(clock, 200);
  assert.deepEqual(said, [null, false]);
  assert.equal(await statsOf({getStats: async () => { throw new Error('closed'); }}, clock), null);
});

test('a path goes on being watched, and a line measured, when their connection was closed in the middle of a question', async () => {
  const clock = new FakeClock(), dead = [];
  let pc = never;
  const watch = new PathWatch(clock, () => statsOf(pc, clock), (now) => dead.push(now));
  watch.look(60_000);
  const line = new Line({clock, pc: () => pc, open: () => true, tell: () => {}, changed: () => {}, said: () => {}});
  line.tick('relay-tls');
  await pass(clock, 300);
  let asked = 0;
  pc = {getStats: async () => { asked++; return heard(clock.now()); }};
  await pass(clock, callTimes.statistics + 3 * lineTimes.count);
  assert.ok(asked > 3, `asked ${asked} times`);
  watch.set(true);
  await pass(clock, 1000);
  assert.deepEqual(dead, [true, false], 'it is seen to live again');
  watch.close();
  line.close();
});

test('nobody asks a connection itself', () => {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const files = readdirSync(root, {recursive: true}).map(String).filter((name) => /^(client|static)\/.*\.js$/.test(name) && !/node_modules|^client\/test|vendor/.test(name));
  assert.ok(files.length > 50);
  assert.deepEqual(files.filter((name) => readFileSync(root + name, 'utf8').includes('.getStats(')), ['client/call/path/stats.js']);
});
