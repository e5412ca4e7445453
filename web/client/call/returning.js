import {Quota} from '../base/quota.js';
import {realClock} from '../base/clock.js';
import {callTimes as times} from '../base/times.js';

/** @typedef {import('./call.js').Call} Call */
/** @typedef {import('./peer.js').Peer} Peer */
/** @typedef {import('../session/hub.js').PeerInfo} PeerInfo */

/**
 * What those who come back with another session need of their call.
 * @typedef {object} ReturningHost
 * @property {Call} call
 * @property {(info: PeerInfo) => Peer} add
 * @property {(id: string) => Peer | undefined} find
 */

/**
 * The server has forgotten sessions while media between the browsers went on: who comes back with a new session is
 * recognized by the `instance` of the call, and the connection goes on.
 */
export class Returning {
  /** @type {ReturningHost} */ #host;
  /** Each return is answered, which the server counts as our message. */
  #answers = new Quota(realClock, 20, times.returns);

  /** @param {ReturningHost} host */
  constructor(host) {
    this.#host = host;
  }

  /** There is a place in the call for somebody who is not here yet. @param {string} id */
  #free(id) {
    const {call, find} = this.#host;
    return call.phase === 'active' && !find(id) && call.peers.size < call.limit - 1;
  }

  /** A call by name was forgotten: both meet in a room that only they know. @param {string} room */
  async meet(room) {
    const {call} = this.#host;
    call.id = '';
    call.room = room;
    try {
      this.back(await call.hub.join(room, {first: () => ({rejoin: call.instance})}));
    } catch (error) {
      console.warn('turnhub: meeting', error);
    }
  }

  /** We have a new session in the room. @param {import('../session/hub.js').Joined} joined */
  back(joined) {
    const {call, add} = this.#host;
    for (const info of joined.peers) {
      if (info.peer !== joined.first) call.signal(info.peer, {rejoin: call.instance});
      // Who does not know this message is a client of another kind: it gets an offer. Not while somebody is missed who may
      // be that one, and whose answer is on its way.
      const offer = () => {
        if (!this.#free(info.peer) || !call.hub.rooms.get(call.room)?.peers.has(info.peer)) return;
        if ([...call.peers].some(({orphan}) => orphan)) setTimeout(offer, times.rejoin);
        else add(info).offer();
      };
      setTimeout(offer, times.rejoin);
    }
  }

  /** @param {PeerInfo} info @param {any} data @returns {Promise<void>} */
  handle(info, data) {
    return data.rejoin ? this.#onReturn(info, data.rejoin) : this.#onRecognized(info, data.rejoined);
  }

  /**
   * Whose end of the call this is, coming back as `id`. Everybody in the call knows everybody's instance: whose session is
   * in the room still, and awake, has not come back as somebody else.
   * @param {unknown} instance @param {string} id @returns {Peer | undefined}
   */
  #known(instance, id) {
    const {peers, hub, room} = this.#host.call, members = hub.rooms.get(room)?.peers;
    return [...peers].find((candidate) => candidate.instance === instance
      && (candidate.id === id || candidate.orphan || candidate.away || !members?.has(candidate.id)));
  }

  /** A peer has come back with a new session. @param {PeerInfo} info @param {unknown} instance */
  async #onReturn(info, instance) {
    const {call} = this.#host;
    if (!this.#answers.take()) return;
    const peer = this.#known(instance, info.peer);
    call.signal(info.peer, {rejoined: peer ? call.instance : null, instance: call.instance});
    if (!peer) return;
    await peer.rekey(info);
    await peer.measure();
    // A relayed path has died with the server; a direct one that works is left alone.
    if (peer.state !== 'connected' || peer.quality?.path !== 'direct') peer.restart(true);
    else peer.recover();
  }

  /** A peer has answered our return. @param {PeerInfo} info @param {unknown} instance */
  async #onRecognized(info, instance) {
    const peer = instance ? this.#known(instance, info.peer) : undefined;
    if (peer) await peer.rekey(info);
    else if (this.#free(info.peer)) this.#host.add(info).offer();
  }
}
