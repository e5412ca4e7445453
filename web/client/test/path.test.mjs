import {realClock} from '../base/clock.js';
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {FakeClock} from './fakes.mjs';
import {Healing} from '../call/path/healing.js';
import {PathWatch, silenceOf} from '../call/path/watch.js';

/** Statistics of a connection on which the last packet came so many milliseconds ago. */
const silent = (silence) => new Map([
  ['old', {type: 'candidate-pair', timestamp: 100_000, lastPacketReceivedTimestamp: 20_000}],
  ['pair', {type: 'candidate-pair', timestamp: 100_000}],
  ['video', {type: 'inbound-rtp', kind: 'video', timestamp: 100_000, lastPacketReceivedTimestamp: 100_000 - silence}],
]);

test('silence is counted from the last packet on any pair of candidates', () => {
  assert.equal(silenceOf(silent(40)), 40);
  assert.equal(silenceOf(new Map([['pair', {type: 'candidate-pair', timestamp: 100_000}]])), Infinity, 'nothing ever came');
  assert.equal(silenceOf(new Map()), Infinity);
});

test('a path that is looked at dies when nothing comes, and lives again when something does', async () => {
  const silences = [20, 80, 700, 900, 50];
  const seen = [];
  await new Promise((resolve) => {
    const watch = new PathWatch(realClock, async () => silent(silences.length > 1 ? silences.shift() : silences[0]), (dead) => {
      seen.push(dead);
      if (!dead) resolve();
    });
    watch.look();
  });
  assert.deepEqual(seen, [true, false]);
});

