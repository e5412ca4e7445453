import {Emitter} from '../base/emitter.js';
import {realClock} from '../base/clock.js';
import {Meter, loudness, statsOf} from './path/stats.js';
import {Negotiation} from './path/negotiation.js';
import {Healing} from './path/healing.js';
import {PeerChannel} from './data/channel.js';
import {Received, Sharing} from './media/sharing.js';
import {Shown} from './media/shown.js';
import {watchFirstFrame} from './firstframe.js';
import {addMedia, answerMedia, isUseless, openChannel, unhook, withoutCandidates} from './path/connection.js';
import {isRelayed, relayed, withoutAddresses} from './path/sanitize.js';
import {Senders, wanted} from './path/bitrate.js';
import {Line} from './path/line.js';
import {Sound} from './path/sound.js';
import {received} from './path/received.js';
import {Way} from './way.js';
import {most, within} from './wishes.js';
import {Quota} from '../base/quota.js';
import {callTimes, healingTimes} from '../base/times.js';

/** @typedef {import('./path/stats.js').Quality} Quality */
/** @typedef {import('./data/channel.js').Sending} Sending */
/** @typedef {import('./data/transfer.js').Transfer} Transfer */
/** @typedef {import('./path/line.js').LineState} LineState */
/** @typedef {import('./path/received.js').Trouble} Trouble */
/** @typedef {import('../session/hub.js').PeerInfo} PeerInfo */
/** @typedef {'connecting' | 'connected' | 'reconnecting' | 'closed'} PeerState */

/** @typedef {import('./host.js').PeerEvents} PeerEvents */
/** @typedef {import('./host.js').PeerHost} PeerHost */

/** So many offers of one person are read at once. */
const offersAtOnce = 16;

/** Whether what is wrong concerns sound or pictures alone, on a connection that may live. @param {Trouble | ''} trouble */
const isPartial = (trouble) => trouble === 'audio' || trouble === 'video' || trouble === 'codecs';

/**
 * Another person in the call. Perfect negotiation as in the W3C's webrtc-pc; the server says who is polite.
 * @extends {Emitter<PeerEvents>}
 */
export class Peer extends Emitter {
  name = '';
  user = '';
  /** What the peer says that it sends. */
  /** @type {Sending} */ media = {audio: true, video: true, screen: false, beside: false, recording: false, recordings: false, hand: false, wants: 'automatic'};
  /** @type {Quality | null} */ quality = null;
  /** Identifies the other side's call across sessions. */
  instance = '';
  /** The peer's socket is lost; media may go on. */
  away = false;
  /** The peer's session is gone; the media path may still live, and the peer may come back. */
  orphan = false;
  /** milliseconds from join or accept to the first decoded frame; 0: none yet */
  firstFrame = 0;
  /** What the two programs cannot do with each other, and why; '': nothing of the kind is known. @type {Trouble | ''} */ trouble = '';

