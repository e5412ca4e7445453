/**
 * What to send over a line that takes less than the call wants: nothing but arithmetic, so that it can be played through
 * in Node against simulated lines. The relay hands on over TCP and TLS whatever it is given, and so does the browser's own
 * socket: what is too much waits, where a datagram would be lost, and the browser's congestion control sees it seconds
 * later. So the queue is measured here, four times a second, and what is sent is lowered before it grows old.
 */

import {Choice, best, comesBack} from './pictures.js';
import {longPacket} from './packets.js';
import {Beginning, Looking, Widening, soundAlone} from './widening.js';

/** The queue in milliseconds below which there is room, above which there is too much, and which is emptied before anything else. */
export const calm = 90, full = 200, drowning = 400;
/** What sound gets at the least, and its headers, bits per second: Opus is understood well at this. */
export const soundFloor = 16_000;
/** Headers of RTP and SRTP, and what TURN, TLS, TCP and IP put around each packet and no browser counts, bytes. */
export const header = 42;
export const around = 94;
/** Packets of sound a second: of 20 ms, and of 40 ms as browsers make them when they have little (`adaptivePtime`), and what is in those. */
const packets = 50, longPackets = 25, inLong = 25_500;
/** What lasts for so long is a queue, milliseconds. */
const moment = 350;
/** Where less than this share of what is sent arrives, and has for so long, milliseconds, a stream is too narrow: it loses nothing by itself. */
const arrives = 0.8, missed = 1300;
/** What is so narrow already is cut again when the queue has stayed for so long, milliseconds. */
const staying = 2000;
/** So far ahead of what a browser thinks that it may send its room does not grow by itself. */
const aheadOf = 1.5;
/** A cut leaves so much of what got through, that the queue empties. */
export const cutTo = 0.75;
/** Where the least picture takes less than this share of it, that may stay. */
const leaves = 0.9;
/** More than this is not narrow, whatever the queue does, bits per second. */
export const wide = 2_000_000;

/**
 * One look at the line, four times a second.
 * @typedef {object} Sample
 * @property {number} now milliseconds, of a clock that is never set back
 * @property {boolean} stream the path leads over TCP or TLS, here or there
 * @property {number} delay milliseconds that what is sent now waits on its way: how much longer it takes than at the best of times
 * @property {number} sent bits per second in the last second, pictures, sound, files and what is around them
 * @property {number} [received] bits per second of it that arrived, as the other side says; 0: it does not
 * @property {number} [asked] bits per second that the other side wants at most; Infinity
 * @property {number} [files] bits per second of it that are files
 * @property {number} [pad] bytes by which the packet that was timed was longer than others
 * @property {number} [available] bits per second that the browser thinks it may send; 0: it does not say
 * @property {number} [bare] bits per second that are sent, without what is around packets
 * @property {number} [media] bits per second of it that are sound and pictures, of those that the browser counts in what it thinks, in the last moment
 * @property {number} [shows] bits per second of pictures, without what is sent again; Infinity: not known
 * @property {number} [wants] bits per second that the call would send; wide
 * @property {number} [spoken] bits per second that sound takes of the line at the least, where the browser makes its packets no longer by itself; 0: it does
 * @property {boolean} [held] no pictures are sent meanwhile, as messages are not answered: that as much arrives as is sent says nothing
 * @property {number} [apart] bits per second of `available` that the browser does not count in it: they are sent whatever it thinks
 */

/**
 * What to send.
 * @typedef {object} Allowance
 * @property {boolean} narrow the line takes less than the call wants
 * @property {import('./line.js').LineState} state the same for people: pictures that stop for a moment are no other state
 * @property {boolean} picture whether pictures are sent
 * @property {number} video bits per second of all pictures; Infinity
 * @property {number} scale what the sides of a picture are divided by, at the least
 * @property {number} frameRate at the most
 * @property {number} audio bits per second of sound; Infinity
 * @property {boolean} long packets of sound may be longer than 20 ms
 * @property {number} files bits per second; Infinity
 * @property {boolean} afresh a browser that has made pictures smaller by itself is to forget it
 * @property {boolean} less the most that pictures may have is to be a little less, which is a change
 */

/** @type {Readonly<Allowance>} */
export const plenty = Object.freeze({narrow: false, state: 'wide', picture: true, video: Infinity, scale: 1, frameRate: Infinity, audio: Infinity, long: false, files: Infinity, less: false, afresh: false});

