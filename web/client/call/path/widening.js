/**
 * Whether a line that was too narrow takes more by now: nothing but arithmetic, see narrow.js. What is sent does not show it, as
 * little is sent. A long message does: bytes that came so soon have passed at that rate, whatever else is said of the line. And
 * the browser has to be told: its own estimate follows what is sent, so that it comes back by 8 % a second, unless it looks for
 * more by itself, which Chromium does where it sends less than it might and the most that it may send is another than before.
 */

/** Bytes of long messages: the shortest, and the longest. */
const shortest = 2200, longest = 12_000;
/** So many bytes pass a line that has rested for a moment at any rate: one packet, as the bucket that makes it narrow has room for one. */
const bucket = 1540;
/** What is around the bytes of a message, for each of them. */
const wrapping = 1.12;
/** As much more than is sent has to pass, by two of three in a row, before the line is believed to be another. */
export const muchMore = 2;
/** Where a little more passes, they are longer, up to so many times: then the page is what is late. */
const aLittle = 1.2, longerMost = 3;
/** One that follows at once is so many times as long at the most. */
const second = 2.5;
/** So many are kept. */
const kept = 3;
/** What was seen holds for so long, milliseconds. */
const holds = 4000;
/** Long messages are so far apart, milliseconds: while one passes, sound waits. Later each time that there was no more. */
const apart = 1000, apartMost = 8000;
/** Two of which the second only says whether the first was right are so far apart. */
const soon = 200;
/**
 * A long message takes the line for so many seconds, where it is as narrow as it is held for: then a page that is late by 20 ms still
 * shows more. From so many bits per second on sound has room for twice that.
 */
const portion = 0.05, roomy = 200_000;

/** So much has passed, bits per second, at the least, where a message that is so many bytes longer came so much later. @param {number} pad @param {number} delay milliseconds */
export const passed = (pad, delay) => Math.max(0, ((pad * wrapping - bucket) * 8000) / Math.max(delay, 1));

/** How much a line takes, by long messages. */
export class Widening {
  /** What the line has been seen to take by two of three, bits per second; 0: not much more than is sent. */
  takes = 0;

  /** What the last ones show, the oldest first. @type {number[]} */ #seen = [];
  /** For so many of the next the last that showed much more than is sent counts. */
  #hopes = 0;
  #longer = 1;
  /** So long was the last that came, bytes. */
  #pad = shortest;
  #seenAt = -Infinity;
  #sentAt = -Infinity;
  #pause = apart;

