import {passed} from './widening.js';
import {lineTimes as times} from '../../base/times.js';

/** At most so many pings are answered at once, and one each `times.answer` then. */
const answersAtOnce = 10;
/** At most so many pings are on their way. */
const mostOut = 8;
/** So many answers tell what the best of times is. */
const enough = 4;
/** The best of times is forgotten after so many milliseconds, so that a path that has become longer is not taken for a queue. */
const remember = 60_000;

/** The least of the last minute or so. */
class Least {
  /** @type {[number, number]} the halves */ #halves = [Infinity, Infinity];
  #since = -Infinity;

  /** @param {number} now @param {number} value */
  take(now, value) {
    if (now - this.#since > remember / 2) {
      this.#halves = [Infinity, this.#halves[0]];
      this.#since = now;
    }
    this.#halves[0] = Math.min(this.#halves[0], value);
  }

  get value() { return Math.min(...this.#halves); }
  forget() { this.#halves = [Infinity, Infinity]; }
}

/**
 * Times messages through the path, and tells the queue on the way there from that on the way here: the clocks of the two
 * are not the same, but each runs evenly, so what counts is how much later than at the best of times a message is.
 */
export class PathTiming {
  /** Milliseconds that what we send waits on its way, and what comes to us. */
  there = 0;
  here = 0;
  /** What the other side says that it gets of us, and wants of us at most; bits per second. */
  got = 0;
  #asked = Infinity;
  #askedAt = -Infinity;
  /** Milliseconds that the last long message waited on its way there, whoever was busy: it took no less. */
  took = 0;
  /** Bits per second at which the message that came last has passed, at the least, whoever was busy, where it is a long one of the other side; else 0. */
  brought = 0;
  /** The other side answers. */
  answered = false;
  /** When the last message was sent that was answered. */
  answeredOf = -Infinity;

  /** By how much this page has been late lately, and the other side's, milliseconds. @type {{at: number, late: number}[]} */ #lateness = [];
  #theirLate = 0;
  /** @type {import('../../base/clock.js').Clock} */ #clock;
  /** @type {(message: any) => void} */ #tell;
  #number = 0;
  /** On their way, the oldest first. @type {{n: number, at: number, pad: number}[]} */ #out = [];
  #pingedAt = -Infinity;
  #heardAt = -Infinity;
  #answers = answersAtOnce;
  #answersAt = 0;
  /** How many of ours were answered. */
  #heard = 0;
  /** When a ping of ours was answered last. */
  #answeredAt = -Infinity;
  #least = {trip: new Least(), there: new Least(), here: new Least()};

  /** @param {import('../../base/clock.js').Clock} clock @param {(message: any) => void} tell */
  constructor(clock, tell) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The page was late by so much, milliseconds: no packet was. @param {number} late */
  busy(late) {
    const now = this.#clock.now();
    this.#lateness = [...this.#lateness.filter(({at}) => at > now - times.busy), {at: now, late: Math.max(0, late)}];
  }

  /** By how much both pages have been late. */
  get #excused() { return this.#late + this.#theirLate; }
  get #late() { return Math.round(Math.max(0, ...this.#lateness.map(({late}) => late))); }

  /** Bits per second that the other side wants at most; what it does not say again is forgotten. */
  get asked() { return this.#clock.now() - this.#askedAt < times.asked ? this.#asked : Infinity; }

  /**
   * Sends a ping where none is on its way and the last is so long ago.
   * @param {number} every milliseconds @param {number} pad bytes @param {number} most bits per second that we ask for
   * @returns {boolean} it was sent
   */
  ping(every, pad, most) {
    const now = this.#clock.now();
    if (now - this.#pingedAt < every) return false;
    // Also while others are on their way: the other side tells by them that the way to it is free.
    this.#out = [...this.#out.slice(1 - mostOut), {n: ++this.#number, at: now, pad}];
    this.#pingedAt = now;
    this.#tell({type: 'ping', n: this.#number, at: now, late: this.#late, ...asking(most), ...(pad ? {pad: 'x'.repeat(pad)} : {})});
    return true;
  }

  /**
   * How long the ping on its way has waited beyond the best of times on the way there, as far as is known; 0: none has. What
   * comes to us tells how much of it may be the way here, for a moment: acknowledgements go the other way than what they are for, so
   * that one way on which nothing passes looks like both.
   * @param {boolean} [ours] it is known that the way there is too narrow
   */
  waiting(ours = false) {
    const [oldest] = this.#out;
    if (!oldest || !this.answered) return 0;
    const now = this.#clock.now(), late = now - oldest.at - this.#least.trip.value;
    return Math.max(0, late - this.#excused - (ours ? 0 : Math.min(times.silent, Math.max(this.here, now - this.#heardAt - times.ping))));
  }

  /** How much later than at the best of times the answer is for which we wait, as far as the way here is not seen to be the reason, milliseconds. */
  get overdue() {
    const [oldest] = this.#out;
    return oldest && this.answered ? Math.max(0, this.#clock.now() - oldest.at - this.#least.trip.value - this.#excused - this.here) : 0;
  }

  /**
   * How long messages wait on both ways together even at the best of times, where the path's own round trip is known: a line that
   * was full before the first of them knows no better. 0: they do not, or too few have come.
   * @param {number} roundTrip milliseconds; 0: not known
   */
  standing(roundTrip) {
    const {there, here} = this.#least;
    return roundTrip > 0 && this.#heard >= enough ? Math.max(0, there.value + here.value - roundTrip - times.jump) : 0;
  }

  /** How long nothing at all has come from who answers, and pings by himself, milliseconds. */
  get silence() { return this.answered ? Math.max(0, this.#clock.now() - this.#heardAt - this.#late) : 0; }

  /** How long no ping has been answered of those on their way, milliseconds. */
  get unanswered() { return this.answered && this.#out.length ? this.#clock.now() - Math.max(this.#answeredAt, this.#out[0].at) : 0; }

  /**
   * A ping or pong of the other side.
   * @param {import('../data/bounds.js').Timed} message
   * @param {{got: number, most: number}} ours bits per second that we get of them, and that we ask for
   * @returns {number | null} by how many bytes our ping was longer than others, where this answers it
   */
  hear({type, n, at, got, most, late: theirs, pad}, ours) {
    const now = this.#clock.now();
    this.#heardAt = now;
    this.brought = 0;
    this.#asked = most;
    this.#theirLate = theirs;
    this.#askedAt = now;
    if (type === 'ping') {
      this.#least.here.take(now, now - at);
      const late = Math.max(0, now - at - this.#least.here.value);
      this.here = Math.max(0, late - this.#excused);
      if (pad) this.brought = Math.max(1, passed(pad, late));
      this.#answer(now, n, ours);
      return null;
    }
    const sent = this.#out.find((each) => each.n === n);
    if (!sent) return null;
    const trip = now - sent.at, there = at - sent.at, here = now - at;
    this.#out = this.#out.filter((each) => each.n > n); // the channel keeps their order
    this.answered = true;
    this.#heard++;
    this.#answeredAt = now;
    this.answeredOf = sent.at;
    this.got = got;
    const least = this.#least;
    least.trip.take(now, trip);
    if (!sent.pad) {
      least.there.take(now, there);
      least.here.take(now, here);
    }
    // Of the same moments or not, the two make hardly less than the round trip: else a clock was set, or stood still.
    if (least.there.value + least.here.value < least.trip.value - times.jump) {
      least.there.forget();
      least.here.forget();
      least.there.take(now, there);
      least.here.take(now, here);
    }
    // Whatever the other side says, neither way waited longer than both.
    const late = trip - least.trip.value;
    if (sent.pad) this.took = Math.min(late, Math.max(0, there - least.there.value));
    this.there = Math.min(late, Math.max(0, there - least.there.value - this.#excused));
    this.here = Math.min(late, Math.max(0, here - least.here.value - this.#excused));
    return sent.pad;
  }

  /** @param {number} now @param {number} n @param {{got: number, most: number}} ours */
  #answer(now, n, {got, most}) {
    this.#answers = Math.min(answersAtOnce, this.#answers + (now - this.#answersAt) / times.answer);
    this.#answersAt = now;
    if (this.#answers < 1) return;
    this.#answers--;
    this.#tell({type: 'pong', n, at: now, got: Math.round(got), late: this.#late, ...asking(most)});
  }

  /** Another connection is in use: what is known of the path is not true of it. */
  forget() {
    this.#out = [];
    this.there = this.here = this.got = this.#heard = 0;
    this.answered = false;
    for (const least of Object.values(this.#least)) least.forget();
  }
}

/** @param {number} most */
const asking = (most) => (most < Infinity ? {most: Math.round(most)} : {});
