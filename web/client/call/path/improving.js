import {takesLateCandidates} from './browsers.js';
import {improvingTimes as times} from '../../base/times.js';

/**
 * @typedef {object} ImprovingHost
 * @property {import('../../base/clock.js').Clock} clock
 * @property {() => Promise<boolean>} probe whether UDP gets out to the server
 * @property {() => boolean} direct whether direct paths are allowed
 * @property {() => boolean} polite which of the two we are, as the server says
 * @property {(pc: RTCPeerConnection) => boolean} fits whether another connection would have no other servers that matter
 * @property {(pc: RTCPeerConnection, relayed: boolean) => boolean} tooMany whether it holds more of them than it needs
 * @property {(relayed: boolean) => void} fit goes on with fewer
 * @property {() => void} better looks for another path while the one in use goes on
 * @property {(which: 'direct' | 'single', hurried?: boolean) => void} only looks for a direct one, or one over our relay alone, and nothing else;
 *   hurried: and gives it up soon
 */

/**
 * Looks for a better path than the one in use: direct before relayed, UDP before TCP before TLS. Chromium goes over by
 * itself to whatever it knows of; Firefox takes no candidate any more once it is connected, and of a relay and a way straight
 * it keeps whichever answers first. Neither looks for a way that was closed when it gathered.
 */
export class Improving {
  /** @type {ImprovingHost} */ #host;
  #settledAt;
  /** Looked again once already, for candidates that came late. */
  #looked = false;
  /** So often a direct path was looked for by itself, and when it was last. */
  #straight = 0;
  #straightAt = -Infinity;
  /** After so many of these, one over a single relay was looked for. */
  #single = 0;
  /** More relays than are needed are given back so long after it has come into use. */
  /** @type {number} */ #keep = times.settled;
  /** They have been, or there are none. */
  #fitted = false;
  /** Our network has changed since. */
  #another = false;
  /** There was a direct path. */
  #hadDirect = false;
  /** It is looked for again after this. */
  #askAt = Infinity;
  /** @type {number} */ #pause = times.ask;
  #asking = false;
  #closed = false;

  /** @param {ImprovingHost} host */
  constructor(host) {
    this.#host = host;
    this.#settledAt = host.clock.now();
  }

  /** A connection, or another path of it, has come into use. @param {boolean} [anew] the network may be another one */
  settle(anew = false) {
    this.#settledAt = this.#host.clock.now();
    this.#fitted = false;
    if (anew) this.reset();
  }

  /** The network is another one: whatever its pair of browsers, we look. */
  networkChanged() {
    this.reset();
    this.#keep = times.settled;
    this.#another = true;
    this.#settledAt = this.#host.clock.now();
  }

  /** All ways are worth a look again. */
  reset() {
    this.#looked = false;
    this.#straight = this.#single = 0;
    this.#pause = times.ask;
    this.#askAt = Infinity;
  }

  /**
   * @param {import('./stats.js').Quality} quality
   * @param {import('./negotiation.js').Negotiation | null} current
   */
  tick({path, local, remote}, current) {
    if (!current || !path || this.#closed) return;
    const now = this.#host.clock.now(), overTCP = path !== 'direct' && path !== 'relay-udp' && local === 'relay';
    if (!this.#fitted && now - this.#settledAt >= this.#keep) {
      this.#fitted = true;
      if (this.#host.tooMany(current.pc, path !== 'direct')) {
        // Where the fewer do not reach as far, all are asked for again.
        this.#keep = Math.min(times.askMost, this.#keep * 2);
        return this.#host.fit(path !== 'direct');
      }
    }
    if (path === 'direct') {
      const straight = this.#straight;
      this.reset();
      // One that does not last is not looked for as if it were the first.
      if (now - this.#settledAt < times.lasts) this.#straight = this.#single = straight;
      this.#hadDirect = true;
      return;
    }
    if (!this.#looked && now - this.#settledAt >= times.late) {
      this.#looked = true;
      if (this.#another) {
        this.#another = false;
        return this.#host.better();
      }
      // What it has found shows that another relay may be better.
      if (overTCP && !this.#host.fits(current.pc)) return this.#host.better();
    }
    // One of the two: mostly who came later, and so the one who has offered first.
    const begins = this.#host.polite() && this.#host.direct(), alone = !takesLateCandidates(current);
    const since = now - Math.max(this.#settledAt, this.#straightAt);
    if (begins && alone && since >= (times.straight[this.#straight] ?? Infinity)) {
      this.#straight++;
      return this.#lookStraight();
    }
    if (begins && alone && local === 'relay' && remote === 'relay' && this.#single < this.#straight) {
      this.#single = this.#straight;
      return this.#host.only('single');
    }
    const back = this.#hadDirect && begins;
    if (!overTCP && !back) {
      this.#askAt = Infinity;
      return;
    }
    if (this.#askAt === Infinity) this.#askAt = now + this.#pause;
    if (now >= this.#askAt && !this.#asking) this.#ask(!overTCP && alone);
  }

  /** A path that needs UDP may be there again. @param {boolean} straight only a direct one would be better */
  async #ask(straight) {
    this.#asking = true;
    const open = await this.#host.probe().catch(() => false);
    this.#asking = false;
    if (this.#closed) return;
    // Where the way was open and has not led to a better path, it is tried ever more seldom.
    if (open) this.#pause = Math.min(times.askMost, this.#pause * 2);
    this.#askAt = this.#host.clock.now() + this.#pause;
    if (!open) return;
    if (straight) return this.#lookStraight();
    this.#straight = this.#single = 0;
    this.#host.better();
  }

  #lookStraight() {
    this.#straightAt = this.#host.clock.now();
    this.#host.only('direct', this.#straight === 1);
  }

  close() { this.#closed = true; }
}
