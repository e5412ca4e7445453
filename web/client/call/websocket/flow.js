// What is on its way to the other side, and what waits for room there. A proxy between stores whatever a narrow line does not
// take and delivers it ever later, sound behind pictures; nobody tells, and no send buffer shows it. So no more leaves than the
// other side answers for in time, and what is left waits here, where sound passes by.
import {kinds, laneOf} from './seal.js';

/** @typedef {import('./seal.js').FrameKind} FrameKind */

/** What is on its way may wait there for so long, milliseconds, beyond the least time that a frame took; where it waits less there is room for more. */
const waitMost = 90, waitLittle = 45;
/** So many bytes of a picture or a message are sent at once: a quarter of what may be on its way, for sound goes between; and within these. */
const leastPiece = 600, mostPiece = 1 << 14;
/** Bytes that may be on their way: two pieces of a picture on a narrow line; what a wide one needs, until more is known; and at most. */
const least = 1400, begin = 12_000, most = 128 << 10;
/** What is not answered for by then was left out on its way, milliseconds. */
const lostAfter = 2000;
/** The least times are those of so many spans of so many milliseconds: routes change, and clocks drift. */
const spans = 3, spanMs = 20_000;
/** By how much the rate at which frames get there is looked back, milliseconds. */
const rateOver = 600;
/** Sound that is later than this is of no use: only one packet in so many is sent until it comes in time again. */
const soundMost = 1500, soundEach = 10;
/** While pictures wait, messages have one byte for so many of theirs. */
const messageShare = 4;
/** Lanes whose frames are answered for. */
const answered = /** @type {number[]} */ ([kinds.sound, kinds.picture, kinds.message]);
/**
 * Pictures and messages are answered for so long after they have come, milliseconds, or when so many bytes have. With what carries it
 * an answer is 170 bytes: twenty in a second are a fifth of a narrow line, so that there they come less often.
 */
const answerAfter = 50, answerNarrow = 150, answerBytes = 12_000;

const none = {there: Infinity, trip: Infinity};

/** @typedef {{lane: number, number: number, bytes: number, at: number}} Parcel `number`: Infinity until it is sealed */
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
  #now;
  #send;

  /**
   * @param {() => number} now milliseconds
   * @param {(kind: FrameKind, content: Uint8Array<ArrayBuffer>) => Promise<number>} send seals and sends; the number of the frame, 0: it was not sent
   */
  constructor(now, send) {
    this.#now = now;
    this.#send = send;
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
    for (;;) {
      const pictures = this.#pictures.length && !(this.#messages.length && this.#owed >= this.#messages[0].content.length);
      const queue = pictures ? this.#pictures : this.#messages, next = queue[0];
      if (!next) return;
      const bytes = next.content.length;
      if (this.#bytes > 0 && this.#bytes + bytes > this.window) {
        this.#limited = this.#tight = true;
        return;
      }
      queue.shift();
      if (!this.#messages.length) this.#owed = 0;
      else this.#owed = pictures ? this.#owed + bytes / messageShare : Math.max(0, this.#owed - bytes);
      this.#leave(next.kind, next.content, bytes);
    }
  }

  /** @param {FrameKind} kind @param {Uint8Array<ArrayBuffer>} content @param {number} bytes that count */
  #leave(kind, content, bytes) {
    /** @type {Parcel} */ const parcel = {lane: laneOf(kind), number: Infinity, bytes, at: this.#now()};
    this.#parcels.push(parcel);
    this.#bytes += bytes;
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
      this.#answered = this.#answered.filter(({at}) => now - at < rateOver);
      this.#answered.push({at: now, bytes});
      this.#adapt(now, {there: at - held - newest.at, trip: Math.max(1, now - newest.at - held)}, bytes);
    }
    this.#pump();
  }

  /** @param {number} now @param {{there: number, trip: number}} took the newest frame @param {number} bytes that came */
  #adapt(now, took, bytes) {
    if (Number.isNaN(this.#spanAt)) this.#spanAt = now;
    if (now - this.#spanAt > spanMs) {
      this.#least = [none, ...this.#least].slice(0, spans);
      this.#spanAt = now;
    }
    this.#least[0] = {there: Math.min(this.#least[0].there, took.there), trip: Math.min(this.#least[0].trip, took.trip)};
    // Only there: whether answers wait on their way back is for the other side to see to.
    const wait = took.there - Math.min(...this.#least.map(({there}) => there));
    // One answer alone may be late because a page was busy.
    this.#late = wait > waitMost ? this.#late + 1 : 0;
    if (this.#late >= 2) {
      // As much as gets there in the time of a round trip: the queue empties, and the next ones show how long that is.
      const came = this.#answered.reduce((sum, answer) => sum + answer.bytes, 0) / rateOver;
      this.window = Math.max(least, Math.min(this.window, came * Math.min(...this.#least.map(({trip}) => trip))));
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
    else if (!this.#tight) this.window = Math.min(this.window, Math.max(begin, this.window * 0.9));
    this.#tight = false;
    this.#pump();
  }

  /** The two have met by another socket: what was on its way is lost, or comes all the same. */
  met() {
    this.#parcels = [];
    this.#bytes = 0;
    this.#least = [none];
    this.#late = 0;
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
