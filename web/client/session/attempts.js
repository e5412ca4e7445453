/** So many attempts in a row that find somebody else than a turnhub are enough (some 3 s), or, for a page of another site, nobody (some 12 s). */
const strangers = 4, nobody = 7;
/** So many attempts in a row without a WebSocket, where everything else gets through, are no accident. */
const blocked = 2;

/** What attempts in a row have found where no socket opened, and when that is enough to be told. */
export class Attempts {
  /** Attempts in a row that found no turnhub. */
  #strange = 0;
  /** Attempts in a row that found one, but no way for a WebSocket. */
  #blocked = 0;

  /**
   * One more attempt.
   * @param {string} is what it found, see whyRefused
   * @param {boolean} own whether the page comes from that very server, and so knows that it is there
   * @returns {{strange: boolean, blocked: boolean}} strange: no turnhub is there; blocked: for the first time it is certain
   *   that no WebSocket gets through
   */
  found(is, own) {
    this.#strange = is === 'no-hub' || is === 'silent' ? this.#strange + 1 : 0;
    this.#blocked = is === 'no-websocket' ? this.#blocked + 1 : 0;
    const most = is === 'no-hub' ? strangers : own ? Infinity : nobody;
    return {strange: this.#strange >= most, blocked: this.#blocked === blocked};
  }

  /** A socket has opened. */
  clear() {
    this.#strange = this.#blocked = 0;
  }
}
