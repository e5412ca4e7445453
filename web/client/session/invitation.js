/**
 * @typedef {object} CallState
 * @property {string} call
 * @property {'ringing' | 'incoming' | 'accepted' | 'ended'} state
 * @property {string} [from]
 * @property {string} [peer]
 * @property {string} [user]
 * @property {string} [name]
 * @property {boolean} [polite]
 * @property {any} [data]
 * @property {'hangup' | 'canceled' | 'declined' | 'busy' | 'timeout' | 'elsewhere' | 'unavailable' | 'lost' | 'replaced' | 'revoked' | 'shutdown'} [reason]
 * @property {string} [detail]
 */

/** Somebody calls: answer with `Call.accept(invitation)`, or `decline`. */
export class Invitation {
  /** @param {import('./hub.js').Hub} hub @param {CallState} state */
  constructor(hub, state) {
    this.hub = hub;
    /** the call's id */
    this.call = state.call;
    /** the caller's session, user and display name */
    this.from = state.from ?? '';
    this.user = state.user ?? '';
    this.name = state.name || state.user || '';
    this.data = state.data;
    /** @type {CallState['reason'] | null} why it ended, once it has (also `elsewhere`: another device answered) */
    this.ended = null;
  }

  /**
   * @param {string} [reason] told to the caller
   * @returns {Promise<void>}
   */
  async decline(reason) {
    await this.hub.decline(this.call, reason);
  }
}
