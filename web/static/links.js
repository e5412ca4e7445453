import {linkTo, token} from './settings.js';

/** @typedef {import('/client/turnhub.js').Hub} Hub */

/** A link is made anew after so many milliseconds: what is copied should be good for long. */
const fresh = 30 * 60 * 1000;

/**
 * Links to rooms for others. Where not everybody may come in they carry an invitation, which the server makes; they never
 * carry the visitor's own token. The last one is kept, so that a click can copy it at once.
 */
export class Links {
  /** @type {Hub | null} */ #hub = null;
  #room = '';
  #made = 0;
  /** @type {Promise<string> | null} */ #link = null;
  #known = '';

  /** @param {Hub} hub */
  use(hub) {
    this.#hub = hub;
    this.#forget();
  }

  #forget() {
    this.#link = null;
    this.#known = '';
  }

  /**
   * @param {string} room
   * @returns {Promise<string>} rejected (HubError) where nobody can be invited
   */
  to(room) {
    if (!token || !this.#hub) return Promise.resolve(linkTo(room));
    if (!this.#link || this.#room !== room || Date.now() - this.#made > fresh) {
      this.#known = '';
      this.#room = room;
      this.#made = Date.now();
      const mine = this.#link = this.#hub.guestToken(room).then(({token}) => linkTo(room, token));
      mine.then((link) => { if (this.#link === mine) this.#known = link; }, () => { if (this.#link === mine) this.#forget(); });
    }
    return this.#link;
  }

  /** The link as far as it is known now. @param {string} room */
  now(room) {
    return this.#room === room && this.#known || linkTo(room);
  }
}
