// What a session is given, and what it tells.

/**
 * @typedef {object} SessionOptions
 * @property {string} [url] the hub's WebSocket URL; default: `/ws` of the server that served this module, so that a copy of
 *   it (npm, a bundle) has to name one
 * @property {string} [name] what others see, at most 64 characters
 * @property {string} [user] the name by which others call this person
 * @property {string} [userSecret] what keeps others from taking `user` (8 to 128 characters, kept by the client)
 * @property {string | import('./token.js').TokenSource} [token] access token, for servers with `access.mode: token`; a
 *   function is asked for the first and again before each expires
 * @property {typeof WebSocket} [WebSocket] another implementation, for tests and other runtimes
 * @property {Clock} [clock] for tests
 */

/**
 * @typedef {object} Closed
 * @property {number} code of protocol.md; 0: what answers is no turnhub server, 1000: closed here
 * @property {string} reason for logs and developers
 * @property {import('../base/home.js').Refusal} [why] what the access token lacks, where the server has said so
 */

/**
 * @typedef {object} Reconnected
 * @property {boolean} resumed false: the server had forgotten the session; rooms and calls are gone there
 * @property {boolean} silent the old socket died without a word, so the network itself has probably changed
 */

/** @typedef {import('../base/clock.js').Clock} Clock */

export {};