/** It is told so for so long, milliseconds, where it has thought so little, bits per second, that it made them smaller. */
const afreshFor = 1000, littleFor = 250_000;
/** One that does not say what it thinks is told so as long after pictures were small because of us: then it has found what it finds. */
const foundAfter = 700;
/**
 * Where a path is new, for so long, milliseconds, the first that shows that it is too narrow is that the browser thinks so little, which begins
 * with 600 kbit/s (start.js), and fills it. What waits is seen a second or two later, as the channel by which it is measured opens behind
 * that; and a server that drops what is late lets those messages go first. It is believed when it has held for so long.
 */
const beginning = 10_000, sure = 150;
/** What is sent while a browser is to see that it might send more: Chromium gives pictures 30 kbit/s at the least, which these do not fill. */
const resting = {video: 22_000, scale: 4, frameRate: 4, audio: soundFloor, long: true};

/** What sound takes of the line, bits per second, with all that is around it. @param {number} audio @param {boolean} long */
export const soundTakes = (audio, long) => (long ? inLong : audio) + (long ? longPackets : packets) * (header + around) * 8;
/** The same of a browser that makes its packets longer only where it is told so, or does not (packets.js). @param {boolean} told */
export const soundOfTold = (told) => soundFloor + (told ? 1000 / longPacket : packets) * (header + around) * 8;
/** The same as it was measured: bytes without headers, and packets, in so many seconds. @param {number} bytes @param {number} count @param {number} seconds */
export const soundTook = (bytes, count, seconds) => ((bytes + count * (header + around)) * 8) / seconds;

/** Files begin with so many bits per second, have so many at the least, and above so many as much as they like. */
const filesFirst = 64_000, filesLeast = 8000, filesFree = 50_000_000;

/** A line that is thought to take less than this before the call is narrow for it, bits per second; so much of that is sent at first. */
export const narrowFrom = 300_000;
const beginsWith = 0.8;
/** What was thought of a line before is asked after so long, milliseconds; so much of it is believed while it is found out what it takes. */
const doubting = 2000, relied = 0.8;

/**
 * What goes on while messages are not answered, whoever's doing that is: sound alone. What is sent meanwhile would stand on the line, where
 * it has become narrow, and goes nowhere where it is dead.
 * @param {Readonly<Allowance>} allowance @returns {Readonly<Allowance>}
 */
export const holding = (allowance) => ({...allowance, picture: false, audio: Math.min(allowance.audio, soundFloor), long: true});

/** In steps of an eighth, that a browser is not told of every little change. @param {number} rate */
const rough = (rate) => Math.round(1000 * 1.12 ** Math.floor(Math.log(rate / 1000) / Math.log(1.12)));

/** Less than this share of what it thought at most in so long, milliseconds, is a cut of the browser's own; it counts where it sends about as much as it thinks. */
const itsCut = 0.87, itsMemory = 2500, asMuch = 0.6;

/** What a long message shows is believed to so much, and one who was wrong within so long is not believed for so long, up to so long, milliseconds. */
export const believed = 0.6, proven = 4000;
const doubtFirst = 4000, doubtMost = 15_000;
/** A path is looked at for so long before its browser is thought to be mistaken of it, and so long after it was narrow where it does not say. */
const settling = 5000, afterwards = 10_000;

/** What waits for longer than this, milliseconds, is emptied without any picture; and what a line has to take beside the sound that the least one goes there too. */
const stored = 1200, beside = 39_000;
/** What the least picture takes of the line, bits per second, with what is around it. */
export const leastShown = 31_000;

/** What a line has to take beside the sound before a picture comes back. */
const comingBack = comesBack * 1.3;

/** The controller of what is sent to one person. */
export class NarrowLine {
  /** @type {Allowance} */ allowance = plenty;
  /** Bytes by which the next packet that is timed should be longer than others, to see what the line takes. */
  pad = 0;

  /** With how many bits per second the browser is to begin anew, of that look; 0: it goes on. */
  begins = 0;

