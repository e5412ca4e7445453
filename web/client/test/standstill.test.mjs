import test from 'node:test';
import assert from 'node:assert/strict';
import {Standstill} from '../call/path/standstill.js';
import {standstillTimes as times} from '../base/times.js';
import {FakeClock} from './fakes.mjs';
import {random} from './model/doorend.mjs';

const settle = async () => { for (let i = 0; i < 8; i++) await null; };

/** Somebody to whom packets come, one each 20 ms, who plays them 100 ms later. */
function listener() {
  const clock = new FakeClock(), said = /** @type {number[]} */ ([]);
  const state = {comes: () => true, plays: true, sending: true, came: NaN, asked: 0};
  /** @type {number[]} */ const waiting = [];
  let played = 0;
  let pc = /** @type {any} */ ({getReceivers: () => [{getSynchronizationSources: () => [{timestamp: played}]}, {}]});
  const standstill = new Standstill({
    clock, pc: () => (state.sending ? pc : null), changed: () => said.push(standstill.silence),
    report: async () => { state.asked++; return /** @type {any} */ (new Map([['x', {type: 'inbound-rtp', timestamp: clock.now(), lastPacketReceivedTimestamp: state.came}], ['y', {type: 'other'}]])); },
  });
  standstill.begin();
  const pass = async (/** @type {number} */ milliseconds) => {
    for (let at = 0; at < milliseconds; at += 10) {
      clock.advance(10);
      const now = clock.now();
      if (at % 20 === 0 && state.comes()) {
        state.came = now;
        waiting.push(now + 100);
      }
      while (waiting[0] <= now) { waiting.shift(); if (state.plays) played = now; }
      await settle();
    }
  };
  return {clock, state, said, standstill, pass, another: () => { pc = {...pc}; }};
}

test('a path that has gone silent is seen within half a second, and that it is back', async () => {
  const {state, said, standstill, pass} = listener();
  await pass(5000);
  assert.deepEqual([said, standstill.silence, state.asked], [[], 0, 0], 'nothing is asked of a path that works');
  state.comes = () => false;
  await pass(480);
  assert.equal(said.length, 1);
  assert.ok(standstill.silence > times.still && standstill.silence < 500, `${standstill.silence}`);
  await pass(5000);
  assert.equal(said.length, 1);
  let n = 0;
  state.comes = () => n++ % 25 === 0; // one in half a second
  await pass(5000);
  assert.equal(said.length, 1, 'a packet now and then is no path');
  state.comes = () => true;
  await pass(times.alive + 200);
  assert.deepEqual([said.length, standstill.silence], [2, 0]);
});

test('what is no standstill is taken for none', async () => {
  const noise = random(11), {clock, state, said, standstill, pass, another} = listener();
  state.comes = () => noise(1) > 0.1;
  await pass(120_000);
  assert.deepEqual([said, state.asked], [[], 0], 'one packet in ten is lost');
  let n = 0;
  state.comes = () => n++ % 25 === 0;
  await pass(20_000);
  state.comes = () => false;
  await pass(5000);
  assert.deepEqual([said.length, standstill.silence > 0], [1, true], 'it has been even before; after that it is not');
  state.comes = () => true;
  await pass(5000);
  said.length = state.asked = 0;
  state.plays = false;
  await pass(20_000);
  assert.deepEqual([said, state.asked], [[], times.asked], 'packets come, and nobody plays them');
  state.plays = true;
  await pass(5000);
  state.comes = () => false;
  state.sending = false;
  await pass(20_000);
  assert.deepEqual(said, [], 'muted, and no camera');
  state.sending = true;
  state.comes = () => true;
  await pass(5000);
  another();
  state.comes = () => false;
  await pass(20_000);
  assert.deepEqual(said, [], 'another connection, by which nothing has come yet');
  state.sending = true;
  state.comes = () => true;
  await pass(5000);
  for (let i = 0; i < 5; i++) {
    clock.time += 10_000; // the page sleeps
    for (const timer of clock.timers.values()) timer.at = Math.min(timer.at, clock.time);
    state.came = clock.time;
    await pass(3000);
  }
  assert.deepEqual(said, [], 'asleep');
  standstill.close();
  assert.equal((await pass(1000), clock.timers.size), 0);
});

test('a page that is busy sees it all the same, and takes its own standstill for none', async () => {
  const noise = random(5), {clock, state, said, standstill, pass} = listener();
  const busy = async (/** @type {number} */ milliseconds) => {
    for (const end = clock.now() + milliseconds; clock.now() < end;) {
      await pass(100 + noise(200));
      clock.time += 100 + noise(700); // nothing runs
      for (const timer of clock.timers.values()) timer.at = Math.max(timer.at, clock.time);
      if (state.comes()) state.came = clock.time;
    }
  };
  await busy(60_000);
  assert.deepEqual(said, []);
  state.comes = () => false;
  await busy(3000);
  assert.ok(said.length === 1 && standstill.silence > 0, `${said}`);
});

test('who has said nothing yet may say nothing for long', async () => {
  const {state, said, pass} = listener();
  let n = 0;
  state.comes = () => n++ % 100 === 0; // words that are seldom, silence that is not sent
  await pass(60_000);
  assert.deepEqual(said, []);
});
