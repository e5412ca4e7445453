import {callTimes, healingTimes} from '../base/times.js';

/** Reports to the server are sent with each of so many beats. */
const reportEvery = 10;

/**
 * What the pulse needs of its call.
 * @typedef {object} PulseHost
 * @property {import('../session/hub.js').Hub} hub
 * @property {Set<import('./peer.js').Peer>} peers
 * @property {() => string} room
 * @property {() => void} beat once a second
 * @property {(peer: import('./peer.js').Peer) => void} lost the session of this one is gone, and its media too
 */

/** @param {import('./peer.js').Peer['line']} line */
const narrowest = ({ours, theirs}) => (ours === 'no-picture' || theirs === 'wide' ? ours : theirs);

/** Once a second: measures everybody, tells the server how it goes, and sees that the page was asleep. */
export class Pulse {
  /** @type {PulseHost} */ #host;
  /** @type {any} */ #timer = null;
  #count = 0;
  #at = 0;

  /** @param {PulseHost} host */
  constructor(host) {
    this.#host = host;
  }

  start() {
    this.#at = performance.now();
    this.#timer = setInterval(() => this.#beat(), callTimes.tick);
  }

  stop() {
    clearInterval(this.#timer);
  }

  #beat() {
    const {hub, peers, beat, lost} = this.#host;
    this.#count++;
    const now = performance.now(), asleep = now - this.#at > healingTimes.asleep;
    this.#at = now;
    // A laptop that was shut, a phone in a pocket: nobody has told us anything meanwhile.
    if (asleep) hub.poke();
    for (const peer of [...peers]) {
      if (asleep) peer.woken();
      peer.tick().catch(() => {});
      if (peer.orphan && peer.unconnected > callTimes.orphan) lost(peer);
      else if (this.#count % reportEvery === 0 && peer.state === 'connected') this.report(peer);
    }
    beat();
  }

  /** Tells the server how it goes. @param {import('./peer.js').Peer} peer */
  report(peer) {
    const {quality} = peer, room = this.#host.room();
    if (!quality?.path || peer.orphan) return;
    this.#host.hub.report({
      ...(room ? {room} : {}), peer: peer.id, path: quality.path, rtt: quality.rtt, loss: quality.loss,
      bitrate: Math.round(quality.received), ...(peer.firstFrame ? {firstFrame: peer.firstFrame} : {}),
      ...(narrowest(peer.line) === 'wide' ? {} : {line: narrowest(peer.line)}),
    });
  }
}