  /** @type {PeerHost} */ #host;
  /** @type {Negotiation | null} of the connection in use */ #negotiation = null;
  /** The other side's browser, as it says. */
  #browser = '';
  #senders = new Senders(realClock);
  #channel = new PeerChannel();
  #meter = new Meter();
  /** Both are not in the room yet: no media, no message, no address but the relay's. */
  #quiet = false;
  /** @type {RTCIceCandidateInit[]} kept back while quiet */ #withheld = [];
  #withheldTold = 0;
  #started = performance.now();
  #received = new Received();
  #offers = new Quota(realClock, offersAtOnce, callTimes.offers);
  /** @type {Sharing} */ #sharing = new Sharing({
    media: () => this.#host.media, pc: () => this.pc, quiet: () => this.#quiet, coming: () => this.#healing.replacements.coming,
    online: () => this.#host.online, host: () => this.#host, tell: (message) => this.tell(message), limit: () => this.limit(),
    carried: () => this.#way.door.carries, pictures: () => this.media.wants !== 'sound',
  });
  /** @type {import('./path/negotiation.js').NegotiationHost} */ #serving = {
    clock: realClock,
    polite: () => this.polite,
    online: () => this.#host.online && !this.orphan,
    signal: (data) => this.#signal(data),
    answering: (pc) => this.#prepareAnswer(pc),
    settled: () => this.#sharing.negotiated(),
    failed: (why) => this.#healing.failed(why),
    trouble: (what) => { if (what || isPartial(this.trouble)) this.#setTrouble(what); },
    startBitrate: () => this.#line.begins, packs: () => this.#line.packs,
  };
  /** @type {Line} */ #line = new Line({
    clock: realClock,
    pc: () => (this.#way.reached === 'connected' && !this.#quiet ? this.pc : null),
    open: () => this.#channel.open,
    tell: (message) => this.tell(message),
    wants: () => { const {video, screen} = this.#host.media.sending; return wanted(this.#host.size, video || screen, this.#most); },
    expected: () => this.#host.thrift.expected,
    begin: (rate) => this.#negotiation?.begin(rate), pack: () => this.#negotiation?.pack(),
    changed: () => this.limit(),
    said: () => this.emit('line', this.line),
  });
  /** @type {Sound} */ #sound = new Sound({
    clock: realClock,
    current: () => (this.#way.reached === 'connected' && !this.#quiet && this.#host.online && !this.orphan ? this.#negotiation : null),
    open: () => this.#channel.open,
    narrow: () => this.#line.allowance.narrow,
    tell: (message) => this.tell(message),
  });
  /** @type {Healing} */ #healing = new Healing({
    clock: realClock,
    current: () => (this.#quiet || this.state === 'closed' ? null : this.#negotiation),
    pc: () => (this.state === 'closed' ? null : this.pc),
    state: () => this.#way.reached,
    setState: (state) => this.#way.reach(state),
    online: () => this.#host.online,
    reachable: () => !this.orphan,
    browser: () => this.#browser,
    polite: () => this.polite,
    sending: () => this.media.audio || this.media.video,
    configuration: (all) => this.#host.connections.configuration(all),
    fits: (pc) => this.#host.connections.fits(pc),
    tooMany: (pc, relayed) => this.#host.connections.tooMany(pc, relayed),
    limit: () => this.limit(),
    keyFrame: () => { this.#senders.keyFrame(() => this.pc); },
    probe: () => this.#host.connections.probe(), slow: () => this.#line.narrow, narrow: () => this.#way.door.path?.narrow ?? false,
    replacements: {
      clock: realClock,
      create: (which) => this.#host.connections.make(which),
      media: () => this.#host.media,
      showing: () => this.#sharing.showing,
      polite: () => this.polite,
      pictures: () => this.media.video,
      signal: (data) => this.#signal(data),
      negotiation: {...this.#serving, answering: (pc) => answerMedia(pc, this.#host.media, false, this.#sharing.showing)},
      made: (pc, channel) => this.#channel.hear(pc, channel),
      negotiated: (pc) => { this.#senders.limit(() => this.#wanted(pc, false), pc); },
      ready: (negotiation, channel) => this.#moveTo(negotiation, channel),
    },
  });
  /** @type {Way} */ #way = new Way({
    call: () => this.#host, id: () => this.id, quiet: () => this.#quiet, orphan: () => this.orphan, unconnected: () => this.#healing.unconnected,
    connected: () => this.#healing.wasConnected, sending: () => (this.media.audio && !this.#line.narrow ? this.pc : null),
    channel: this.#channel, received: this.#received, signal: (data) => this.#signal(data), stream: () => this.emit('stream', this.stream),
    shown: () => { if (!this.firstFrame) this.#first(); }, line: () => this.emit('line', this.line),
    pictures: () => this.#most.video, waits: () => this.#line.waits, strained: () => this.#line.narrow, string: (numbers) => this.emit('authentication-string', numbers), doorless: () => { if (this.state === 'connecting') this.#complain('door'); },
    said: (state) => {
      if (state === 'connected' && !isPartial(this.trouble)) this.#setTrouble('');
      if (state === 'connected') this.tick().catch(() => {}); // a line is looked at from its first moment on
      this.emit('state', state);
    },
  });
  #shown = new Shown();
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
    this.introduce(info);
    if (started) this.#started = started;
    this.#quiet = quiet;
    if (quiet) this.#channel.hold();
    this.#channel.on('open', () => {
      this.#line.moved();
      this.#shown.forget();
      if (!this.#quiet) this.tellMedia();
      this.#way.bind();
    });
    this.#channel.on('bond', ({word, pc}) => this.#way.bound(pc, word));
    this.#channel.on('timed', (message) => { if (!this.#quiet) this.#line.hear(message); });
    this.#channel.pace = this.#line.pace;
    this.#channel.on('signal', (data) => { this.handle(data).catch((error) => console.warn('turnhub: signaling', error)); });
    this.#channel.on('line', (state) => this.#line.hearState(state));
    this.#channel.on('redundant', (possible) => this.#sound.hear(possible));
    this.#channel.on('media', ({screens, ...media}) => {
      if (this.#received.pictures(media.video)) this.emit('stream', this.stream);
      const wanted = this.media.wants;
      this.emit('media', this.media = media);
      this.#sharing.hear(screens);
      if (media.wants !== wanted) this.wish();
    });
    this.#channel.on('shown', (pixels) => { this.#shown.there = pixels; });
    this.#channel.on('path', (path) => { this.#told = path; });
    this.#channel.on('chat', (message) => this.emit('chat', message));
    this.#channel.on('reaction', (reaction) => this.emit('reaction', reaction));
    this.#channel.on('file', (transfer) => this.emit('file', transfer));
    // Who was not in the lobby has no `begin`.
    this.#way.door.look();
  }

  /** @type {PeerState} */
  get state() { return this.#way.state; }

  /** What the server says of the peer. @param {PeerInfo} info */
  introduce({name = '', user = '', away = false}) {
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
  /**
   * How large this page shows the peer's camera. Of a smaller picture than before less is sent, within a second: what
   * nobody sees needs no line and no processor. Without a word of it everything that fits the line comes.
   * @param {number} width of the screen's own pixels: times `devicePixelRatio` @param {number} height
   */
  shown(width, height) { this.#shown.see(width, height); }

  /**
   * The string by which the two compare the keys between their browsers, read aloud: four numbers below 64, which the page
   * shows as symbols. Where it is the same on both sides, nobody sits between them, this server included.
   * 'authentication-string' says that there is one, because the other side has asked, or that the keys are others: null.
   * @returns {Promise<number[] | null>} null: the other side's program does not know of it, or there is no connection yet
   */
  authenticationString() { return this.#way.sas.ask(); }

  /** The host of the room has muted the peer: nothing of the peer is heard here, whatever comes. */
  get silenced() { return this.#received.silent; }

  /** @param {boolean} silent */
  silence(silent) {
    if (silent === this.silenced) return;
    this.#received.silence(silent);
    this.emit('stream', this.stream);
    this.emit('screen', this.screen);
    this.emit('media', this.media);
  }

  /** How loud the peer is heard at this moment, 0 to 1. */
  get loudness() {
    if (this.silenced || this.state !== 'connected' || !this.media.audio) return 0;
    return (this.#way.door.path ?? this.#way.heard)?.loudness ?? (this.pc ? loudness(this.pc) : 0);
  }

  /** What of the call fits the line, of what we send and of what the peer sends. @returns {{ours: LineState, theirs: LineState}} */
  get line() { return this.#way.line ?? {ours: this.#line.ours, theirs: this.#line.theirs}; }

  /** Its line takes less than the call wants, one way or the other. */
  get narrow() { return this.#way.door.path?.narrow ?? (this.#way.reached === 'connected' && this.#line.narrow); }

  /** The connection, for what this class does not offer. Another takes its place when its path is cut. */
  get pc() { return this.#negotiation?.pc ?? null; }

  /** How long the peer has not been connected, milliseconds. */
  get unconnected() { return this.#way.door.carries ? 0 : this.#healing.unconnected; }

  /** Offers a new connection. */
  offer() {
    const pc = this.#host.connections.make();
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
    this.#adopt(prepared.pc, prepared.channel).offered();
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
  send() {
    this.#sharing.send();
    this.#way.door.send();
  }

  /** Tells the peer what we send. */
  tellMedia() { this.#sharing.tell(); }

  /** What somebody wishes to receive is another: of what we send, and of what we say of it. */
  wish() {
    this.limit();
    if (!this.#quiet) this.tellMedia();
  }

  get #most() { return most(this.#host.quality, this.media.wants); }

  /**
   * Both are in the room: media and messages flow, and the rest of the candidates goes out.
   * @param {PeerInfo} info
   * @param {{started?: number, told?: boolean}} [options] performance.now() of the click; what `tellWithheld` gave has been sent
   */
  begin(info, {started = performance.now(), told = false} = {}) {
    this.polite = info.polite;
    this.introduce(info);
    this.#quiet = false;
    this.#started = started;
    this.send();
    this.#negotiation?.found(...this.#withheld.splice(0).slice(told ? this.#withheldTold : 0));
    this.#negotiation?.flush();
    if (this.#channel.open) this.tellMedia();
    this.#channel.release();
    this.#watchFirstFrame();
    if (this.stream.getTracks().length) this.emit('stream', this.stream);
    this.#healing.improving.settle(true);
    this.#healing.changed();
    this.#way.door.look();
    this.limit();
  }

  /** Our offer may not have been delivered: says it again. */
  repeatOffer() {
    this.#negotiation?.repeat();
  }

  /**
   * The answer to an offer, without any connectivity check before `candidates` are handled: for a call that is
   * being accepted.
   * @param {any} first the caller's offer, as it came
   */
  async answerAhead(first) {
    const {description: offer} = received(first);
    if (offer?.type !== 'offer') return null;
    return (this.#negotiation ?? this.#adopt(this.#host.connection(), null)).answerAhead(offer);
  }

  /**
   * Handles signaling data of the peer: `{description}`, `{candidates}`, `{candidate}`.
   * @param {any} data
   */
  async handle(data) {
    if (this.state === 'closed') return;
    const said = received(data), {description, unusable, round} = said;
    if (said.instance !== undefined) this.instance = said.instance;
    if (said.browser !== undefined) this.#browser = said.browser;
    if (said.takes !== undefined) this.#line.expect(said.takes);
    if (said.app && !this.#quiet) this.#channel.receive(said.app);
    if (said.replacement && this.#quiet) return;
    if (said.websocket) return this.#way.door.hear(said.websocket);
    if (said.sas && !this.#quiet) return this.#way.sas.hear(said.sas);
    if (said.trouble && (this.state !== 'connected' || isPartial(said.trouble))) this.#setTrouble(said.trouble);
    if (description?.type === 'offer' || unusable?.type === 'offer') {
      // Each is answered, which the server counts as our message.
      if (!this.#offers.take()) return;
      if (description) this.#healing.offered(said.direct);
      else if (this.state !== 'connected') this.#setTrouble(`theirs-${/** @type {import('./path/received.js').Unusable} */ (unusable?.code)}`);
    }
    const other = this.#healing.replacements.handle(said);
    if (other) return other;
    if (this.#negotiation || description) return (this.#negotiation ?? this.#adopt(this.#host.connection(), null)).handle(said);
    // No connection is made for what none can be made of.
    if (unusable) this.#signal({connection: '', ...(round === undefined ? {} : {refused: round}), trouble: unusable.code});
  }

  /** What came from there is of no use, and they are told. @param {'candidates' | 'door'} what */
  #complain(what) {
    if (this.trouble === `theirs-${what}`) return;
    this.#setTrouble(`theirs-${what}`);
    this.#signal({trouble: what});
  }

  /** @param {Trouble | ''} trouble */
  #setTrouble(trouble) {
    if (trouble === this.trouble || this.state === 'closed') return;
    this.trouble = trouble;
    this.emit('trouble', trouble);
  }

  /** @param {RTCPeerConnection} pc */
  #prepareAnswer(pc) {
    if (!this.#way.talks && /^m=application/m.test(pc.remoteDescription?.sdp ?? '')) this.#way.talk(pc, openChannel(pc));
    answerMedia(pc, this.#host.media, this.#quiet, this.#sharing.showing);
    this.#sound.prepare(pc);
  }

  /** Takes the first connection into use. @param {RTCPeerConnection} pc @param {RTCDataChannel | null} channel */
  #adopt(pc, channel) {
    const negotiation = new Negotiation(pc, '', this.#serving, {
      // While quiet, what it says of candidates goes the way of the others: to those that may be told, or kept back.
      say: (description) => (this.#quiet ? withoutAddresses(withoutCandidates(description).description) : description),
    });
    this.#use(negotiation, channel);
    return negotiation;
  }

  /** @param {Negotiation} negotiation @param {RTCDataChannel | null} channel */
  #use(negotiation, channel) {
    const {pc} = negotiation;
    this.#negotiation = negotiation;
    if (channel) this.#way.talk(pc, channel);
    pc.onnegotiationneeded = () => negotiation.offer();
    pc.onicecandidate = ({candidate}) => { if (candidate) this.#found(candidate); };
    pc.onconnectionstatechange = pc.oniceconnectionstatechange = () => {
      this.#healing.changed();
      negotiation.pack();
    };
    pc.ontrack = ({transceiver}) => this.#show(pc, transceiver);
    pc.ondatachannel = ({channel: incoming}) => this.#channel.accept(incoming, pc);
    if (!this.#quiet) this.#watchFirstFrame();
  }

  /** @param {RTCPeerConnection} pc @param {RTCRtpTransceiver} transceiver */
  #show(pc, transceiver) {
    const where = this.#received.show(pc, transceiver);
    this.emit(where, this[where]);
  }

  /** Goes over to a connection that was made in place of the one in use. @param {Negotiation} negotiation @param {RTCDataChannel} channel */
  #moveTo(negotiation, channel) {
    const {pc} = negotiation;
    this.#negotiation?.close();
    if (this.pc) this.#healing.replacements.retire(unhook(this.pc));
    negotiation.serve(this.#serving);
    this.#meter = new Meter();
    this.#told = this.#toldThem = '';
    this.#use(negotiation, channel);
    negotiation.pack();
    // The streams stay; said again, a page would load them anew, and show black for a moment.
    for (const transceiver of pc.getTransceivers()) this.#received.show(pc, transceiver);
    this.send();
    this.#healing.moved();
    this.emit('replaced', pc);
    this.#healing.changed();
  }

  /** @param {RTCIceCandidate} candidate */
  #found(candidate) {
    if (!this.#quiet) this.#negotiation?.found(candidate);
    else if (isRelayed(candidate)) this.#negotiation?.found(...relayed([candidate.toJSON()]));
    else if (!isUseless(candidate.candidate)) this.#withheld.push(candidate.toJSON());
  }

  /** @param {any} data */
  #signal(data) {
    if (this.state === 'closed' || this.orphan) return;
    const browser = data.description ? {browser: this.#host.browser, ...this.#host.thrift.said} : {}, said = {instance: this.#host.instance, ...browser, ...data};
    // A description is as long as a second of a narrow line, and that it is narrow is known seconds later: it goes where sound does not wait for it.
    if (this.#way.prompt && this.#channel.open) this.tell({type: 'signal', data: said});
    else this.#host.signal(this.id, said);
  }

  /** Looks for another path, while the old one stays in use as long as it works. @param {boolean} [urgent] even if nothing seems wrong */
  restart(urgent = false) { this.#healing.heal(urgent); }

  /** Somebody's hub is back after it was lost: whatever does not work is looked for anew, at once. */
  recover() { this.#healing.recover(); }

  /** Our session goes on, at another node perhaps. */
  resumed() {
    this.#way.door.settle();
    this.recover();
  }

  /** This page was asleep. */
  woken() { this.#healing.woken(); }

  /** The network is another one: there may be a better path. */
  networkChanged() {
    this.#healing.improving.networkChanged();
    this.#way.door.networkChanged();
  }

  /** Fresh credentials. */
  configure() { this.#healing.configure(); }

  /**
   * The peer has come back with another session (or we have), and the connection goes on.
   * @param {PeerInfo} info
   */
  async rekey(info) {
    this.id = info.peer;
    this.polite = info.polite;
    this.orphan = false;
    this.introduce({...info, away: false});
    this.#way.door.returned();
    // An offer that was on its way has gone with the old session.
    this.#healing.replacements.forget(true);
    this.emit('returned', undefined);
    await this.#negotiation?.withdraw();
  }

  /** Bitrates for the number of people in the call; no pictures into a path that is dead. */
  limit() { this.#senders.limit(() => this.#wanted(this.pc, this.#healing.lost)); }

  /** @param {RTCPeerConnection | null} pc @param {boolean} lost */
  #wanted(pc, lost) {
    return {pc, others: this.#host.size, screen: this.#sharing.screen, lost, allowance: within(this.#line.allowance, this.#host.quality, this.media.wants), shown: this.#shown.there};
  }

  /** @returns {Promise<Quality>} */
  async measure() {
    return this.#meter.read((this.pc && await statsOf(this.pc)) ?? /** @type {RTCStatsReport} */ (/** @type {unknown} */ (new Map())), this.#told);
  }

  /** Once a second: measures, and sees what the browser does not say. */
  async tick() {
    if (!this.pc || this.state === 'closed') return;
    const report = await statsOf(this.pc);
    if (!report || /** @type {string} */ (this.state) === 'closed') return;
    const quality = this.#meter.read(report, this.#told);
    this.quality = this.#way.quality(quality);
    this.emit('quality', this.quality);
    this.#healing.tick(quality);
    if (this.state === 'connecting' && this.unconnected > healingTimes.connect && this.#negotiation?.astray) this.#complain('candidates');
    this.#line.tick(quality.path);
    this.#sound.tick(report, quality);
    const pixels = this.#channel.open ? this.#shown.news() : null;
    if (pixels !== null) this.tell({type: 'shown', pixels});
    this.limit(); // what a browser did not take before
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
    watchFirstFrame(() => (this.firstFrame || this.state === 'closed' ? null : this.pc),
      () => this.#healing.wasConnected || this.pc?.connectionState === 'connected', () => this.#first());
  }

  #first() {
    this.firstFrame = Math.round(performance.now() - this.#started);
    this.emit('firstFrame', this.firstFrame);
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
    this.#way.reach('closed');
    this.#healing.close();
    this.#line.close();
    this.#negotiation?.close();
    this.#channel.close();
    if (this.pc) unhook(this.pc).close();
  }
}