test('a path that is known to be dead is looked at until it lives; nothing is told after close()', async () => {
  let silence = 5000, looks = 0;
  const seen = [];
  const watch = new PathWatch(realClock, async () => { looks++; return silent(silence); }, (dead) => seen.push(dead));
  watch.set(true);
  watch.set(true);
  while (looks < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(seen, [true]);
  watch.close();
  silence = 0;
  watch.set(false);
  assert.deepEqual(seen, [true]);
});

for (const [narrow, most] of /** @type {[boolean, number]} */ ([[false, 40], [true, 4]])) {
  test(`a connection is looked for again and again${narrow ? ', but seldom where the call goes on and its sound would wait for that' : ''}`, () => {
    const clock = new FakeClock();
    let looked = 0;
    const pc = /** @type {any} */ ({
      connectionState: 'failed', iceConnectionState: 'failed', signalingState: 'stable', remoteDescription: {}, localDescription: {sdp: ''},
      getConfiguration: () => ({}), setConfiguration() {}, getSenders: () => [], getReceivers: () => [], getTransceivers: () => [], getStats: async () => new Map(), restartIce() { looked++; },
    });
    const healing = new Healing(/** @type {any} */ ({
      clock, current: () => ({pc, first: 'ours'}), pc: () => pc, state: () => 'connecting', setState() {}, online: () => true, polite: () => false,
      reachable: () => true, browser: () => '', sending: () => true, configuration: () => ({}), fits: () => true, tooMany: () => false, limit() {}, keyFrame() {},
      probe: async () => false, slow: () => false, narrow: () => narrow, replacements: {clock},
    }));
    for (let second = 0; second < 180; second++) {
      clock.advance(1000);
      healing.tick(/** @type {any} */ ({path: '', received: 0, silence: Infinity}));
      if (second % 5 === 0) healing.heal(true); // a browser that says again that it has failed
    }
    healing.close();
    assert.ok(looked <= most && looked >= (narrow ? 3 : 12), `${looked} times in three minutes`);
  });
}

test('a narrow line on which much waits is not taken for a dead path, one that is cut is', () => {
  for (const slow of [false, true]) for (const cut of [false, true]) {
    const clock = new FakeClock();
    let state = 'connected', restarted = NaN;
    const pc = /** @type {any} */ ({
      connectionState: 'connected', iceConnectionState: 'connected', signalingState: 'stable', remoteDescription: {}, localDescription: {sdp: ''},
      getConfiguration: () => ({}), setConfiguration() {}, getSenders: () => [], getReceivers: () => [], getTransceivers: () => [], getStats: async () => new Map(), restartIce() { if (Number.isNaN(restarted)) restarted = clock.time; },
    });
    const healing = new Healing(/** @type {any} */ ({
      clock, current: () => ({pc, first: 'ours'}), pc: () => pc, state: () => state, setState(now) { state = now; }, online: () => true, polite: () => false,
      reachable: () => true, browser: () => '', sending: () => true, configuration: () => ({}), fits: () => true, tooMany: () => false, limit() {}, keyFrame() {},
      probe: async () => false, slow: () => slow, narrow: () => false, replacements: {clock},
    }));
    healing.changed();
    const began = clock.time;
    for (let second = 0; second <= 12; second++) {
      healing.tick(/** @type {any} */ ({path: 'relay-tls', received: 0, silence: second * 1000}));
      // Browsers say so at once where the connection was cut, and else when nothing has come for seconds.
      if (second === (cut ? 0 : 5)) pc.connectionState = pc.iceConnectionState = 'disconnected';
      healing.changed();
      clock.advance(1000);
    }
    healing.close();
    const after = (restarted - began) / 1000;
    assert.ok(cut ? after <= 1 : slow ? after >= 8 && after <= 10 : after >= 2 && after <= 5, `slow ${slow}, cut ${cut}: after ${after} s`);
  }
});

test('who looks for a better path has lost none', async () => {
  for (const better of [true, false]) {
    const clock = new FakeClock();
    let state = 'connected';
    const pc = /** @type {any} */ ({connectionState: 'connected', iceConnectionState: 'connected', remoteDescription: {}, getSenders: () => [], getStats: async () => silent(1000), getConfiguration: () => ({}), setConfiguration() {}, restartIce() {}});
    const healing = new Healing(/** @type {any} */ ({
      clock, current: () => ({pc, first: 'ours'}), pc: () => pc, state: () => state, setState(now) { state = now; }, online: () => true, polite: () => false,
      reachable: () => true, browser: () => '', sending: () => true, configuration: () => ({}), fits: () => true, tooMany: () => false, limit() {}, keyFrame() {},
      probe: async () => false, slow: () => false, narrow: () => false, replacements: {clock},
    }));
    healing.changed();
    healing.offered(better);
    for (let i = 0; i < 10; i++) {
      for (let n = 0; n < 10; n++) await null;
      clock.advance(100);
    }
    assert.equal(healing.dead, !better, `better ${better}`);
    healing.close();
  }
});

test('a narrow line that has stood still and goes on is not dead, whatever a browser says of it then', () => {
  for (const slow of [true, false]) {
    const clock = new FakeClock();
    let state = 'connected', restarted = 0;
    const pc = /** @type {any} */ ({connectionState: 'connected', iceConnectionState: 'connected', signalingState: 'stable', remoteDescription: {}, localDescription: {sdp: ''}, getConfiguration: () => ({}), setConfiguration() {},
      getSenders: () => [], getReceivers: () => [], getTransceivers: () => [], getStats: async () => new Map(), restartIce() { restarted++; }});
    const healing = new Healing(/** @type {any} */ ({
      clock, current: () => ({pc, first: 'ours'}), pc: () => pc, state: () => state, setState(now) { state = now; }, online: () => true, polite: () => false,
      reachable: () => true, browser: () => '', sending: () => true, configuration: () => ({}), fits: () => true, tooMany: () => false, limit() {}, keyFrame() {},
      probe: async () => false, slow: () => slow, narrow: () => false, replacements: {clock},
    }));
    healing.changed();
    for (const silence of [5, 1000, 2000, 3, 4]) {
      healing.tick(/** @type {any} */ ({path: 'relay-tls', received: 0, silence}));
      clock.advance(1000);
    }
    pc.connectionState = pc.iceConnectionState = 'disconnected';
    healing.changed();
    clock.advance(400);
    assert.deepEqual([state, restarted > 0], slow ? ['connected', false] : ['reconnecting', true]);
    healing.close();
  }
});
