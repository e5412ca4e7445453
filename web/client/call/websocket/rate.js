// How much is sent through a WebSocket: it has no congestion control that a page can see, so the receiver says how late
// what comes is, and the sender follows.

/** Bits per second of the picture. */
const begin = 300_000, highest = 800_000, lowest = 40_000;
/** Milliseconds: what is later than this waits somewhere; what is less late has room. */
const late = 250, fresh = 100;
/** So late that pictures stop at once, and begin again when it has been in time for so long, milliseconds. */
const tooLate = 1000, soon = 1500;
/** More than the line is seen to carry beside sound is asked of an encoder by so much at most: it makes less than it may, mostly. */
const more = 1.2;
/**
 * Below this, packets of sound travel three together, which takes half as much of the line; above that each by itself again, once the line
 * has been seen to carry it: pictures in which nothing moves fill none, and say nothing of it.
 */
const narrow = 100_000, wide = 160_000;
/** At the lowest rate too much for so long, milliseconds: sound alone. */
const patience = 3000;
/** Without a picture, it is tried again after so long, milliseconds, each time twice as long up to the most. */
const again = 8000, againMost = 60_000;

/** @typedef {{age: number, got: number, lost: number}} RateReport how late even the least late were, milliseconds; bits per second; frames that did not come */

/** What of a picture a rate is enough for. @param {number} rate @returns {{width: number, height: number, frames: number}} */
export function sizeFor(rate) {
  if (rate >= 220_000) return {width: 640, height: 360, frames: 15};
  if (rate >= 120_000) return {width: 480, height: 270, frames: 12};
  if (rate >= 70_000) return {width: 320, height: 180, frames: 10};
  return {width: 320, height: 180, frames: 5};
}

export class Rate {
  /** Of the picture, bits per second; 0: the line carries sound alone. */
  picture = begin;

  /** So many packets of sound leave together. */
  together = 1;

  #cutAt = -Infinity;
  #offAt = 0;
  #pause = again;
  #wait = again;
  #goodSince = NaN;
  #lowestSince = NaN;

  /** The line may be wide by now, and nothing that is sent would show it. */
  get unsure() { return this.together > 1 && this.picture >= wide; }

  /**
   * @param {number} now milliseconds @param {RateReport} report
   * @param {number} queued milliseconds that what waits in our own browser takes to leave
   * @param {{carries: number, roomy: boolean}} seen `carries`: bits per second that the line is seen to carry beside sound; Infinity: nobody knows. A queue that is short is
   *   never late, and pictures of which nothing moves never fill a line: only what had to wait tells how wide it is. `roomy`: or what came at once
   */
  take(now, {age, got, lost}, queued = 0, {carries, roomy} = {carries: Infinity, roomy: false}) {
    this.#take(now, Math.max(age, queued), got, lost, roomy);
    if (this.picture > carries * more) this.picture = Math.max(lowest, carries * more);
    if (this.picture < narrow) this.together = 3;
    if (this.together === 1 || this.picture < wide) return;
    if (roomy || (carries < Infinity && carries > wide)) this.together = 1;
    else this.picture = wide;
  }

  /** @param {number} now @param {number} delay @param {number} got @param {number} lost @param {boolean} roomy */
  #take(now, delay, got, lost, roomy) {
    if (this.picture === 0) {
      if (delay > late || lost) this.#offAt = now;
      if (now - this.#offAt > (roomy ? soon : this.#wait)) {
        this.picture = lowest * 1.5;
        this.#cutAt = now;
        this.#goodSince = NaN;
      }
      return;
    }
    if (delay > tooLate) return this.#off(now, soon);
    if (delay > late || lost > 2) {
      this.#goodSince = NaN;
      if (now - this.#cutAt < 900) return;
      this.#cutAt = now;
      // What gets through is what the line carries, if as much was sent.
      const base = Math.max(this.picture / 2, Math.min(this.picture, got));
      this.picture = base * 0.8;
      if (this.picture >= lowest) return;
      this.picture = lowest;
      if (Number.isNaN(this.#lowestSince)) this.#lowestSince = now;
      if (now - this.#lowestSince < patience) return;
      this.#pause = Math.min(againMost, this.#pause * 2);
      this.#off(now, this.#pause);
    } else if (delay < fresh) {
      if (Number.isNaN(this.#goodSince)) this.#goodSince = now;
      if (now - this.#goodSince > 20_000) this.#pause = again;
      this.#lowestSince = NaN;
      if (now - this.#cutAt > 1500) this.picture = Math.min(highest, this.picture * 1.08);
    }
  }

  /** @param {number} now @param {number} wait milliseconds */
  #off(now, wait) {
    this.picture = 0;
    this.#offAt = now;
    this.#wait = wait;
  }
}
