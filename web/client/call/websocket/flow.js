// What is on its way to the other side, and what waits for room there. A proxy between stores whatever a narrow line does not
// take and delivers it ever later, sound behind pictures; nobody tells, and no send buffer shows it. So no more leaves than the
// other side answers for in time, and what is left waits here, where sound passes by.
import {kinds, laneOf} from './seal.js';

/** @typedef {import('./seal.js').FrameKind} FrameKind */

/** What is on its way may wait there for so long, milliseconds, beyond the least time that a frame took; where it waits less there is room for more. One answer alone says so from the last on. */
const waitMost = 90, waitLittle = 45, waitLong = 500;
/** So many bytes of a picture or a message are sent at once: a quarter of what may be on its way, for sound goes between; and within these. */
const leastPiece = 600, mostPiece = 1 << 14;
/** Bytes that may be on their way: two pieces of a picture on a narrow line; what a wide one needs, until more is known; and at most. */
const least = 1400, begin = 12_000, most = 32 << 10;
/**
 * What nothing needs of that is given back, down to so much of what has come in time lately, in the last two spans of so many milliseconds, or
 * to so many bytes: a line becomes narrow without a word, and all of it would stand there before sound.
 */
const proven = 1.25, provenMs = 12_000, unproven = 2000;
/**
 * What may be on its way leaves evenly, by so much faster than it is answered for; so many milliseconds' worth at once. At once all of it would be
 * too much for the short queues that routers have, and what is lost there holds up the sound behind it.
 */
const paced = 1.5, atOnce = 25;
/** What is not answered for by then was left out on its way, milliseconds. */
const lostAfter = 2000;
/** The least times are those of so many spans of so many milliseconds: routes change, and clocks drift. */
const spans = 3, spanMs = 20_000;
/**
 * Where something has always waited for so long, milliseconds, pictures and messages pause until what is on its way has come, and then for so
 * long: a queue that always stands would count as none once the spans are over, and grow for ever.
 */
const emptyEvery = 10_000, emptyFor = 250;
/** How fast what waits leaves is seen from so long a time of waiting, milliseconds, or so many bytes, of the last so many milliseconds. */
const seenFor = 400, seenBytes = 4000, seenLately = 3000;
/**
 * A line is roomy where so many bytes that left within so many milliseconds came no later than so many, twice, lately; or where so many bits per
 * second have come.
 */
const burstBytes = 2000, burstMs = 60, burstLate = 40, burstLately = 12_000, roomyRate = 140_000;
/** Where nothing else shows it, so many bytes are sent for that, two times so many milliseconds apart; then again after so long, each time twice as long. */
const probeAgain = 2000, probePause = 4000, probePauseMost = 60_000;
/** By how much the rate at which frames get there is looked back, milliseconds: for the window, and for room. */
const rateOver = 600, roomyOver = 1500;
/** Sound that is later than this is of no use: only one packet in so many is sent until it comes in time again. */
const soundMost = 1500, soundEach = 10;
/** While pictures wait, messages have one byte for so many of theirs. */
const messageShare = 4;
/** Frames of which no answer has come that are remembered: sound is answered for, or not, as the other side likes. */
const mostParcels = 1000;
/** Lanes whose frames are answered for. */
const answered = /** @type {number[]} */ ([kinds.sound, kinds.picture, kinds.message]);
/**
 * Pictures and messages are answered for so long after they have come, milliseconds, or when so many bytes have. With what carries it
 * an answer is 170 bytes: twenty in a second are a fifth of a narrow line, so that there they come less often.
 */
const answerAfter = 50, answerNarrow = 150, answerBytes = 12_000;

const none = {there: Infinity, trip: Infinity};

/** @typedef {{lane: number, number: number, bytes: number, at: number, burst: number, flight: number}} Parcel `number`: Infinity until it is sealed; `burst`: bytes that left with it; `flight`: that were on their way then */
/** @typedef {{kind: FrameKind, content: Uint8Array<ArrayBuffer>, at: number}} Waiting */

/** Lets out what one end sends: sound and reports at once, pictures and messages as the other side answers for them. */
export class Flow {
  /** Bytes of pictures and messages that may be on their way. */
  window = begin;

