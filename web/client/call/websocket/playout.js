// When sound that came is played. It runs in an AudioWorklet, and by itself in tests: it knows of nothing but samples.
// The page imports this module, and loads it into the worklet by its address. Here, as in capture.worklet.js, nothing is
// imported: bundlers copy what is loaded by its address as it is, without what it imports.

/** Samples per second, and of one packet. */
export const sampleRate = 48_000;
export const packetMs = 20;
export const packetSamples = (sampleRate * packetMs) / 1000;

/** Milliseconds that may wait: as few as the line allows. */
const least = 60, most = 400;
/** What is played late is played by so much faster, what would run out by so much slower: nobody hears that. */
const hurry = 0.04;
/** By so much what waits may differ from what should, milliseconds: beyond that it is made right, whole. */
const apart = 24;
/** A gap is filled with what was before it, ever softer, for so long; after that it is silent. */
const concealMs = 60;
/** What is late by so much may be by a little more. */
const later = 1.15;
/** The lateness of so many packets is looked at: ten seconds of them. */
const looked = 500;

/**
 * A queue of sound whose length follows how unevenly it comes. What comes too late is not played, what is missing is
 * concealed; clocks that run differently are evened out.
 */
export class Playout {
  /** Samples that had to be made up. */
  concealed = 0;
  /** The time of the sample that is played next, by the sender's clock in milliseconds; NaN: none yet. */
  at = NaN;

  /** @type {{at: number, samples: Float32Array}[]} by time */ #queue = [];
  #offset = 0;
  #playing = false;
  /** How late each packet was, against the earliest: milliseconds. @type {number[]} */ #lateness = [];
  #target = least;
  /** The least of these: of a packet that came as early as any. */
  #earliest = Infinity;
  /** The packet before a gap, and how much of that is filled. */
  #last = /** @type {Float32Array} */ (new Float32Array(0));
  #filled = 0;
  /** Between two samples, where it is played faster or slower. */
  #between = 0;
  /** How fast it is played. */
  #speed = 1;
  /** Milliseconds that wait where a packet is not late: what came last may be; by now so many more, while nothing is played. */
  #ahead = 0;

