import {muchMore} from './widening.js';
import {believed, calm, cutTo, drowning, full, leastShown, proven, soundFloor, soundTakes, wide} from './narrow.js';

/** Nobody is asked for less than this, bits per second: it carries the sound. And not for less than the least picture beside it at once. */
export const leastAsked = 24_000;
const leastAtOnce = soundTakes(soundFloor, true) + leastShown;
/** What waits may be what was sent before who sends has seen it: it has gone after so long, milliseconds. */
const atOnce = 4000;
/** Who was wrong about what has passed is not believed again for so long, milliseconds. */
const doubting = 15_000;

/**
 * What to ask the other side for. Infinity: as much as it likes. What it sends may wait on its way to us; and what we get is
 * answered, packet by packet, on a way that may be too narrow for our sound.
 */
export class Asking {
  #most = Infinity;
  #askedAt = -Infinity;
  /** When it was asked for less than as much as the other side likes. */
  #firstAt = -Infinity;
  /** Our own sound had no room beside the answers to so much, bits per second: it has none for them as long as our line is narrow. */
  #crowdedAt = Infinity;
  /** For so many of the next the last long message that showed much more than is asked for counts. */
  #hopes = 0;
  /** When that was believed, and from when on it is again. */
  #jumpedAt = -Infinity;
  #believesFrom = -Infinity;

  /**
   * @param {number} now @param {number} here milliseconds that what comes waits @param {number} there that our sound waits, where it goes alone; 0
   * @param {number} received bits per second @param {boolean} [narrow] our own line takes less than we would send
   */
  take(now, here, there, received, narrow = true) {
    if (this.#crowdedAt < Infinity && !narrow) this.#crowdedAt = this.#most = Infinity;
    const crowded = there > full;
    if ((here > drowning || crowded) && received < wide && now - this.#askedAt > Math.max(1000, here, Math.min(2000, there))) {
      if (this.#most === Infinity) this.#firstAt = now;
      if (now - this.#jumpedAt < proven) this.#believesFrom = now + doubting;
      // What came in a moment in which TCP stood still says little; and who sends may have seen what waits by himself, and lets it go out.
      this.#most = Math.max(crowded || now - this.#firstAt > atOnce ? leastAsked : leastAtOnce, Math.min(this.#most, received) * (crowded ? 0.4 : cutTo));
      this.#askedAt = now;
      if (crowded) this.#crowdedAt = Math.min(this.#crowdedAt, received);
    } else if (this.#most < Infinity && here < full && there < calm && now - this.#askedAt > 2000) {
      this.#most = Math.min(this.#most * 1.6, Math.max(leastAsked, this.#crowdedAt * 0.7));
      if (this.#most >= wide) this.#most = Infinity;
      this.#askedAt = now - 1000;
    }
    return this.#most;
  }

  /**
   * A long message of the other side has come. What little it sends shows no more than it is asked for; two of three that passed at much more do.
   * @param {number} now @param {number} rate bits per second at which it passed, at the least
   */
  passed(now, rate) {
    const more = rate > this.#most * muchMore, twice = more && this.#hopes > 0;
    this.#hopes = more ? 2 : Math.max(0, this.#hopes - 1);
    // The answers to more have no room on our own line, as long as that is narrow.
    if (!twice || this.#crowdedAt < Infinity || now < this.#believesFrom) return;
    this.#most = Math.max(this.#most, rate * believed);
    if (this.#most >= wide) this.#most = Infinity;
    this.#askedAt = this.#jumpedAt = now;
  }
}
