import {healingTimes as times} from '../../base/times.js';

/**
 * Milliseconds since anything was received, by whatever pair of candidates; Infinity where nothing ever was.
 * @param {RTCStatsReport} report
 */
export function silenceOf(report) {
  let now = 0, heard = 0;
  for (const entry of /** @type {Iterable<any>} */ (report.values())) {
    if (entry.type !== 'candidate-pair' && entry.type !== 'inbound-rtp') continue;
    now = Math.max(now, entry.timestamp ?? 0);
    heard = Math.max(heard, entry.lastPacketReceivedTimestamp ?? 0);
  }
  return heard ? Math.max(0, now - heard) : Infinity;
}

/**
 * Watches whether anything comes from a peer. The browser says that a path is dead seconds late or not at all, so
 * when something has happened to the network this looks for itself, for a while.
 */
export class PathWatch {
  /** Nothing comes any more. */
  dead = false;

  /** @type {import('../../base/clock.js').Clock} */ #clock;
  /** @type {() => Promise<RTCStatsReport | null>} */ #report;
  /** @type {(dead: boolean) => void} */ #changed;
  /** @type {() => number} */ #patience;
  #until = -Infinity;
  #running = false;
  #closed = false;

  /**
   * @param {import('../../base/clock.js').Clock} clock
   * @param {() => Promise<RTCStatsReport | null>} report statistics of the connection; null: there is none
   * @param {(dead: boolean) => void} changed told when the path dies or lives again
   * @param {() => number} [patience] after so many milliseconds without a packet it is dead
   */
  constructor(clock, report, changed, patience = () => times.dead) {
    this.#clock = clock;
    this.#report = report;
    this.#changed = changed;
    this.#patience = patience;
  }

  /** Looks closely for so long. @param {number} [milliseconds] */
  look(milliseconds = times.lookFor) {
    this.#until = this.#clock.now() + milliseconds;
    this.#run();
  }

  /** Says what is known otherwise. @param {boolean} dead */
  set(dead) {
    if (this.dead === dead || this.#closed) return;
    this.dead = dead;
    if (dead) this.#run(); // until it lives again
    else this.#until = -Infinity;
    this.#changed(dead);
  }

  close() {
    this.#closed = true;
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    while (!this.#closed && (this.dead || this.#clock.now() < this.#until)) {
      const report = await this.#report().catch(() => null);
      const silence = report ? silenceOf(report) : Infinity;
      if (this.dead && silence < times.alive) this.set(false);
      else if (!this.dead && silence > this.#patience() && silence < Infinity && this.#clock.now() < this.#until) this.set(true);
      await new Promise((resolve) => { this.#clock.setTimeout(() => resolve(undefined), times.look); });
    }
    this.#running = false;
  }
}
