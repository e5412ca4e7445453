/**
 * Whether sound is sent twice: nothing but arithmetic, so that it can be played through in Node. Redundant audio (RED, RFC
 * 2198) puts the packet before into each packet, so that one that is lost alone is not missed. Who sends sees whether its
 * line has room for that (`Room`), who hears sees what is lost (`Redundancy`).
 */

/** Sound that is sent twice has so many bits per second at the most, each time: both together are what it has alone. */
export const eachOfTwo = 24_000;
/**
 * Room begins at so many bits per second, and ends at so many, which carry the sound that is sent twice: a browser thinks less
 * and less of a line that loses a fifth.
 */
const roomFrom = 150_000, roomUntil = 68_000;
/** So long there is room before it is said, milliseconds. */
const roomFor = 4000;
/** The least round trip of so long is no burst of a busy machine; that of so long is the path's own, milliseconds. */
const lately = 6000, remember = 60_000;
/** What waits longer than this beyond the path's own round trip stands in a queue: the line is full, and what is lost is too much. */
const queued = 80;

/** What sound is lost counts over so long when it begins, and over so long when it is over, milliseconds. */
const beginning = 5000, ending = 12_000;
/** From this share on sound is sent twice, and below this no longer. */
const lossy = 0.03, clean = 0.01;
/** One hole in the line is no loss: packets are missing in so many looks of the last, and so many packets were expected. */
const lossyLooks = 3, leastPackets = 200;
/** It lasts so long at the least while there is room. */
const lasts = 10_000;
/** So long it stays away afterwards, and up to so long where it did not last for a minute, milliseconds. */
const pauseFirst = 20_000, pauseMost = 160_000, lasted = 60_000;

/** What is kept of one value, the oldest first. @template {{now: number}} T @param {T[]} all @param {T} next @param {number} milliseconds */
const kept = (all, next, milliseconds) => [...all.filter(({now}) => now > next.now - milliseconds && now <= next.now), next];

/** Whether what we send has room for sound to be sent twice. */
export class Room {
  /** There is room. */
  is = false;

  /** @type {{now: number, rtt: number}[]} */ #trips = [];
  #since = Infinity;

  /**
   * One look at the line, about once a second.
   * @param {number} now milliseconds, of a clock that is never set back
   * @param {boolean} narrow the line takes less than the call wants, as its queue says
   * @param {number} available bits per second that the browser thinks the path carries; 0: it does not say
   * @param {number} rtt seconds; 0: not known
   */
  take(now, narrow, available, rtt) {
    if (rtt > 0) this.#trips = kept(this.#trips, {now, rtt: rtt * 1000}, remember);
    const least = (/** @type {number} */ from) => Math.min(...this.#trips.filter((trip) => trip.now > from).map((trip) => trip.rtt));
    const recent = least(now - lately), waits = Number.isFinite(recent) && recent - least(-Infinity) > queued;
    const enough = !narrow && !waits && available >= (this.is ? roomUntil : roomFrom);
    if (!enough) this.#since = Infinity;
    else if (this.#since === Infinity || now < this.#since) this.#since = now;
    return (this.is = enough && (this.is || now - this.#since >= roomFor));
  }

  /** Another connection is in use, whose round trip is another. */
  forget() { this.#trips = []; }
}

/** Whether we want to hear the other side's sound twice. It changes seldom: each change is an offer and an answer. */
export class Redundancy {
  /** It is wanted. */
  wanted = false;

  /** Packets of sound that came and that were lost, so far. @type {{now: number, received: number, lost: number}[]} */ #counts = [];
  #since = -Infinity;
  #pause = pauseFirst;
  #notBefore = -Infinity;

  /**
   * One look at the sound that comes, about once a second.
   * @param {number} now milliseconds, of a clock that is never set back
   * @param {number} received packets so far @param {number} lost packets so far
   * @param {boolean} room the other side's line has room for it
   */
  take(now, received, lost, room) {
    const last = this.#counts.at(-1);
    // Another stream counts anew; what came late after all was not lost.
    if (last && (received < last.received || lost < last.lost - 50 || now < last.now)) this.#counts = [];
    this.#counts = kept(this.#counts, {now, received, lost}, ending + 1000);
    if (this.wanted) {
      const {share, whole} = this.#lost(now, ending);
      if (!room || (now - this.#since >= Math.max(lasts, ending) && whole && share < clean)) this.#end(now);
    } else if (room && now >= this.#notBefore) {
      const {share, looks, expected} = this.#lost(now, beginning);
      if (share >= lossy && looks >= lossyLooks && expected >= leastPackets) {
        this.wanted = true;
        this.#since = now;
      }
    }
    return this.wanted;
  }

  /** @param {number} now */
  #end(now) {
    this.wanted = false;
    this.#pause = now - this.#since >= lasted ? Math.max(pauseFirst, this.#pause / 2) : Math.min(pauseMost, this.#pause * 2);
    this.#notBefore = now + this.#pause;
  }

  /** What was lost lately. @param {number} now @param {number} milliseconds */
  #lost(now, milliseconds) {
    const counts = this.#counts.filter((count) => count.now >= now - milliseconds), [first] = counts, last = counts[counts.length - 1];
    const lost = Math.max(0, last.lost - first.lost), expected = last.received - first.received + lost;
    return {
      share: expected > 0 ? lost / expected : 0, expected,
      looks: counts.filter((count, i) => i > 0 && count.lost > counts[i - 1].lost).length,
      /** Looked at for as long as that. */
      whole: last.now - first.now >= milliseconds * 0.8,
    };
  }

  /** Another connection is in use, whose packets count anew. */
  forget() { this.#counts = []; }
}
