// TCP over a narrow line, packet by packet, as far as it decides when sound arrives: the line's queue is short and drops what is too
// much, a loss holds up all that was sent after it, and acknowledgements take their part of the other direction.

/** Headers of Ethernet, IP and TCP with timestamps, bytes; data of one packet at most. */
const headers = 66, segment = 1448;
/** What is acknowledged alone waits so long for data to go with, milliseconds. */
const delayedAck = 40;
/** Linux: no timeout of a retransmission is shorter than a round trip and this, milliseconds. */
const leastTimeout = 200;

/** @typedef {{bytes: number, deliver: () => void}} Packet */

/** One direction: first in, first out, as slow as it is at the moment; what finds more than `most` bytes before it is dropped. */
export class DropTail {
  now = 0;
  dropped = 0;
  bytes = 0;
  /** @type {(Packet & {left: number})[]} */ #queue = [];
  /** @type {{at: number, deliver: () => void}[]} */ #flying = [];

  /** @param {(now: number) => number} rate bits per second @param {number} delay milliseconds @param {(now: number) => number} most bytes */
  constructor(rate, delay, most) {
    this.rate = rate;
    this.delay = delay;
    this.most = most;
  }

  /** @param {Packet} packet */
  send(packet) {
    if (this.bytes + packet.bytes > this.most(this.now)) {
      this.dropped++;
      return;
    }
    this.bytes += packet.bytes;
    this.#queue.push({...packet, left: packet.bytes});
  }

  /** @param {number} now */
  run(now) {
    this.now = now;
    let carries = this.rate(now) / 8000;
    while (this.#queue.length && carries > 0) {
      const [head] = this.#queue, part = Math.min(carries, head.left);
      head.left -= part;
      carries -= part;
      this.bytes -= part;
      if (head.left > 0) break;
      this.#queue.shift();
      this.#flying.push({at: now + this.delay, deliver: head.deliver});
    }
    while (this.#flying.length && this.#flying[0].at <= now) /** @type {{deliver: () => void}} */ (this.#flying.shift()).deliver();
  }
}

/** @typedef {{from: number, bytes: number, sentAt: number, order: number, acked: boolean, lost: boolean, again: boolean}} Segment */

/** One end of a connection. */
class End {
  /** @type {End} */ other = /** @type {any} */ (null);
  sent = 0;
  again = 0;
  #written = 0;
  #next = 0;
  /** @type {Segment[]} not acknowledged, by their place */ #flight = [];
  /** @type {{end: number, deliver: () => void}[]} messages, each complete with that byte */ #messages = [];
  #cwnd = 10;
  #threshold = Infinity;
  #recoverTo = -1;
  #srtt = NaN;
  #var = 0;
  #least = Infinity;
  #order = 0;
  /** The latest that was acknowledged was sent as the so-many-th, and when. */
  #newest = {order: -1, at: -Infinity};
  #armedAt = 0;
  #probed = false;
  #backoff = 1;
  /** What has come: in order up to here, and what came before its turn. */
  #had = 0;
  /** @type {{from: number, to: number}[]} */ #early = [];
  #owes = NaN;
  #unacked = 0;

  /** @param {DropTail} line @param {boolean} reduces whether a loss makes it send less, as most do */
  constructor(line, reduces) {
    this.line = line;
    this.reduces = reduces;
  }

