// The last door: where a network lets nothing through but HTTPS that it inspects, picture and sound go through a WebSocket
// of the server, sealed between the two browsers. Loaded when it is needed.
import {Exchange, kinds} from './seal.js';
import {Age} from './age.js';
import {Busy} from './busy.js';
import {Rate} from './rate.js';
import {PictureReceiver, PictureSender, Pieces, codecFor, decodes} from './pictures.js';
import {SoundReceiver, SoundSender, hasSound} from './sounds.js';
import {Channels} from './channels.js';
import {Link} from './link.js';
import {Silence} from './silence.js';
import {Arrivals, Flow} from './flow.js';
import {realClock} from '../../base/clock.js';
import {Quota} from '../../base/quota.js';

/** @typedef {import('./seal.js').FrameKind} FrameKind */

/** What is told twice a second; without a word for so long nobody is heard at once, and the path is dead; it is looked at so often, milliseconds. */
const reportEvery = 500, promptFor = 1500, deadAfter = 8000, lookEvery = 50;
/** So much may wait in our browser before pictures are left out, milliseconds at the rate that gets through. */
const queueMost = 250;
/** The two have met by then, or never. */
const openWithin = 10_000;
/** Of silence a packet is sent now and then, milliseconds. */
const soundEach = 1000;
/** What the other side wants of us, and how its line is, is believed so often at once, and then once in so many milliseconds: each change costs. It says all of it again. */
const turnsAtOnce = 6, turns = 500;

/** What this browser can do here: told to the other side with our key. */
export async function abilities() {
  const secure = !!globalThis.crypto?.subtle && !!globalThis.WebSocket;
  if (!secure) return null;
  const [pictures, sound] = await Promise.all([decodes(), hasSound()]);
  return pictures.length || sound ? {pictures, sound} : null;
}

/**
 * What the path needs of its peer.
 * @typedef {object} PathHost
 * @property {(opens: () => boolean) => WebSocket | null} socket to the server, on its way; `opens` says whether it is wanted still
 * @property {(socket: WebSocket) => boolean} near whether it goes to the node that has our session
 * @property {import('../media/media.js').LocalMedia} media
 * @property {() => boolean} sending whether our media is to go this way now
 * @property {() => boolean} standing whether sound and pictures are asked for this way, although there is a connection
 * @property {() => boolean} waits whether our connection is over TCP or TLS: a line that has become narrow stands still there as a dead one does, and has no room for pictures beside it
 * @property {() => number} pictures bits per second that people want of pictures at the most
 * @property {() => void} opened both ends are there
 * @property {(channel: any) => void} incoming a channel that the other side has opened
 * @property {() => void} tracks `audio`, `video` or `screen` is another, or something begins to come in place of a connection's
 * @property {() => void} wanted what the other side has this for is another
 * @property {() => void} line what fits the line is another, of ours or of theirs
 * @property {() => void} shown a picture has been shown
 * @property {() => void} closed it has ended
 */

