import {LastDoor} from './path/lastdoor.js';
import {Bond} from './path/bond.js';
import {Standstill} from './path/standstill.js';
import {statsOf} from './path/stats.js';
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
 * @property {() => RTCPeerConnection | null} sending the connection in use, where the other side says that it sends sound by it, and its line is none on which that waits
 * @property {() => boolean} connected whether it has been connected by a connection once
 * @property {import('./data/channel.js').PeerChannel} channel
 * @property {import('./media/sharing.js').Received} received
 * @property {(data: any) => void} signal
 * @property {() => boolean} strained the line of our connection is narrow, or what we send comes late there
 * @property {() => boolean} waits our connection is over TCP or TLS, where what the line does not take waits
 * @property {() => number} pictures bits per second that the other side and we want of pictures at the most
 * @property {(numbers: number[] | null) => void} string the string by which people compare their keys is another
 * @property {() => void} line what of the call fits it is another
 * @property {() => void} shown a picture has come that way
 * @property {() => void} doorless the other side has no way but a connection, and there is none
 * @property {(state: PeerState) => void} said the peer is in another state
 * @property {() => void} stream its tracks are others
 */

/** Firefox (153) never asks again for a module that did not come once: it does under another name, which its own words tell. */
const loadDoor = () => import('./websocket/path.js').catch((error) => {
  const name = /https?:\/\/\S+\.js\b/.exec(String(error))?.[0];
  if (!name) throw error;
  return import(/* @vite-ignore */ /* webpackIgnore: true */ `${name}?again=${Date.now()}`);
});

/** By which way media and messages go: the connection, or the server's WebSocket while there is none. */
export class Way {
  /** Of the connections alone. @type {PeerState} */ reached = 'connecting';
  /** @type {LastDoor} */ door;
  /** Of the keys of the way in use. @type {ShortAuthenticationString} */ sas;

  /** @type {WayHost} */ #host;
  /** @type {Standstill} */ #standstill;
  /** @type {PeerState} */ #said = 'connecting';
  /** The connection's own channel, whatever is used meanwhile. @type {[RTCPeerConnection, RTCDataChannel] | null} */ #talking = null;
  /** Those of the WebSocket that is open, in the place of a connection. @type {any} */ #channels = null;
  /** Messages and files go through the WebSocket. */
  #moved = false;
  #bond = new Bond();

  /**
   * @param {WayHost} host
   * @param {{clock?: import('../base/clock.js').Clock, load?: import('./path/lastdoor.js').LastDoorHost['load']}} [parts]
   */
  constructor(host, {clock = realClock, load = loadDoor} = {}) {
    this.#host = host;
    this.#standstill = new Standstill({
      clock, report: (pc) => statsOf(pc, clock), changed: () => this.door.look(),
      pc: () => (this.reached === 'connected' && !host.quiet() && host.call().hub.passesMedia ? host.sending() : null),
    });
    this.door = new LastDoor({
      clock, load,
      possible: () => host.call().hub.passesMedia && host.call().online && !host.orphan(),
      waiting: () => !host.quiet() && this.reached !== 'closed',
      unconnected: host.unconnected,
      still: () => this.#standstill.silence, waits: host.waits, strained: host.strained,
      lost: host.connected,
      narrow: () => host.call().thrift.expected,
      shared: () => this.#bond.shared(this.#talking?.[0] ?? null),
      say: (websocket) => host.signal({websocket}),
      path: () => ({
        media: host.call().media, socket: (opens) => host.call().hub.mediaSocket(host.id(), opens), near: (socket) => host.call().hub.mediaNear(socket), shown: host.shown,
        incoming: (channel) => host.channel.accept(channel, this.#channels), pictures: host.pictures, waits: host.waits, tracks: () => this.#carry(), wanted: () => this.sas.moved(), line: host.line,
      }),
      unanswered: host.doorless,
      opened: (path) => this.#hear(path),
      changed: () => this.#carry(),
    });
    this.sas = new ShortAuthenticationString({
      clock,
      binding: () => this.door.keys ?? keysOf(this.#talking?.[0] ?? null),
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
    if (state === 'closed') {
      this.#standstill.close();
      this.door.close();
    } else {
      this.door.look();
      this.#move();
    }
    if (state === 'connected') {
      this.#standstill.begin();
      if (this.#talking) this.#bond.look(this.#talking[0]);
    }
    this.#say();
  }

  #say() {
    const {state} = this;
    if (state === this.#said) return;
    this.#said = state;
    this.#host.said(state);
  }

  /** The connection's channel is open: something is said there that only the other side hears. */
  bind() {
    const word = this.#talking && !this.#moved ? this.#bond.word(this.#talking[0]) : '';
    if (word) this.#host.channel.tell({type: 'bond', word});
  }

  /** The other side has done so. @param {RTCPeerConnection} pc @param {string} word */
  bound(pc, word) { this.#bond.hear(pc, word); }

  /** @param {RTCPeerConnection} pc @param {RTCDataChannel} channel */
  talk(pc, channel) {
    this.#talking = [pc, channel];
    this.sas.moved();
    if (this.#moved) this.#host.channel.hear(pc, channel);
    else this.#host.channel.use(pc, channel);
  }

  /** The way is another, or what comes by it. */
  #carry() {
    const {path, standIn} = this.door, {received} = this.#host;
    const changed = received.carry(path && {stream: {audio: path.audio, video: path.video}, screen: {audio: null, video: path.screen}}, this.heard?.audio ?? null, standIn?.pictured);
    this.#move();
    if (changed) this.#host.stream();
    this.sas.moved();
    this.#say();
  }

  /** The other side may say something through the WebSocket first. @param {import('./websocket/path.js').WebSocketPath} path */
  #hear({channels}) {
    this.#channels = channels;
    this.#host.channel.hear(this.#channels, this.#channels.main);
  }

  /** What sounds in place of a connection that stands still; null: that is heard itself. */
  get heard() {
    const path = this.door.standIn;
    return path?.audio && path.sounds ? path : null;
  }

  /** Sound that waits is lost; messages and files are not: they stay on a connection that stands still until it is known to be lost. */
  #move() {
    const {channel} = this.#host, moved = this.door.carries;
    if (this.#moved === moved) return;
    this.#moved = moved;
    if (moved) channel.use(this.#channels, this.#channels.main);
    else if (this.#talking) channel.use(...this.#talking);
  }

  /** Messages go through the WebSocket, and are heard at once. */
  get prompt() { return this.#moved && (this.door.path?.prompt ?? false); }

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
