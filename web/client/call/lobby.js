import {Peer} from './peer.js';
import {withoutCandidates} from './path/connection.js';
import {isRelayed, relayed, withoutAddresses} from './path/sanitize.js';

/** @typedef {import('./ahead.js').Ahead} Ahead */
/** @typedef {import('./ahead.js').Prepared} Prepared */
/** @typedef {import('../session/hub.js').PeerInfo} PeerInfo */
/** @typedef {import('./peer.js').PeerHost & {hub: import('../session/hub.js').Hub, connection: () => RTCPeerConnection}} LobbyCall */

/** At most so many who have not joined are connected with at once. */
const guestLimit = 2;
/**
 * And none beyond so many connections in all: each holds up to four relay ports, of which the server gives a person so many
 * (`limits.allocations_per_user`), and who joins has to get some.
 */
const connectionLimit = 3;

/**
 * Connections with people of whom one has not joined yet (protocol.md, "The lobby"). They are complete but quiet: no
 * media, no message, and no address but that of the relay, so that the first picture needs no more than the news that
 * somebody has joined.
 */
export class Lobby {
  /** The room in whose lobby we are; empty: in none. */
  room = '';

  /** @type {LobbyCall} */ #call;
  /** @type {Ahead} */ #ahead;
  #host = '';
  /** @type {RTCIceCandidateInit[]} of our offer, not told to our host */ #withheld = [];
  /** @type {Peer | null} the connection with our host, once it has answered */ #peer = null;
  /** @type {Map<string, Peer>} who is in the lobby of our room */ #guests = new Map();

  /** @param {LobbyCall} call @param {Ahead} ahead */
  constructor(call, ahead) {
    this.#call = call;
    this.#ahead = ahead;
  }

  // ---- who comes

  /** Goes into the lobby of a room with an offer. @param {string} room @param {Prepared} prepared */
  enter(room, prepared) {
    this.room = room;
    this.#host = '';
    const {description, candidates} = withoutCandidates(prepared.describe());
    this.#withheld = candidates.filter((candidate) => !isRelayed(candidate));
    const first = {instance: this.#call.instance, connection: '', description: withoutAddresses(description), candidates: relayed(candidates), ...this.#call.thrift.said};
    // A server that knows no lobby says so, and the offer goes with `join`.
    this.#call.hub.lobby(room, first).catch(() => {});
  }

  /** We are connected with somebody, or about to be. */
  get company() { return this.#peer !== null || this.#guests.size > 0; }

  /** Somebody has our offer. */
  get hosted() { return this.#host !== ''; }

  /**
   * What the server says of our place in the lobby.
   * @param {string} room @param {string} [host] who has our offer
   * @returns {boolean} false: it has gone with our host, and another one is needed
   */
  at(room, host = '') {
    if (room !== this.room || host === this.#host) return true;
    const guest = this.#guests.get(host);
    // Gone with our host, or given up before there was one.
    const lost = (this.#host !== '' && !host) || (host !== '' && !guest && !this.#ahead.prepared);
    this.#drop();
    this.#host = host;
    // Whoever waited for us has joined before us, and has become our host.
    if (guest) this.#peer = guest;
    this.#guests.delete(host);
    return !lost;
  }

  /** What goes with `join` where the connection exists; undefined: an offer has to. */
  first() {
    const state = this.#peer?.pc?.connectionState;
    if (state !== 'new' && state !== 'connecting' && state !== 'connected') return undefined;
    return {instance: this.#call.instance, connection: '', candidates: this.#peer?.tellWithheld(), ...this.#call.thrift.said};
  }

  /** Hands over the connection with a member, if there is one. @param {string} id @returns {Peer | null} */
  take(id) {
    const peer = id === this.#host ? this.#peer : null;
    if (peer) this.#peer = null;
    return peer;
  }

  /** We have joined. A host who has not is our guest now. */
  joined() {
    if (this.#peer) this.#guests.set(this.#host, this.#peer);
    this.#peer = null;
    this.leave();
  }

  /** We are out of the lobby. @param {boolean} [tell] the server does not know yet, and whoever is connected with us has to go */
  leave(tell = false) {
    const {room} = this;
    this.room = '';
    this.#drop();
    if (!tell) return;
    this.forget();
    if (room && this.#call.online) this.#call.hub.leave(room).catch(() => {});
  }

  #drop() {
    this.#host = '';
    this.#peer?.close();
    this.#peer = null;
  }

  // ---- who is there, or waits longer

  /** Somebody is in the lobby of our room, or waits in it as we do. @param {string} id @param {any} first */
  receive(id, first) {
    this.gone(id);
    const full = this.#guests.size >= guestLimit || this.#guests.size + this.#call.size >= connectionLimit;
    if (!first?.description || full) return;
    const guest = new Peer(this.#call, {peer: id, polite: false}, {quiet: true});
    this.#guests.set(id, guest);
    guest.handle(first);
  }

  /** @param {string} id */
  gone(id) {
    this.#guests.get(id)?.close();
    this.#guests.delete(id);
  }

  /** Somebody has joined: hands over the connection that `first` goes on with. @param {string} id @param {any} first @returns {Peer | null} */
  admit(id, first) {
    const guest = this.#guests.get(id);
    this.#guests.delete(id);
    if (!guest) return null;
    const ufrag = (/** @type {string | undefined} */ sdp) => /^a=ice-ufrag:(.*)$/m.exec(sdp ?? '')?.[1];
    const another = first?.description && ufrag(first.description.sdp) !== ufrag(guest.pc?.remoteDescription?.sdp);
    if (first && !another) return guest;
    guest.close();
    return null;
  }

  // ---- both

  /** The quiet connection that signaling data is for. @param {string} from @param {any} data @returns {Peer | undefined} */
  find(from, data) {
    if (from !== this.#host || !this.room) return this.#guests.get(from);
    const prepared = this.#peer || data.description?.type !== 'answer' ? null : this.#ahead.take();
    if (prepared) {
      this.#peer = new Peer(this.#call, {peer: from, polite: true}, {quiet: true});
      this.#peer.offered(prepared, this.#withheld);
    }
    return this.#peer ?? undefined;
  }

  /** Fresh credentials. */
  configure() {
    this.#peer?.configure();
    for (const guest of this.#guests.values()) guest.configure();
  }

  /** The server has forgotten everybody. */
  forget() {
    this.#drop();
    for (const id of [...this.#guests.keys()]) this.gone(id);
  }

  close() {
    this.leave(true);
  }
}