/** Media between two browsers through a WebSocket of each. */
export class WebSocketPath {
  publicKey = '';
  /** Alike on both sides where nobody has put keys of his own between: for the words that people compare. '' before they have agreed. */
  agreement = '';
  /** Both ends are there and understand each other. */
  open = false;
  /** Messages and files. @type {Channels | null} */ channels = null;
  /** @type {SoundReceiver | null} */ #soundIn = null;
  /** @type {SoundSender | null} */ #soundOut = null;
  /** @type {PictureSender[]} camera, screen */ #picturesOut = [];
  /** @type {PictureReceiver[]} camera, screen */ #picturesIn = [];
  #rate = new Rate();
  #flow = new Flow(() => performance.now(), (kind, content) => this.#seal(kind, content), (go, ms) => {
    clearTimeout(this.#waking);
    this.#waking = setTimeout(go, ms);
  });
  /** @type {any} */ #waking = null;
  #arrivals = new Arrivals();
  /** @type {Busy | null} */ #busy = null;
  /** @type {any} */ #answering = null;
  /** @type {Link | null} */ #link = null;
  /** @type {import('./seal.js').Sealer | null} */ #sealer = null;
  /** @type {import('./seal.js').Opener | null} */ #opener = null;
  /** @type {Exchange | null} */ #exchange = null;
  #host;
  /** @type {any} */ #timer = null;
  #closed = false;
  /** @type {Promise<any>} */ #sealing = Promise.resolve();
  #opening = Promise.resolve();
  #unopened = 0;
  #silence = new Silence(performance.now());
  /** Counted since the last report. */
  #got = 0;
  #lost = 0;
  #age = new Age();
  #pieces = new Pieces();
  #sentBits = 0;
  #receivedBits = 0;
  #leavesAt = 250_000;
  #countedAt = performance.now();
  #framesBefore = 0;
  /** Milliseconds. */
  #rtt = 0;
  #wantedKeyAt = -Infinity;
  #keysFor = new Set();
  #theirsFit = true;
  #theirsNarrow = false;
  #told = '';
  #turns = new Quota(realClock, turnsAtOnce, turns);
  #lines = new Quota(realClock, turnsAtOnce, turns);
  /** Its keys are bound to the connection that there was when it was begun. */
  bound = false;
  /** The other side hears us by nothing but this. */
  #used = false;
  /** It asks for what we send, and has a connection still. */
  #asked = false;
  /** And for pictures too. */
  #askedToShow = false;
  /** What of this we have told of ourselves. */
  #toldUse = '';
  /** When sound came last. */
  #soundAt = -Infinity;
  /** @type {any} */ #looking = null;
  /** What is known of the path now, once a second. */
  stats = {rtt: 0, loss: 0, jitter: 0, sent: 0, received: 0, available: 0, frames: 0, frameRate: 0, width: 0, height: 0, silence: 0};

  /** @param {PathHost} host */
  constructor(host) {
    this.#host = host;
  }

  async begin() {
    this.#exchange = await Exchange.begin();
    this.publicKey = this.#exchange.publicKey;
    if (this.#closed) return;
    this.#link = new Link({
      socket: this.#host.socket, near: this.#host.near, wide: () => this.#wide, clock: realClock, came: (frame) => this.#came(frame), ended: () => this.close(), met: () => this.#met(),
      key: () => { for (const pictures of this.#picturesOut) pictures.wantKey(); },
    });
    // It opens while keys are exchanged: behind a proxy, far away, that takes longer.
    this.#link.begin();
  }

  get audio() { return this.#soundIn?.track ?? null; }
  get video() { return this.#picturesIn[0]?.track ?? null; }
  get screen() { return this.#picturesIn[1]?.track ?? null; }
  get loudness() { return this.#soundIn?.level ?? 0; }
  /** Pictures that are shown by this: of the camera, and of the screen. */
  get pictured() { return {stream: this.#picturesIn[0]?.fresh ? this.video : null, screen: this.#picturesIn[1]?.fresh ? this.screen : null}; }
  get #frames() { return this.#picturesIn[0]?.frames ?? 0; }
  /** Whether so little of ours or theirs gets through that nothing long may go any other way: it would hold the sound up. */
  get narrow() { return this.prompt && (this.#rate.together > 1 || this.#theirsNarrow); }
  /** Whether what is said by it is heard at once, or as soon as the line allows. */
  get prompt() { return this.open && performance.now() - this.#silence.heardAt < promptFor; }
  /** The other side hears us by nothing but this. */
  get used() { return this.open && this.#used; }
  /** It has a use for this. */
  get wanted() { return this.open && (this.#used || this.#asked); }
  /** Sound comes this way. */
  get sounds() { return performance.now() - this.#soundAt < soundEach; }
  /** Whether our line has room for pictures, and whether theirs has. */
  get fits() { return {ours: this.#rate.picture > 0, theirs: this.#theirsFit}; }

  /**
   * The other side has said its key and what it can do.
   * @param {{key: string, pictures: string[], sound: boolean}} theirs
   * @param {Uint8Array<ArrayBuffer> | null} [shared] what nobody else knows
   */
  async agree(theirs, shared = null) {
    const exchange = /** @type {Exchange} */ (this.#exchange);
    const {sealer, opener, agreement} = await exchange.agree(theirs.key, shared);
    if (this.#closed) return;
    this.agreement = agreement;
    this.bound = shared !== null;
    this.#sealer = sealer;
    this.#opener = opener;
    // There before anything is opened.
    this.channels = new Channels(exchange.publicKey < theirs.key, () => this.#flow.piece, (content) => this.#flow.push(kinds.message, content),
      (channel) => this.#host.incoming(channel), () => this.close());
    const [codec, sound] = await Promise.all([codecFor(theirs.pictures), hasSound()]);
    if (this.#closed) return;
    const dueAt = (/** @type {number} */ at) => {
      const due = this.#soundIn?.dueAt(at) ?? NaN, now = performance.now();
      return Number.isNaN(due) ? now : Math.min(due, now + 400);
    };
    for (const screen of [false, true]) {
      const i = Number(screen);
      if (codec) {
        this.#picturesOut[i] = new PictureSender(codec, screen, () => this.#pictureRate(i), () => this.#flow.piece, (kind, content) => this.#flow.push(kind, content));
      }
      this.#picturesIn[i] = new PictureReceiver(dueAt, () => this.#wantKey(screen), (begins) => {
        if (begins && this.#host.standing()) this.#host.tracks();
        if (!screen) this.#host.shown();
      });
    }
    if (sound && theirs.sound) {
      this.#soundOut = new SoundSender((content) => this.#flow.push(kinds.sound, content), () => this.#rate.together);
      this.#soundIn = new SoundReceiver(() => this.#host.tracks());
    }
    this.#silence = new Silence(performance.now());
    this.#timer = setInterval(() => this.#tick(), reportEvery);
    this.#looking = setInterval(() => this.#look(), lookEvery);
    this.#busy = new Busy(realClock, () => document.visibilityState === 'visible');
    if (this.#link?.here) this.#met();
    this.send();
  }

  /** One of the two has another session: the server may take a socket now. */
  again() { this.#link?.again(); }

  /** Our session goes on, at another node perhaps. */
  settle() { this.#link?.settle(); }

  /** What we send has changed. */
  send() {
    const {media} = this.#host, stands = this.open && this.bound, sending = this.open && (this.#host.sending() || this.#used);
    if (this.open && this.#toldUse !== this.#use) this.#report();
    this.#soundOut?.use(sending || (stands && (this.#host.standing() || this.#asked)) ? media.audio : null);
    const shows = sending || (stands && this.#askedToShow && !this.#host.waits());
    this.#picturesOut[0]?.use(shows ? media.camera : null);
    this.#picturesOut[1]?.use(shows ? media.screen : null);
  }

  /** What we have it for. */
  get #use() { return this.#host.sending() ? 'uses' : this.#host.standing() ? 'asks' : ''; }

  /** @param {number} which 0: the camera, 1: the screen */
  #pictureRate(which) {
    const rate = Math.min(this.#rate.picture, this.#host.pictures()), share = this.#host.media.screen && this.#host.media.camera ? (which ? 0.7 : 0.3) : 1;
    // What would wait here is better not made.
    return this.#flow.full || this.#queued > queueMost ? 0 : rate * share;
  }

  /** Milliseconds that what waits in our browser takes to leave. */
  get #queued() { return (((this.#link?.queued ?? 0) * 8) / this.#leavesAt) * 1000; }

  /** @param {FrameKind} kind @param {Uint8Array<ArrayBuffer>} content @returns {Promise<number>} of the frame in its lane; 0: it was not sent */
  #seal(kind, content) {
    const sealed = this.#sealing.then(async () => {
      const link = this.#link, sealer = this.#sealer;
      if (!sealer || !link?.open) return 0;
      if (kind === kinds.sound && this.#queued > 2 * queueMost) return 0; // late is worse than lost
      const frame = await sealer.seal(kind, content);
      link.send(frame);
      this.#sentBits += frame.length * 8;
      return sealer.numberOf(kind);
    }).catch((error) => {
      console.warn('turnhub: a frame was not sent', error);
      return 0;
    });
    this.#sealing = sealed;
    return sealed;
  }

  /** Both ends have a socket; it may be another one than before. */
  #met() {
    this.#age = new Age(); // another way may be longer than the one before
    this.#flow.met();
    this.#report();
    this.channels?.met();
    for (const pictures of this.#picturesOut) pictures.wantKey(true);
  }

  /** @param {Uint8Array<ArrayBuffer>} frame */
  #came(frame) {
    if (this.#unopened > 200) return; // a flood: what is not opened is not kept
    this.#unopened++;
    this.#receivedBits += frame.length * 8;
    this.#opening = this.#opening.then(async () => {
      const opened = await this.#opener?.open(frame);
      this.#unopened--;
      if (!opened || this.#closed) return;
      const {kind, number, missing, content} = opened, now = performance.now();
      this.#silence.note(now);
      this.#got += frame.length * 8;
      this.#lost += missing;
      if (!this.open) this.#opened();
      if (this.#arrivals.note(kind, number, frame.length, now)) this.#answer();
      else if (this.#arrivals.owes) this.#answering ??= setTimeout(() => this.#answer(), this.#arrivals.wait);
      this.#take(kind, content, missing > 0);
    }).catch((error) => console.warn('turnhub: a frame was of no use', error));
  }

  #opened() {
    this.open = true;
    this.#report();
    this.#host.opened();
    this.send();
  }

  /** @param {FrameKind} kind @param {Uint8Array<ArrayBuffer>} content @param {boolean} gap */
  #take(kind, content, gap) {
    if (kind === kinds.message) return this.channels?.take(content);
    if (kind === kinds.report) return this.#heard(content);
    if (kind !== kinds.piece && content.length > 4) this.#age.note(new DataView(content.buffer, content.byteOffset).getUint32(0), performance.now());
    if (kind === kinds.sound) {
      const begins = !this.sounds;
      this.#soundAt = performance.now();
      if (begins && this.#host.standing()) this.#host.tracks();
      return this.#soundIn?.take(content);
    }
    const picture = this.#pieces.take(kind, content, gap);
    if (picture) this.#picturesIn[Number(picture.screen)]?.take(picture);
  }

  /** @param {boolean} screen */
  #wantKey(screen) {
    this.#keysFor.add(screen ? 1 : 0);
    const now = performance.now();
    if (now - this.#wantedKeyAt < 300) return;
    this.#wantedKeyAt = now;
    this.#report();
  }

  /** What of a time neither this page explains nor the other one. @param {number} late milliseconds @param {number} [theirs] how late the other page was */
  #excuse(late, theirs = 0) { return Math.max(0, Math.min(this.#busy?.excuse(late) ?? late, late - theirs)); }

  /** Says what has come, for the other side's flow. */
  #answer() {
    clearTimeout(this.#answering);
    this.#answering = null;
    if (!this.#closed && this.#arrivals.owes) this.#tell(this.#arrivals.answer(performance.now()));
  }

  /** @param {object} report */
  #tell(report) { this.#flow.push(kinds.report, new Uint8Array(new TextEncoder().encode(JSON.stringify(report)))); }

  #report() {
    const now = performance.now(), seconds = Math.max(0.1, (now - this.#countedAt) / 1000);
    this.#toldUse = this.#use;
    const report = {age: Math.round(this.#excuse(this.#age.late)), got: Math.round(this.#got / seconds), lost: this.#lost, keys: [...this.#keysFor], uses: this.#toldUse === 'uses', asks: this.#toldUse === 'asks', shows: this.#toldUse === 'asks' && !this.#host.waits(), fits: this.#rate.picture > 0, narrow: this.#rate.together > 1,
      busy: Math.round(this.#busy?.lately ?? 0), echo: this.#echo, ...this.#arrivals.answer(now)};
    this.#keysFor.clear();
    this.#tell(report);
  }

  /** The other side's clock as it was told last, and when: for the round trip. */
  #theirs = {at: 0, heard: 0};
  get #echo() { return this.#theirs.heard ? {at: this.#theirs.at, held: Math.round(performance.now() - this.#theirs.heard)} : null; }

  /** What the other side reports. @param {Uint8Array<ArrayBuffer>} content */
  #heard(content) {
    if (content.length > 1024) return;
    const {age, got, lost, keys, uses, asks, shows, fits, narrow, busy, at, echo, had, held} = JSON.parse(new TextDecoder().decode(content));
    const now = performance.now();
    if (Array.isArray(had) && Number.isFinite(held) && Number.isFinite(at)) this.#flow.answered(had, at, held);
    if (![age, got, lost].every(Number.isFinite)) return;
    const wish = [uses === true, asks === true, asks === true && shows === true];
    if (String(wish) !== String([this.#used, this.#asked, this.#askedToShow]) && this.#turns.take()) {
      [this.#used, this.#asked, this.#askedToShow] = wish;
      this.send();
      this.#host.wanted();
    }
    if (Number.isFinite(at)) this.#theirs = {at, heard: now};
    if (Number.isFinite(echo?.at) && Number.isFinite(echo?.held)) this.#rtt = Math.max(0, now - echo.at - echo.held);
    const theirs = Number.isFinite(busy) ? busy : 0, flow = this.#flow;
    this.#rate.take(now, {age: this.#excuse(age), got, lost}, Math.max(this.#queued, this.#excuse(flow.waited, theirs)),
      {carries: flow.carries(Math.max(theirs, this.#busy?.lately ?? 0)), roomy: flow.roomy});
    if (this.#rate.unsure) flow.probe();
    this.#arrivals.narrow = this.#rate.together > 1;
    this.#theirsFit = fits !== false;
    this.#theirsNarrow = narrow === true;
    const line = JSON.stringify(this.fits);
    if (line !== this.#told && this.#lines.take()) {
      this.#told = line;
      this.#host.line();
    }
    if (Array.isArray(keys)) for (const which of keys.slice(0, 2)) this.#picturesOut[which === 1 ? 1 : 0]?.wantKey();
  }

  /** Whether nothing says that little gets through, of ours or theirs. */
  get #wide() { return this.#rate.together === 1 && !this.#theirsNarrow; }

  /** The network is another one: what is in use may be dead, and another is opened beside it at once. */
  networkChanged() {
    this.#link?.ask();
    this.#link?.renew();
  }

  /** Nothing comes: the socket may be dead without knowing it. On a narrow line another costs too much to be opened soon. */
  #look() {
    const link = this.#link;
    if (!this.open || !link) return;
    const {ask, renew} = this.#silence.judge(this.#excuse(performance.now() - this.#silence.heardAt), this.#excuse(link.silence), this.#wide);
    if (ask) link.ask();
    if (renew) link.renew(renew === 'surely');
  }

  #tick() {
    const now = performance.now(), seconds = Math.max(0.1, (now - this.#countedAt) / 1000);
    if (now - this.#silence.heardAt > (this.open ? deadAfter : openWithin)) return this.close();
    this.#flow.tick();
    this.#report();
    this.channels?.say();
    const leaves = this.#sentBits / seconds;
    if (this.#queued > 0 && leaves > 0) this.#leavesAt = Math.max(20_000, 0.7 * this.#leavesAt + 0.3 * leaves);
    else this.#leavesAt = Math.max(this.#leavesAt, leaves);
    const [pictures] = this.#picturesIn, frames = this.#frames;
    this.stats = {...this.stats, rtt: this.#rtt / 1000, sent: leaves, received: this.#receivedBits / seconds, available: this.#rate.picture,
      frames, frameRate: (frames - this.#framesBefore) / seconds, width: pictures?.width ?? 0, height: pictures?.height ?? 0, silence: now - this.#silence.heardAt};
    this.#framesBefore = frames;
    this.#sentBits = this.#receivedBits = this.#got = this.#lost = 0;
    this.#age.again();
    this.#countedAt = now;
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.open = false;
    clearInterval(this.#timer);
    clearInterval(this.#looking);
    clearTimeout(this.#answering);
    clearTimeout(this.#waking);
    this.#busy?.close();
    this.#link?.close();
    this.#soundOut?.close();
    this.#soundIn?.close();
    for (const pictures of [...this.#picturesOut, ...this.#picturesIn]) pictures.close();
    this.channels?.close();
    this.#host.closed();
  }
}

