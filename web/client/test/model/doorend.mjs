// Two ends of a call through the server's WebSocket, with their real flow, rate and jitter buffer: they speak and show without a pause.
import {Age} from '../../call/websocket/age.js';
import {Arrivals, Flow} from '../../call/websocket/flow.js';
import {Playout, packetMs, packetSamples} from '../../call/websocket/playout.js';
import {Rate, sizeFor} from '../../call/websocket/rate.js';
import {kinds, laneOf} from '../../call/websocket/seal.js';

/** @param {number} seed */
export function random(seed) {
  let state = seed >>> 0;
  return (/** @type {number} */ most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * most;
  };
}

const tone = Float32Array.from({length: packetSamples * 3}, (_, i) => Math.sin(i / 20));

/** One of them. */
export class End {
  rate = new Rate();
  arrivals = new Arrivals();
  playout = new Playout();
  now = 0;
  /** @type {{at: number, silent: number}[]} silences that ended then, milliseconds */ gaps = [];
  /** How late sound came at most, of each second. @type {number[]} */ late = [];
  /** Bytes of pictures that came, of each second. @type {number[]} */ shown = [];
  /** @type {End | null} */ other = null;
  message = 0;
  /** What its camera sees takes so many bits per second, however many an encoder may use. */
  scene = Infinity;
  /** A whole picture takes so many bytes more than another, and the more the more it may take. */
  key = 2500;
  /** Its page stands still until then, milliseconds; and now and then for up to so long. */
  #busyUntil = 0;
  hiccup = 0;
  /** @type {(() => void)[]} what has come meanwhile */ #later = [];
  #numbers = new Map();
  #block = new Float32Array(packetSamples);
  #silent = 0;
  #heard = false;
  #spoken = 0;
  #spokenAt = 0;
  #toldAt = 0;
  /** @type {{go: () => void, at: number} | null} */ #wake = null;
  #nextPicture = 0;
  #keyAt = -Infinity;
  #got = 0;
  #age = new Age();
  #noise;
  #theirsNarrow = false;

  /** @param {(bytes: number, deliver: () => void) => void} send a frame whose content has so many bytes @param {(most: number) => number} noise */
  constructor(send, noise) {
    this.#noise = noise;
    this.flow = new Flow(() => this.now, (kind, content) => {
      const lane = laneOf(kind), number = (this.#numbers.get(lane) ?? 0) + 1;
      this.#numbers.set(lane, number);
      send(content.length, () => this.other?.came(kind, number, content));
      return /** @type {any} */ ({then: (/** @type {(number: number) => void} */ done) => done(number)});
    }, (go, ms) => { this.#wake = {go, at: this.now + ms}; });
  }

  /** @param {import('../../call/websocket/seal.js').FrameKind} kind @param {number} number @param {any} content */
  came(kind, number, content) {
    if (this.now < this.#busyUntil) this.#later.push(() => this.#take(kind, number, content));
    else this.#take(kind, number, content);
  }

  /** @param {import('../../call/websocket/seal.js').FrameKind} kind @param {number} number @param {any} content */
  #take(kind, number, content) {
    const {now} = this;
    this.#got += content.length * 8;
    if (kind === kinds.report) {
      this.flow.answered(content.had, content.at, content.held);
      if ('age' in content) {
        this.rate.take(now, content, this.flow.waited, {carries: this.flow.carries(0), roomy: this.flow.roomy});
        if (this.rate.unsure) this.flow.probe();
        this.#theirsNarrow = content.narrow;
      }
      this.arrivals.narrow = this.rate.together > 1;
      return;
    }
    if (this.arrivals.note(kind, number, content.length, now)) this.answer();
    if (kind === kinds.sound) {
      const second = Math.floor(now / 1000);
      this.#age.note(content.at, now);
      this.late[second] = Math.max(this.late[second] ?? 0, now - content.at);
      this.playout.push(content.at, tone.slice(0, content.packets * packetSamples), now);
    } else if (kind === kinds.message) {
      content.deliver?.();
    } else {
      const second = Math.floor(now / 1000);
      this.shown[second] = (this.shown[second] ?? 0) + content.length;
    }
  }

  /** Whether little gets through, of ours or of theirs. */
  get narrow() { return this.rate.together > 1 || this.#theirsNarrow; }

  /** Says something long over the flow, in parts. @param {number} bytes @param {() => void} heard */
  say(bytes, heard) {
    const {piece} = this.flow;
    for (let at = 0; at < bytes; at += piece) this.flow.push(kinds.message, /** @type {any} */ ({length: Math.min(piece, bytes - at), ...(at + piece >= bytes ? {deliver: heard} : {})}));
  }

  answer() { if (this.arrivals.owes) this.tell({...this.arrivals.answer(this.now)}); }

  /** @param {any} report */
  tell(report) { this.flow.push(kinds.report, Object.assign(report, {length: 'age' in report ? 200 : 40})); }

  /** @param {number} now */
  #hear(now) {
    this.playout.pull(this.#block);
    const loud = this.#block.some((sample) => Math.abs(sample) > 0.05);
    this.#heard ||= loud;
    if (!loud && this.#heard) this.#silent += packetMs;
    else if (this.#silent) {
      this.gaps.push({at: now, silent: this.#silent});
      this.#silent = 0;
    }
  }

  /** @param {number} now */
  run(now) {
    this.now = now;
    // Sound is played by a thread of its own.
    if (now % packetMs === 0) this.#hear(now);
    if (now < this.#busyUntil) return;
    for (const take of this.#later.splice(0)) take();
    if (this.hiccup && this.#noise(200) < 1) this.#busyUntil = now + this.#noise(this.hiccup);
    if (this.#wake && now >= this.#wake.at) {
      const {go} = this.#wake;
      this.#wake = null;
      go();
    }
    if (this.arrivals.due(now)) this.answer();
    for (; this.#spokenAt + packetMs <= now; this.#spokenAt += packetMs) {
      this.#spoken++;
      if (this.#spoken < this.rate.together) continue;
      const packets = Math.min(3, this.#spoken);
      this.flow.push(kinds.sound, /** @type {any} */ ({length: 4 + packets * 60, at: this.#spokenAt + packetMs - packets * packetMs, packets}));
      this.#spoken = 0;
    }
    const picture = Math.min(this.rate.picture, this.scene);
    if (picture > 0 && now >= this.#nextPicture && !this.flow.full) {
      const {frames} = sizeFor(this.rate.picture), key = now - this.#keyAt > 10_000;
      if (key) this.#keyAt = now;
      this.#nextPicture = now + 1000 / frames;
      const bytes = Math.round((picture / 8 / frames) * (0.6 + this.#noise(0.8)) + (key ? this.key + picture / 25 : 0));
      const {piece} = this.flow;
      for (let at = 0; at < bytes; at += piece) this.flow.push(at ? kinds.piece : key ? kinds.key : kinds.picture, /** @type {any} */ ({length: Math.min(piece, bytes - at)}));
    }
    if (picture === 0) this.#keyAt = -Infinity;
    for (; this.message > 0 && this.flow.waiting < 65_536; this.message -= 4096) this.flow.push(kinds.message, /** @type {any} */ ({length: 4096}));
    if (now - this.#toldAt >= 500) {
      this.#toldAt = now;
      this.flow.tick();
      this.tell({age: this.#age.late, got: this.#got * 2, lost: 0, narrow: this.rate.together > 1, ...this.arrivals.answer(now)});
      this.#got = 0;
      this.#age.again();
    }
  }
}

