import {Emitter} from '../base/emitter.js';
import {Quota} from '../base/quota.js';
import {realClock} from '../base/clock.js';
import {callTimes as times} from '../base/times.js';

/** @typedef {import('./call.js').Call} Call */
/** @typedef {import('./peer.js').Peer} Peer */
/** @typedef {import('../session/hub.js').Hub} Hub */
/** @typedef {import('../session/hub.js').Knock} Knock */
/** @typedef {import('../session/hub.js').HostingState} HostingState */

/** So many wishes to speak are told at once. */
const asksAtOnce = 3;

/**
 * @typedef {object} HostingEvents
 * @property {void} change somebody is host, muted, at the door, or is it no more; the room is locked or open
 * @property {Knock} knock somebody is at the door
 * @property {string} knock-left session id of one who is not there any more
 * @property {boolean} muted the host has muted us, or lets us speak again
 * @property {Peer} ask somebody who is muted would like to speak
 */

/**
 * The host of a call's room, where it has one (protocol.md, "Rooms with a host"). The server lets in, puts out and locks;
 * whom it calls muted is silent here whatever comes, and of whom it does not know any more nothing is kept.
 *
 *     const {room, secret} = await hostedRoom('team');
 *     call.hosting.on('knock', ({peer, name}) => { if (confirm(`Let ${name} in?`)) call.hosting.admit(peer); });
 *     await call.join(room, {host: secret}); // the guests: call.join(room)
 *
 * @extends {Emitter<HostingEvents>}
 */
export class Hosting extends Emitter {
  /** Whether the room has a host. */
  known = false;
  locked = false;
  /** Whether we are a host. */
  mine = false;
  /** Whether the host has muted us. */
  silenced = false;
  /** Sessions of the hosts. @type {Set<string>} */ hosts = new Set();
  /** Sessions of those who are muted. @type {Set<string>} */ muted = new Set();
  /** Who is at the door, by session, the longest first; told to hosts alone. @type {Map<string, Knock>} */ knocks = new Map();

  /** @type {{call: Call, lost: (peer: Peer) => void}} */ #host;
  /** Since when the server does not know of somebody with whom media goes on. @type {Map<Peer, number>} */ #strays = new Map();
  #asks = new Quota(realClock, asksAtOnce, times.ask);

  /** @param {{call: Call, lost: (peer: Peer) => void}} host */
  constructor(host) {
    super();
    this.#host = host;
  }

  // ---- what a host may do: each is rejected (`forbidden`) for anybody else

  /** Lets somebody in. @param {string} peer session id @returns {Promise<void>} */
  admit(peer) { return this.#do('admit', peer); }
  /** Turns somebody away for good. @param {string} peer session id @returns {Promise<void>} */
  decline(peer) { return this.#do('decline', peer); }
  /** Lets everybody in who is at the door. @returns {Promise<void>} */
  admitAll() { return this.#all('admit'); }
  /** Turns everybody away who is at the door. @returns {Promise<void>} */
  declineAll() { return this.#all('decline'); }
  /** Puts somebody out, who is not let in again. @param {string} peer session id @returns {Promise<void>} */
  remove(peer) { return this.#do('remove', peer); }
  /** Has nobody hear somebody, or has them hear again. @param {string} peer session id @param {boolean} [on] @returns {Promise<void>} */
  mute(peer, on = true) { return this.#do(on ? 'mute' : 'unmute', peer); }
  /** Lets nobody in any more, or people knock again. @param {boolean} [on] @returns {Promise<void>} */
  lock(on = true) { return this.#do(on ? 'lock' : 'unlock'); }
  /** Makes somebody the host in our place. @param {string} peer session id @returns {Promise<void>} */
  hand(peer) { return this.#do('hand', peer); }
  /** Ends the call for everybody. @returns {Promise<void>} */
  end() { return this.#do('end'); }

  /** Tells the hosts that we, who are muted, would like to speak. */
  ask() {
    for (const host of this.hosts) this.#host.call.signal(host, {ask: 'unmute'});
  }

  /** @param {import('../session/hub.js').HostAction} action @param {string} [peer] */
  #do(action, peer) {
    const {hub, room} = this.#host.call;
    return hub.host(room, action, peer);
  }

  /** @param {'admit' | 'decline'} action */
  async #all(action) {
    await Promise.all([...this.knocks.keys()].map((peer) => this.#do(action, peer).catch((error) => {
      if (error.code !== 'not-in-room') throw error; // has gone meanwhile
    })));
  }

  // ---- for the call

  /** @param {Hub} hub @returns {(() => void)[]} what ends it */
  hear(hub) {
    /** @param {{room: string}} said */
    const here = ({room}) => room === this.#host.call.room;
    return [
      hub.on('hosting', (state) => { if (here(state)) this.#stands(state); }),
      hub.on('knock', (knock) => {
        if (!here(knock)) return;
        this.knocks.set(knock.peer, knock);
        this.emit('knock', knock);
        this.emit('change', undefined);
      }),
      hub.on('knock-left', (left) => {
        if (!here(left) || !this.knocks.delete(left.peer)) return;
        this.emit('knock-left', left.peer);
        this.emit('change', undefined);
      }),
      // Who is at the door is told anew.
      hub.on('welcome', ({resumed}) => { if (!resumed) this.#forget(); }),
    ];
  }

  #forget() {
    const gone = [...this.knocks.keys()];
    this.knocks.clear();
    for (const peer of gone) this.emit('knock-left', peer);
    if (gone.length) this.emit('change', undefined);
  }

  /** @param {HostingState} state */
  #stands({locked, hosts, muted}) {
    const before = this.silenced, {id} = this.#host.call.hub;
    this.known = true;
    // Said once, and so until it is said anew: after a restart of the server we are somebody else for a moment.
    this.mine = hosts.includes(id);
    this.silenced = muted.includes(id);
    this.locked = locked;
    this.hosts = new Set(hosts);
    this.muted = new Set(muted);
    if (!this.mine) this.#forget();
    this.apply();
    if (before !== this.silenced) this.emit('muted', this.silenced);
    this.emit('change', undefined);
  }

  /** Silences whom the server calls muted. Who is about to come back with another session stays as they were. */
  apply() {
    if (!this.known) return;
    for (const peer of this.#host.call.peers) if (!peer.orphan) peer.silence(this.muted.has(peer.id));
  }

  /** Once a second: who is with us, but by the server's word not in the room, would be out of the host's reach. */
  beat() {
    const {call, lost} = this.#host;
    for (const peer of this.#strays.keys()) if (!peer.orphan || !call.peers.has(peer)) this.#strays.delete(peer);
    if (!this.known || !call.online) return;
    const now = realClock.now();
    for (const peer of [...call.peers]) {
      if (!peer.orphan) continue;
      const since = this.#strays.get(peer) ?? now;
      this.#strays.set(peer, since);
      if (now - since > times.stray) lost(peer);
    }
  }

  /** Somebody asks the host for something. @param {string} from @param {unknown} what */
  asked(from, what) {
    const peer = [...this.#host.call.peers].find(({id, orphan}) => id === from && !orphan);
    if (peer && what === 'unmute' && this.mine && this.muted.has(from) && this.#asks.take()) this.emit('ask', peer);
  }
}
