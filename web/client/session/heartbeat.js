import {sessionTimes as times} from '../base/times.js';

/**
 * What the heartbeat needs of its session.
 * @typedef {object} HeartbeatHost
 * @property {import('../base/clock.js').Clock} clock
 * @property {() => void} ping sends one
 * @property {() => void} silent nothing has come for too long
 * @property {() => boolean} sending something long is on its way, which its own answer looks after
 */

/**
 * Some networks let a connection freeze once it has carried some 15 to 20 kB, its handshake included: between so many
 * characters of messages it is looked at often, since what the other end says is lost without a word.
 */
const doubtful = {from: 6000, to: 1 << 18};

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
  #nextAt = 0;
  /** Characters of messages, both ways, on this socket. */
  #carried = 0;
  #narrow = false;
  /** Until when something has happened to the network: what is silent may well be dead. */
  #urgentUntil = -Infinity;
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
    if (!this.#pingAt) this.#pingAt = this.#host.clock.now();
    this.#host.ping();
    this.expect();
    this.#plan();
  }

  #plan() {
    const {clock, sending} = this.#host;
    const {interval, call} = this.plan;
    const often = this.#wary ? times.wary : this.#doubtful ? times.doubtful : interval;
    const after = this.inCall ? (this.#patient ? Math.max(call, times.narrow) : call) : Math.min(interval, often);
    this.#nextAt = clock.now() + after;
    clock.clearTimeout(this.#next);
    this.#next = clock.setTimeout(() => {
      if (!this.inCall && !this.#wary && this.#doubtful && sending()) this.#plan();
      else this.beat();
    }, after);
  }

  /** One socket after another: this one has carried nothing yet. */
  begin() {
    this.#carried = 0;
  }

  /** A message has come or gone. @param {number} characters */
  carried(characters) {
    this.#carried += characters;
    if (this.#next && this.#doubtful && this.#nextAt - this.#host.clock.now() > times.doubtful) this.#plan();
  }

  /** Whether attempts and answers are given up early: in a call, and where a socket has frozen. */
  get hurried() { return !this.#patient && (this.inCall || this.#wary); }

  get #patient() { return this.inCall && this.#narrow && this.#host.clock.now() >= this.#urgentUntil; }

  /** The line is known as narrow: what waits on it looks like silence, and each new socket would take of what is left. @param {boolean} narrow */
  set narrow(narrow) {
    if (this.#narrow === narrow) return;
    this.#narrow = narrow;
    this.#expectAnew();
  }

  /** Something has happened to the network. */
  urge() {
    this.#urgentUntil = this.#host.clock.now() + times.urgent;
    if (this.#narrow) this.#expectAnew();
  }

  /** What is waited for has another measure. */
  #expectAnew() {
    if (!this.#dead) return;
    this.#host.clock.clearTimeout(this.#dead);
    this.#dead = null;
    this.expect();
  }

  get #doubtful() { return this.#carried >= doubtful.from && this.#carried < doubtful.to; }

  /** Where a socket has frozen, the next is looked after better. */
  get #wary() { return this.#host.clock.now() < this.#waryUntil; }

  /** Something was sent that is answered: nothing at all for too long means that the socket is dead. */
  expect() {
    const {clock, silent} = this.#host;
    const timeout = this.#patient ? Math.max(this.plan.timeout, times.narrowSilent) : this.plan.timeout;
    // In a call a silent path is given up early: coming back costs three round trips and loses nothing.
    const early = this.hurried ? times.silent : this.#doubtful && !this.#patient ? times.doubtfulSilent : timeout;
    this.#dead ??= clock.setTimeout(() => {
      this.#waryUntil = clock.now() + times.waryFor;
      silent();
    }, Math.min(timeout, Math.max(early, 6 * this.rtt)));
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
    this.#next = this.#dead = null;
    this.#pingAt = 0;
  }
}
