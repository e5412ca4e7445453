import {isEstimated, makesLonger} from './bitrate.js';
import {PathTiming} from './timing.js';
import {Asking} from './asking.js';
import {NarrowLine, around, calm, header, holding, plenty, soundOfTold, soundTook} from './narrow.js';
import {statsOf} from './stats.js';
import {Tally} from './tally.js';
import {lineTimes as times} from '../../base/times.js';

/** @typedef {import('./narrow.js').Allowance} Allowance */
/** @typedef {'wide' | 'narrow' | 'no-picture'} LineState what of a call fits a line: all of it, less of it, sound alone */

/**
 * What the line needs of its peer.
 * @typedef {object} LineHost
 * @property {import('../../base/clock.js').Clock} clock
 * @property {() => RTCPeerConnection | null} pc the connection in use, while it is connected
 * @property {() => boolean} open whether messages go out at once
 * @property {(message: any) => void} tell
 * @property {() => number} wants bits per second that the call would send to this person
 * @property {() => boolean} [expected] our own line was seen to be narrow before the call
 * @property {(rate: number) => void} [begin] has the browser think anew of what it may send
 * @property {() => void} [pack] packets of sound are to be of another length, see `packs`
 * @property {() => void} changed another allowance
 * @property {() => void} said the line is in another state, on our side or theirs
 */

/** Chromium thinks of no path as less, bits per second. */
const leastBegun = 30_000;
/** From this share of what a browser thinks that it may send on it is held back by that. */
const fillsFrom = 0.6;
/** Of what is sent to somebody who answers no longer so much is thought to arrive: what he said of it last was before that. */
const heardOfNothing = 0.5;

/** @param {Allowance} a @param {Allowance} b */
const same = (a, b) => Object.entries(a).every(([key, value]) => b[/** @type {keyof Allowance} */ (key)] === value);

/**
 * Bytes as the line sees them, with what is around each packet. Firefox does not count the packets of a pair: there they are those of
 * sound and pictures.
 * @param {RTCStatsReport} report @param {number} now @param {Tally} tally
 */
function counted(report, now, tally) {
  /** @type {any} */ let pair = null;
  let sent = 0, received = 0, spoken = 0, words = 0, media = 0, shown = 0;
  for (const entry of /** @type {Iterable<any>} */ (report.values())) {
    if (entry.type === 'candidate-pair' && (entry.selected || entry.nominated) && entry.state === 'succeeded' && (entry.bytesSent ?? 0) >= (pair?.bytesSent ?? 0)) pair = entry;
  }
  for (const {type, kind, packetsSent, bytesSent, retransmittedBytesSent, packetsReceived} of tally.take(report)) {
    received += packetsReceived;
    if (type !== 'outbound-rtp') continue;
    sent += packetsSent;
    media += bytesSent + header * packetsSent;
    if (kind === 'video') shown += bytesSent - retransmittedBytesSent;
    if (kind === 'audio') [spoken, words] = [bytesSent, packetsSent];
  }
  if (!pair) return null;
  return {at: pair.timestamp ?? now, trip: (pair.currentRoundTripTime ?? 0) * 1000, spoken, words, media, shown, bare: pair.bytesSent ?? 0, available: pair.availableOutgoingBitrate ?? 0,
    sent: (pair.bytesSent ?? 0) + around * (pair.packetsSent ?? sent), received: (pair.bytesReceived ?? 0) + around * (pair.packetsReceived ?? received)};
}

/**
 * What is peculiar about the sound that is sent.
 * @param {RTCPeerConnection} pc
 * @returns {{longer: boolean, estimated: boolean}} the browser makes its packets longer where it is told to; it counts them in what it
 *   thinks of the line
 */
function soundOf(pc) {
  for (const sender of pc.getSenders?.() ?? []) {
    const parameters = sender.track?.kind === 'audio' && sender.getParameters();
    if (parameters && parameters.encodings?.length) return {longer: makesLonger(parameters), estimated: isEstimated(parameters)};
  }
  return {longer: true, estimated: true};
}

/** The line to one person: measured while it leads over TCP or TLS, and what is sent over it, see NarrowLine. */
export class Line {
  /** What of ours fits, and what of theirs does, as they say. @type {LineState} */ ours = 'wide';
  /** @type {LineState} */ theirs = 'wide';

