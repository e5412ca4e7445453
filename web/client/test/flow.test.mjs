// What a narrow line does to a call through the server's WebSocket where a proxy between stores everything: a model of two ends,
// with their real flow, rate and jitter buffer, and of the line between, whose queue has no end and drops nothing.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Arrivals, Flow} from '../call/websocket/flow.js';
import {Playout, packetMs, packetSamples, sampleRate} from '../call/websocket/playout.js';
import {Rate, sizeFor} from '../call/websocket/rate.js';
import {kinds, laneOf} from '../call/websocket/seal.js';

/** What sealing, WebSocket, TLS and TCP add to a frame, bytes. */
const overhead = 110;

/** @param {number} seed */
function random(seed) {
  let state = seed >>> 0;
  return (/** @type {number} */ most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * most;
  };
}

/** One way of the line: first in, first out, and as slow as it is at the moment. */
class Line {
  /** @type {{bytes: number, left: number, sentAt: number, deliver: () => void}[]} */ #queue = [];
  /** @type {{at: number, deliver: () => void}[]} */ #flying = [];

  /** @param {(now: number) => number} rate bits per second @param {number} delay milliseconds */
  constructor(rate, delay) {
    this.rate = rate;
    this.delay = delay;
  }

  get bytes() { return this.#queue.reduce((sum, {left}) => sum + left, 0); }

  /** @param {number} bytes @param {number} now @param {() => void} deliver */
  send(bytes, now, deliver) { this.#queue.push({bytes, left: bytes, sentAt: now, deliver}); }

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

const tone = Float32Array.from({length: packetSamples * 3}, (_, i) => Math.sin(i / 20));

/** One end: speaks and shows without a pause, and hears the other. */
class End {
  rate = new Rate();
  arrivals = new Arrivals();
  playout = new Playout();
  now = 0;
  /** @type {{at: number, silent: number}[]} silences that ended then, milliseconds */ gaps = [];
  /** How late sound came at most, of each second. @type {number[]} */ late = [];
  /** Bytes of pictures that came, of each second. @type {number[]} */ shown = [];
  /** @type {End | null} */ other = null;
  message = 0;
  #numbers = new Map();
  #block = new Float32Array(packetSamples);
  #silent = 0;
  #heard = false;
  #spoken = 0;
  #nextPicture = 0;
  #keyAt = -Infinity;
  #got = 0;
  #age = Infinity;
  #least = Infinity;
  #noise;

  /** @param {Line} line @param {(most: number) => number} noise */
  constructor(line, noise) {
    this.line = line;
    this.#noise = noise;
    this.flow = new Flow(() => this.now, (kind, content) => {
      const lane = laneOf(kind), number = (this.#numbers.get(lane) ?? 0) + 1;
      this.#numbers.set(lane, number);
      line.send(content.length + overhead, this.now, () => this.other?.came(kind, number, content));
      return /** @type {any} */ ({then: (/** @type {(number: number) => void} */ done) => done(number)});
    });
  }

  /** @param {import('../call/websocket/seal.js').FrameKind} kind @param {number} number @param {any} content */
  came(kind, number, content) {
    const {now} = this;
    this.#got += content.length * 8;
    if (kind === kinds.report) {
      this.flow.answered(content.had, content.at, content.held);
      if ('age' in content) this.rate.take(now, content, this.flow.waited);
      this.arrivals.narrow = this.rate.together > 1;
      return;
    }
    if (this.arrivals.note(kind, number, content.length, now)) this.answer();
    if (kind === kinds.sound) {
      const took = now - content.at, second = Math.floor(now / 1000);
      this.#least = Math.min(this.#least, took);
      this.#age = Math.min(this.#age, took - this.#least);
      this.late[second] = Math.max(this.late[second] ?? 0, took);
      this.playout.push(content.at, tone.slice(0, content.packets * packetSamples), now);
    } else if (kind !== kinds.message) {
      const second = Math.floor(now / 1000);
      this.shown[second] = (this.shown[second] ?? 0) + content.length;
    }
  }

  answer() { if (this.arrivals.owes) this.tell({...this.arrivals.answer(this.now)}); }

  /** @param {any} report */
  tell(report) { this.flow.push(kinds.report, Object.assign(report, {length: 'age' in report ? 200 : 40})); }

  /** @param {number} now */
  run(now) {
    this.now = now;
    if (this.arrivals.due(now)) this.answer();
    if (now % packetMs === 0) {
      this.#spoken++;
      if (this.#spoken >= this.rate.together) {
        const packets = Math.min(3, this.#spoken);
        this.flow.push(kinds.sound, /** @type {any} */ ({length: 4 + packets * 60, at: now - packets * packetMs, packets}));
        this.#spoken = 0;
      }
      this.playout.pull(this.#block);
      const loud = this.#block.some((sample) => Math.abs(sample) > 0.05);
      this.#heard ||= loud;
      if (!loud && this.#heard) this.#silent += packetMs;
      else if (this.#silent) {
        this.gaps.push({at: now, silent: this.#silent});
        this.#silent = 0;
      }
    }
    const {picture} = this.rate;
    if (picture > 0 && now >= this.#nextPicture && !this.flow.full) {
      const {frames} = sizeFor(picture), key = now - this.#keyAt > 10_000;
      if (key) this.#keyAt = now;
      this.#nextPicture = now + 1000 / frames;
      const bytes = Math.round((picture / 8 / frames) * (0.6 + this.#noise(0.8)) + (key ? 2500 + picture / 25 : 0));
      const {piece} = this.flow;
      for (let at = 0; at < bytes; at += piece) this.flow.push(at ? kinds.piece : key ? kinds.key : kinds.picture, /** @type {any} */ ({length: Math.min(piece, bytes - at)}));
    }
    if (picture === 0) this.#keyAt = -Infinity;
    for (; this.message > 0 && this.flow.waiting < 65_536; this.message -= 4096) this.flow.push(kinds.message, /** @type {any} */ ({length: 4096}));
    if (now % 500 === 0) {
      this.flow.tick();
      this.tell({age: this.#age < Infinity ? this.#age : 0, got: this.#got * 2, lost: 0, ...this.arrivals.answer(now)});
      this.#got = 0;
      this.#age = Infinity;
    }
  }
}

/** A call over such a line. @param {(now: number) => number} there @param {(now: number) => number} back @param {number} seconds @param {{seed?: number, delay?: number, message?: number}} [how] */
function call(there, back, seconds, {seed = 1, delay = 25, message = 0} = {}) {
  const noise = random(seed), lines = [new Line(there, delay), new Line(back, delay)], ends = lines.map((line) => new End(line, noise));
  [ends[0].other, ends[1].other] = [ends[1], ends[0]];
  ends[0].message = message;
  const step = 5, trace = [];
  for (let now = 0; now < seconds * 1000; now += step) {
    for (const line of lines) line.run(now, step);
    for (const end of ends) end.run(now);
    if (now % 500 === 0) trace.push(`${now / 1000}: ${ends.map((end, i) => `${Math.round(end.rate.picture / 1000)} kbit/s ×${end.rate.together} window ${Math.round(end.flow.window)} queue ${Math.round(lines[i].bytes)} late ${end.late.at(-1)} target ${Math.round(end.playout.target)}`).join(' | ')}`);
  }
  return {ends, trace};
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