  /** @type {Parcel[]} on their way, in the order in which they left */ #parcels = [];
  #bytes = 0;
  /** @type {Waiting[]} */ #pictures = [];
  /** @type {Waiting[]} */ #messages = [];
  /** Bytes that messages may send before pictures. */
  #owed = 0;
  /** The least times of the last spans, milliseconds, the newest first: there, by two clocks that differ, and there and back. @type {{there: number, trip: number}[]} */
  #least = [none];
  #spanAt = NaN;
  /** @type {{at: number, bytes: number}[]} answered lately */ #answered = [];
  /** Answers in a row that were late. */
  #late = 0;
  /** Something had to wait since the window grew last, and since the last tick. */
  #limited = false;
  #tight = false;
  #spoken = 0;
  /** How long it takes until a frame is answered for, milliseconds, and when the next may leave. */
  #answerMs = NaN;
  #freeAt = -Infinity;
  #woken = false;
  /** When nothing of ours stood in the line last, and since when there is nothing but sound on its way. */
  #emptyAt = NaN;
  #noneFrom = NaN;
  #emptying = false;
  /** Since when a picture waits; how long one did and how many bytes left then, since it was asked; and before that. */
  #waitsFrom = NaN;
  #leaving = {ms: 0, bytes: 0};
  /** @type {{at: number, ms: number, bytes: number}[]} */ #left = [];
  /** @type {number[]} when room was seen */ #roomAt = [];
  /** Times that room was looked for in vain, and when it was last. */
  #probes = 0;
  #probedAt = -Infinity;
  /** The most bytes on their way of which the last came in time, in this span and the one before. */
  #proven = [begin / proven, 0];
  #provenAt = NaN;
  #now;
  #send;
  #wake;

  /**
   * @param {() => number} now milliseconds
   * @param {(kind: FrameKind, content: Uint8Array<ArrayBuffer>) => Promise<number>} send seals and sends; the number of the frame, 0: it was not sent
   * @param {(go: () => void, ms: number) => void} wake calls that once, in so many milliseconds
   */
  constructor(now, send, wake) {
    this.#now = now;
    this.#send = send;
    this.#wake = wake;
  }

