// When the way through the server's WebSocket is opened, used and shut.
import test from 'node:test';
import assert from 'node:assert/strict';
import {LastDoor} from '../call/path/lastdoor.js';
import {lastDoorTimes} from '../base/times.js';
import {FakeClock} from './fakes.mjs';
import {random} from './model/doorend.mjs';

const settle = async () => { for (let i = 0; i < 12; i++) await null; };

/** Two people, whose connection and sockets come and go. */
function pair() {
  const clock = new FakeClock();
  const state = {connected: [true, true], possible: [true, true], since: [0, 0], unanswered: [0, 0], was: false, still: [0, 0], opened: [0, 0], apart: false, waits: [false, false], strained: [false, false], bonds: /** @type {(string | null)[]} */ (['x', 'x'])};
  /** @type {{to: 0 | 1, said: any}[]} */ const way = [];
  /** @type {any[]} */ const paths = [null, null];
  let keys = 0;
  class FakePath {
    open = false;
    theirs = '';
    publicKey = `key${keys++}`;
    /** @param {any} host */
    constructor(host) { this.host = host; }
    async begin() { paths[this.host.i] = this; }
    /** @param {any} said @param {any} secret */
    async agree(said, secret) { this.theirs = said.key; this.bound = !!secret; }
    used = false;
    asked = false;
    bound = false;
    get wanted() { return this.used || this.asked; }
    send() {}
    close() {
      if (this.closed) return;
      this.closed = true;
      this.open = false;
      this.host.closed();
    }
    closed = false;
  }
  const loads = [0, 0];
  const doors = [0, 1].map((i) => new LastDoor({
    clock, load: async () => { loads[i]++; return /** @type {any} */ ({WebSocketPath: FakePath, abilities: async () => ({pictures: [], sound: true})}); },
    possible: () => state.possible[i], waiting: () => true,
    lost: () => state.was, still: () => state.still[i], waits: () => state.waits[i], strained: () => state.strained[i], shared: async () => { const bond = state.bonds[i]; return bond ? {bond, secret: new Uint8Array(32), keys: 'DTLS'} : null; }, opened: () => { state.opened[i]++; },
    unconnected: () => (state.connected[i] ? 0 : clock.now() - state.since[i] + 1),
    say: (said) => { way.push({to: /** @type {0 | 1} */ (1 - i), said}); }, path: () => /** @type {any} */ ({i}), changed: () => {}, unanswered: () => { state.unanswered[i]++; },
  }));
  /** Keys that fit open both ends, as the server and the frames would. */
  const meet = () => {
    const [a, b] = paths;
    if (state.apart || !a || !b || a.closed || b.closed || a.theirs !== b.publicKey || b.theirs !== a.publicKey) return;
    for (const path of [a, b]) if (!path.open) { path.open = true; path.host.opened(); }
  };
  return {
    clock, state, doors, paths, way, loads,
    set(/** @type {number} */ i, /** @type {boolean} */ connected) {
      if (state.connected[i] === connected) return;
      state.connected[i] = connected;
      state.since[i] = clock.now();
      doors[i].look();
    },
    async pass(/** @type {number} */ milliseconds, deliver = true) {
      for (let at = 0; at < milliseconds; at += 50) {
        clock.advance(50);
        await settle();
        for (let item = deliver ? way.shift() : undefined; item; item = way.shift()) { doors[item.to].hear(item.said); await settle(); }
        meet();
      }
    },
  };
}

test('the door opens when nothing else does, and shuts when something does', async () => {
  const {set, pass, doors, paths, loads} = pair();
  await pass(3000);
  assert.equal(paths[0], null, 'nothing is begun on a path that works');
  assert.deepEqual(loads, [0, 0], 'nor loaded');
  set(0, false);
  set(1, false);
  await pass(lastDoorTimes.fetch - 100);
  assert.deepEqual(loads, [0, 0]);
  await pass(1400 - lastDoorTimes.fetch + 100);
  assert.deepEqual(loads, [1, 1], 'loaded before it is needed');
  assert.equal(paths[0], null);
  await pass(400);
  assert.deepEqual(doors.map(({carries}) => carries), [true, true]);
  paths[0].close(); // the server has gone
  paths[1].close();
  assert.deepEqual(doors.map(({carries}) => carries), [false, false]);
  await pass(6000);
  assert.deepEqual(doors.map(({carries}) => carries), [true, true]);
  set(0, true);
  await pass(50);
  assert.deepEqual(doors.map(({carries}) => carries), [false, true]);
  set(1, true);
  await pass(lastDoorTimes.keep + 100);
  assert.ok(paths.every(({closed}) => closed), 'the socket is given back');
});