  /** Whether something that came is being played. */
  get playing() { return this.#playing; }

  /** Milliseconds that should wait. */
  get target() { return this.#target; }

  /** Milliseconds that wait. */
  get waiting() {
    const last = this.#queue.at(-1);
    return last ? last.at + (last.samples.length / sampleRate) * 1000 - (this.#playing ? this.at : this.#queue[0].at) : 0;
  }

  /** @param {number} at of its first sample, by the sender's clock @param {Float32Array} samples @param {number} now milliseconds, by ours */
  push(at, samples, now) {
    this.#note(now - at, (samples.length / sampleRate) * 1000);
    if (at + packetMs / 2 < this.at) return; // too late
    const before = this.#queue.at(-1);
    if (before && at <= before.at) return;
    this.#queue.push({at, samples});
    // A sender whose clock jumps, or somebody who was away: what is far too much is not played.
    while (this.waiting > most + 200 && this.#queue.length > 1) this.#skip();
    this.#ahead = this.waiting + Math.max(0, now - at - this.#earliest);
    this.#pace();
  }

  /** Once what waits differs by too much it is played faster or slower until it is right: else each hiccup would leave what it has cost. */
  #pace() {
    const over = this.#ahead - this.#target;
    if (over > apart) this.#speed = 1 + hurry;
    else if (over < -apart) this.#speed = 1 - hurry;
    else if ((over > 0) !== (this.#speed > 1)) this.#speed = 1;
  }

  /** @param {number} delay @param {number} length of the packet, milliseconds: until the next one comes so much is played */
  #note(delay, length) {
    this.#lateness.push(delay);
    this.#earliest = Math.min(this.#earliest, delay);
    if (this.#lateness.length > looked) this.#lateness.shift();
    if (this.#lateness.length % 10 !== 0 && this.#lateness.length > 10 && this.#playing) return;
    const sorted = [...this.#lateness].sort((a, b) => a - b);
    const late = sorted[Math.floor(sorted.length * 0.98)] - sorted[0];
    this.#earliest = sorted[0];
    this.#target = Math.min(most, Math.max(least - packetMs, late * later) + Math.max(length, packetMs));
  }

  #skip() {
    this.#queue.shift();
    this.#offset = 0;
    this.at = this.#queue[0]?.at ?? this.at;
  }

  /** Fills a block. @param {Float32Array} block */
  pull(block) {
    if (!this.#playing && !this.#begins(block.length)) return this.#conceal(block, 0);
    const speed = this.#speed;
    for (let i = 0; i < block.length;) {
      const many = speed === 1 ? this.#copy(block, i) : 0;
      i += many;
      if (many) continue;
      const sample = this.#next();
      if (sample === null) return this.#conceal(block, i);
      block[i++] = sample;
      this.#between += speed - 1;
      if (this.#between >= 1) { this.#between--; this.#advance(); }
      if (this.#between <= -1) { this.#between++; if (i < block.length) block[i++] = sample; }
    }
  }

  /** Whether enough waits to begin, or will for sure: in a silence packets come one by one, and after a gap more are on their way. @param {number} samples that would be played meanwhile */
  #begins(samples) {
    const [head] = this.#queue;
    if (!head) return false;
    if (this.#ahead < this.#target) {
      this.#ahead += (samples / sampleRate) * 1000;
      return false;
    }
    this.#speed = 1;
    this.at = head.at;
    return this.#playing = true;
  }

  /** Fills a block from there with what is left of the packet that is played, as it is. @param {Float32Array} block @param {number} from @returns {number} how many samples */
  #copy(block, from) {
    const head = this.#queue[0];
    if (!head || this.at < head.at - 1) return 0;
    const many = Math.min(block.length - from, head.samples.length - this.#offset);
    block.set(head.samples.subarray(this.#offset, this.#offset + many), from);
    this.#filled = 0;
    this.#advance(many);
    return many;
  }

  /** @returns {number | null} null: there is nothing to play */
  #next() {
    const head = this.#queue[0];
    if (!head) {
      this.#playing = false;
      return null;
    }
    // What is missing between two packets passes as time.
    if (this.at < head.at - 1) {
      this.at += 1000 / sampleRate;
      this.concealed++;
      return this.#made();
    }
    const sample = head.samples[this.#offset];
    this.#filled = 0;
    this.#advance();
    return sample;
  }

  #advance(many = 1) {
    const head = this.#queue[0];
    if (!head) return;
    if (this.at < head.at - 1) { this.at += 1000 / sampleRate; return; }
    this.#offset += many;
    this.at = head.at + (this.#offset / sampleRate) * 1000;
    if (this.#offset < head.samples.length) return;
    this.#last = head.samples;
    this.#queue.shift();
    this.#offset = 0;
  }

  /** A sample in place of one that is missing. */
  #made() {
    const length = (concealMs / 1000) * sampleRate;
    if (!this.#last.length || this.#filled >= length) return 0;
    const n = this.#filled++, period = this.#last.length;
    // Forward and back again, so that nothing jumps.
    const lap = Math.floor(n / period), at = n % period;
    return this.#last[lap % 2 ? at : period - 1 - at] * (1 - n / length);
  }

  /** @param {Float32Array} block @param {number} from */
  #conceal(block, from) {
    for (let i = from; i < block.length; i++) block[i] = this.#made();
    if (!Number.isNaN(this.at)) this.concealed += block.length - from;
  }
}

/** The page is told what is being played, so that pictures go with it: each so many seconds. */
const tellEvery = 0.1;

/** Plays what the page hands over, when it is due. @param {any} scope the worklet's global */
function playerIn(scope) {
  return class Player extends scope.AudioWorkletProcessor {
    #playout = new Playout();
    #told = 0;
    #at = 0;
    /** What was pulled at the rate of packets and is not played yet. */
    #block = new Float32Array(1);
    #level = 0;
    #ended = false;

    constructor() {
      super();
      /** @type {any} */ (this).port.onmessage = (/** @type {MessageEvent} */ {data}) => {
        if (data === null) this.#ended = true;
        else this.#playout.push(data.at, data.samples, data.now);
      };
    }

    /** @param {Float32Array[][]} _inputs @param {Float32Array[][]} outputs */
    process(_inputs, [[out]]) {
      const step = sampleRate / scope.sampleRate;
      if (step === 1) this.#playout.pull(out);
      else {
        for (let i = 0; i < out.length; i++) {
          for (this.#at += step; this.#at >= 1; this.#at--) this.#playout.pull(this.#block);
          out[i] = this.#block[0];
        }
      }
      for (let i = 0; i < out.length; i++) this.#level = Math.max(this.#level, Math.abs(out[i]));
      if (scope.currentTime - this.#told >= tellEvery) {
        this.#told = scope.currentTime;
        const {playing, at, waiting, concealed, target} = this.#playout;
        /** @type {any} */ (this).port.postMessage({at: playing ? at : NaN, waiting, concealed, target, level: this.#level});
        this.#level = 0;
      }
      return !this.#ended;
    }
  };
}

/** @type {any} */ const worklet = globalThis;
worklet.registerProcessor?.('turnhub-playout', playerIn(worklet));