  /** What may be sent in all, bits per second as the line counts them; Infinity: as much as the browser likes. */
  #room = Infinity;
  /** What the line has been seen to take at most. */
  #ceiling = Infinity;
  /** When it was cut last, when a queue was seen last, and when the room grew last. */
  #cutAt = -Infinity;
  #queuedAt = -Infinity;
  #fullFrom = Infinity;
  /** What was sent lately, and when it arrived last. @type {{at: number, sent: number}[]} */ #sents = [];
  #wholeAt = Infinity;
  #grownAt = -Infinity;
  /** So long a line that was too narrow is left alone before more is tried. */
  #patience = 1000;
  /** More than the ceiling is being tried. */
  #trying = false;
  /** The queue is being emptied: but the least picture none goes out, or not that either. */
  #emptying = false;
  #bare = false;
  /** How much waited at the last look at that. */
  #emptied = {at: -Infinity, waits: Infinity};
  /** What arrived meanwhile at the most, bits per second; 0: it was not for long. */
  #drained = {from: -Infinity, most: 0};
  #picture = new Choice();
  #widening = new Widening();
  #looking = new Looking();
  #beginning = new Beginning();
  /** When more was sent because long messages showed room, and until when they are not believed again, and after what time of it. */
  #jumpedAt = -Infinity;
  #believesFrom = -Infinity;
  #doubt = doubtFirst;
  /** Since when the path is one that is measured, and when it was narrow last. */
  #since = Infinity;
  #narrowAt = -Infinity;
  /** What the line is thought to take before anything is sent; Infinity: nothing is known of it. */
  #expected = Infinity;
  /** When a browser that had thought too little of the line did so no longer. */
  #enoughAt = -Infinity;
  #little = false;
  /** When pictures were small last because of us. */
  #smallAt = -Infinity;
  /** The browser has cut its own estimate; and since when it thinks so little that pictures suffer, and sends as much. */
  #limited = false;
  #littleFrom = Infinity;
  /** What it thought lately, bits per second. @type {{at: number, available: number}[]} */ #thoughts = [];
  #files = filesFirst;
  /** What sound takes at the least, of a browser that makes no longer packets: as it was seen last. */
  #spoken = 0;
  /** Of the last moment. @type {{at: number, delay: number}[]} */ #delays = [];

