/**
 * The close codes of turnhub.v1 (signaling/protocol.md): whether and how to come back.
 * `back`: "resume" the session, "fresh" session, or "no". `say` is for logs and developers: pages have words of their own
 * for the code.
 * @type {Record<number, {name: string, back: 'resume' | 'fresh' | 'no', after: number, say: string}>}
 */
export const closeCodes = {
  4000: {name: 'bad-hello', back: 'no', after: 0, say: 'The server did not understand this client.'},
  4001: {name: 'replaced', back: 'no', after: 0, say: 'This session goes on in another window.'},
  4002: {name: 'silent', back: 'resume', after: 0, say: 'The connection was silent for too long.'},
  4003: {name: 'refused', back: 'no', after: 0, say: 'The server refused this visitor: the access token or the user name is not accepted.'},
  4004: {name: 'revoked', back: 'no', after: 0, say: 'The operator ended this session.'},
  4005: {name: 'restart', back: 'resume', after: 0, say: 'The server restarts.'},
  4006: {name: 'full', back: 'resume', after: 5000, say: 'Too many connections from this network.'},
  4007: {name: 'flood', back: 'no', after: 0, say: 'This client sent far more messages than allowed.'},
  4008: {name: 'slow', back: 'fresh', after: 0, say: 'This client was too slow to read what it was sent.'},
  4009: {name: 'too-big', back: 'no', after: 0, say: 'This client sent a message that is too large.'},
};

/**
 * The error codes that the server answers requests with, and the client's own: `session-lost` (the server has forgotten
 * the session before it answered), `closed` (this hub was closed), `queue-full` (too much waits to be sent), `call-full`
 * (the call has its people), `no-token` (the `token` function gave no access token; it is asked again),
 * `no-websocket` (the server answers, but a proxy lets no WebSocket through; it is tried again) and `no-hub` (what
 * answers at the address given is no turnhub server, or none for pages of this origin; or no address is known). In a room
 * with a host: `declined`, `removed` and `ended` by the host, and `door-full` (too many wait).
 * @typedef {'bad-message' | 'unknown-type' | 'bad-name' | 'user-taken' | 'not-in-room' | 'room-full' | 'too-many'
 *   | 'no-such-call' | 'forbidden' | 'rate' | 'knocking' | 'locked' | 'declined' | 'removed' | 'ended' | 'door-full'
 *   | 'session-lost' | 'closed' | 'queue-full' | 'call-full' | 'no-token' | 'no-websocket' | 'no-hub'} HubErrorCode
 */

/** Why a request to the hub failed: `code` for programs and pages, which have their own words for it; `message` for logs and developers. */
export class HubError extends Error {
  /**
   * @param {HubErrorCode} code
   * @param {string} message
   * @param {boolean} [retry]
   * @param {number} [after] milliseconds
   */
  constructor(code, message, retry = false, after = 0) {
    super(message);
    this.name = 'HubError';
    /** @type {HubErrorCode} */
    this.code = code;
    /** whether the same request may succeed later */
    this.retry = retry;
    /** milliseconds until then, where the server said so */
    this.after = after;
  }
}

/** @param {unknown} error @returns {HubErrorCode | undefined} */
export function codeOf(error) {
  return error instanceof HubError ? error.code : undefined;
}
