/** Which picture is sent over a narrow line: nothing but arithmetic, as narrow.js, which says how much there is for it. */

/**
 * The pictures of a narrow line, from the best: from how many bits per second each is sent, what its sides are divided by
 * and how many frames a second it has.
 */
const pictures = [
  {from: 500_000, scale: 1, frameRate: 30},
  {from: 220_000, scale: 1.5, frameRate: 24},
  {from: 90_000, scale: 2, frameRate: 15},
  {from: 45_000, scale: 3, frameRate: 10},
  {from: 25_000, scale: 4, frameRate: 6},
];
/** From so many bits per second the best is sent. */
export const best = pictures[0].from;
/** Below that there is none; one that was left out comes back from here, bits per second. */
export const comesBack = 40_000;
/** A camera that sees little takes less than it may: below this share of that; and a larger one so much more at the most as it has more pixels, and some more. */
const sparing = 0.7, spareFor = 1.3;

/** Which picture is sent to one person. */
export class Choice {
  /** When it was changed last, and since when it is back where it was left out; milliseconds. */
  changedAt = -Infinity;
  backAt = -Infinity;

  /** Which of them; as many as there are: it is left out. */
  #step = 0;
  /** What the picture of a step takes at most, where that is much less than it may, and since when. */
  #spare = {step: 0, from: -Infinity, takes: 0};
  /** The picture of this step is one of so many bits per second, though such may have more; Infinity: it is as any. */
  #simple = Infinity;
  /** When it was left out, and for how long it stays so at the least. */
  #offAt = -Infinity;
  #stays = 2000;

  /** Whether it is left out. */
  get off() { return this.#step === pictures.length; }

  /**
   * What its sides are divided by, and its frames a second at the most; Infinity. Of one that is left out it is the least.
   * @param {boolean} least only that goes out now
   */
  sent(least) {
    const {scale, frameRate} = pictures[least ? pictures.length - 1 : Math.min(this.#step, pictures.length - 1)];
    return {scale, frameRate: this.#step ? frameRate : Infinity};
  }

  /** The line is not narrow. @param {boolean} wholly the path is not one of those that are measured */
  free(wholly) {
    if (this.off) this.#offAt = -Infinity;
    this.#step = 0;
    if (wholly) this.changedAt = -Infinity;
  }

  /**
   * Looks at what it takes: where that is much less than it may, there is no more of what the camera sees, and a larger one
   * fits that would not if it were full of it.
   * @param {number} now @param {number} takes @param {number} most bits per second that it may have @param {boolean} settled nothing else holds it back
   */
  look(now, takes, most, settled) {
    settled &&= now - this.changedAt > 1500;
    const {step, from} = this.#spare;
    if (!settled || takes > most * sparing || step !== this.#step) this.#spare = {step: this.#step, from: now, takes: 0};
    else this.#spare = {step, from, takes: Math.max(takes, this.#spare.takes)};
    if (settled && takes > most * 0.95) this.#simple = Infinity;
  }

  /** So many bits per second one is thought to take that is a step better; Infinity: not known. @param {number} now */
  #better(now) {
    const {step, from, takes} = this.#spare;
    if (!step || step === pictures.length || step !== this.#step || now - from < 1500) return Infinity;
    const [worse, better] = [pictures[step], pictures[step - 1]];
    return takes * spareFor * (worse.scale / better.scale) ** 2 * (better.frameRate / worse.frameRate);
  }

  /**
   * Chooses: a worse one soon, a better one late, none when the least does not fit. Returns whether it has just been left out.
   * @param {number} now @param {number} video bits per second that it may have @param {boolean} fits the line has been seen to take one that comes back
   * @param {boolean} wider than was ever seen
   */
  choose(now, video, fits, wider) {
    let wanted = pictures.findIndex(({from}, step) => video >= (step === this.#step ? Math.min(from, this.#simple) : from));
    if (wanted < 0) wanted = pictures.length;
    const better = this.#better(now);
    if (wanted >= this.#step && video >= better) wanted = this.#step - 1;
    if (this.off) {
      if (video < comesBack || !fits || now - this.#offAt < this.#stays) return false;
      this.backAt = this.changedAt = now;
      this.#step = Math.min(wanted, pictures.length - 1);
    } else if (wanted > this.#step) {
      if (now - this.changedAt < 700) return false;
      this.#step = wanted;
      this.#simple = Infinity;
      this.changedAt = now;
      if (!this.off) return false;
      this.#offAt = now;
      // One that had to go again soon was brought back too early.
      this.#stays = now - this.backAt < 8000 ? Math.min(6000, this.#stays * 2) : 2000;
      return true;
    } else if (wanted < this.#step) {
      // Each step costs a key frame, so some room is left.
      const full = pictures[this.#step - 1].from * 1.15;
      if (now - this.changedAt < 1500 || video < Math.min(full, better)) return false;
      this.#simple = video < full ? better : Infinity;
      this.#step = wider ? wanted : this.#step - 1;
      this.changedAt = now;
    }
    return false;
  }
}