test('who has a path is heard by it, and stays at the door for one who has none', async () => {
  const {set, pass, doors, paths} = pair();
  set(0, false);
  await pass(2500);
  assert.deepEqual(doors.map(({carries}) => carries), [true, false]);
  paths[1].used = true;
  await pass(4 * lastDoorTimes.keep);
  assert.deepEqual([doors[0].carries, paths[1].closed], [true, false]);
  set(0, true);
  paths[1].used = false;
  await pass(2 * lastDoorTimes.keep + 100);
  assert.ok(paths.every(({closed}) => closed));
});

test('who was connected goes through the door at once, and where that comes and goes no sooner than others', async () => {
  const {set, pass, doors, paths, state} = pair();
  state.was = true;
  set(0, false);
  set(1, false);
  await pass(150);
  assert.deepEqual(doors.map(({carries}) => carries), [true, true]);
  let begun = 1;
  for (let [last] = paths, flap = 0; flap < 10; flap++) {
    set(0, true);
    set(1, true);
    await pass(lastDoorTimes.keep + 1000);
    assert.ok(paths.every(({closed}) => closed), 'the socket is given back');
    set(0, false);
    set(1, false);
    await pass(lastDoorTimes.patience - 200);
    if (paths[0] !== last) begun++;
    [last] = paths;
  }
  assert.ok(begun <= 1 + Math.ceil(10 * (lastDoorTimes.keep + 1000 + lastDoorTimes.patience) / lastDoorTimes.hurry), `${begun} sockets for eleven losses`);
});

test('a path that stands still has the door made ready, and asked for sound after half a second; a false alarm leaves all as it was', async () => {
  const {set, pass, doors, paths, state, loads} = pair(), sure = lastDoorTimes.sure;
  const stands = () => doors.map(({standIn}) => standIn !== null), carry = () => doors.map(({carries}) => carries);
  state.was = true;
  state.still = [sure - 150, 0];
  doors[0].look();
  await pass(100);
  assert.deepEqual([paths.map(({open}) => open), state.opened], [[true, true], [1, 1]], 'open at both ends, whoever sees it');
  assert.deepEqual(stands(), [false, false], 'and not used yet');
  state.still[0] = sure;
  await pass(100);
  assert.deepEqual([stands(), carry()], [[true, false], [false, false]], 'by the one who hears nothing, for sound alone');
  paths[1].asked = true;
  await pass(10_000);
  assert.deepEqual([stands(), carry(), doors.map(({path}) => path)], [[true, false], [false, false], [null, null]], 'for as long as nobody knows that it is lost');
  state.still[0] = 0;
  doors[0].look();
  await pass(lastDoorTimes.keep + 100);
  assert.deepEqual([stands()[0], paths[0].closed, paths[1].closed], [false, true, false]);
  paths[1].asked = false;
  await pass(lastDoorTimes.keep + 100);
  assert.ok(paths[1].closed);
  let begun = 0;
  for (let [last] = paths, n = 0; n < 20; n++) { // it comes and goes
    state.still[0] = 2 * sure;
    doors[0].look();
    await pass(300);
    if (paths[0] !== last) begun++;
    state.still[0] = 0;
    doors[0].look();
    await pass(lastDoorTimes.keep + 700);
    [last] = paths;
  }
  assert.ok(begun > 2 && begun <= lastDoorTimes.aheadAtOnce + 20 * (lastDoorTimes.keep + 1000) / lastDoorTimes.ahead, `${begun} sockets`);
  assert.deepEqual(carry(), [false, false]);
  set(0, false); // and now it is lost, with nothing left for what is made ready
  set(1, false);
  await pass(150);
  assert.deepEqual([carry(), stands(), loads], [[true, true], [false, false], [1, 1]]);
});

test('over TCP or TLS nothing is made ready before a line that has become narrow would have gone on, nor by who knows that it is one', async () => {
  const {set, pass, doors, paths, state, loads, clock} = pair(), sure = lastDoorTimes.sureWaiting;
  state.was = true;
  state.waits = [true, true];
  const stand = async (/** @type {number} */ milliseconds) => {
    const from = clock.now();
    state.still[0] = 300;
    doors[0].look();
    for (let t = 0; t < milliseconds; t += 50) {
      await pass(50);
      state.still[0] = 300 + clock.now() - from;
    }
  };
  await stand(sure - 400);
  assert.deepEqual([paths, loads], [[null, null], [0, 0]]);
  state.strained[1] = true;
  await stand(2000);
  assert.deepEqual([paths[0] !== null, paths[1], loads], [true, null, [1, 0]], 'who knows that his line is narrow does not come');
  state.strained[1] = false;
  state.still[0] = 0;
  doors[0].look();
  await pass(lastDoorTimes.keep + 100);
  await stand(2000);
  assert.deepEqual([paths.map((path) => path?.open), doors.map(({standIn}) => standIn !== null)], [[true, true], [true, false]]);
  state.still[0] = 0;
  doors[0].look();
  await pass(lastDoorTimes.keep + 100);
  state.strained = [true, true];
  set(0, false);
  set(1, false);
  await pass(300);
  assert.deepEqual(doors.map(({carries}) => carries), [true, true], 'a path that is known to be lost is no narrow one');
});

