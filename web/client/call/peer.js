import {Emitter} from '../base/emitter.js';
import {Meter, loudness} from './path/stats.js';
import {PathWatch} from './path/watch.js';
import {PeerChannel} from './data/channel.js';
import {Replacements} from './path/replacement.js';
import {Received, Sharing} from './media/sharing.js';
import {Trickle} from './path/trickle.js';
import {watchFirstFrame} from './firstframe.js';
import {addMedia, answer, answerMedia, isUseless, openChannel, reconfigure, unhook, withoutCandidates} from './path/connection.js';
import {isRelayed, relayed, withoutAddresses} from './path/sanitize.js';
import {applyBudget, sendKeyFrame} from './path/bitrate.js';
import {healingTimes as times} from '../base/times.js';

/** @typedef {import('./path/stats.js').Quality} Quality */
/** @typedef {import('./data/channel.js').Sending} Sending */
/** @typedef {import('./data/transfer.js').Transfer} Transfer */
/** @typedef {import('../session/hub.js').PeerInfo} PeerInfo */
/** @typedef {'connecting' | 'connected' | 'reconnecting' | 'closed'} PeerState */

/**
 * @typedef {object} PeerEvents
 * @property {PeerState} state
 * @property {string} name the peer's name is known, or another
 * @property {MediaStream} stream a track of the peer has come
 * @property {MediaStream} screen a track of the screen that the peer shares beside the camera has come
 * @property {RTCPeerConnection} replaced another connection is in use, and `stream`, the same object, has its tracks
 * @property {Sending} media what the peer says that it sends
 * @property {Quality} quality once a second
 * @property {{text: string, at: number}} chat
 * @property {Transfer} file the peer offers a file
 * @property {number} firstFrame milliseconds from join or accept to the first decoded frame
 */

/**
 * What a peer needs of its call.
 * @typedef {object} PeerHost
 * @property {import('./media/media.js').LocalMedia} media
 * @property {string} instance
 * @property {number} size how many others there are
 * @property {boolean} online whether the hub is connected
 * @property {boolean} screens whether a screen is shown beside the camera
 * @property {(lean?: boolean) => RTCConfiguration} configuration
 * @property {() => RTCPeerConnection} connection a connection that answers, with candidates gathered ahead
 * @property {(to: string, data: any) => void} signal
 */

/**
 * Another person in the call. Perfect negotiation as in the W3C's webrtc-pc; the server says who is polite.
 * @extends {Emitter<PeerEvents>}
 */
export class Peer extends Emitter {
  /** @type {PeerState} */ state = 'connecting';
  name = '';
  user = '';
  /** What the peer says that it sends. */
  /** @type {Sending} */ media = {audio: true, video: true, screen: false, beside: false};
  /** @type {Quality | null} */ quality = null;
  /** Identifies the other side's call across sessions. */
  instance = '';
  /** The peer's socket is lost; media may go on. */
  away = false;
  /** The peer's session is gone; the media path may still live, and the peer may come back. */
  orphan = false;
  /** milliseconds from join or accept to the first decoded frame; 0: none yet */
  firstFrame = 0;

