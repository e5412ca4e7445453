// What a narrow line does to a call through the server's WebSocket where a proxy between stores everything: a model of two ends,
// with their real flow, rate and jitter buffer, and of the line between, whose queue has no end and drops nothing.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Flow} from '../call/websocket/flow.js';
import {End, random} from './model/doorend.mjs';
import {DropTail, connection} from './model/tcp.mjs';

/** @typedef {(now: number) => number} Carries bits per second */

/** What sealing, WebSocket, TLS and TCP add to a frame, bytes. */
const overhead = 110;

/** One way of the line: first in, first out, and as slow as it is at the moment. */
class Line {
  /** @type {{bytes: number, left: number, deliver: () => void}[]} */ #queue = [];
  /** @type {{at: number, deliver: () => void}[]} */ #flying = [];

  /** @param {(now: number) => number} rate bits per second @param {number} delay milliseconds */
  constructor(rate, delay) {
    this.rate = rate;
    this.delay = delay;
  }

  get bytes() { return this.#queue.reduce((sum, {left}) => sum + left, 0); }

  /** @param {number} bytes @param {() => void} deliver */
  send(bytes, deliver) { this.#queue.push({bytes, left: bytes, deliver}); }

  /** @param {number} now @param {number} step milliseconds */
  run(now, step) {
    let carries = (this.rate(now) * step) / 8000;
    while (this.#queue.length && carries > 0) {
      const [head] = this.#queue, part = Math.min(carries, head.left);
      head.left -= part;
      carries -= part;
      if (head.left > 0) break;
      this.#queue.shift();
      this.#flying.push({at: now + this.delay, deliver: head.deliver});
    }
    while (this.#flying.length && this.#flying[0].at <= now) /** @type {{deliver: () => void}} */ (this.#flying.shift()).deliver();
  }
}

/** A call over such a line. @param {(now: number) => number} there @param {(now: number) => number} back @param {number} seconds @param {{seed?: number, delay?: number, message?: number, scene?: number, key?: number}} [how] */
function call(there, back, seconds, {seed = 1, delay = 25, message = 0, scene = Infinity, key = 2500} = {}) {
  const noise = random(seed), lines = [new Line(there, delay), new Line(back, delay)], ends = lines.map((line) => new End((bytes, deliver) => line.send(bytes + overhead, deliver), noise));
  [ends[0].other, ends[1].other] = [ends[1], ends[0]];
  ends[0].message = message;
  for (const end of ends) Object.assign(end, {scene, key});
  const step = 5, trace = [];
  for (let now = 0; now < seconds * 1000; now += step) {
    for (const line of lines) line.run(now, step);
    for (const end of ends) end.run(now);
    if (now % 500 === 0) trace.push(`${now / 1000}: ${ends.map((end, i) => `${Math.round(end.rate.picture / 1000)} kbit/s ×${end.rate.together} window ${Math.round(end.flow.window)} queue ${Math.round(lines[i].bytes)} late ${end.late.at(-1)} target ${Math.round(end.playout.target)}`).join(' | ')}`);
  }
  return {ends, trace};
}

/** What tbf of the lab's line holds at 130 kbit/s and 100 ms, bytes. */
const shortQueue = 3165;
/** What an offer of ours takes, bytes, and so often one is made, milliseconds: where a line is narrow, and elsewhere. */
const offerBytes = 11_900, offerEvery = 15_000, offerNarrow = 60_000;
/** What sealing, WebSocket and TLS add to a frame, bytes. */
const sealed = 53;

/**
* The same over TCP, on lines that drop what is too much, with /ws on a connection of its own.
 * @param {Carries} there @param {Carries} back @param {number} seconds @param {{seed?: number, delay?: number, reduces?: boolean, offers?: boolean, scene?: number, hiccup?: number}} [how]
 */
function callOverTCP(there, back, seconds, {seed = 1, delay = 2, reduces = true, offers = true, scene = Infinity, hiccup = 0} = {}) {
  const noise = random(seed), lines = [there, back].map((carries) => new DropTail(carries, delay, (now) => (carries(now) < 1_000_000 ? shortQueue : Infinity)));
  const media = connection(lines[0], lines[1], {reduces}), words = connection(lines[0], lines[1], {reduces});
  const ends = media.map((tcp) => new End((bytes, deliver) => tcp.write(bytes + sealed, deliver), noise)), trace = [];
  [ends[0].other, ends[1].other] = [ends[1], ends[0]];
  for (const end of ends) Object.assign(end, {scene, hiccup});
  const offeredAt = [0, 0], said = [0, 0];
  /** @param {number} i @param {() => void} heard */
  const signal = (i, heard) => {
    said[i]++;
    ends[i].say(offerBytes, heard);
  };
  for (let now = 0; now < seconds * 1000; now++) {
    for (const line of lines) line.run(now);
    for (const end of [...media, ...words]) end.run(now);
    for (const [i, end] of ends.entries()) {
      if (now % 5 === 0) end.run(now);
      if (now % 1000 === i * 500) words[i].write(90, () => {});
      if (!offers || now < 5000 || now - Math.max(...offeredAt) < (end.narrow ? offerNarrow : offerEvery)) continue;
      offeredAt[i] = now;
      signal(i, () => signal(1 - i, () => {}));
    }
    if (now % 500 === 0) trace.push(`${now / 1000}: ${ends.map((end, i) => `${Math.round(end.rate.picture / 1000)} kbit/s ×${end.rate.together} window ${Math.round(end.flow.window)} queue ${Math.round(lines[i].bytes)} tcp ${media[i].waiting}+${words[i].waiting} dropped ${lines[i].dropped} late ${end.late.at(-1)} target ${Math.round(end.playout.target)} offers ${said[i]}`).join(' | ')}`);
  }
  return {ends, trace, lines};
}

/** @param {End} end @param {number} from @param {number} [to] milliseconds */
const longest = (end, from, to = Infinity) => Math.max(0, ...end.gaps.filter(({at}) => at >= from && at < to).map(({silent}) => silent));

const wide = () => 5_000_000;
for (const direction of ['down', 'up', 'both']) {
  test(`a line that has 130 kbit/s from one moment on, ${direction}: sound goes on`, () => {
    const narrow = (/** @type {number} */ now) => (now < 10_000 ? 5_000_000 : 130_000);
    const {ends, trace} = call(direction === 'down' ? wide : narrow, direction === 'up' ? wide : narrow, 50);
    if (process.env.TRACE) console.log(trace.join('\n'));
    for (const [i, end] of ends.entries()) {
      if (process.env.TRACE) console.log(direction, i, 'finding', longest(end, 10_000, 15_000), 'after', longest(end, 15_000), 'late', Math.max(...end.late.slice(16).filter(Boolean)), 'pictures', Math.round(end.shown.slice(20).reduce((a, b) => a + (b || 0), 0) * 8 / 30_000), 'kbit/s');
      assert.ok(longest(end, 14_000) <= 200, `end ${i}: ${JSON.stringify(end.gaps.filter(({at}) => at > 10_000))}`);
      assert.ok(longest(end, 10_000, 14_000) <= 1500, `end ${i}: ${longest(end, 10_000, 14_000)} ms until it is known`);
    }
  });
}

test('random lines, each way by itself: sound has no gap once a line is known, and pictures use what is left', () => {
  for (let seed = Number(process.env.SEED ?? 1); seed <= Number(process.env.SEEDS ?? 4); seed++) {
    const pick = random(seed * 7919), seconds = 120;
    /** @returns {{from: number, rate: number}[]} */
    const schedule = () => {
      const spans = [];
      for (let from = 0; from < seconds * 1000; from += 20_000 + pick(20_000)) spans.push({from, rate: 130_000 * 1.5 ** pick(8)});
      return spans;
    };
    const ways = [schedule(), schedule()], delay = 5 + pick(100), message = pick(1) < 0.5 ? 2_000_000 : 0;
    const lineOf = (/** @type {{from: number, rate: number}[]} */ spans) => (/** @type {number} */ now) => /** @type {{rate: number}} */ (spans.findLast(({from}) => from <= now)).rate;
    const {ends, trace} = call(lineOf(ways[0]), lineOf(ways[1]), seconds, {seed, delay, message});
    if (process.env.TRACE === String(seed)) console.log(trace.join('\n'));
    for (const [i, end] of ends.entries()) {
      const line = ways[1 - i], other = ways[i]; // what it hears comes by the other's line
      for (const [n, {from, rate}] of line.entries()) {
        const until = line[n + 1]?.from ?? seconds * 1000, said = `seed ${seed}, end ${i}, ${Math.round(rate / 1000)} kbit/s from ${Math.round(from)} to ${Math.round(until)} ms, ${Math.round(delay)} ms${message ? ', a file' : ''}`;
        // The other way's change is found out too: answers go there.
        const calm = [from, ...other.map((span) => span.from)].filter((at) => at < until);
        let gap = 0;
        for (const {at, silent} of end.gaps) if (at >= from && at < until && !calm.some((change) => at >= change && at < change + 5000)) gap = Math.max(gap, silent);
        const shown = end.shown.slice(Math.ceil(until / 1000) - 5, Math.floor(until / 1000)).reduce((sum, bytes) => sum + (bytes || 0), 0) * 8 / 5;
        if (process.env.TRACE) console.log(said, 'gap', gap, 'pictures', Math.round(shown / 1000));
        assert.ok(gap <= 300, `${said}: silent for ${gap} ms`);
        assert.ok(rate < 1_000_000 || calm.some((at) => at > until - 20_000) || shown > 250_000, `${said}: pictures of ${Math.round(shown / 1000)} kbit/s`);
      }
    }
  }
});

test('after a disturbance, sound is as soon as it was, also where pictures are too small to show that the line is wide', () => {
  for (const [scene, key] of [[Infinity, 2500], [8000, 800], [0, 0]]) {
    for (const length of [300, 1500, 3000]) {
      const stalls = (/** @type {number} */ now) => (now > 20_000 && now < 20_000 + length ? 1000 : 5_000_000);
      const {ends, trace} = call(stalls, stalls, 150, {scene, key});
      if (process.env.TRACE === 'all') console.log(trace.join('\n'));
      for (const [i, end] of ends.entries()) {
        const said = `pictures of ${scene} bits per second, ${length} ms, end ${i}: ${end.playout.waiting} ms wait of ${end.playout.target}`;
        if (process.env.TRACE) console.log(said, end.rate.together);
        else assert.deepEqual([end.rate.together, end.playout.waiting <= 90], [1, true], said);
      }
    }
  }
});

test('room is looked for twice in a row, however long there was none', async () => {
  /** @type {number[]} */ const sent = [];
  let now = 0;
  const flow = new Flow(() => now, async () => { sent.push(now); return 0; }, () => {});
  for (; now < 1_200_000; now += 500) {
    flow.probe();
    for (let i = 0; i < 4; i++) await null;
  }
  const apart = sent.slice(1).map((at, i) => at - sent[i]);
  assert.deepEqual([...new Set(apart.filter((_, i) => i % 2 === 0))], [2000]);
  assert.equal(apart.at(-1) === 2000 ? apart.at(-2) : apart.at(-1), 60_000);
});

/** What cameras see takes so many bits per second, and pages stand still for so long at most, milliseconds. */
const cameras = [{scene: Infinity, hiccup: 0}, {scene: 30_000, hiccup: 0}, {scene: 60_000, hiccup: 60}];
for (const direction of ['down', 'up', 'both']) {
  for (const reduces of [true, false]) {
    test(`130 kbit/s with a short queue, TCP that sends ${reduces ? '' : 'no '}less after a loss, ${direction}: sound goes on`, () => {
      for (let seed = Number(process.env.SEED ?? 1); seed <= Number(process.env.SEEDS ?? 3); seed++) {
        const narrow = (/** @type {number} */ now) => (now < 10_000 ? 5_000_000 : 130_000), camera = cameras[seed % cameras.length];
        const {ends, trace} = callOverTCP(direction === 'down' ? wide : narrow, direction === 'up' ? wide : narrow, 75, {seed, reduces, ...camera});
        if (process.env.TRACE === String(seed)) console.log(trace.join('\n'));
        for (const [i, end] of ends.entries()) {
          if (process.env.TRACE) console.log(seed, direction, reduces, i, 'finding', longest(end, 10_000, 15_000), 'after', longest(end, 15_000), 'pictures', Math.round(end.shown.slice(20).reduce((a, b) => a + (b || 0), 0) * 8 / 55_000), 'kbit/s', JSON.stringify(end.gaps.filter(({at, silent}) => at > 15_000 && silent > 200).map(({at, silent}) => [at, silent])));
          assert.ok(process.env.TRACE || longest(end, 15_000) <= 200, `seed ${seed}, end ${i}: ${JSON.stringify(end.gaps.filter(({at}) => at > 10_000))}`);
        }
      }
    });
  }
}
