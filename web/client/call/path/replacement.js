import {Trickle} from './trickle.js';
import {addMedia, answer, answerMedia, openChannel, sendMedia} from './connection.js';
import {hasPicture} from './stats.js';
import {healingTimes as times} from '../../base/times.js';

/**
 * What replacements need of their peer.
 * @typedef {object} ReplacementHost
 * @property {() => RTCConfiguration} configuration
 * @property {() => import('../media/media.js').LocalMedia} media
 * @property {() => import('./connection.js').Showing} showing
 * @property {() => boolean} polite
 * @property {() => boolean} pictures whether the other side sends any
 * @property {(data: any) => void} signal
 * @property {(pc: RTCPeerConnection, channel: RTCDataChannel) => void} made there is one; its channel has to be heard
 * @property {(pc: RTCPeerConnection) => void} negotiated
 * @property {(pc: RTCPeerConnection, channel: RTCDataChannel) => void} ready it carries media: go over to it
 * @property {() => void} failed it did not connect
 */

/**
 * New connections in place of those whose path was cut. A restart of ICE gives a new path too, but the browser of the
 * side that was not cut off goes on sending to the old one until nothing has come on it for seconds, whatever it is
 * told. So a whole connection is made beside the old one, and both sides go over when it carries media.
 *
 * Every connection but the first has a name, which goes with its signaling data (`connection`); the first offer of a
 * new one says so (`replacement`). Where both offer one at once, the impolite side's is made.
 */
export class Replacements {
  /** Names the connection in use; the first is ''. */
  name = '';
  /** The other side understands replacements. */
  understood = false;

  /** @type {ReplacementHost} */ #host;
  /** @type {Replacement | null} */ #coming = null;
  /** The name of the last one that was given up. */
  #abandoned = '';
  /** The last attempt was a replacement, so the next is another. */
  #tried = false;
  /** @type {RTCPeerConnection | null} */ #old = null;
  /** @type {any} */ #timer = null;

  /** @param {ReplacementHost} host */
  constructor(host) {
    this.#host = host;
  }