  /** Whether another picture would wait. */
  get full() { return this.#pictures.length > 0; }

  /** So large a piece of a picture or a message is to be: no more than sound can wait for. */
  get piece() { return Math.max(leastPiece, Math.min(mostPiece, this.window >> 2)); }

  /** Bytes of messages that wait. */
  get waiting() { return this.#messages.reduce((sum, {content}) => sum + content.length, 0); }

  /** How long the picture that leaves next has waited here, milliseconds. */
  get waited() { return this.#pictures.length ? this.#now() - this.#pictures[0].at : 0; }

  /** @param {FrameKind} kind @param {Uint8Array<ArrayBuffer>} content */
  push(kind, content) {
    if (kind === kinds.report) this.#send(kind, content);
    else if (kind === kinds.sound) this.#speak(content);
    else (kind === kinds.message ? this.#messages : this.#pictures).push({kind, content, at: this.#now()});
    this.#pump();
  }

  /** Sound waits for nothing; but where all of it comes too late, more would only come later. @param {Uint8Array<ArrayBuffer>} content */
  #speak(content) {
    const first = this.#parcels.find(({lane}) => lane === kinds.sound), late = first && this.#now() - first.at > soundMost;
    if (!late || ++this.#spoken % soundEach === 0) this.#leave(kinds.sound, content, 0);
  }

  #pump() {
    const now = this.#now();
    if (this.#bytes > 0) this.#noneFrom = NaN;
    else if (Number.isNaN(this.#noneFrom)) this.#noneFrom = now;
    if (now - this.#noneFrom >= emptyFor) {
      this.#emptyAt = now;
      this.#emptying = false;
    }
    this.#emptying ||= now - this.#emptyAt > emptyEvery && this.#tight;
    while (!this.#emptying) {
      const pictures = this.#pictures.length && !(this.#messages.length && this.#owed >= this.#messages[0].content.length);
      const queue = pictures ? this.#pictures : this.#messages, next = queue[0];
      if (!next) break;
      const bytes = next.content.length;
      if (this.#bytes > 0 && this.#bytes + bytes > this.window) {
        this.#limited = this.#tight = true;
        this.#waited(now, this.#pictures.length ? now : NaN);
        return;
      }
      if (this.#freeAt > now) {
        this.#waited(now, this.#pictures.length ? now : NaN);
        if (!this.#woken) this.#wake(() => { this.#woken = false; this.#pump(); }, this.#freeAt - now);
        this.#woken = true;
        return;
      }
      if (!Number.isNaN(this.#answerMs)) this.#freeAt = Math.max(this.#freeAt, now - atOnce) + (bytes * this.#answerMs) / (this.window * paced);
      if (!Number.isNaN(this.#waitsFrom)) this.#leaving.bytes += bytes;
      queue.shift();
      if (!this.#messages.length) this.#owed = 0;
      else this.#owed = pictures ? this.#owed + bytes / messageShare : Math.max(0, this.#owed - bytes);
      this.#leave(next.kind, next.content, bytes);
    }
    this.#waited(now, NaN);
  }

  /** Counts for how long pictures have waited. @param {number} now @param {number} from since when one waits from here on; NaN: none does */
  #waited(now, from) {
    if (!Number.isNaN(this.#waitsFrom)) this.#leaving.ms += now - this.#waitsFrom;
    this.#waitsFrom = from;
  }

  /** Whether far more than a narrow line carries has come in time lately. */
  get roomy() {
    const now = this.#now();
    return (this.#roomAt.length > 1 && now - this.#roomAt[1] < burstLately) || this.#came(now, roomyOver) * 8000 > roomyRate;
  }

  /**
   * Looks for room with what nobody needs: pictures of which little moves, and sound alone, never show it. A piece of no picture, which the
   * other side drops.
   */
  probe() {
    const now = this.#now(), pause = this.#probes % 2 ? probeAgain : this.#probes && Math.min(probePauseMost, probePause * 2 ** (this.#probes / 2 - 1));
    if (this.#bytes > this.window / 2 || this.full || this.#messages.length || now - this.#probedAt < pause) return;
    this.#probes = this.#probes < 20 ? this.#probes + 1 : 19; // two by two, also at last
    this.#probedAt = now;
    this.#leave(kinds.piece, new Uint8Array(burstBytes), burstBytes);
  }

  /** Bytes in a millisecond that were answered for lately. @param {number} now @param {number} over milliseconds */
  #came(now, over) { return this.#answered.reduce((sum, {at, bytes}) => sum + (now - at < over ? bytes : 0), 0) / over; }

  /**
   * Bits per second at which pictures that waited here have left lately: what the line has beside sound; Infinity: not enough has waited to tell.
   * Asked now and then. @param {number} busy so long since it was asked last a page stood still, ours or theirs, milliseconds
   */
  carries(busy) {
    const now = this.#now();
    if (!Number.isNaN(this.#waitsFrom)) this.#waited(now, now);
    const {ms, bytes} = this.#leaving;
    if (ms > busy) this.#left.unshift({at: now, ms: ms - busy, bytes});
    this.#leaving = {ms: 0, bytes: 0};
    this.#left = this.#left.filter(({at}) => now - at < seenLately);
    const sum = {ms: 0, bytes: 0};
    for (const one of this.#left) {
      sum.ms += one.ms;
      sum.bytes += one.bytes;
      if (sum.ms >= seenFor || sum.bytes >= seenBytes) return (sum.bytes * 8000) / sum.ms;
    }
    return Infinity;
  }

  /** @param {FrameKind} kind @param {Uint8Array<ArrayBuffer>} content @param {number} bytes that count */
  #leave(kind, content, bytes) {
    const now = this.#now(), burst = this.#parcels.reduce((sum, parcel) => sum + (now - parcel.at < burstMs ? parcel.bytes : 0), bytes);
    /** @type {Parcel} */ const parcel = {lane: laneOf(kind), number: Infinity, bytes, at: now, burst, flight: this.#bytes + bytes};
    this.#parcels.push(parcel);
    this.#bytes += bytes;
    if (this.#parcels.length > mostParcels) this.#bytes -= /** @type {Parcel} */ (this.#parcels.shift()).bytes;
    this.#send(kind, content).then((number) => { parcel.number = number; if (!number) this.#strike((other) => other === parcel); });
  }

  /** Takes off what is not on its way any more. @param {(parcel: Parcel) => boolean} which */
  #strike(which) {
    const gone = this.#parcels.filter(which);
    if (gone.length) this.#parcels = this.#parcels.filter((parcel) => !which(parcel));
    for (const {bytes} of gone) this.#bytes -= bytes;
    return gone;
  }

  /**
   * The other side answers.
   * @param {number[]} had the number of the last frame that came, of sound, pictures and messages
   * @param {number} at when that was said, by the other side's clock, milliseconds
   * @param {number} held how long before a picture or message came last, milliseconds
   */
  answered(had, at, held) {
    const now = this.#now(), came = this.#strike(({lane, number}) => number <= had[answered.indexOf(lane)]), bytes = came.reduce((sum, parcel) => sum + parcel.bytes, 0);
    const newest = came.findLast((parcel) => parcel.bytes > 0);
    if (newest) {
      const took = Math.min(lostAfter, now - newest.at); // a page that slept takes what came meanwhile late
      this.#answerMs = Number.isNaN(this.#answerMs) ? took : this.#answerMs + (took - this.#answerMs) / 8;
      this.#answered = this.#answered.filter(({at}) => now - at < roomyOver);
      this.#answered.push({at: now, bytes});
      this.#adapt(now, {there: at - held - newest.at, trip: Math.max(1, now - newest.at - held)}, bytes, newest);
    }
    this.#pump();
  }

  /** @param {number} now @param {{there: number, trip: number}} took the newest frame @param {number} bytes that came @param {Parcel} newest */
  #adapt(now, took, bytes, {burst, flight}) {
    if (Number.isNaN(this.#spanAt)) this.#spanAt = now;
    if (now - this.#spanAt > spanMs) {
      this.#least = [none, ...this.#least].slice(0, spans);
      this.#spanAt = now;
    }
    this.#least[0] = {there: Math.min(this.#least[0].there, took.there), trip: Math.min(this.#least[0].trip, took.trip)};
    // Only there: whether answers wait on their way back is for the other side to see to.
    const wait = took.there - Math.min(...this.#least.map(({there}) => there));
    if (wait < waitLittle) this.#proven[0] = Math.max(this.#proven[0], flight);
    if (burst >= burstBytes && wait < burstLate) {
      this.#roomAt = [now, ...this.#roomAt].slice(0, 2);
      this.#left = []; // whatever held it up does no more
      if (this.roomy) this.#probes = 0;
    }
    // One answer alone may be late because a page was busy; but not by so much.
    this.#late = wait > waitLong ? 2 : wait > waitMost ? this.#late + 1 : 0;
    if (this.#late >= 2) {
      this.#roomAt = [];
      // As much as gets there in the time of a round trip: the queue empties, and the next ones show how long that is.
      this.window = Math.max(least, Math.min(this.window, this.#came(now, rateOver) * Math.min(...this.#least.map(({trip}) => trip))));
    } else if (wait < waitLittle && this.#limited) {
      // In a round trip by an eighth, or by a piece.
      this.window = Math.min(most, this.window + (bytes / this.window) * Math.max(leastPiece, this.window / 8));
      this.#limited = false;
    }
  }

  /** Now and then: what did not come is given up, and what of the window nothing needs. */
  tick() {
    const now = this.#now();
    if (this.#strike(({bytes, at}) => bytes > 0 && now - at > lostAfter).length) this.window = least;
    else if (!this.#tight) this.window = Math.min(this.window, Math.max(unproven, proven * Math.max(...this.#proven), this.window * 0.9));
    if (!(now - this.#provenAt <= provenMs)) {
      this.#proven = [0, this.#proven[0]];
      this.#provenAt = now;
    }
    if (!this.#tight || Number.isNaN(this.#emptyAt)) this.#emptyAt = now;
    this.#tight = false;
    this.#pump();
  }

  /** The two have met by another socket: what was on its way is lost, or comes all the same. */
  met() {
    this.#parcels = [];
    this.#bytes = 0;
    this.#pictures = []; // they follow on some that are lost: a whole one comes
    this.#least = [none];
    this.#late = 0;
    this.#emptyAt = NaN;
    this.#emptying = false;
    this.#left = [];
    this.#roomAt = [];
    this.#probes = 0;
    this.#answered = [];
    this.#proven = [begin / proven, 0];
    this.#provenAt = NaN;
    this.#answerMs = NaN;
    this.#freeAt = -Infinity;
    this.#woken = false;
    this.window = begin;
    this.#pump();
  }
}

/** What has come, for the other side's flow. */
export class Arrivals {
  /** Our own line, on which answers go, is narrow. */
  narrow = false;

  #had = answered.map(() => 0);
  #unanswered = 0;
  #since = NaN;
  #cameAt = NaN;

  /**
   * @param {FrameKind} kind @param {number} number of the frame @param {number} bytes @param {number} now milliseconds
   * @returns {boolean} whether it is to be answered for now
   */
  note(kind, number, bytes, now) {
    const lane = answered.indexOf(laneOf(kind));
    if (lane < 0) return false;
    this.#had[lane] = number;
    if (kind !== kinds.sound) {
      if (!this.#unanswered) this.#since = now;
      this.#unanswered += bytes;
      this.#cameAt = now;
    }
    return this.due(now);
  }

  /** @param {number} now */
  due(now) { return this.#unanswered > answerBytes || (this.#unanswered > 0 && now - this.#since >= this.wait); }

  /** So long what came may be without an answer, milliseconds. */
  get wait() { return this.narrow ? answerNarrow : answerAfter; }

  /** Whether something is to be answered for, some time. */
  get owes() { return this.#unanswered > 0; }

  /** @param {number} now @returns {{had: number[], at: number, held: number}} for Flow.answered */
  answer(now) {
    this.#unanswered = 0;
    return {had: [...this.#had], at: Math.round(now), held: Number.isNaN(this.#cameAt) ? 0 : Math.round(now - this.#cameAt)};
  }
}
