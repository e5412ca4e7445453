// A page that was busy takes what comes late, and sends late what it has made: that says nothing of the line.

/** It is looked at so often, and lateness excuses for so long, milliseconds: what has piled up meanwhile is taken one by one. */
const look = 100, excusedFor = 1500;

/** Tells how late this page was lately. */
export class Busy {
  /** @type {{at: number, late: number}[]} the latest times, each later than those after it */ #times = [];
  #before;
  /** @type {any} */ #timer;
  #clock;
  #counts;

  /** @param {import('../../base/clock.js').Clock} clock @param {() => boolean} counts timers are in time where the page is not busy: not in every hidden tab */
  constructor(clock, counts) {
    this.#clock = clock;
    this.#counts = counts;
    this.#before = clock.now();
    this.#later();
  }

  #later() {
    this.#timer = this.#clock.setTimeout(() => {
      this.#see();
      this.#later();
    }, look);
  }

  #see() {
    const now = this.#clock.now(), late = now - this.#before - look;
    this.#before = now;
    if (late <= look / 2) return;
    this.#times = this.#times.filter((time) => time.late > late);
    this.#times.push({at: now, late});
  }

  /** By so much, milliseconds, what came or left lately may be late for the page alone. */
  get lately() {
    const now = this.#clock.now();
    this.#times = this.#times.filter(({at}) => now - at < excusedFor);
    return this.#counts() ? Math.max(this.#times[0]?.late ?? 0, now - this.#before - look) : 0;
  }

  /** @param {number} late milliseconds @returns {number} what of it the page does not explain */
  excuse(late) {
    return Math.max(0, late - Math.max(0, this.lately));
  }

  close() { this.#clock.clearTimeout(this.#timer); }
}
