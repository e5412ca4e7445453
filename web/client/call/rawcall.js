import {Emitter} from '../base/emitter.js';
import {Quota} from '../base/quota.js';
import {realClock} from '../base/clock.js';
import {callTimes} from '../base/times.js';
import {addMedia, answerMedia, transceiverOf} from './path/connection.js';
import {received} from './path/received.js';

/** So many offers are answered at once, each perhaps with a connection of its own. */
const offersAtOnce = 16;

/**
 * @typedef {object} RawCallEvents
 * @property {MediaStream} stream
 * @property {'connecting' | 'connected' | 'reconnecting'} state
 * @property {unknown} error
 */

/**
 * A call of two over a raw relay socket, where each message goes unchanged to the other: `{"sdp": …}` and
 * `{"ice": …}`. The relay says neither who is there nor who is polite, and keeps nothing: whoever comes first offers
 * into the void, so the offer of the second must win over it.
 * @extends {Emitter<RawCallEvents>}
 */
export class RawCall extends Emitter {
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {RTCPeerConnection | null} */ #pc = null;
  /** Decides between two offers: the higher stands. Pages that do not send one always stand. */
  #tie = Math.floor(Math.random() * 2 ** 52);
  #remoteSession = '';
  #makingOffer = false;
  #ignoreOffer = false;
  #closed = false;
  /** @type {any} */ #retry = null;
  #attempt = 0;
  #offers = new Quota(realClock, offersAtOnce, callTimes.offers);
  /** @type {Promise<void>} */ #queue = Promise.resolve();

  /**
   * @param {string} url
   * @param {import('./media/media.js').LocalMedia} media
   * @param {RTCConfiguration} configuration
   */
  constructor(url, media, configuration) {
    super();
    this.url = url;
    this.media = media;
    this.configuration = configuration;
    media.on('track', ({kind}) => {
      if (this.#pc) transceiverOf(this.#pc, kind)?.sender.replaceTrack(media.track(kind)).catch(() => {});
    });
    this.#open();
  }

  #open() {
    const socket = (this.#socket = new WebSocket(this.url));
    socket.onopen = () => {
      this.#attempt = 0;
      if (!this.#pc) this.#offer();
      else if (this.#pc.connectionState !== 'connected') this.#pc.restartIce();
    };
    socket.onmessage = ({data}) => {
      this.#queue = this.#queue.then(() => this.#onMessage(data)).catch((error) => this.emit('error', error));
    };
    socket.onclose = () => {
      if (this.#closed) return;
      const delay = Math.min(10000, 250 * 2 ** this.#attempt++) * (0.5 + Math.random() / 2);
      this.#retry = setTimeout(() => this.#open(), delay);
      this.emit('state', 'reconnecting');
    };
  }

  /** @param {any} message */
  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #sendDescription() {
    this.#send({sdp: this.#pc?.localDescription, tie: this.#tie});
  }

  #connection() {
    this.#pc?.close();
    const pc = (this.#pc = new RTCPeerConnection(this.configuration));
    const stream = new MediaStream();
    pc.ontrack = ({track}) => { stream.addTrack(track); this.emit('stream', stream); };
    pc.onicecandidate = ({candidate}) => { if (candidate) this.#send({ice: candidate}); };
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === 'connected') this.emit('state', 'connected');
      if (pc.connectionState === 'disconnected' || pc.connectionState === 'failed') {
        this.emit('state', 'reconnecting');
        pc.restartIce();
      }
    };
    return pc;
  }

  #offer() {
    const pc = this.#connection();
    pc.onnegotiationneeded = () => this.#negotiate(pc);
    addMedia(pc, this.media);
  }

  /** @param {RTCPeerConnection} pc */
  async #negotiate(pc) {
    try {
      this.#makingOffer = true;
      await pc.setLocalDescription();
      this.#sendDescription();
    } catch (error) {
      if (!this.#closed) this.emit('error', error);
    } finally {
      this.#makingOffer = false;
    }
  }

  /** @param {any} data */
  async #onMessage(data) {
    let message;
    try {
      message = JSON.parse(data instanceof Blob ? await data.text() : data);
    } catch {
      return; // somebody else's
    }
    const {description, unusable, candidates} = received({description: message?.sdp, candidate: message?.ice});
    if (unusable) throw new Error(`the other side's ${unusable.type} cannot be used: ${unusable.code}`);
    if (description) await this.#onDescription(description, Number(message.tie ?? Infinity));
    for (const candidate of this.#pc ? candidates : []) {
      await this.#pc?.addIceCandidate(candidate).catch((error) => { if (!this.#ignoreOffer) throw error; });
    }
  }

  /** @param {RTCSessionDescriptionInit} description @param {number} tie */
  async #onDescription(description, tie) {
    let pc = this.#pc ?? this.#connection();
    if (description.type === 'answer') {
      if (pc.signalingState === 'have-local-offer') {
        await pc.setRemoteDescription(description);
        this.#remoteSession = sessionOf(description);
      }
      return;
    }
    if (!this.#offers.take()) return;
    const collision = this.#makingOffer || pc.signalingState !== 'stable';
    this.#ignoreOffer = collision && this.#tie > tie;
    if (this.#ignoreOffer) {
      this.#sendDescription(); // the other one may never have got it
      return;
    }
    const session = sessionOf(description);
    if (collision || (this.#remoteSession && session !== this.#remoteSession)) {
      // A new page on the other side, or an offer of ours that nobody heard: a connection of its own.
      pc = this.#connection();
    }
    this.#remoteSession = session;
    await pc.setRemoteDescription(description);
    answerMedia(pc, this.media);
    await pc.setLocalDescription();
    this.#sendDescription();
    pc.onnegotiationneeded = () => this.#negotiate(pc);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#socket?.close();
    this.#pc?.close();
  }
}

/** The session id of a description's o= line. @param {RTCSessionDescriptionInit} description */
function sessionOf({sdp = ''}) {
  return /^o=\S+ (\S+)/m.exec(sdp)?.[1] ?? '';
}
