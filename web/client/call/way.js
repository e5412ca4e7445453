import {LastDoor} from './path/lastdoor.js';
import {ShortAuthenticationString, keysOf} from './sas.js';
import {realClock} from '../base/clock.js';

/** @typedef {import('./peer.js').PeerState} PeerState */
/** @typedef {import('./path/stats.js').Quality} Quality */
/** @typedef {import('./path/line.js').LineState} LineState */

/**
 * What the way needs of its peer.
 * @typedef {object} WayHost
 * @property {() => import('./host.js').PeerHost} call
 * @property {() => string} id the other side's session
 * @property {() => boolean} quiet nothing may flow yet
 * @property {() => boolean} orphan the other side's session is gone
 * @property {() => number} unconnected how long there has been no connection, milliseconds
 * @property {() => boolean} connected whether it has been connected by a connection once
 * @property {import('./data/channel.js').PeerChannel} channel
 * @property {import('./media/sharing.js').Received} received
 * @property {(data: any) => void} signal
 * @property {() => number} pictures bits per second that the other side and we want of pictures at the most
 * @property {(numbers: number[] | null) => void} string the string by which people compare their keys is another
 * @property {() => void} line what of the call fits it is another
 * @property {() => void} shown a picture has come that way
 * @property {() => void} doorless the other side has no way but a connection, and there is none
 * @property {(state: PeerState) => void} said the peer is in another state
 * @property {() => void} stream its tracks are others
 */

/** By which way media and messages go: the connection, or the server's WebSocket while there is none. */
export class Way {
  /** Of the connections alone. @type {PeerState} */ reached = 'connecting';
  /** @type {LastDoor} */ door;
  /** Of the keys of the way in use. @type {ShortAuthenticationString} */ sas;

  /** @type {WayHost} */ #host;
  /** @type {PeerState} */ #said = 'connecting';
  /** The connection's own channel, whatever is used meanwhile. @type {[RTCPeerConnection, RTCDataChannel] | null} */ #talking = null;

  /** @param {WayHost} host */
  constructor(host) {
    this.#host = host;
    this.door = new LastDoor({
      clock: realClock,
      load: () => import('./websocket/path.js'),
      possible: () => host.call().hub.passesMedia && host.call().online && !host.orphan(),
      waiting: () => !host.quiet() && this.reached !== 'closed',
      unconnected: host.unconnected,
      lost: host.connected,
      say: (websocket) => host.signal({websocket}),
      path: () => ({
        media: host.call().media, socket: () => host.call().hub.mediaSocket(host.id()), shown: host.shown,
        incoming: (channel) => host.channel.accept(channel), pictures: host.pictures, tracks: () => this.#carry(), line: host.line,
      }),
      unanswered: host.doorless,
      changed: () => this.#carry(),
    });
    this.sas = new ShortAuthenticationString({
      clock: realClock,
      binding: () => (this.door.path ? this.door.path.agreement : keysOf(this.#talking?.[0] ?? null)),
      say: (sas) => host.signal({sas}),
      changed: host.string,
    });
  }

  /** @type {PeerState} */
  get state() { return this.door.carries ? 'connected' : this.reached; }

  /** Whether there is a channel on a connection, open or not. */
  get talks() { return this.#talking !== null; }

  /** The connections are in another state. @param {PeerState} state */
  reach(state) {
    if (this.reached === state || this.reached === 'closed') return;
    this.reached = state;
    if (state === 'closed') this.door.close();
    else this.door.look();
    this.#say();
  }

  #say() {
    const {state} = this;
    if (state === this.#said) return;
    this.#said = state;
    this.#host.said(state);
  }

  /** @param {RTCPeerConnection} pc @param {RTCDataChannel} channel */
  talk(pc, channel) {
    this.#talking = [pc, channel];
    this.sas.moved();
    if (this.door.carries) this.#host.channel.hear(pc, channel);
    else this.#host.channel.use(pc, channel);
  }

  /** The way is another, or what comes by it. */
  #carry() {
    const {path} = this.door, {channel, received} = this.#host;
    received.carry(path && {stream: {audio: path.audio, video: path.video}, screen: {audio: null, video: path.screen}});
    const {channels} = path ?? {};
    if (channels) channel.use(/** @type {any} */ (channels), /** @type {any} */ (channels.main));
    else if (this.#talking) channel.use(...this.#talking);
    this.#host.stream();
    this.sas.moved();
    this.#say();
  }

  /** What fits it; null: that is for the connection to say. @returns {{ours: LineState, theirs: LineState} | null} */
  get line() {
    const {path} = this.door;
    if (!path) return null;
    const {ours, theirs} = path.fits;
    return {ours: ours ? 'wide' : 'no-picture', theirs: theirs ? 'wide' : 'no-picture'};
  }

  /** How it is, by the way in use. @param {Quality} quality of the connection @returns {Quality} */
  quality(quality) {
    const {path} = this.door;
    return path ? {...quality, path: 'websocket', port: 0, far: 'no', ...path.stats} : quality;
  }
}
