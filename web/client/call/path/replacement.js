import {addMedia, openChannel, sendMedia} from './connection.js';
import {Negotiation} from './negotiation.js';
import {hasPicture} from './stats.js';
import {Quota} from '../../base/quota.js';
import {healingTimes as times} from '../../base/times.js';

/**
 * What replacements need of their peer.
 * @typedef {object} ReplacementHost
 * @property {import('../../base/clock.js').Clock} clock
 * @property {(bare: boolean) => RTCPeerConnection} create a connection with fresh credentials; bare: without any relay
 * @property {() => boolean} direct whether direct paths are allowed
 * @property {() => import('../media/media.js').LocalMedia} media
 * @property {() => import('./connection.js').Showing} showing
 * @property {() => boolean} polite
 * @property {() => boolean} pictures whether the other side sends any
 * @property {(data: any) => void} signal
 * @property {import('./negotiation.js').NegotiationHost} negotiation
 * @property {(pc: RTCPeerConnection, channel: RTCDataChannel) => void} made there is one; its channel has to be heard
 * @property {(pc: RTCPeerConnection) => void} negotiated
 * @property {(negotiation: Negotiation, channel: RTCDataChannel) => void} ready it carries media: go over to it
 * @property {(why: import('./negotiation.js').Failure | '', direct: boolean) => void} failed it did not connect; '': whatever was agreed upon
 */

/** So many new connections may be made one after the other; then one each `times.another`. */
const atOnce = 8;

