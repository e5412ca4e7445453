// Sound that is sent twice, played through in Node: lines whose loss and room change at random, and two browsers that take an
// order of codecs as Chromium does. SEED=n repeats one schedule, SCHEDULES=n makes more.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Redundancy, Room, eachOfTwo} from '../call/path/redundancy.js';
import {chance} from './model/world.mjs';

/** Plays sound of 50 packets a second. `loss(t)` is a share, `room(t)` whether there is any. @returns a look each second */
function play(seconds, loss, room, random = chance(1)) {
  const redundancy = new Redundancy(), looks = [];
  let received = 0, lost = 0;
  for (let second = 0; second < seconds; second++) {
    const now = second * 1000, share = loss(now);
    for (let i = 0; i < 50; i++) random.next() < share ? lost++ : received++;
    const free = room(now);
    looks.push({now, share, room: free, wanted: redundancy.take(now, received, lost, free)});
  }
  return looks;
}
const turns = (looks) => looks.filter((look, i) => i > 0 && look.wanted !== looks[i - 1].wanted);

test('sound is sent twice soon after some of it is lost, and no longer when that is over', () => {
  for (const share of [0.05, 0.0975, 0.19, 0.3]) {
    const looks = play(300, (now) => (now >= 60_000 && now < 180_000 ? share : 0), () => true, chance(3));
    const [from, until, ...more] = turns(looks);
    assert.ok(from.wanted && from.now - 60_000 <= 6000, `${share}: after ${from?.now - 60_000} ms`);
    assert.ok(!until.wanted && until.now - 180_000 <= 15_000, `${share}: gone after ${until?.now - 180_000} ms`);
    assert.deepEqual(more, []);
  }
});

test('one hole, or a packet now and then, is no loss', () => {
  assert.deepEqual(turns(play(600, (now) => (now % 60_000 === 30_000 ? 0.9 : 0), () => true)), []);
  assert.deepEqual(turns(play(600, () => 0.005, () => true)), []);
});

test('a stream that counts anew, or a packet that came late, is no loss', () => {
  const redundancy = new Redundancy();
  for (let second = 0; second < 20; second++) redundancy.take(second * 1000, second * 50, second * 10, false);
  for (let second = 20; second < 60; second++) assert.equal(redundancy.take(second * 1000, (second - 20) * 50, (second % 2) - 1, true), false);
});

test('a line has room when the browser says so for a while, and nothing waits', () => {
  const take = (room, from, seconds, narrow, available, rtt) => Array.from({length: seconds}, (_, i) => room.take((from + i) * 1000, narrow, available, rtt)).at(-1);
  assert.equal(take(new Room(), 0, 20, false, 0, 0.02), false, 'not known');
  assert.equal(take(new Room(), 0, 20, false, 100_000, 0.02), false);
  assert.equal(take(new Room(), 0, 4, false, 500_000, 0.02), false, 'not yet');
  const room = new Room();
  assert.equal(take(room, 0, 6, false, 500_000, 0.02), true);
  assert.equal(room.take(6000, false, 500_000, 0.4), true, 'one slow answer is a busy machine');
  assert.equal(take(room, 7, 2, false, 80_000, 0.02), true, 'a line that loses much is thought to be small');
  assert.equal(take(room, 9, 10, false, 500_000, 0.2), false, 'it waits');
  assert.equal(take(room, 19, 20, false, 500_000, 0.02), true, 'and is free again');
  assert.equal(room.take(39_000, true, 500_000, 0.02), false, 'at once where it is narrow');
  assert.equal(take(room, 40, 6, false, 500_000, 0.02), true);
  room.forget();
  assert.equal(take(room, 46, 10, false, 500_000, 0.3), true, 'another path is as long as it is');
  assert.ok(2 * eachOfTwo + 2000 + 50 * 42 * 8 <= 68_000, 'what it takes fits where room ends');
});

// What must be true of every line: never twice without room, at most ten changes in five minutes, nothing on a clean line,
// and twice where it lasts.
const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({length: Number(process.env.SCHEDULES ?? 80)}, (_, i) => i + 1);
test('random lines', () => {
  for (const seed of seeds) {
    const random = chance(seed), told = `SEED=${seed}`, clean = random.happens(0.2);
    const every = random.within(1000, 60_000), losses = Array.from({length: 60}, () => (clean || random.happens(0.4) ? random.next() * 0.002 : random.next() * 0.4));
    const flaps = random.within(500, 40_000), often = random.next();
    const rooms = Array.from({length: 4000}, () => random.next() < often);
    const looks = play(2000, (now) => losses[Math.floor(now / every) % losses.length], (now) => rooms[Math.floor(now / flaps) % rooms.length], random);
    assert.ok(looks.every(({wanted, room}) => !wanted || room), `${told}: twice without room`);
    const changes = turns(looks);
    if (clean) assert.deepEqual(changes, [], `${told}: twice on a clean line`);
    for (const [i, {now}] of changes.entries()) {
      const within = changes.slice(i).filter((each) => each.now < now + 300_000).length;
      assert.ok(within <= 10, `${told}: ${within} changes in five minutes`);
    }
    // Whoever has missed much for longer than the longest pause, with room, has it twice.
    let since = 0;
    for (const look of looks) {
      if (!look.room || look.share < 0.08) since = look.now;
      else if (look.now - since > 170_000) assert.ok(look.wanted, `${told}: not twice at ${look.now}`);
    }
  }
});
