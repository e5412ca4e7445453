/**
 * So many at once, and then one each so often: what others may have us do, however often they ask. The time is in
 * milliseconds.
 */
export class Quota {
  /** When all that was had is paid for. */
  #paidAt = -Infinity;

  /** @param {import('./clock.js').Clock} clock @param {number} atOnce @param {number} every */
  constructor(clock, atOnce, every) {
    this.clock = clock;
    this.atOnce = atOnce;
    this.every = every;
  }

  /** @returns {boolean} false: there were too many lately */
  take() {
    const now = this.clock.now(), paidAt = Math.max(now, this.#paidAt) + this.every;
    if (paidAt - now > this.atOnce * this.every) return false;
    this.#paidAt = paidAt;
    return true;
  }
}