  /** @type {LineHost} */ #host;
  #timing;
  #narrow = new NarrowLine();
  /** @type {Readonly<Allowance>} */ #allowed = plenty;
  /** Since when answers are late; and that no pictures are sent until they come. */
  #lateFrom = Infinity;
  #held = false;
  /** Since when ours is known as narrow; and after when something has come, of whatever kind. */
  #narrowFrom = Infinity;
  #cameAt = -Infinity;
  #asking = new Asking();
  #most = Infinity;
  #stream = false;
  /** What is allowed is what the other side's word of its line leaves: the path is not known yet. */
  #expecting = false;
  /** It has been known. */
  #known = false;
  #running = false;
  /** @type {RTCPeerConnection | null} that was measured last */ #pc = null;
  /** Bits per second, in the last second or so. */
  #sent = 0;
  #bare = 0;
  #received = 0;
  /** What sound takes of the line, where the browser makes its packets no longer; 0: it does. */
  #spoken = 0;
  /** Packets of sound are longer than the browser makes them by itself; whether it makes them so by itself; and when the line was narrow last. */
  #packs = false;
  #longer = true;
  #packsFrom = -Infinity;
  /** What is sent beside what the browser counts in what it thinks that it may send: sound, or nothing. */
  #apart = 0;
  /** What is sent of sound and pictures of the rest, in the last moment. */
  #media = 0;
  /** What pictures have of it, without what is sent again. */
  #shows = Infinity;
  /** What the browser thinks that it may send, with that; 0: it does not say. */
  #available = 0;
  /** @type {{at: number, sent: number, received: number, bare: number, spoken: number, words: number, media: number, shown: number}[]} */ #counts = [];
  #tally = new Tally();
  #countedAt = -Infinity;
  #aloneFrom = -Infinity;
  /** So long a ping follows the one before, of both sides, milliseconds. */
  #every = times.ping;
  /** How long sound waited when it was looked at last, and before. */
  #waited = {at: -Infinity, there: 0, before: 0};
  #counting = false;
  /** Since when the path is in use, and its own round trip as it was first, milliseconds; 0: not known. */
  #since = -Infinity;
  #trip = 0;
  #fileBytes = 0;
  #files = 0;
  /** What the other side was told; 'anew': it may not have been. @type {LineState | '' | 'anew'} */ #told = '';
  #closed = false;

  /** @param {LineHost} host */
  constructor(host) {
    this.#host = host;
    this.#timing = new PathTiming(host.clock, (message) => host.tell(message));
  }