/**
 * New connections in place of those whose path was cut. A restart of ICE gives a new path too, but the browser of the
 * side that was not cut off goes on sending to the old one until nothing has come on it for seconds, whatever it is
 * told, and some browsers do not answer a restart rightly. So a whole connection is made beside the old one, and both
 * sides go over when it carries media.
 *
 * Every connection but the first has a name, which goes with its signaling data (`connection`); the first offer of a
 * new one says so (`replacement`). Where both offer one at once, the impolite side's is made. However often the other side
 * asks for one or refuses ours, no more are made than somebody needs who means well: each takes relays from the server.
 *
 * One that is to find a direct path (`direct`) has no relays, on neither side: there is nothing else that it could lead over.
 * Or it has those of who offers, so that it leads over one where there were two. It mends nothing, and where it does not
 * connect, nothing has happened: what goes over relays goes on.
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
  #quota;
  /** @type {RTCPeerConnection | null} */ #old = null;
  /** @type {any} */ #timer = null;

  /** @param {ReplacementHost} host */
  constructor(host) {
    this.#host = host;
    this.#quota = new Quota(host.clock, atOnce, times.another);
  }

  /** One is being made that may lead over whatever there is. */
  get mending() { return this.#coming !== null && !this.#coming.direct; }

  /** One is being made, or will be tried next. */
  get hopeful() { return this.understood && (!this.#tried || this.mending); }

  /** The connection that is being made; null: none. */
  get coming() { return this.#coming?.pc ?? null; }

  /**
   * Offers a new connection.
   * @param {boolean} [always] also where the last attempt was one
   * @param {'' | 'direct' | 'single'} [only] one without relays, or without the other side's
   * @param {boolean} [hurried] it is given up soon
   * @returns {boolean} false: the other side does not understand it, the last attempt was one, or there were too many: restart ICE instead
   */
  begin(always = false, only = '', hurried = false) {
    const direct = only !== '', possible = this.understood && (always || !this.#tried) && this.#quota.take();
    this.abandon();
    if (!direct) this.#tried = possible;
    const more = {replacement: true, instead: this.#abandoned, ...(direct && {direct})};
    if (possible) this.#make(crypto.randomUUID?.() ?? String(Math.random()), true, {direct, bare: only === 'direct', hurried}, more).offer();
    return possible;
  }

  /**
   * Handles signaling data of connections that are not in use.
   * @param {import('./received.js').SignalData} data
   * @returns {Promise<void> | null} null: it is for the one in use
   */
  handle(data) {
    const {connection, replacement, direct = false, instead, description, unusable, round} = data;
    if (connection === undefined) return null; // another client, or an older one
    this.understood = true;
    if (connection === this.name) return null;
    const coming = this.#coming;
    if (coming && connection === coming.name) return coming.negotiation.handle(data);
    // Who offers the first connection again has begun anew, and does not know of those that took its place.
    if (description?.type === 'offer' && (replacement || connection === '')) {
      // Both at once, unless the other side has given ours up for it.
      if (coming?.ours && !this.#host.polite() && instead !== coming.name) return Promise.resolve();
      if ((!direct || this.#host.direct()) && this.#quota.take()) {
        this.abandon();
        if (!direct) this.#tried = true;
        return this.#make(connection, false, {direct, bare: direct}).negotiation.handle(data);
      }
    }
    // One that was given up here, is one too many, or would show where we are. Who still offers on it should know.
    const offered = description?.type === 'offer' || unusable?.type === 'offer';
    if (offered && round !== undefined) this.#host.signal({connection, refused: round, ...(unusable && {trouble: unusable.code})});
    return Promise.resolve();
  }

  /** What went wrong before says nothing any more: something has changed. @param {boolean} [wholly] also what is being made */
  forget(wholly = false) {
    if (wholly) this.abandon();
    this.#tried = false;
  }

  /** @param {string} name @param {boolean} ours @param {{direct: boolean, bare: boolean, hurried?: boolean}} kind @param {any} [more] */
  #make(name, ours, kind, more) {
    const coming = this.#coming = new Replacement(name, {ours, ...kind, more}, this.#host, (connected, why) => {
      if (this.#coming !== coming) return;
      this.#coming = null;
      if (connected) {
        this.name = name;
        this.#tried = false;
        this.#host.ready(coming.release(), coming.channel);
      } else {
        this.#abandoned = name;
        coming.close();
        this.#host.failed(kind.direct ? '' : why, kind.direct);
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

  /** Gives up one that mends nothing and has found nothing yet. */
  spare() { if (this.#coming?.direct && !this.#coming.connected) this.abandon(); }

  /** Ends the connection that was in use; a little later, since the other side may still look at it. @param {RTCPeerConnection} pc */
  retire(pc) {
    const {clock} = this.#host;
    this.#old?.close();
    clock.clearTimeout(this.#timer);
    this.#old = pc;
    this.#timer = clock.setTimeout(() => { pc.close(); this.#old = null; }, times.farewell);
    for (const sender of pc.getSenders()) sender.replaceTrack(null).catch(() => {});
  }

  close() {
    this.abandon();
    this.#host.clock.clearTimeout(this.#timer);
    this.#old?.close();
  }
}

/** One connection on its way into use. */
class Replacement {
  /** @type {ReplacementHost} */ #host;
  /** @type {(connected: boolean, why: import('./negotiation.js').Failure | '') => void} */ #done;
  /** @type {any} */ #timer;
  #closed = false;
  connected = false;

  /**
   * @param {string} name @param {{ours: boolean, direct: boolean, bare: boolean, hurried?: boolean, more: any}} what `more` goes with the first offer
   * @param {ReplacementHost} host @param {(connected: boolean, why: import('./negotiation.js').Failure | '') => void} done
   */
  constructor(name, {ours, direct, bare, hurried, more}, host, done) {
    this.name = name;
    this.ours = ours;
    this.direct = direct;
    this.#host = host;
    this.#done = done;
    const pc = this.pc = host.create(bare);
    this.channel = openChannel(pc);
    host.made(pc, this.channel);
    this.negotiation = new Negotiation(pc, name, {
      ...host.negotiation,
      settled: () => host.negotiated(pc),
      failed: (why) => this.#end(false, why),
    }, {more});
    pc.onicecandidate = ({candidate}) => { if (candidate) this.negotiation.found(candidate); };
    pc.onconnectionstatechange = () => this.#onState();
    this.#timer = host.clock.setTimeout(() => this.#end(false), hurried ? times.direct : times.replacement);
  }

  offer() {
    const {pc} = this;
    // The track comes afterwards: the other side would see its id again, and some browsers take it for the old track.
    addMedia(pc, this.#host.media(), true, this.#host.showing());
    sendMedia(pc, this.#host.media(), this.#host.showing());
    this.negotiation.offer();
  }

  /** @param {boolean} connected @param {import('./negotiation.js').Failure | ''} [why] */
  #end(connected, why = '') {
    if (!this.#closed) this.#done(connected, why);
  }

  async #onState() {
    const {clock} = this.#host, {connectionState} = this.pc;
    if (connectionState === 'failed') this.#end(false);
    if (connectionState !== 'connected' || this.connected) return;
    this.connected = true;
    clock.clearTimeout(this.#timer);
    // Whatever the browser answers, or does not: nothing else is tried as long as this one is on its way.
    this.#timer = clock.setTimeout(() => this.#end(true), times.picture);
    while (!this.#closed && this.#host.pictures() && !(await hasPicture(this.pc, clock))) {
      await new Promise((resolve) => clock.setTimeout(() => resolve(undefined), times.pictureLook));
    }
    this.#end(true);
  }

  /** Hands the connection over: from now on it is somebody else's. */
  release() {
    this.negotiation.flush();
    this.#closed = true;
    this.#host.clock.clearTimeout(this.#timer);
    this.pc.onicecandidate = this.pc.onconnectionstatechange = null;
    return this.negotiation;
  }

  close() {
    this.release().close();
    this.pc.close();
  }
}