  /** @type {PeerHost} */ #host;
  /** @type {RTCPeerConnection | null} */ #pc = null;
  #channel = new PeerChannel();
  #meter = new Meter();
  #watch = new PathWatch(async () => (this.state === 'closed' ? null : (await this.#pc?.getStats()) ?? null), (dead) => this.#onDead(dead));
  #makingOffer = false;
  #ignoreOffer = false;
  #settingRemoteAnswer = false;
  /** Our answer is out and being set. */
  #answering = false;
  #trickle = new Trickle((candidates) => this.#signal({candidates}));
  /** Both are not in the room yet: no media, no message, no address but the relay's. */
  #quiet = false;
  /** @type {RTCIceCandidateInit[]} kept back while quiet */ #withheld = [];
  #withheldTold = 0;
  #started = performance.now();
  #wasConnected = false;
  #restartWanted = false;
  #restartedAt = -Infinity;
  #patience = times.restart;
  /** @type {Promise<void>} */ #limited = Promise.resolve();
  /** The path in use, or the last one. */
  #path = '';
  #received = new Received();
  /** @type {Sharing} */ #sharing = new Sharing({
    media: () => this.#host.media, pc: () => this.#pc, quiet: () => this.#quiet, coming: () => this.#replacements.coming,
    online: () => this.#host.online, screens: () => this.#host.screens, tell: (message) => this.tell(message), limit: () => this.limit(),
  });
  /** @type {Replacements} */ #replacements = new Replacements({
    configuration: () => this.#host.configuration(),
    media: () => this.#host.media,
    showing: () => this.#sharing.showing,
    polite: () => this.polite,
    pictures: () => this.media.video,
    signal: (data) => this.#signal(data),
    made: (pc, channel) => this.#channel.hear(pc, channel),
    negotiated: (pc) => this.#applyBudget(pc),
    ready: (pc, channel) => this.#moveTo(pc, channel),
    failed: () => { this.restart(this.#watch.dead); this.limit(); },
  });
  #offeredAt = -Infinity;
  #unconnectedSince = performance.now();
  /** @type {import('../session/hub.js').Path | ''} */ #told = '';
  /** @type {import('../session/hub.js').Path | ''} */ #toldThem = '';

  /**
   * @param {PeerHost} host @param {PeerInfo} info
   * @param {{started?: number, quiet?: boolean}} [options] performance.now() of the click; nothing flows before `begin`
   */
  constructor(host, info, {started, quiet = false} = {}) {
    super();
    this.#host = host;
    this.id = info.peer;
    this.polite = info.polite;
    this.#identify(info);
    if (started) this.#started = started;
    this.#quiet = quiet;
    if (quiet) this.#channel.hold();
    this.#channel.on('open', () => { if (!this.#quiet) this.tellMedia(); });
    this.#channel.on('media', ({screens, ...media}) => {
      if (this.#received.pictures(media.video)) this.emit('stream', this.stream);
      this.emit('media', this.media = media);
      this.#sharing.hear(screens);
    });
    this.#channel.on('path', (path) => { this.#told = path; });
    this.#channel.on('chat', (message) => this.emit('chat', message));
    this.#channel.on('file', (transfer) => this.emit('file', transfer));
  }

  /** @param {PeerInfo} info */
  #identify({name = '', user = '', away = false}) {
    this.user = user;
    this.away = away;
    const known = name || user;
    if (known === this.name) return;
    this.name = known;
    this.emit('name', known);
  }

  /** What comes from the peer's camera and microphone. */
  get stream() { return this.#received.stream; }
  /** What comes of a screen that the peer shares beside the camera: `media.beside` says whether it does. */
  get screen() { return this.#received.screen; }
  /** How loud the peer is heard at this moment, 0 to 1. */
  get loudness() { return this.#pc && this.state === 'connected' && this.media.audio ? loudness(this.#pc) : 0; }

  /** The connection, for what this class does not offer. Another takes its place when its path is cut. */
  get pc() { return this.#pc; }

  /** How long the peer has not been connected, milliseconds. */
  get unconnected() { return this.state === 'connected' ? 0 : performance.now() - this.#unconnectedSince; }

  /** Offers a new connection. */
  offer() {
    const pc = new RTCPeerConnection(this.#host.configuration());
    this.#adopt(pc, openChannel(pc));
    addMedia(pc, this.#host.media, false, this.#sharing.showing); // negotiationneeded does the rest
  }

  /**
   * Goes on with an offer that was sent already.
   * @param {import('./ahead.js').Prepared} prepared
   * @param {RTCIceCandidateInit[]} [withheld] its candidates that were not sent with it
   */
  offered(prepared, withheld = []) {
    this.#withheld.push(...withheld);
    this.#adopt(prepared.pc, prepared.channel);
    this.#trickle.described();
    if (!this.#quiet) this.send();
    prepared.flow((candidate) => this.#found(candidate));
    prepared.pc.onicecandidate = ({candidate}) => { if (candidate) this.#found(candidate); };
  }

  /** The candidates that were kept back, to go with `join`. */
  tellWithheld() {
    this.#withheldTold = this.#withheld.length;
    return this.#withheld;
  }

  /** Sends our media: what of it there is has changed. */
  send() { this.#sharing.send(); }

  /** Tells the peer what we send. */
  tellMedia() { this.#sharing.tell(); }

  /**
   * Both are in the room: media and messages flow, and the rest of the candidates goes out.
   * @param {PeerInfo} info
   * @param {{started?: number, told?: boolean}} [options] performance.now() of the click; what `tellWithheld` gave has been sent
   */
  begin(info, {started = performance.now(), told = false} = {}) {
    this.polite = info.polite;
    this.#identify(info);
    this.#quiet = false;
    this.#started = started;
    this.send();
    this.#trickle.add(...this.#withheld.splice(0).slice(told ? this.#withheldTold : 0));
    this.#trickle.flush();
    if (this.#channel.open) this.tellMedia();
    this.#channel.release();
    this.#watchFirstFrame();
    if (this.stream.getTracks().length) this.emit('stream', this.stream);
    this.#onConnectionState();
    this.limit();
  }

  /** Our offer may not have been delivered: says it again. */
  repeatOffer() {
    const pc = this.#pc;
    if (pc?.signalingState === 'have-local-offer') this.#signal({description: pc.localDescription});
  }

  /**
   * The answer to an offer, without any connectivity check before `candidates` are handled: for a call that is
   * being accepted.
   * @param {RTCSessionDescriptionInit} offer
   */
  async answerAhead(offer) {
    const {description, candidates} = withoutCandidates(offer);
    const pc = this.#pc ?? this.#adopt(this.#host.connection(), null);
    await pc.setRemoteDescription(description);
    this.#prepareAnswer(pc);
    await answer(pc);
    this.#trickle.described();
    return {answer: pc.localDescription?.toJSON(), candidates};
  }

  /**
   * Handles signaling data of the peer: `{description}`, `{candidates}`, `{candidate}`.
   * @param {any} data
   */
  async handle(data) {
    if (this.state === 'closed' || typeof data !== 'object' || data === null) return;
    if (typeof data.instance === 'string') this.instance = data.instance;
    if (data.app && !this.#quiet) this.#channel.receive(data.app);
    if (data.replacement) {
      if (!this.#wasConnected) return;
      this.#onOffer();
    }
    const other = this.#replacements.handle(data);
    if (other) return other;
    try {
      if (data.description) await this.#onDescription(data.description);
      const candidates = data.candidates ?? (data.candidate ? [data.candidate] : []);
      await Promise.all(candidates.map((/** @type {RTCIceCandidateInit} */ candidate) => this.#onCandidate(candidate)));
    } catch (error) {
      // The connection was closed while this waited for it.
      if (/** @type {string} */ (this.state) !== 'closed') console.error('turnhub: signaling', error);
    }
  }

  /** @param {RTCSessionDescriptionInit} description */
  async #onDescription(description) {
    const pc = this.#pc ?? this.#adopt(this.#host.connection(), null);
    const ready = !this.#makingOffer && (pc.signalingState === 'stable' || this.#settingRemoteAnswer || this.#answering);
    const collision = description.type === 'offer' && !ready;
    this.#ignoreOffer = !this.polite && collision;
    if (this.#ignoreOffer) return;
    if (description.type === 'answer' && pc.signalingState !== 'have-local-offer') return; // a second answer to a repeated offer
    if (description.type === 'offer') this.#onOffer();
    this.#settingRemoteAnswer = description.type === 'answer';
    try {
      await pc.setRemoteDescription(description);
    } finally {
      this.#settingRemoteAnswer = false;
    }
    if (description.type !== 'offer') return this.#sharing.negotiated();
    this.#prepareAnswer(pc);
    try {
      await answer(pc, (ours) => {
        if (pc !== this.#pc) return; // replaced meanwhile
        this.#answering = true;
        this.#describe(ours);
      });
    } finally {
      this.#answering = false;
    }
    this.#sharing.negotiated();
  }

  #onOffer() {
    this.#offeredAt = performance.now();
    if (this.#wasConnected) this.#watch.look(); // who offers anew has lost the path, perhaps
  }

  /** Sends our description, and what was found of its candidates. @param {RTCSessionDescriptionInit | null} description */
  #describe(description) {
    // While quiet, what it says of candidates goes the way of the others: to those that may be told, or kept back.
    this.#signal({description: this.#quiet && description ? withoutAddresses(withoutCandidates(description).description) : description});
    this.#trickle.described();
  }

  /** @param {RTCPeerConnection} pc */
  #prepareAnswer(pc) {
    if (!this.#channel.used && /^m=application/m.test(pc.remoteDescription?.sdp ?? '')) this.#channel.use(pc, openChannel(pc));
    answerMedia(pc, this.#host.media, this.#quiet, this.#sharing.showing);
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #onCandidate(candidate) {
    try {
      await this.#pc?.addIceCandidate(candidate);
    } catch (error) {
      if (!this.#ignoreOffer) throw error;
    }
  }

  /** @param {RTCPeerConnection} pc @param {RTCDataChannel | null} channel */
  #adopt(pc, channel) {
    this.#pc = pc;
    if (channel) this.#channel.use(pc, channel);
    pc.onnegotiationneeded = () => this.#negotiate();
    pc.onicecandidate = ({candidate}) => { if (candidate) this.#found(candidate); };
    pc.onconnectionstatechange = pc.oniceconnectionstatechange = () => this.#onConnectionState();
    pc.ontrack = ({transceiver}) => this.#show(pc, transceiver);
    pc.ondatachannel = ({channel: incoming}) => this.#channel.accept(incoming, pc);
    if (!this.#quiet) this.#watchFirstFrame();
    return pc;
  }

  /** @param {RTCPeerConnection} pc @param {RTCRtpTransceiver} transceiver */
  #show(pc, transceiver) {
    const where = this.#received.show(pc, transceiver);
    this.emit(where, this[where]);
  }

  /** Goes over to a connection that was made in place of the one in use. @param {RTCPeerConnection} pc @param {RTCDataChannel} channel */
  #moveTo(pc, channel) {
    const old = this.#pc;
    if (old) this.#replacements.retire(unhook(old));
    this.#makingOffer = this.#settingRemoteAnswer = this.#answering = this.#ignoreOffer = false;
    this.#trickle.clear();
    this.#restartedAt = this.#offeredAt = -Infinity;
    this.#meter = new Meter();
    this.#told = this.#toldThem = '';
    this.#adopt(pc, channel);
    // The streams stay; said again, a page would load them anew, and show black for a moment.
    for (const transceiver of pc.getTransceivers()) this.#received.show(pc, transceiver);
    this.send();
    this.#watch.set(false);
    this.emit('replaced', pc);
    this.#onConnectionState();
  }

  async #negotiate() {
    const pc = this.#pc;
    if (!pc) return;
    try {
      this.#makingOffer = true;
      await pc.setLocalDescription();
      if (pc === this.#pc) this.#describe(pc.localDescription);
    } catch (error) {
      if (/** @type {string} */ (this.state) !== 'closed') console.error('turnhub: offer', error);
    } finally {
      this.#makingOffer = false;
    }
  }

  /** @param {RTCIceCandidate} candidate */
  #found(candidate) {
    if (!this.#quiet) this.#trickle.add(candidate);
    else if (isRelayed(candidate)) this.#trickle.add(...relayed([candidate.toJSON()]));
    else if (!isUseless(candidate.candidate)) this.#withheld.push(candidate.toJSON());
  }

  /** @param {any} data */
  #signal(data) {
    if (this.state === 'closed' || this.orphan) return;
    this.#host.signal(this.id, {instance: this.#host.instance, connection: this.#replacements.name, ...data});
  }

  #onConnectionState() {
    const pc = this.#pc;
    if (!pc || this.#quiet || this.state === 'closed') return;
    const {connectionState, iceConnectionState} = pc;
    if (connectionState === 'connected' && (iceConnectionState === 'connected' || iceConnectionState === 'completed')) {
      if (this.#wasConnected) this.#onPathChange();
      this.#wasConnected = true;
      this.#patience = times.restart;
      this.#restartWanted = false;
      this.#watchPath(pc);
      this.#setState('connected');
      this.limit();
      return;
    }
    const broken = [connectionState, iceConnectionState].some((state) => state === 'disconnected' || state === 'failed');
    if (this.#wasConnected) {
      if (broken) this.#setState('reconnecting');
    } else {
      this.#setState('connecting');
    }
    // The polite side gives the other a moment, so that mostly one of the two offers.
    if (broken) setTimeout(() => this.restart(), this.polite && !this.#replaceable ? times.yield : 0);
  }

  /** A relayed path (or one too new to be known) may be cut for one side alone: another connection is quicker. */
  get #replaceable() { return this.#replacements.understood && this.#path !== 'direct'; }

  /** A restart that heals a dead path changes the pair in use, and often no state at all. @param {RTCPeerConnection} pc */
  #watchPath(pc) {
    const ice = pc.getSenders().find(({transport}) => transport)?.transport?.iceTransport;
    if (ice) ice.onselectedcandidatepairchange = () => this.#onPathChange();
  }

  #onPathChange() {
    const pc = this.#pc;
    const healing = performance.now() - Math.max(this.#restartedAt, this.#offeredAt) < times.result;
    if (this.#watch.dead) this.#watch.set(false);
    else if (pc && this.#wasConnected && healing) sendKeyFrame(pc).catch(() => {});
  }

  /** Nothing comes any more, or something again. @param {boolean} dead */
  #onDead(dead) {
    this.limit();
    if (dead) this.restart(true);
    else this.#patience = times.restart;
  }

  /** @param {PeerState} state */
  #setState(state) {
    if (this.state === state || this.state === 'closed') return;
    if (state !== 'connected' && this.state === 'connected') this.#unconnectedSince = performance.now();
    this.state = state;
    this.emit('state', state);
  }

  /**
   * Looks for another path, with fresh credentials, while the old one stays in use as long as it works. While the
   * hub is away it waits for it.
   * @param {boolean} [urgent] even if a restart has just begun or nothing seems wrong
   */
  restart(urgent = false) {
    const pc = this.#pc;
    if (!pc || this.#quiet || this.state === 'closed' || this.orphan) return;
    const now = performance.now();
    if (!urgent && this.state === 'connected') return;
    if (now - Math.max(this.#restartedAt, this.#offeredAt) < (urgent ? times.pause : this.#patience)) return;
    if (!pc.remoteDescription) return;
    if (!this.#host.online) {
      this.#restartWanted = true;
      return;
    }
    this.#restartWanted = false;
    if (this.#replacements.coming) return;
    this.#restartedAt = now;
    if (this.#replaceable && this.#replacements.begin()) return;
    // The browser checks one pair of candidates after the other, slowly while it believes in the old path: the fewer
    // there are, the sooner the right one's turn comes.
    reconfigure(pc, this.#host.configuration(this.#patience === times.restart || undefined));
    this.#patience = Math.min(times.restartMost, this.#patience * 1.5);
    pc.restartIce();
    this.#watch.look();
  }

  /** Somebody's hub is back after it was lost: whatever does not work is looked for anew, at once. */
  recover() {
    if (!this.#pc || this.state === 'closed') return;
    this.#replacements.forget();
    if (this.#restartWanted || this.#watch.dead || (this.state !== 'connected' && this.#wasConnected)) this.restart(true);
    this.#watch.look();
  }

  /**
   * The peer has come back with another session (or we have), and the connection goes on.
   * @param {PeerInfo} info
   */
  async rekey(info) {
    this.id = info.peer;
    this.polite = info.polite;
    this.orphan = false;
    this.#identify({...info, away: false});
    // An offer that was on its way has gone with the old session.
    this.#replacements.forget(true);
    if (this.#pc?.signalingState === 'have-local-offer') await this.#pc.setLocalDescription({type: 'rollback'}).catch(() => {});
  }

  /** Fresh credentials, or servers that were not there when a restart of ICE had begun. */
  configure() {
    const others = this.#pc && reconfigure(this.#pc, this.#host.configuration());
    const restarting = performance.now() - Math.max(this.#restartedAt, this.#offeredAt) < times.restart;
    if (!others || !(restarting || this.state === 'reconnecting')) return;
    this.#restartedAt = this.#offeredAt = -Infinity;
    this.#replacements.forget(true);
    this.restart(true);
  }

  /** Bitrates for the number of people in the call; no pictures into a path that is dead. */
  limit() {
    this.#limited = this.#limited.then(async () => {
      // What is about to be replaced is left as it is: changing it takes time that the new one needs.
      const lost = this.#watch.dead && !(this.#replaceable && this.#replacements.hopeful);
      if (this.#pc) await this.#applyBudget(this.#pc, lost);
    });
  }

  /** @param {RTCPeerConnection} pc @param {boolean} [lost] */
  async #applyBudget(pc, lost) {
    await applyBudget(pc, this.#host.size, this.#sharing.screen, lost).catch(() => {});
  }

  /** @returns {Promise<Quality>} */
  async measure() {
    const report = this.#pc ? await this.#pc.getStats() : /** @type {RTCStatsReport} */ (/** @type {unknown} */ (new Map()));
    return this.#meter.read(report, this.#told);
  }

  /** Once a second: measures, and sees what the browser does not say. */
  async tick() {
    if (!this.#pc || this.state === 'closed') return;
    const quality = await this.measure();
    if (/** @type {string} */ (this.state) === 'closed') return;
    this.quality = quality;
    this.#path = quality.path || this.#path;
    this.emit('quality', quality);
    // iceConnectionState alone lies: it stays "connected" on a path that has died under it.
    if (this.state === 'connected' && quality.silence > times.silence && quality.silence < Infinity) {
      this.#setState('reconnecting');
      this.#watch.set(true);
    } else if (this.state === 'reconnecting' && quality.silence < 1000 && this.#pc.connectionState === 'connected') {
      this.#setState('connected');
    }
    if (this.state === 'reconnecting' || this.#pc.connectionState === 'failed') this.restart();
    // Who sends nothing is heard all the same.
    const {audio, video} = this.#host.media.sending;
    if (!audio && !video && this.#channel.open) this.tell({type: 'alive'});
    const path = quality.local === 'relay' ? quality.path : quality.path && 'direct';
    if (path && path !== this.#toldThem && this.#channel.open) {
      this.#toldThem = path;
      this.tell({type: 'path', path});
    }
  }

  /** Speed is felt from the click to the first picture, so that is what is measured. */
  #watchFirstFrame() {
    watchFirstFrame(() => (this.firstFrame || this.state === 'closed' ? null : this.#pc),
      () => this.#wasConnected || this.#pc?.connectionState === 'connected', () => {
        this.firstFrame = Math.round(performance.now() - this.#started);
        this.emit('firstFrame', this.firstFrame);
      });
  }

  /** Sends a message on the data channel, or keeps it until that is open. @param {any} message */
  tell(message) {
    this.#channel.tell(message);
  }

  /**
   * Offers a file; it is sent when the other side takes it.
   * @param {File} file
   */
  sendFile(file) {
    return this.#channel.sendFile(file);
  }

  close() {
    if (this.state === 'closed') return;
    this.#setState('closed');
    this.#watch.close();
    this.#trickle.clear();
    this.#channel.close();
    this.#replacements.close();
    if (this.#pc) unhook(this.#pc).close();
  }
}
