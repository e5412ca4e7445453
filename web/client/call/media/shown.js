/** So much more is asked for than is shown: it is cut to the shape of its place. */
const sharp = 1.25;
/** By how much what is shown changes before the other side is told. */
const notable = 0.1;

/** How many pixels of a picture can be seen: of the other side's here, and of ours there. */
export class Shown {
  /** Of ours, as the other side tells. */
  there = Infinity;

  #here = 0;
  #told = 0;

  /** This page shows the other's camera so large. @param {number} width @param {number} height */
  see(width, height) { this.#here = sharp * Math.max(0, width * height); }

  /** The other side may not know any more what it was told. */
  forget() { this.#told = 0; }

  /** What the other side is to be told now; null: nothing new. */
  news() {
    if (!this.#here || Math.abs(this.#here - this.#told) <= notable * this.#told) return null;
    this.#told = this.#here;
    return Math.round(this.#here);
  }
}