  /** Bytes that were written and not acknowledged. */
  get waiting() { return this.#written - (this.#flight[0]?.from ?? this.#next); }

  /** @param {number} bytes @param {() => void} deliver */
  write(bytes, deliver) {
    this.#written += bytes;
    this.#messages.push({end: this.#written, deliver});
  }

  get #timeout() { return (Number.isNaN(this.#srtt) ? 1000 : this.#srtt + Math.max(leastTimeout, 4 * this.#var)) * this.#backoff; }

  /** @param {number} now */
  run(now) {
    if (!this.#flight.length && this.#next === this.#written && Number.isNaN(this.#owes)) return;
    const out = this.#flight.filter(({acked, lost}) => !acked && !lost).length;
    if (out && !Number.isNaN(this.#srtt) && !this.#probed && now - this.#armedAt > Math.min(this.#timeout, 2 * this.#srtt + (out === 1 ? leastTimeout : 2))) {
      // A tail loss probe (RFC 8985): the last once more.
      this.#probed = true;
      const last = this.#flight.findLast(({acked}) => !acked);
      if (last) this.#transmit(last, now);
    } else if (out && now - this.#armedAt > this.#timeout) {
      for (const one of this.#flight) one.lost ||= !one.acked;
      this.#threshold = Math.max(2, this.#cwnd / 2);
      this.#cwnd = 1;
      this.#backoff = Math.min(64, this.#backoff * 2);
      this.#armedAt = now;
      this.#probed = true;
    }
    this.#push(now);
    if (now >= this.#owes) this.#acknowledge(now);
  }

  /** @param {number} now */
  #push(now) {
    for (let out = this.#flight.filter(({acked, lost}) => !acked && !lost).length; out < this.#cwnd; out++) {
      const lost = this.#flight.find((one) => one.lost && !one.acked);
      if (lost) {
        this.#transmit(lost, now);
        continue;
      }
      const bytes = Math.min(segment, this.#written - this.#next);
      if (bytes <= 0) return;
      /** @type {Segment} */ const one = {from: this.#next, bytes, sentAt: now, order: 0, acked: false, lost: false, again: false};
      this.#next += bytes;
      this.#flight.push(one);
      this.#transmit(one, now);
    }
  }

  /** @param {Segment} one @param {number} now */
  #transmit(one, now) {
    if (one.order) {
      one.again = true;
      this.again += one.bytes;
    }
    Object.assign(one, {sentAt: now, order: ++this.#order, lost: false});
    this.#armedAt = now;
    this.sent += one.bytes;
    const {from, bytes, order} = one, {had, early} = this.#told();
    this.line.send({bytes: bytes + headers, deliver: () => this.other.came(this.line.now, from, bytes, order, had, early)});
  }

  /** What is told of what came, with anything that is sent. */
  #told() {
    this.#owes = NaN;
    this.#unacked = 0;
    return {had: this.#had, early: this.#early.map((part) => ({...part}))};
  }

  /** @param {number} _now */
  #acknowledge(_now) {
    const {had, early} = this.#told();
    this.line.send({bytes: headers, deliver: () => this.other.heard(this.line.now, had, early)});
  }

  /** @param {number} now @param {number} from @param {number} bytes @param {number} _order @param {number} had @param {{from: number, to: number}[]} early */
  came(now, from, bytes, _order, had, early) {
    this.heard(now, had, early);
    const to = from + bytes, before = this.#had;
    if (from > this.#had) this.#early = [...this.#early, {from, to}];
    else this.#had = Math.max(this.#had, to);
    for (let next; (next = this.#early.find((part) => part.from <= this.#had));) {
      this.#had = Math.max(this.#had, next.to);
      this.#early = this.#early.filter((part) => part !== next);
    }
    const {other} = this;
    while (other.#messages.length && other.#messages[0].end <= this.#had) /** @type {{deliver: () => void}} */ (other.#messages.shift()).deliver();
    // What is out of order, or closes a gap, is told at once; and each second packet.
    if (from !== before || this.#early.length || ++this.#unacked >= 2) this.#acknowledge(now);
    else if (Number.isNaN(this.#owes)) this.#owes = now + delayedAck;
  }

  /** @param {number} now @param {number} had @param {{from: number, to: number}[]} early */
  heard(now, had, early) {
    let fresh = false;
    for (const one of this.#flight) {
      if (one.acked || !(one.from + one.bytes <= had || early.some(({from, to}) => one.from >= from && one.from + one.bytes <= to))) continue;
      one.acked = fresh = true;
      if (one.order > this.#newest.order) this.#newest = {order: one.order, at: one.sentAt};
      if (!one.again) this.#measure(now - one.sentAt);
      if (this.#cwnd < this.#threshold) this.#cwnd++;
      else this.#cwnd += 1 / this.#cwnd;
    }
    this.#cwnd = Math.min(this.#cwnd, 200);
    if (!fresh) return;
    this.#flight = this.#flight.filter(({from, bytes}) => from + bytes > had);
    this.#armedAt = now;
    this.#probed = false;
    this.#backoff = 1;
    // Whatever left well before something that has come is lost (RACK).
    let lost = false;
    for (const one of this.#flight) if (!one.acked && !one.lost && one.order < this.#newest.order && this.#newest.at - one.sentAt >= this.#least / 4) one.lost = lost = true;
    if (lost && this.reduces && had > this.#recoverTo) {
      this.#recoverTo = this.#next;
      this.#cwnd = this.#threshold = Math.max(2, this.#cwnd * 0.7);
    }
  }

  /** @param {number} trip */
  #measure(trip) {
    this.#least = Math.min(this.#least, trip);
    if (Number.isNaN(this.#srtt)) {
      this.#srtt = trip;
      this.#var = trip / 2;
    } else {
      this.#var += (Math.abs(trip - this.#srtt) - this.#var) / 4;
      this.#srtt += (trip - this.#srtt) / 8;
    }
  }
}

/** A connection over two lines. @param {DropTail} there @param {DropTail} back @param {{reduces?: boolean}} [how] */
export function connection(there, back, {reduces = true} = {}) {
  const ends = [new End(there, reduces), new End(back, reduces)];
  [ends[0].other, ends[1].other] = [ends[1], ends[0]];
  return ends;
}