  /** The most that the last ones show, bits per second: so much has passed, at the least. 0: there are none. */
  get best() { return Math.max(0, ...this.#seen); }

  /** What two of the last ones have shown, bits per second; 0: none has, or one alone. */
  get sure() { return [...this.#seen].sort((a, b) => b - a)[1] ?? 0; }

  /** The line has become wider, so what it takes is of interest at once. */
  hope() { this.#pause = apart; }

  /** They are of another line, or of another time. */
  forget() {
    this.#seen = [];
    this.#hopes = 0;
    this.#longer = 1;
    this.takes = 0;
    this.#pause = apart;
  }

  /**
   * By how many bytes the next message is to be longer than others; 0: not at all.
   * @param {number} now milliseconds @param {boolean} calm nothing waits
   * @param {number} known bits per second that are sent, or that the line is held to take
   * @param {number} most milliseconds between two, at the most
   */
  plan(now, calm, known, most = apartMost) {
    if (now - this.#seenAt > holds) this.takes = 0;
    const hopeful = this.#hopes > 0 && now - this.#seenAt < holds;
    // What has been shown is not asked again for a while.
    if (!calm || (this.takes > known * muchMore && now - this.#seenAt < holds / 2) || now - this.#sentAt < (hopeful ? soon : Math.min(this.#pause, most))) return 0;
    // The second is as long as the first has shown that it may be, and shows the more; but where the first was wrong, as on a line that was full
    // when the best of times was taken, it is no second of all that the line takes.
    const rate = hopeful ? this.best : known, bound = hopeful ? Math.min(longest, this.#pad * second) : longest;
    return Math.round(Math.max(shortest, Math.min(bound, ((rate * portion * (rate < roomy ? 1 : 2) * this.#longer) / 8 + bucket) / wrapping)));
  }

  /** One has been sent. @param {number} now */
  sent(now) { this.#sentAt = now; }

  /**
   * One has come.
   * @param {number} now @param {number} pad bytes by which it was longer @param {number} delay milliseconds that it came later than at the best of times
   * @param {number} known bits per second that are sent, or that the line is held to take
   */
  took(now, pad, delay, known) {
    const rate = passed(pad, delay);
    this.#seen = [...this.#seen.slice(1 - kept), rate];
    this.#seenAt = now;
    this.#pad = pad;
    // A page that is late makes one of them long: the one after it may make up for it.
    const more = rate > known * muchMore, twice = more && this.#hopes > 0;
    this.#hopes = more ? 2 : Math.max(0, this.#hopes - 1);
    if (rate < known * aLittle) this.#longer = 1;
    else if (!more) this.#longer = Math.min(longerMost, this.#longer * 1.5);
    this.takes = twice ? rate : 0;
    this.#pause = more ? apart : Math.min(apartMost, this.#pause * 1.5);
  }
}

/** A browser that has looked for more does so again after so long, and after so long where it found nothing, milliseconds. */
const look = 1000, lookMost = 5000;
/** It has found something when it thinks that it may send so much more. */
const found = 1.3;
/**
 * Where it found nothing less is sent for a moment, so that it sees that it might send more: Chromium sees it when for half a second, or
 * longer the less is spared, it has sent less than this share of what it may. After so many it is asked less often, and nothing is spared for it.
 */
const spares = 0.65, restLeast = 700, restMost = 4500, patient = 4;
/**
 * Where it does not say what it thinks, less is spared than it knows of, or more: so it is spared at once, before the pictures that come back fill what it
 * thinks, and so often in all, as what it sends is no more where the camera has no more.
 */
const patientUnsaid = 2;
/** What it sends meanwhile, bits per second: sound, and a picture that only just is one; where that spared too little there is none. */
export const soundAlone = 34_000;
const leastPicture = 12_000;

/**
 * Where the line takes so many times what it thinks that is worth a worse picture for a moment, and from so many bits per second on none.
 * Who thinks so much has good pictures already.
 */
const worth = 5, worthAll = 500_000, suffices = 500_000;
/** A browser is to begin anew so often at the most, milliseconds, unless twice as much has been shown. */
const anew = 10_000;

/** What a browser knows of how much less it sends than it might, which is of half a second. */
class Spared {
  /** Of what it can know, from -1 to 1. */
  #level = -1;
  #at = Infinity;
  /** It has seen that it sends less. */
  get is() { return this.#level >= 1; }

  /** @param {number} now milliseconds @param {number} thinks @param {number} sends bits per second */
  take(now, thinks, sends) {
    const seconds = Math.max(0, Math.min(1000, now - this.#at)) / 1000;
    this.#at = now;
    this.#level = Math.max(-1, Math.min(1, this.#level + ((1 - sends / Math.max(1, thinks * spares)) * seconds) / 0.5));
  }
}

/** Has a browser look for more, where its line takes more than it thinks. */
export class Looking {
  /** The most that it may send is to be a little less than otherwise, or no less: what counts is that it changes. Firefox makes what it receives anew at each change. */
  less = false;
  /** Less is sent for a moment: of pictures, or nothing of them. @type {'' | 'pictures' | 'sound'} */
  rests = '';
  #at = -Infinity;
  #restsFrom = -Infinity;
  #restsUntil = -Infinity;
  #thought = 0;
  #spared = new Spared();
  /** How often it has found nothing, and whether it was told so by more than a change the last time. */
  #vain = 0;
  #rested = false;
  /** How often less was sent for it. */
  #rests = 0;

  /**
   * What it sends, whether it is to look for more or not.
   * @param {number} now milliseconds @param {number} thinks bits per second that it may send @param {number} sends bits per second
   */
  see(now, thinks, sends) { this.#spared.take(now, thinks, sends); }

  /**
   * One look at what it thinks.
   * @param {number} now milliseconds @param {number} thinks bits per second that it may send
   * @param {number} takes bits per second that the line has been seen to take; 0: not known
   * @param {boolean} says it says so itself
   * @param {number} apart bits per second of it that it does not count: sound, or nothing
   * @param {number} sound bits per second that sound alone has of what it counts
   */
  take(now, thinks, takes, says, apart = 0, sound = soundAlone) {
    if (this.rests) {
      // That more may be sent again is a change by itself.
      if (now < (this.#spared.is ? this.#restsFrom + restLeast : this.#restsUntil)) return;
      this.rests = '';
      this.#rested = true;
      this.#at = now;
      return;
    }
    if (now - this.#at < Math.min(lookMost, look * 2 ** Math.max(0, this.#vain - patient)) || takes < thinks * muchMore) return;
    this.#vain = thinks > this.#thought * found ? 0 : this.#vain + 1;
    this.#thought = thinks;
    const due = says ? this.#vain && this.#vain <= patient && !this.#spared.is && thinks < suffices : !this.#rests || (this.#vain && this.#rests < patientUnsaid);
    if (due && !this.#rested && takes > thinks * worth) {
      this.#rest(now, thinks - apart, takes, apart > 0 ? 0 : sound);
      return;
    }
    this.#rested = false;
    this.less = says && !this.less;
    this.#at = now;
  }

  /** @param {number} now @param {number} thinks @param {number} takes @param {number} sound */
  #rest(now, thinks, takes, sound) {
    const sends = sound + leastPicture, withPicture = sends < thinks * spares * 0.8 || takes < worthAll;
    this.rests = withPicture ? 'pictures' : 'sound';
    this.#rests++;
    const spared = spares - (withPicture ? sends : sound) / thinks;
    this.#restsFrom = now;
    this.#restsUntil = now + Math.max(restLeast, Math.min(restMost, (1200 * spares) / Math.max(0.1, spared)));
  }

  /** Something waits on the line: that it found nothing says nothing of what it finds later. */
  wait() {
    this.rests = '';
    this.#vain = Math.min(1, this.#vain);
  }

  /** It thinks enough of its line. */
  forget() {
    this.rests = '';
    this.less = false;
    this.#vain = this.#thought = this.#rests = 0;
  }
}

/**
 * With how much a browser is to begin anew that thinks too little of its line. What it looks for by itself is twice as much at a time, and it does not find
 * that where something on the way hands on together what was sent apart, as proxies do.
 */
export class Beginning {
  #at = -Infinity;
  #rate = 0;

  /**
   * @param {number} now @param {number} thinks bits per second that it may send @param {number} rate bits per second that it may begin with
   * @param {number} takes bits per second that the line has been seen to take
   * @returns {number} bits per second; 0: it goes on
   */
  take(now, thinks, rate, takes) {
    // What was shown at first is little, as those messages are short.
    const more = now - this.#at < anew;
    if (more ? rate < this.#rate * muchMore || thinks >= 2 * suffices : thinks >= suffices) return 0;
    if (rate < thinks * muchMore || takes < thinks * worth) return 0;
    this.#at = now;
    return (this.#rate = rate);
  }
}