for (const [what, bonds] of /** @type {[string, (string | null)[]][]} */ ([['said nothing', [null, 'x']], ['heard another', ['x', 'y']], ['not known either', [null, null]]])) {
  test(`keys that are not bound to the connection carry nothing in its place: ${what}`, async () => {
    const {set, pass, doors, paths, state} = pair();
    state.was = true;
    state.bonds = bonds;
    state.still = [2000, 2000];
    for (const door of doors) door.look();
    await pass(4000);
    assert.deepEqual([paths.map(({open, bound}) => [open, bound]), doors.map(({standIn}) => standIn)], [[[true, false], [true, false]], [null, null]]);
    set(0, false); // it is lost, which people see: they may compare again
    await pass(100);
    assert.deepEqual(doors.map(({carries}) => carries), [true, false]);
  });
}

test('the door is not answered: that is said, and it is tried again', async () => {
  const {set, pass, doors, state} = pair();
  doors[1].close(); // a client that does not know of it
  set(0, false);
  await pass(60_000);
  assert.ok(!doors[0].carries && state.unanswered[0] > 1, `${state.unanswered}`);
});

test('both agree, and do not meet there: that is said on both sides, as by two whose servers are not one', async () => {
  const {set, pass, doors, state} = pair();
  state.apart = true;
  set(0, false);
  set(1, false);
  await pass(60_000);
  assert.ok(doors.every(({carries}) => !carries) && state.unanswered.every((times) => times > 1), `${state.unanswered}`);
});

test('who asks with one key that is none after the other has few sockets opened', async () => {
  const {pass, doors, paths, way} = pair();
  let begun = 0;
  for (let n = 0, last; n < 600; n++) { // a minute, ten in each second
    await doors[1].hear({key: `none${n}`, pictures: [], sound: true});
    if (paths[1] !== last) begun++;
    last = paths[1];
    paths[1]?.close(); // no point of the curve
    way.length = 0;
    await pass(100, false);
  }
  assert.ok(begun > 1 && begun <= lastDoorTimes.answersAtOnce + 60_000 / lastDoorTimes.answers + 1, `${begun} sockets`);
});

test('whatever comes and goes, both meet in the end: random schedules', async () => {
  const schedules = Number(process.env.SCHEDULES ?? 60);
  for (let seed = 1; seed <= schedules; seed++) {
    const pick = random(seed * 7919), {set, pass, doors, paths, state, way, clock} = pair();
    for (let step = 0; step < 40; step++) {
      const i = pick(2) < 1 ? 0 : 1, what = Math.floor(pick(8));
      if (what === 0) set(i, false);
      else if (what === 1) set(i, true);
      else if (what === 2) paths[i]?.close();
      else if (what === 3) state.possible[i] = !state.possible[i];
      else if (what === 4 && way.length) doors[way[0].to].hear(way[0].said); // said twice
      else if (what === 5) doors[i].hear({key: `stranger${step}`, pictures: [], sound: true});
      else if (what === 6) {
        state.still[i] = state.still[i] ? 0 : 1 + pick(2000);
        doors[i].look();
      }
      await pass(pick(3000), pick(4) > 1);
      assert.ok(doors.every(({carries, standIn}, n) => !standIn || (!carries && paths[n].open && paths[n].bound)), `seed ${seed}`);
      assert.ok(doors.every(({carries}, n) => !carries || paths[n].open), `seed ${seed}`);
    }
    state.possible = [true, true];
    state.still = [0, 0];
    set(0, false);
    set(1, false);
    const before = clock.now();
    for (let waited = 0; waited < 130 && !doors.every(({carries}) => carries); waited++) await pass(1000);
    assert.ok(doors.every(({carries}) => carries), `seed ${seed}: not together after ${clock.now() - before} ms`);
    set(0, true);
    set(1, true);
    await pass(lastDoorTimes.keep + 200);
    assert.ok(paths.every(({closed}) => closed), `seed ${seed}: a socket is kept`);
    for (const door of doors) door.close();
    assert.equal(clock.timers.size, 0, `seed ${seed}: a timer is left`);
  }
});