  /** Our own line takes less than we would send, whatever the other side asks for. */
  get is() { return this.#room < Infinity; }

  /** What may be sent in all, bits per second as the line counts them; Infinity: as much as the browser likes. */
  get room() { return this.#room; }

  /** What the least sound takes of the line. */
  get #sound() { return this.#spoken || soundTakes(soundFloor, true); }

  /**
   * Before anything is sent: the line takes so much and no more, as who has it has seen. Then the call begins with the picture that
   * fits, where it would fill the line for seconds until that is known.
   * @param {number} takes bits per second @param {number} now @returns {Allowance}
   */
  expect(takes, now) {
    if (this.#since < Infinity || takes >= narrowFrom) return this.allowance;
    this.#expected = this.#ceiling = takes;
    this.#room = Math.max(this.#sound + leastShown, takes * beginsWith);
    return (this.allowance = this.#share(now, this.#room));
  }

  /** @param {Sample} sample @returns {Allowance} */
  take({now, stream, delay, sent, received = 0, asked = Infinity, files = 0, pad = 0, available = 0, bare = sent, wants = wide, spoken = 0, apart = 0, media = bare, shows = Infinity, held = false}) {
    if (!stream) return this.#free();
    this.#spoken = spoken;
    if (this.#since === Infinity) {
      this.#since = now;
      // What was expected is as if it had been found out now.
      if (this.#expected < Infinity) this.#cutAt = this.#grownAt = this.#picture.changedAt = now;
    }
    if (this.#room < Infinity) this.#narrowAt = now;
    // What is sent at the most, by the browser or by us. Where it does not say it is thought to be mistaken after a narrow line alone.
    const thinks = available || (now - this.#narrowAt < afterwards ? bare * 1.1 : Infinity);
    const known = Math.min(this.#room, thinks, asked);
    if (pad) {
      this.#widening.took(now, pad, delay, known);
      this.#believe(now);
    } else {
      this.think(now, available, bare);
      if (this.doubtful && now - this.#littleFrom >= sure && now - this.#since < beginning && available < wants) this.#cut(now, received ? Math.min(received, sent) : sent * 0.85);
      this.#measure(now, delay, received ? Math.min(received, sent) : sent * 0.85, Math.min(received || sent * 0.85, sent * 2), sent, files, available < wants ? available : 0, received, held);
    }
    const enough = Math.min(wide, wants), quiet = now - this.#queuedAt > 600 && !this.#emptying;
    const room = Math.min(this.#room, asked);
    // What was thought of the line before may be wrong.
    if (now - this.#since < (this.#expected < Infinity ? doubting : settling) || known >= enough) this.pad = 0;
    // Who is told that a line takes more sends as much only when the browser believes it too: until then the next step is seen by what is allowed.
    else this.pad = this.#widening.plan(now, quiet, available && this.#room < Infinity ? this.#room : known, room < Infinity || now - this.#queuedAt < afterwards ? 2000 : undefined);
    const begins = quiet && available && now - this.#narrowAt <= afterwards && now >= this.#believesFrom;
    this.begins = begins ? this.#beginning.take(now, available, Math.min(room, wants, this.#widening.sure * believed), this.#widening.takes) : 0;
    if (this.begins) {
      this.#jumpedAt = now;
      this.#little = false;
      this.#looking.forget();
    }
    this.#looking.see(now, thinks - apart, media);
    if (thinks >= enough) {
      this.#looking.forget();
    } else if (!quiet) {
      this.#looking.wait();
    } else if (room > thinks * 1.2 || this.#looking.rests) {
      this.#looking.take(now, thinks, now < this.#believesFrom ? 0 : this.#widening.takes, available > 0, apart, Math.max(soundAlone, spoken - packets * around * 8));
    }
    this.#little ||= available > 0 && available < littleFor;
    if (!available && (room < Infinity || this.#looking.rests)) [this.#little, this.#smallAt] = [true, now];
    if (this.#little && (available ? available >= best * 0.9 : now - this.#smallAt > foundAfter)) {
      this.#little = false;
      this.#enoughAt = now;
    }
    const settled = this.allowance.narrow && this.allowance.picture && !this.#emptying && !this.#looking.rests;
    this.#picture.look(now, shows, Math.min(this.allowance.video, available ? available - soundAlone : Infinity), settled);
    const allowance = room === Infinity ? this.#free(false) : this.#share(now, room), {less, rests} = this.#looking;
    const afresh = now - this.#enoughAt < afreshFor;
    if (!less && !rests && !afresh) return (this.allowance = allowance);
    return (this.allowance = {...allowance, less, afresh, ...(rests ? resting : {}), picture: allowance.picture && rests !== 'sound'});
  }

  /** The long message that was to be sent has been. @param {number} now */
  padded(now) {
    this.#widening.sent(now);
    this.pad = 0;
  }

  /** Long messages show what the line takes: more is sent at once. @param {number} now */
  #believe(now) {
    const room = this.#widening.takes * believed;
    if (this.#room === Infinity || room < this.#room * 1.1 || now < this.#believesFrom) return;
    this.#room = room;
    this.#ceiling = Math.max(this.#ceiling, room);
    this.#grownAt = this.#jumpedAt = now;
    this.#patience = 1000;
    this.#widen();
  }

  /** What takes so much is not narrow. */
  #widen() {
    if (this.#room < wide) return;
    this.#room = this.#ceiling = Infinity;
    this.#patience = 1000;
    this.#trying = false;
    this.#widening.hope();
  }

  /**
   * @param {number} now @param {number} delay @param {number} through bits per second of what is sent that got through
   * @param {number} arrived bits per second: more than is sent where what waited goes out @param {number} sent @param {number} files
   * @param {number} available @param {number} received @param {boolean} held
   */
  #measure(now, delay, through, arrived, sent, files, available, received, held) {
    if (delay > calm) this.#queuedAt = now;
    // Files give way first: they have time.
    if (delay > calm) this.#files = Math.max(filesLeast, Math.min(this.#files, Math.max(files, filesFirst)) * (delay > full ? 0.4 : 0.7));
    else this.#files = this.#files > filesFree ? Infinity : this.#files * 1.12;
    if (this.#emptying && delay < calm) {
      this.#emptying = this.#bare = false;
      // While something waits all of the line is used, so the most that arrived is what it takes.
      if (this.#drained.most) {
        this.#ceiling = Math.max(this.#sound, Math.min(this.#ceiling, this.#drained.most));
        this.#room = Math.min(this.#room, this.#ceiling * 0.9);
      }
    }
    // What was cut shows only when what waited before has gone.
    const waits = this.#waits(now, delay);
    const due = now - this.#cutAt > Math.min(2500, Math.max(700, delay * 1.3));
    const bulk = files > through / 3 && delay < drowning && now - this.#cutAt > 0;
    // A browser that has no time for its page is late as well: then what is sent arrives all the same.
    // A queue that stays grows by less than can be counted.
    if (waits <= full) this.#fullFrom = now;
    const stays = this.#room < Infinity && now - Math.max(this.#fullFrom, this.#cutAt) > staying;
    const missing = this.#misses(now, through, sent) && now - this.#cutAt > missed;
    const stuck = missing || (held && waits > drowning) || through < sent * (this.#room < Infinity ? 0.97 : waits > drowning ? 0.9 : 0.75) || waits > 2 * drowning || stays;
    // Who sends less than he may has not sent what waits now.
    const ours = sent > this.#room * 0.8 || this.#room === Infinity;
    // What is late and what the browser has cut say the same, each the sooner.
    const agreed = this.#limited && (waits > calm || delay > full) && this.#room === Infinity;
    if (((waits > full && stuck && due) || missing || agreed) && !bulk && ours) this.#cut(now, Math.min(arrived, wide));
    else if (delay <= calm && this.#room < Infinity && !missing) this.#grow(now, through, available, received > 0);
    this.#empty(now, waits, through, received);
  }

  /**
   * Much less arrives than was sent, though nothing is seen to wait: the server drops pictures that it could not send in time, and
   * lets go before them what is small, as these messages are.
   * @param {number} now @param {number} through @param {number} sent
   */
  #misses(now, through, sent) {
    // And the one before them: of fewer nothing is known.
    const before = this.#sents.filter(({at}) => at <= now - missed).slice(-1);
    this.#sents = [...before, ...this.#sents.filter(({at}) => at > now - missed), {at: now, sent}];
    if (!before.length) return false;
    if (through >= Math.min(...this.#sents.map((each) => each.sent)) * arrives) this.#wholeAt = now;
    return now - this.#wholeAt > missed;
  }

  /** How long everything has waited in the last moment, milliseconds: a single packet may be late. @param {number} now @param {number} delay */
  #waits(now, delay) {
    // Those of the last moment, and one before them.
    const all = this.#delays, from = Math.max(0, all.findIndex(({at}) => at > now - moment) - 1);
    this.#delays = [...(all.length && all[all.length - 1].at <= now - moment ? all.slice(-1) : all.slice(from)), {at: now, delay}];
    return now - this.#delays[0].at < moment / 2 ? 0 : Math.min(...this.#delays.map((each) => each.delay));
  }

  /**
   * What waits is let through, beside the least picture: without any where that does not fit, where very much waits, or where it
   * does not become less.
   * @param {number} now @param {number} waits @param {number} through @param {number} received bits per second that arrive; 0: not known
   */
  #empty(now, waits, through, received) {
    if (!this.#emptying) {
      if (waits <= drowning || this.#room === Infinity) return;
      this.#emptying = true;
      this.#emptied = {at: now, waits: Infinity};
      this.#drained = {from: now, most: 0};
    }
    // Not of the first moments: of them what was before is told, and what TCP has lost.
    if (waits > full && now - this.#drained.from > 2 * missed) this.#drained.most = Math.max(this.#drained.most, received);
    if (waits > stored || this.#ceiling < this.#sound + beside) this.#bare = true;
    if (now - this.#emptied.at < staying / 2) return;
    if (waits > this.#emptied.waits * 0.9 && !this.#bare) {
      this.#bare = true;
      this.#ceiling = Math.max(this.#sound, Math.min(this.#ceiling, through));
    }
    this.#emptied = {at: now, waits};
  }

  /** The browser has just cut its own estimate to what it sends, so that it is our way on which something waits. */
  get limited() { return this.#limited; }

  /** The browser thinks little of a path that was never known as narrow. */
  get doubtful() { return this.#littleFrom < Infinity && this.#cutAt === -Infinity; }

  /** What the browser thinks now; 0: it does not say. @param {number} now @param {number} available @param {number} bare bits per second that are sent */
  think(now, available, bare) {
    this.#thoughts = [...this.#thoughts.filter(({at}) => at > now - itsMemory), {at: now, available}];
    const fills = available > 0 && bare > available * asMuch;
    this.#littleFrom = fills && available < littleFor ? Math.min(this.#littleFrom, now) : Infinity;
    this.#limited = fills && available < itsCut * Math.max(...this.#thoughts.map((each) => each.available));
  }

  /** @param {number} now @param {number} through */
  #cut(now, through) {
    // What got through in the first moment says little, as TCP may stand still for as long: the least picture stays until the next; on a new
    // path, which fills while it is found out what it takes, for longer.
    const most = this.#sound + (this.#room === Infinity || now - this.#since < (this.#expected < Infinity ? beginning : settling) ? leastShown : 0);
    if (now - this.#jumpedAt < proven) {
      this.#believesFrom = now + this.#doubt;
      this.#doubt = Math.min(doubtMost, this.#doubt * 2);
    } else if (now - this.#jumpedAt > doubtMost) {
      this.#doubt = doubtFirst;
    }
    this.#widening.forget();
    this.#looking.forget();
    if (this.#trying) this.#patience = Math.min(3500, this.#patience * 2);
    this.#trying = false;
    // What the line takes lies between what got through and what was sent. At first, and as long as there is a queue, it
    // is what got through.
    const fresh = this.#room === Infinity || now - this.#cutAt < 4000;
    this.#ceiling = Math.max(most, fresh ? Math.min(this.#ceiling, through) : Math.min(this.#room, Math.max(this.#ceiling, through)));
    if (this.#expected < Infinity && now - this.#since < beginning) this.#ceiling = Math.max(this.#ceiling, this.#expected * relied);
    // A little less is sent than the line takes while what waits goes out: the least picture as well, where that is less.
    const shown = this.#sound + leastShown;
    this.#room = Math.max(most, Math.min(this.#room, this.#ceiling) * cutTo, shown < this.#ceiling * leaves ? Math.min(this.#room, shown) : 0);
    this.#cutAt = this.#grownAt = now;
  }

  /** @param {number} now @param {number} through @param {number} available @param {boolean} said the other side has said what got through */
  #grow(now, through, available, said) {
    const since = now - Math.max(this.#cutAt, this.#queuedAt);
    // What got through in the moment of a cut is less than the line takes: that more does soon after is no sign of a wider one.
    if (now - this.#cutAt < beginning && (said || this.#expected === Infinity)) this.#ceiling = Math.max(this.#ceiling, through);
    const below = this.#room < this.#ceiling * 0.9;
    // Where it is the browser that sends no more, more changes nothing, but that Chromium tries what the line takes at each change.
    const idle = available > 0 && available < best && !this.#picture.off && this.#room > available * aheadOf;
    if (idle || since < (below ? 600 : this.#patience)) {
      this.#grownAt = now;
      return;
    }
    const seconds = Math.min(1, (now - this.#grownAt) / 1000);
    this.#grownAt = now;
    // Up to what the line took before, then a little more; when that is taken as well it is another line, or a wider one.
    // Where the call wants less than it may have, more of it harms nothing.
    const rate = below ? 1.35 : through > this.#ceiling * 1.15 ? 3 : through < this.#room * 0.6 && now - Math.max(this.#cutAt, this.#picture.backAt) > 4000 ? 1.7 : 1.25;
    this.#trying = !below;
    this.#room *= rate ** seconds;
    // Sound alone does not show how much more there is: that the long packets do.
    if (this.#picture.off) this.#room = Math.min(this.#room, Math.max(this.#sound + comingBack, this.#widening.best * 0.8));
    if (this.#room > this.#ceiling * 2) this.#patience = 1000;
    this.#widen();
  }

  /** How the room is shared: sound before pictures. @param {number} now @param {number} room @returns {Allowance} */
  #share(now, room) {
    const long = this.#emptying || room < 250_000;
    const audio = long ? soundFloor : room < 800_000 ? 32_000 : Infinity;
    const video = Math.max(0, (room - (this.#spoken || soundTakes(Math.min(audio, 32_000), long))) / 1.12);
    const fits = Math.max(this.#widening.best, this.#ceiling / 1.1) >= this.#sound + comingBack;
    if (this.#picture.choose(now, video, fits, this.#room > this.#ceiling * 1.3)) this.#widening.forget();
    const least = this.#emptying && !this.#picture.off, picture = !this.#picture.off && !(least && this.#bare);
    return {narrow: true, state: this.#picture.off ? 'no-picture' : 'narrow', picture, video: rough(least ? 22_000 : Math.max(video, 22_000)), ...this.#picture.sent(least), audio, long, files: this.#files, less: false, afresh: false};
  }

  /** @param {boolean} [wholly] the path is not one of those that are measured */
  #free(wholly = true) {
    if (wholly) this.pad = 0;
    this.#emptying = this.#bare = false;
    this.#picture.free(wholly);
    if (wholly) {
      this.#room = this.#ceiling = Infinity;
      this.#cutAt = this.#queuedAt = this.#grownAt = -Infinity;
      this.#files = filesFirst;
      this.#since = this.#expected = Infinity;
      this.#widening.forget();
      this.#looking.forget();
      return (this.allowance = plenty);
    }
    return this.#files < Infinity ? {...plenty, files: this.#files} : plenty;
  }
}
