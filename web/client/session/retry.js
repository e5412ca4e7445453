import {sessionTimes as times} from '../base/times.js';

/**
 * How long an attempt to connect may take, milliseconds. An attempt over a path that is dead says nothing for minutes, and
 * begins again seconds after the path is back: in a call, and where sockets freeze, the first ones are given up early, if the server
 * was quick before. Later ones give slow resolvers and proxies their time.
 * @param {number} attempt the number of those before @param {{hurried: boolean, rtt: number}} heartbeat
 * @param {number} openedIn how long the last one took that succeeded
 */
export function patience(attempt, {hurried, rtt}, openedIn) {
  const quick = hurried ? 8 : 0;
  if (attempt < quick) return Math.min(times.quickAttemptMost, Math.max(times.quickAttempt, 6 * openedIn, 10 * rtt));
  return Math.min(times.attemptMost, times.attempt * 2 ** (attempt - quick));
}

/**
 * Milliseconds until the next attempt: at once after a cut, then doubling with jitter; a call waits at most half a second
 * at first, since it shows.
 * @param {number} attempt the number of those before @param {boolean} inCall @param {number} least @param {number} random 0 ≤ x < 1
 */
export function delay(attempt, inCall, least, random) {
  const jitter = 0.5 + random / 2;
  if (attempt === 0) return Math.max(least, inCall ? 0 : times.spread * jitter);
  const most = inCall ? (attempt < 30 ? times.retryInCall : times.retryInLongCall) : times.retryMost;
  // What has cut one socket, a firewall or a proxy, mostly lets the next through a moment later.
  const first = inCall ? times.retrySoon : times.retry;
  return Math.max(least, jitter * Math.min(most, first * 2 ** attempt));
}

/**
 * Whether a browser holds back a WebSocket at an address and path that have just refused one, or lost one: Firefox (153) does, for
 * 0.2 s and then half as long again each time, up to a minute.
 * @param {string} agent
 */
export const holdsBack = (agent) => /\bFirefox\//.test(agent);

/** At which path each try to come back is made: one of its own, where the browser would hold it back and the server takes it. */
export class Tries {
  #path = '';
  #made = 0;
  #held;

  /** @param {string} [agent] */
  constructor(agent = globalThis.navigator?.userAgent ?? '') { this.#held = holdsBack(agent); }

  /** The server welcomes us. @param {unknown} path below which it takes any, as seen from the socket's own: `resume.path` */
  begin(path) {
    this.#path = typeof path === 'string' && /^\w{1,16}\/$/.test(path) ? path : '';
    this.#made = 0;
  }

  /** @param {URL} url of the socket @returns {URL} of the next try */
  next(url) {
    // The server that comes back may be one that knows no such paths: each third is where it always is.
    if (!this.#held || !this.#path || ++this.#made % 3 === 0) return url;
    const own = new URL(url);
    own.pathname = new URL(this.#path + Math.random().toString(36).slice(2, 8), url).pathname;
    return own;
  }
}