  /** Once a second. @param {import('../../session/hub.js').Path | ''} path */
  tick(path) {
    this.#stream = path === 'relay-tcp' || path === 'relay-tls';
    // What the other side has said of its line holds until the path is known.
    if (path) [this.#expecting, this.#known] = [false, true];
    if (this.#stream) this.#run();
    else this.#leave();
    if (this.ours !== this.#told && this.#host.open() && (this.#told || this.ours !== 'wide')) {
      this.#told = this.ours;
      this.#host.tell({type: 'line', state: this.ours});
    }
  }

  /**
   * The other side has seen before the call how little its line takes.
   * @param {number} takes bits per second
   */
  expect(takes) {
    if (this.#known) return;
    this.#allowed = this.#narrow.expect(takes, this.#host.clock.now());
    this.#expecting = this.allowance.narrow;
    this.#say();
    this.#host.changed();
  }

  /** What may be sent; once the line is known as narrow that says what goes beside what waits. @returns {Readonly<Allowance>} */
  get allowance() { return this.#held && !this.#allowed.narrow ? holding(this.#allowed) : this.#allowed; }

  /** The path is over TCP or TLS: what the line does not take waits. */
  get waits() { return this.#stream; }

  /**
   * Either way takes less than the call wants, as far as is known, or what is sent is answered late while something still comes: nothing is
   * opened or tried beside the call. Where nothing comes at all it may as well be dead.
   */
  get narrow() {
    if (this.theirs !== 'wide' || this.#cameAt > (this.#held ? Math.min(this.#narrowFrom, this.#lateFrom) : this.#narrowFrom)) return true;
    return this.#stream && this.#host.clock.now() - this.#since < times.first && (this.#host.expected?.() ?? false);
  }

  /** Bits per second with which another connection begins to send; undefined: as always. */
  get begins() { return this.allowance.narrow ? Math.max(leastBegun, this.#narrow.room) : undefined; }

  /** Packets of sound are to be longer than the browser makes them by itself: its connection is told so by what the other side has said. */
  get packs() { return this.#packs; }

  /** What the other side says of the line. @param {import('../data/bounds.js').Timed} message */
  hear(message) {
    this.#cameAt = this.#host.clock.now();
    const pad = this.#timing.hear(message, {got: this.#received, most: this.#most});
    if (this.#timing.brought) this.#asking.passed(this.#cameAt, this.#timing.brought);
    if (pad !== null && this.#stream) this.#take(pad ? this.#timing.took : this.#timing.there, pad);
  }

  /** @param {LineState} state */
  hearState(state) {
    if (this.theirs === state) return;
    this.theirs = state;
    this.#host.said();
  }

  /** Another connection is in use, or the channel has opened: the other side is told anew. */
  moved() {
    this.#timing.forget();
    if (this.#told || this.ours !== 'wide') this.#told = 'anew';
  }

  close() { this.#closed = true; }

  /** How files are sent: bits per second, and what was. @type {import('../data/transfer.js').Pace} */
  pace = {rate: () => this.allowance.files, sent: (bytes) => { this.#fileBytes += bytes; }};

  async #run() {
    if (this.#running) return;
    this.#running = true;
    const {clock} = this.#host;
    while (!this.#closed && this.#stream) {
      const now = clock.now(), pc = this.#host.pc();
      if (pc !== this.#pc) {
        this.moved();
        this.#counts = [];
        this.#tally = new Tally();
        this.#trip = 0;
        this.#since = now;
      }
      this.#pc = pc;
      if (pc && now - this.#countedAt > (this.#doubtful(now) ? times.count / 2 : times.count)) this.#count(pc, now);
      const talks = pc !== null && this.#host.open();
      this.#late(talks, now);
      if (talks) {
        this.#most = this.#asking.take(now, Math.max(this.#timing.here, this.#timing.silence - times.silent - this.#every), this.#alone(now) ? this.#timing.there : 0, this.#received, this.#narrow.is);
        const waiting = this.#timing.waiting(this.#narrow.limited);
        if (waiting > times.late) this.#take(waiting, 0);
        // A long one says the more the sooner it follows the one before.
        const {pad} = this.#narrow, either = [this.ours, this.theirs];
        const every = this.#every = pad || either.every((state) => state === 'wide') ? times.ping : either.includes('no-picture') ? times.pingSound : times.pingNarrow;
        if (this.#timing.ping(every, pad, this.#most) && pad) this.#narrow.padded(now);
      }
      const before = clock.now();
      await new Promise((resolve) => { clock.setTimeout(() => resolve(undefined), times.look); });
      this.#timing.busy(clock.now() - before - times.look);
    }
    this.#late(false, 0);
    this.#running = false;
  }

  /** The path is none of those that are measured. */
  #leave() {
    this.#late(false, 0);
    if (this.#allowed !== plenty && !this.#expecting) this.#take(0, 0);
  }

  /** @param {boolean} talks @param {number} now */
  #late(talks, now) {
    const {overdue, there, answeredOf} = this.#timing;
    // That one was answered in time which was sent before says nothing of those after it.
    const late = talks && (overdue > times.held || (this.#lateFrom < Infinity && (there > calm || answeredOf < this.#lateFrom)));
    this.#lateFrom = late ? Math.min(this.#lateFrom, now) : Infinity;
    const held = late && now - this.#lateFrom < times.heldMost;
    if (this.#held === held) return;
    this.#held = held;
    this.#host.changed();
  }

  /** Sound has gone alone for a while, without a file too, and what waits does not become less for that: so it is not what waited before. @param {number} now */
  #alone(now) {
    const {there} = this.#timing;
    if (this.allowance.picture || this.#fileBytes || this.#files || !this.#narrow.is) this.#aloneFrom = now;
    if (now - this.#waited.at > times.alone / 2) this.#waited = {at: now, there, before: this.#waited.there};
    return now - this.#aloneFrom > times.alone && there > this.#waited.before * 0.8;
  }

  /** @param {number} delay @param {number} pad */
  #take(delay, pad) {
    // Who sends as much as his browser thinks that he may is the one who fills it.
    const fills = this.#available > 0 && this.#available < this.#host.wants() && this.#bare > this.#available * fillsFrom;
    if (fills && !pad && this.#host.clock.now() - this.#since < times.first) delay += this.#timing.standing(this.#trip);
    const before = this.#allowed, unheard = this.#timing.unanswered > times.silent + this.#every;
    this.#allowed = this.#narrow.take({now: this.#host.clock.now(), stream: this.#stream, delay, sent: this.#sent,
      received: unheard ? this.#sent * heardOfNothing : this.#timing.got, asked: this.#timing.asked, files: this.#files, pad,
      available: this.#available, bare: this.#bare, wants: this.#host.wants(), spoken: this.#spoken, apart: this.#apart, media: this.#media, shows: this.#shows, held: this.#held});
    const {begins} = this.#narrow;
    if (begins) this.#host.begin?.(begins);
    this.#pack();
    // What files may send they ask for by themselves.
    if (!same({...before, files: 0}, {...this.#allowed, files: 0})) this.#host.changed();
    this.#say();
  }

  /** Each change makes what is sent anew: once for as long as it is narrow, and soon again where it changes all the time. */
  #pack() {
    const now = this.#host.clock.now(), {narrow, long} = this.#allowed;
    if (narrow) this.#packsFrom = now;
    const packs = narrow && long && !this.#longer ? true : this.#packs && this.#stream && now - this.#packsFrom < times.packs;
    if (packs === this.#packs) return;
    this.#packs = packs;
    this.#host.pack?.();
  }

  #say() {
    const {state} = this.allowance;
    if (state === this.ours) return;
    this.#narrowFrom = state === 'wide' ? Infinity : Math.min(this.#narrowFrom, this.#host.clock.now());
    this.ours = state;
    this.#host.said();
  }

  /** The path is new, and the browser thinks little of it. @param {number} now */
  #doubtful(now) { return this.#narrow.doubtful && now - this.#since < times.first; }

  /** Looks at how much goes and comes. @param {RTCPeerConnection} pc @param {number} now */
  async #count(pc, now) {
    if (this.#counting) return;
    this.#counting = true;
    this.#files = (this.#fileBytes * 8000) / Math.max(times.count, Math.min(now - this.#countedAt, times.rate));
    this.#fileBytes = 0;
    const before = this.#countedAt;
    this.#countedAt = now;
    const report = await statsOf(pc, this.#host.clock);
    this.#counting = false;
    const count = report && pc === this.#pc && counted(report, now, this.#tally);
    if (!count) return;
    const [first] = this.#counts;
    if (first && (count.sent < first.sent || count.received < first.received)) {
      this.#counts = [];
      this.#trip = 0; // it is another path
    }
    // Of the checks that found the path: nothing was sent over it yet.
    if (count.trip && now - this.#since < times.first) this.#trip = Math.min(this.#trip || Infinity, count.trip);
    const last = this.#counts.at(-1);
    if (last && count.received > last.received) this.#cameAt = Math.max(this.#cameAt, before);
    this.#counts = [...this.#counts.filter(({at}) => at > count.at - times.rate), count];
    const from = this.#counts[0], seconds = (count.at - from.at) / 1000;
    if (seconds <= 0) return;
    this.#sent = ((count.sent - from.sent) * 8) / seconds;
    this.#bare = ((count.bare - from.bare) * 8) / seconds;
    this.#received = ((count.received - from.received) * 8) / seconds;
    const {longer, estimated} = soundOf(pc), spoken = count.spoken - from.spoken, words = count.words - from.words;
    this.#longer = longer;
    // Silence takes less than what may follow it; and who is told of longer packets may not know them.
    this.#spoken = longer ? 0 : Math.max(soundTook(spoken, words, seconds), soundOfTold(this.#packs));
    this.#apart = estimated ? 0 : (spoken * 8 + words * header * 8) / seconds;
    this.#shows = Math.max(0, ((count.shown - from.shown) * 8) / seconds);
    const moment = last ? (count.at - last.at) / 1000 : 0;
    if (last && moment > 0) this.#media = Math.max(0, ((count.media - last.media) * 8) / moment - this.#apart);
    this.#available = count.available && count.available + this.#apart;
    this.#narrow.think(now, this.#available, this.#bare);
    // It is known before the first message is answered, and while none is.
    if (this.#stream && this.#doubtful(now)) this.#take(this.#timing.there, 0);
  }
}
