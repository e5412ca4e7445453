import {addScreen, sendMedia, transceiverOf} from '../path/connection.js';
import {leavesFirst} from '../path/browsers.js';

/** @typedef {import('../path/connection.js').Showing} Showing */

/**
 * What sharing needs of its peer.
 * @typedef {object} SharingHost
 * @property {() => import('./media.js').LocalMedia} media
 * @property {() => RTCPeerConnection | null} pc the connection in use
 * @property {() => boolean} quiet nothing may be sent yet
 * @property {() => boolean} online whether a negotiation can be had
 * @property {() => {screens: boolean, recordings: boolean, recording: boolean, hand: boolean, quality: import('../wishes.js').Wish}} host what this page does: shows a screen beside the camera, tells who records, records; and what its visitor wishes
 * @property {() => boolean} pictures whether the other side wants any
 * @property {() => RTCPeerConnection | null} coming the one that is made to take its place
 * @property {(message: any) => void} tell
 * @property {() => void} limit
 * @property {() => boolean} carried our media goes to the other side without a connection
 */

/** @param {ReturnType<SharingHost['host']>} host */
const says = ({screens, recordings, recording, hand, quality}) => ({
  screens, ...(recordings && {recordings}), ...(recording && {recording}), ...(hand && {hand}), ...(quality !== 'automatic' && {wants: quality}),
});

/**
 * How the screen goes to one peer: beside the camera where the other side has said that it shows both (`screens` in its
 * `media` message), else in place of the camera, as clients did before there was another way.
 */
export class Sharing {
  /** The other side shows a screen beside the camera. */
  understood = false;

  /** @type {SharingHost} */ #host;

  /** @param {SharingHost} host */
  constructor(host) {
    this.#host = host;
  }

  /** For a connection that is made now. @returns {Showing} */
  get showing() {
    return this.understood ? 'beside' : 'alone';
  }

  /** On the connection in use: without the hub it cannot be changed for a screen. @returns {Showing} */
  get #now() {
    const pc = this.#host.pc();
    const possible = this.#host.carried() || (pc && (transceiverOf(pc, 'video', true) || this.#host.online()));
    return this.understood && possible ? 'beside' : 'alone';
  }

  /** '' while no screen is shared. @returns {'' | Showing} */
  get screen() { return this.#host.media().screen ? this.#now : ''; }

  /** Sends what there is, and has the connection changed where it cannot carry a screen yet: then it is called again. */
  send() {
    const pc = this.#host.pc();
    if (!pc) return;
    if (this.screen === 'beside' && pc.signalingState !== 'closed') addScreen(pc, this.#host.media());
    sendMedia(pc, this.#host.media(), this.#now);
    const coming = this.#host.coming();
    if (coming) sendMedia(coming, this.#host.media(), this.showing);
  }

  /** Tells the peer what we send. */
  tell() {
    this.#host.tell(this.#message);
  }

  /** What the other side says of itself. @param {boolean} screens it shows a screen beside the camera */
  hear(screens) {
    if (this.understood === screens) return;
    this.understood = screens;
    if (this.#host.media().screen) this.negotiated();
  }

  /** What the connection can carry may have changed. */
  negotiated() {
    if (this.#host.media().screen && !this.#host.quiet()) {
      this.send();
      this.tell();
    }
    this.#host.limit();
  }

  get #message() {
    const {sending} = this.#host.media(), pictures = this.#host.pictures();
    const {audio} = sending, video = pictures && sending.video, screen = pictures && sending.screen;
    const beside = this.screen === 'beside';
    const pc = this.#host.pc();
    const ready = !beside || this.#host.carried() || (pc !== null && transceiverOf(pc, 'video', true) !== undefined);
    return {type: 'media', audio, video: video || (screen && !beside), screen: screen && ready, beside: screen && beside && ready,
      ...says(this.#host.host())};
  }
}

/**
 * What comes from the peer: the same two streams, whatever connection their tracks come over. The camera's track is in its
 * stream only while pictures are sent: a <video> plays no sound either before the first picture of a track has come, and
 * somebody who came with the camera off was not heard.
 */
export class Received {
  stream = new MediaStream();
  screen = new MediaStream();

  /** @typedef {{audio: MediaStreamTrack | null, video: MediaStreamTrack | null}} Tracks */
  /** Of the connection. @type {Record<'stream' | 'screen', Tracks>} */ #tracks = {stream: {audio: null, video: null}, screen: {audio: null, video: null}};
  /** In place of them, while media goes another way. @type {Record<'stream' | 'screen', Tracks> | null} */ #carried = null;
  /** What stands in for the connection's while that stands still. @type {MediaStreamTrack | null} */ #sound = null;
  /** @type {Record<'stream' | 'screen', MediaStreamTrack | null>} */ #shown = {stream: null, screen: null};
  #pictures = true;
  /** Nothing of the peer is heard. */
  silent = false;
  #leavesFirst;

  /** @param {string} [agent] this browser */
  constructor(agent = globalThis.navigator?.userAgent ?? '') {
    this.#leavesFirst = leavesFirst(agent);
  }

  /** @param {RTCPeerConnection} pc @param {RTCRtpTransceiver} transceiver @returns {'stream' | 'screen'} where its track belongs */
  show(pc, transceiver) {
    const {track} = transceiver.receiver, kind = /** @type {import('./media.js').Kind} */ (track.kind);
    const where = transceiverOf(pc, kind, true) === transceiver ? 'screen' : 'stream';
    this.#tracks[where][kind] = track;
    this.#arrange();
    return where;
  }

  /** Whether the peer says that it sends pictures. @param {boolean} sent @returns {boolean} whether the stream has changed */
  pictures(sent) {
    this.#pictures = sent;
    return this.#arrange();
  }

  /** @param {boolean} silent */
  silence(silent) {
    this.silent = silent;
    this.#arrange();
  }

  /**
   * Tracks that come another way; null: those of the connection are back.
   * @param {Record<'stream' | 'screen', Tracks> | null} tracks
   * @param {MediaStreamTrack | null} [sound] that is heard in place of the connection's, which all else goes on with
   * @param {Record<'stream' | 'screen', MediaStreamTrack | null>} [shown] pictures in place of its own, likewise
   * @returns {boolean} whether a stream has changed
   */
  carry(tracks, sound = null, shown = {stream: null, screen: null}) {
    this.#carried = tracks;
    this.#sound = sound;
    this.#shown = shown;
    return this.#arrange();
  }

  #arrange() {
    let changed = false;
    for (const where of /** @type {const} */ (['stream', 'screen'])) {
      const {audio, video} = (this.#carried ?? this.#tracks)[where], stream = this[where];
      const heard = (where === 'stream' && !this.#carried && audio && this.#sound) || audio;
      const seen = (!this.#carried && video && this.#shown[where]) || video;
      const wanted = [this.silent ? null : heard, where === 'stream' && !this.#pictures ? null : seen];
      for (const old of this.#leavesFirst ? stream.getVideoTracks() : []) {
        if (wanted.includes(old)) continue;
        stream.removeTrack(old);
        changed = true;
      }
      // In this order a <video> goes from one to the other without a black picture between.
      for (const track of wanted) {
        if (!track || stream.getTracks().includes(track)) continue;
        stream.addTrack(track);
        changed = true;
      }
      for (const old of stream.getTracks()) {
        if (wanted.includes(old)) continue;
        stream.removeTrack(old);
        changed = true;
      }
    }
    return changed;
  }
}
