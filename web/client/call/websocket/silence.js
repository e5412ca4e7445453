// Nothing comes: the other side's socket may be dead, or ours, and no browser says so for minutes.

/** Without a frame for so long the server is asked for a word, and without that too another socket is tried, milliseconds. */
const ask = 1000, renew = 1500, word = 500;
/** Where frames have come evenly for so long, with pauses no longer than that, nothing at all is suspicious sooner. */
const evenFor = 1000, evenPause = 200, evenAsk = 250, evenRenew = 400;
/** Where the server answers, the other side mends it; after so long ours is changed all the same. */
const sure = 3000;

/** How long nothing has come by a path, and what that tells. */
export class Silence {
  /** When the last frame came, milliseconds. */
  heardAt;
  /** Since when they have come without a pause; NaN: since the next one. */
  #from = NaN;

  /** @param {number} now milliseconds */
  constructor(now) { this.heardAt = now; }

  /** A frame has come. @param {number} now milliseconds */
  note(now) {
    if (!(now - this.#from >= 0 && now - this.heardAt < evenPause)) this.#from = now;
    this.heardAt = now;
  }

  /**
   * What is to be done about it.
   * @param {number} quiet how long nothing has come that this page does not explain, milliseconds
   * @param {number} socket how long the server has said nothing by the socket, likewise
   * @param {boolean} wide whether the line has room for others
   * @returns {{ask: boolean, renew: '' | 'unless it goes on' | 'surely'}}
   */
  judge(quiet, socket, wide) {
    const even = wide && this.heardAt - this.#from > evenFor;
    const silent = quiet > (even ? evenRenew : renew) && socket > (even ? evenRenew : word);
    return {ask: quiet > (even ? evenAsk : ask), renew: quiet > sure ? 'surely' : silent ? 'unless it goes on' : ''};
  }
}
