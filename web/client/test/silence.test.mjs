// When a path through a WebSocket asks, and tries another socket, where nothing comes.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Silence} from '../call/websocket/silence.js';

/** A path on which a frame came each so many milliseconds, for so long. */
function after(each, long, first = 0) {
  const silence = new Silence(0);
  let now = first;
  for (; now < first + long; now += each) silence.note(now);
  /** When it is done first, milliseconds after the last frame. */
  const when = (wide, does, answers = false) => {
    for (let quiet = 0; quiet < 10_000; quiet += 10) if (does(silence.judge(quiet, answers ? 100 : quiet, wide))) return quiet;
    return Infinity;
  };
  return {asks: (wide = true) => when(wide, ({ask}) => ask), renews: (wide = true, answers = false) => when(wide, ({renew}) => renew, answers)};
}

test('where frames came evenly nothing at all is suspicious at once, from the first of them on', () => {
  for (const first of [5, 150, 700, 4000]) { // since the path was made
    const even = after(20, 3000, first);
    assert.deepEqual([even.asks(), even.renews()], [260, 410], `the first after ${first} ms`);
    assert.deepEqual([even.asks(false), even.renews(false)], [1010, 1510], 'and not on a narrow line');
  }
});

test('where little comes, or for a moment, silence says less', () => {
  for (const [each, long] of [[500, 5000], [250, 5000], [20, 800]]) {
    const path = after(each, long);
    assert.deepEqual([path.asks(), path.renews()], [1010, 1510], `each ${each} ms, for ${long} ms`);
  }
});

test('where the server answers, ours is changed late', () => {
  const path = after(20, 3000);
  assert.deepEqual([path.renews(true, true), path.renews(false, true)], [3010, 3010]);
});
