import {sessionTimes as times} from '../base/times.js';

/**
 * What the heartbeat needs of its session.
 * @typedef {object} HeartbeatHost
 * @property {import('../base/clock.js').Clock} clock
 * @property {() => void} ping sends one
 * @property {() => void} silent nothing has come for too long
 */

/** Sees that the other end of a socket is there: faster while the person is with others, so that a dead path is seen within seconds. */
export class Heartbeat {
  /** Smoothed round trip, milliseconds; 0: not known yet. */
  rtt = 0;
  /** What the server asks for, milliseconds: between two, between two in a call, and until an answer. */
  plan = {interval: 15_000, call: 1000, timeout: 4000};
  inCall = false;

  /** @type {HeartbeatHost} */ #host;
  /** @type {any} */ #next = null;
  /** @type {any} */ #dead = null;
  #pingAt = 0;
  #heardAt = 0;
  /** Until when the network is one on which sockets have gone silent. */
  #waryUntil = -Infinity;

  /** @param {HeartbeatHost} host */
  constructor(host) {
    this.#host = host;
  }

  /** Milliseconds since the server was last heard. */
  get silence() { return this.#host.clock.now() - this.#heardAt; }

  /** Sends a ping now and plans the next. */
  beat() {
    const {clock, ping} = this.#host;
    clock.clearTimeout(this.#next);
    if (!this.#pingAt) this.#pingAt = clock.now();
    ping();
    const {interval, call} = this.plan;
    this.expect();
    this.#next = clock.setTimeout(() => this.beat(), this.inCall ? call : this.#wary ? Math.min(interval, times.wary) : interval);
  }

  /** Some networks let connections freeze after some kilobytes: where one has, the next is looked after better. */
  get #wary() { return this.#host.clock.now() < this.#waryUntil; }

  /** Something was sent that is answered: nothing at all for too long means that the socket is dead. */
  expect() {
    const {clock, silent} = this.#host;
    const {timeout} = this.plan;
    // In a call a silent path is given up early: coming back costs three round trips and loses nothing.
    const most = this.inCall || this.#wary ? Math.min(timeout, Math.max(times.silent, 6 * this.rtt)) : timeout;
    this.#dead ??= clock.setTimeout(() => {
      this.#waryUntil = clock.now() + times.waryFor;
      silent();
    }, most);
  }

  /** Something has come. */
  heard() {
    const {clock} = this.#host;
    this.#heardAt = clock.now();
    clock.clearTimeout(this.#dead);
    this.#dead = null;
  }

  /** The answer to a ping. */
  pong() {
    const rtt = this.#host.clock.now() - this.#pingAt;
    if (this.#pingAt) this.rtt = this.rtt ? this.rtt * 0.8 + rtt * 0.2 : rtt;
    this.#pingAt = 0;
  }

  stop() {
    const {clock} = this.#host;
    clock.clearTimeout(this.#next);
    clock.clearTimeout(this.#dead);
    this.#dead = null;
    this.#pingAt = 0;
  }
}