  /** One is being made, or will be tried next. */
  get hopeful() { return this.understood && (!this.#tried || this.#coming !== null); }

  /** The connection that is being made; null: none. */
  get coming() { return this.#coming?.pc ?? null; }

  /**
   * Offers a new connection.
   * @returns {boolean} false: the other side does not understand it, or the last attempt was one: restart ICE instead
   */
  begin() {
    const possible = this.understood && !this.#tried;
    this.abandon();
    this.#tried = possible;
    if (possible) this.#make(crypto.randomUUID?.() ?? String(Math.random()), true).offer(this.#abandoned);
    return possible;
  }

  /**
   * Handles signaling data of connections that are not in use.
   * @param {any} data
   * @returns {Promise<void> | null} null: it is for the one in use
   */
  handle({connection, replacement, instead, description, candidates}) {
    if (typeof connection !== 'string') return null; // another client, or an older one
    this.understood = true;
    if (connection === this.name) return null;
    // Who offers the first connection again has begun anew, and does not know of those that took its place.
    if (description?.type === 'offer' && (replacement || connection === '')) {
      // Both at once, unless the other side has given ours up for it.
      if (this.#coming?.ours && !this.#host.polite() && instead !== this.#coming.name) return Promise.resolve();
      this.abandon();
      this.#tried = true;
      return this.#make(connection, false).answer(description);
    }
    if (connection !== this.#coming?.name) return Promise.resolve(); // given up
    return this.#coming.handle(description, candidates);
  }

  /** What went wrong before says nothing any more: something has changed. @param {boolean} [wholly] also what is being made */
  forget(wholly = false) {
    if (wholly) this.abandon();
    this.#tried = false;
  }

  /** @param {string} name @param {boolean} ours */
  #make(name, ours) {
    const coming = this.#coming = new Replacement(name, ours, this.#host, (connected) => {
      if (this.#coming !== coming) return;
      this.#coming = null;
      if (connected) {
        this.name = name;
        this.#tried = false;
        this.#host.ready(coming.release(), coming.channel);
      } else {
        coming.close();
        this.#host.failed();
      }
    });
    return coming;
  }

  /** Gives up the connection that is being made. */
  abandon() {
    if (!this.#coming) return;
    this.#abandoned = this.#coming.name;
    this.#coming.close();
    this.#coming = null;
  }

  /** Ends the connection that was in use; a little later, since the other side may still look at it. @param {RTCPeerConnection} pc */
  retire(pc) {
    this.#old?.close();
    clearTimeout(this.#timer);
    this.#old = pc;
    this.#timer = setTimeout(() => pc.close(), times.farewell);
    for (const sender of pc.getSenders()) sender.replaceTrack(null).catch(() => {});
  }

  close() {
    this.abandon();
    clearTimeout(this.#timer);
    this.#old?.close();
  }
}

/** One connection on its way into use. */
class Replacement {
  /** @type {ReplacementHost} */ #host;
  /** @type {(connected: boolean) => void} */ #done;
  /** @type {any} */ #timer;
  /** @type {Trickle} */ #trickle;
  #closed = false;
  #connected = false;

  /** @param {string} name @param {boolean} ours @param {ReplacementHost} host @param {(connected: boolean) => void} done */
  constructor(name, ours, host, done) {
    this.name = name;
    this.ours = ours;
    this.#host = host;
    this.#done = done;
    this.pc = new RTCPeerConnection(host.configuration());
    this.channel = openChannel(this.pc);
    host.made(this.pc, this.channel);
    this.#trickle = new Trickle((candidates) => host.signal({connection: name, candidates}));
    this.pc.onicecandidate = ({candidate}) => { if (candidate) this.#trickle.add(candidate); };
    this.pc.onconnectionstatechange = () => this.#onState();
    this.#timer = setTimeout(() => done(false), times.replacement);
  }

  /** @param {string} instead the name of one that was given up for it */
  async offer(instead) {
    const {pc} = this;
    // The track comes afterwards: the other side would see its id again, and some browsers take it for the old track.
    addMedia(pc, this.#host.media(), true, this.#host.showing());
    sendMedia(pc, this.#host.media(), this.#host.showing());
    await this.#try(async () => {
      await pc.setLocalDescription();
      this.#describe({replacement: true, instead, description: pc.localDescription});
    });
  }

  /** @param {RTCSessionDescriptionInit} offer */
  async answer(offer) {
    const {pc} = this;
    await this.#try(async () => {
      await pc.setRemoteDescription(offer);
      answerMedia(pc, this.#host.media(), false, this.#host.showing());
      await answer(pc, (description) => this.#describe({description}));
      this.#host.negotiated(pc);
    });
  }

  /** @param {RTCSessionDescriptionInit | undefined} description an answer @param {RTCIceCandidateInit[]} [candidates] */
  async handle(description, candidates = []) {
    await this.#try(async () => {
      const {pc} = this;
      if (description) {
        await pc.setRemoteDescription(description);
        this.#host.negotiated(pc);
      }
      await Promise.all(candidates.map((candidate) => pc.addIceCandidate(candidate)));
    });
  }

  /** @param {() => Promise<void>} step */
  async #try(step) {
    try {
      await step();
    } catch (error) {
      if (this.#closed) return;
      console.error('turnhub: replacement', error);
      this.#done(false);
    }
  }

  /** @param {any} data */
  #describe(data) {
    if (this.#closed) return;
    this.#host.signal({connection: this.name, ...data});
    this.#trickle.described();
  }

  async #onState() {
    const {connectionState} = this.pc;
    if (connectionState === 'failed') this.#done(false);
    if (connectionState !== 'connected' || this.#connected) return;
    this.#connected = true;
    clearTimeout(this.#timer);
    const until = performance.now() + times.picture;
    while (!this.#closed && this.#host.pictures() && performance.now() < until && !(await hasPicture(this.pc))) {
      await new Promise((resolve) => setTimeout(resolve, times.pictureLook));
    }
    if (!this.#closed) this.#done(true);
  }

  /** Hands the connection over: from now on it is somebody else's. */
  release() {
    this.#trickle.flush();
    this.#closed = true;
    clearTimeout(this.#timer);
    this.pc.onicecandidate = this.pc.onconnectionstatechange = null;
    return this.pc;
  }

  close() {
    this.#trickle.clear();
    this.release().close();
  }
}
