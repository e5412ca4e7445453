import {HubError} from '../base/codes.js';
import {sessionTimes as times} from '../base/times.js';

/**
 * Gets an access token of the same user, for example from the program's own server. One that throws is asked again;
 * an empty string says that there is none any more.
 * @typedef {() => string | Promise<string>} TokenSource
 */

/**
 * What an access token needs of its session.
 * @typedef {object} TokenHost
 * @property {import('../base/clock.js').Clock} clock
 * @property {(message: import('./session.js').Message) => Promise<any>} request
 * @property {(error: HubError) => void} failed
 */

/** The access token of a session, for servers with `access.mode: token`. */
export class AccessToken {
  /** The token in use; empty: none. */
  value = '';

  /** @type {TokenHost} */ #host;
  /** @type {TokenSource | null} */ #source = null;
  /** @type {Promise<string> | null} */ #asked = null;
  #askedAt = -Infinity;
  /** The last one that the server did not take. */
  #refused = '';
  #refusals = 0;
  /** @type {any} */ #timer = null;

  /** @param {string | TokenSource | undefined} token @param {TokenHost} host */
  constructor(token, host) {
    this.#host = host;
    if (typeof token === 'function') this.#source = token;
    else this.value = token ?? '';
  }

  /** Whether there has to be another before the server can be asked for anything. */
  get needed() { return this.#source !== null && (this.value === '' || this.value === this.#refused); }

  /**
   * Asks the source. Who asks while it is being asked gets the same answer.
   * @returns {Promise<string>} empty: there is none that the server would take
   */
  fetch() {
    this.#asked ??= this.#ask().finally(() => { this.#asked = null; });
    return this.#asked;
  }

  async #ask() {
    this.#askedAt = this.#host.clock.now();
    const token = await this.#source?.();
    return !token || token === this.#refused ? '' : token;
  }

  /** The server does not take this one. @param {string} token @returns {boolean} whether another is worth a try: not twice in a row */
  refuse(token) {
    if (!this.#source) return false;
    if (token === this.#refused) return true;
    this.#refused = token;
    return ++this.#refusals === 1;
  }

  /** The server has taken the one in use. */
  accepted() {
    this.#refusals = 0;
  }

  /**
   * Hands in another token.
   * @param {string} token
   * @returns {Promise<void>} rejected (`forbidden`) where the server does not take it: then the old one stays
   */
  async renew(token) {
    const old = this.value;
    this.value = token;
    try {
      await this.#host.request({type: 'token', token});
    } catch (error) {
      const {code} = /** @type {HubError} */ (error);
      if (code === 'session-lost' || code === 'closed') return; // the next session begins with it
      if (this.value === token) this.value = old;
      throw error;
    }
  }

  /** The one in use expires. A source whose tokens are short-lived is not asked all the time. @param {number} after milliseconds */
  expires(after) {
    const {clock} = this.#host;
    const recent = clock.now() - this.#askedAt < times.renewToken;
    this.#plan(recent ? Math.max(times.renewToken, after / 2) : 0);
  }

  /** @param {number} after milliseconds */
  #plan(after) {
    const {clock} = this.#host;
    clock.clearTimeout(this.#timer);
    if (this.#source) this.#timer = clock.setTimeout(() => this.#renewByItself(), after);
  }

  async #renewByItself() {
    const old = this.value;
    try {
      const token = await this.fetch();
      if (this.value !== old) return; // has been done meanwhile
      if (!token || token === old) throw new Error('there is no newer one');
      await this.renew(token);
    } catch (error) {
      this.#plan(times.renewToken);
      const {message} = /** @type {Error} */ (error);
      this.#host.failed(new HubError('no-token', `the access token could not be renewed: ${message}`, true, times.renewToken));
    }
  }

  close() {
    this.#host.clock.clearTimeout(this.#timer);
  }
}
