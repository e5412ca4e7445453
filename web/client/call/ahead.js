import {addMedia, isUseless, openChannel, reconfigure, renewed} from './path/connection.js';
import {callTimes} from '../base/times.js';

/** @typedef {import('./media/media.js').LocalMedia} LocalMedia */
/** @typedef {import('./connections.js').Connections} Connections */

/**
 * A connection whose offer exists and whose candidates are gathered before anybody to offer it to is known: made
 * while the visitor looks at the lobby, it saves the time of gathering after the click.
 */
export class Prepared {
  /** @type {RTCIceCandidate[]} */ #candidates = [];
  /** @type {((candidate: RTCIceCandidate) => void) | null} */ #sink = null;
  #closed = () => {};
  taken = false;

  /** @param {RTCPeerConnection} pc a new one @param {LocalMedia} media @param {Promise<void>} [gathered] settled when most of its candidates are there */
  constructor(pc, media, gathered) {
    this.pc = pc;
    this.channel = openChannel(this.pc);
    addMedia(this.pc, media, true);
    this.pc.onicecandidate = ({candidate}) => {
      if (!candidate) return;
      if (this.#sink) this.#sink(candidate);
      else this.#candidates.push(candidate);
    };
    // What is asked of a connection that is closed meanwhile, Chromium never answers.
    const closed = new Promise((resolve) => { this.#closed = () => resolve(undefined); });
    /** Settled when the offer exists; its candidates come as they are found. */
    this.ready = Promise.race([this.pc.setLocalDescription(), closed]);
    /** Settled when what is likely to come has come. */
    this.gathered = Promise.race([gathered, closed]);
  }

  /** The offer with what was gathered so far; what comes later waits for `flow`. */
  describe() {
    this.#candidates = [];
    const {type, sdp} = /** @type {RTCSessionDescription} */ (this.pc.localDescription);
    return {type, sdp: sdp.split('\r\n').filter((line) => !isUseless(line)).join('\r\n')};
  }

  /** @param {(candidate: RTCIceCandidate) => void} sink gets the candidates found since `take` */
  flow(sink) {
    this.#sink = sink;
    for (const candidate of this.#candidates.splice(0)) sink(candidate);
  }

  close() {
    this.pc.onicecandidate = null;
    this.pc.close();
    this.#closed();
  }
}

/**
 * The connections of a call that are made ahead of their need: the offer for whoever is there already, and one with
 * candidates gathered to answer whoever comes.
 */
export class Ahead {
  /** @type {Prepared | null} */ #prepared = null;
  /** @type {RTCPeerConnection | null} */ #spare = null;
  /** Nobody has come for the last one. */
  #unused = false;
  /** Counts what is prepared or given up, so that what waits for the visitor's answer knows. */
  #turn = 0;
  /** @type {any} */ #offerTimer = null;
  /** @type {any} */ #spareTimer = null;

  /**
   * @param {Connections} connections @param {LocalMedia} media
   * @param {() => boolean} [wanted] whether somebody has the offer and may answer it
   */
  constructor(connections, media, wanted = () => false) {
    this.connections = connections;
    this.media = media;
    this.wanted = wanted;
  }

  /** Whether there is an offer. */
  get prepared() { return this.#prepared !== null; }
  /** Whether there is one that has been sent to nobody yet. */
  get waiting() { return this.#prepared !== null && !this.#prepared.taken; }
  /** Whether this one still is to be sent. @param {Prepared} prepared */
  isWaiting(prepared) { return this.#prepared === prepared && !prepared.taken; }
  /** Whether there is one that has been sent. */
  get offered() { return this.#prepared?.taken ?? false; }

  /**
   * Makes the offer, in place of one that nobody has got, once the browser's question for the camera is answered.
   * @param {number} [most] milliseconds to wait for that @returns {Promise<Prepared>} settled when it exists
   */
  async prepare(most) {
    this.release();
    const turn = this.#turn;
    if (this.media.asking) await this.media.answered(most);
    await this.connections.ready;
    if (turn !== this.#turn) throw new Error('given up meanwhile');
    this.#offerTimer = setTimeout(() => { if (this.waiting && !this.wanted()) this.release(); }, callTimes.unused);
    const pc = this.connections.make(), prepared = this.#prepared = new Prepared(pc, this.media, this.connections.relays.gathered(pc));
    await prepared.ready;
    return prepared;
  }

  /** Gives the offer up, unless it has been sent. */
  release() {
    this.#turn++;
    clearTimeout(this.#offerTimer);
    if (this.waiting) this.#prepared?.close();
    this.#prepared = null;
  }

  /** The offer to send; undefined where there is none, or none that is still good. */
  offer() {
    const prepared = this.#prepared;
    if (!prepared?.pc.localDescription) return undefined;
    if (prepared.taken) { // asked again, of a server that has forgotten its candidates too
      this.drop();
      return undefined;
    }
    prepared.taken = true;
    return prepared.describe();
  }

  /** Hands over the connection of the offer. */
  take() {
    const prepared = this.#prepared;
    this.#prepared = null;
    return prepared;
  }

  /** Closes the connection of the offer, sent or not. */
  drop() {
    this.take()?.close();
  }

  /** For whoever comes next: a connection that gathers now. */
  makeSpare() {
    if (this.#unused || this.#spare || this.media.asking) return;
    this.#spare = this.connections.make('few', {iceCandidatePoolSize: 1});
    this.#spareTimer = setTimeout(() => { this.#unused = this.dropSpare(); }, callTimes.unused);
  }

  /** Somebody comes, or will soon: another spare connection is worth its relays. */
  expect() { this.#unused = false; }

  /** A connection that answers, with its candidates gathered where there was time. */
  connection() {
    const spare = this.#spare;
    this.#spare = null;
    this.expect();
    clearTimeout(this.#spareTimer);
    return spare ?? this.connections.make();
  }

  /** Closes the spare connection. @returns {boolean} whether there was one */
  dropSpare() {
    const spare = this.#spare;
    this.#spare = null;
    clearTimeout(this.#spareTimer);
    spare?.close();
    return spare !== null;
  }

  /** Fresh credentials or servers. @returns {boolean} false: the offer has to be made anew, its servers are others */
  configure() {
    if (this.dropSpare()) this.makeSpare();
    if (!this.#prepared || this.#prepared.taken) return true;
    const {pc} = this.#prepared, now = renewed(pc, this.connections.configuration(true));
    if (!now) return false;
    reconfigure(pc, now);
    return true;
  }

  close() {
    this.#turn++;
    this.drop();
    this.dropSpare();
  }
}
