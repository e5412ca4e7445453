import {isUseless} from './connection.js';
import {gatherTimes} from '../../base/times.js';

/** Candidates on their way to the other side: after the description that they belong to, and together. */
export class Trickle {
  /** @type {(candidates: RTCIceCandidateInit[]) => void} */ #send;
  /** @type {RTCIceCandidateInit[]} */ #candidates = [];
  /** @type {any} */ #timer = null;
  #described = false;

  /** @type {import('../../base/clock.js').Clock} */ #clock;

  /** @param {(candidates: RTCIceCandidateInit[]) => void} send @param {import('../../base/clock.js').Clock} clock */
  constructor(send, clock) {
    this.#send = send;
    this.#clock = clock;
  }

  /** @param {...RTCIceCandidateInit} candidates */
  add(...candidates) {
    this.#candidates.push(...candidates.filter(({candidate}) => !isUseless(candidate ?? '')));
    if (this.#candidates.length) this.#timer ??= this.#clock.setTimeout(() => this.flush(), gatherTimes.together);
  }

  /** The description is out. */
  described() {
    this.#described = true;
    this.flush();
  }

  flush() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#described && this.#candidates.length) this.#send(this.#candidates.splice(0));
  }

  /** Forgets what waits. */
  clear() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    this.#candidates = [];
  }
}
