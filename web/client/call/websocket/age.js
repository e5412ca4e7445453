// How late what comes is, by a clock of ours and one of the sender's, which differ.

/** The earliest is that of so many spans of so many milliseconds: clocks drift, and routes change. */
const spans = 3, spanMs = 10_000;

/**
 * How late the least late frame is since `again`, against the earliest of the last half minute: what waits in a queue makes all of
 * them late, and a busy page some (the idea of RFC 8289). The sender empties its queue now and then, see Flow: else one that always
 * stands would count as none after half a minute.
 */
export class Age {
  #late = Infinity;
  /** @type {number[]} the newest first */ #least = [Infinity];
  #spanAt = NaN;

  /** @param {number} at when a frame was made, by the sender's clock @param {number} now milliseconds */
  note(at, now) {
    if (Number.isNaN(this.#spanAt)) this.#spanAt = now;
    if (now - this.#spanAt > spanMs) {
      this.#least = [Infinity, ...this.#least].slice(0, spans);
      this.#spanAt = now;
    }
    const took = now - at;
    this.#least[0] = Math.min(this.#least[0], took);
    this.#late = Math.min(this.#late, took - Math.min(...this.#least));
  }

  /** Milliseconds; 0: nothing has come. */
  get late() { return this.#late < Infinity ? this.#late : 0; }

  /** It is asked anew from here. */
  again() { this.#late = Infinity; }
}
