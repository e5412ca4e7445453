// Messages and files on a path through the server's WebSocket: what looks like data channels to those who use them.

/**
 * What a message is about. `had` says how many have come, `again` as well that those after them are missed. What is long comes in
 * parts, so that sound goes between: `more` is one that others follow.
 */
const ops = {text: 0, binary: 1, open: 2, close: 3, had: 4, again: 5, more: 6};
/** The parts of one are no more than this together, bytes; each counts as so many at least, as one in which there is nothing takes room too. */
const mostParts = 1 << 18, leastPart = 64;
/** So much may be on its way, bytes: what comes is answered for, so that nothing fills the server. */
const windowBytes = 64 * 1024;
/** So many channels may be open at once. */
const mostChannels = 66;
/** So much may wait: who leads us to say more, and answers for nothing, is left. */
const mostWaiting = 8192;
/** Number of the channel, operation, number of the message: from 1 up, in the order in which they leave. */
const headBytes = 7;
/** Between two words of what has come, what is missed is sent again so often at most. */
const mostAgain = 2;

/** @typedef {'connecting' | 'open' | 'closed'} ChannelState */

/** One of them: the part of RTCDataChannel that is used here. */
class Channel extends EventTarget {
  /** @type {ChannelState} */ readyState = 'open';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  binaryType = 'arraybuffer';
  /** @type {((event: {data: any}) => void) | null} */ onmessage = null;
  /** @type {(() => void) | null} */ onopen = null;
  /** @type {(() => void) | null} */ onclose = null;
  /** @type {(() => void) | null} */ onbufferedamountlow = null;
  /** Of what is coming, and what that counts. @type {Uint8Array[]} */ parts = [];
  counted = 0;

  /** @param {Channels} all @param {number} id @param {string} label */
  constructor(all, id, label) {
    super();
    this.all = all;
    this.id = id;
    this.label = label;
  }

  /** @param {string | ArrayBuffer} data */
  send(data) {
    if (this.readyState !== 'open') throw new Error('this channel is closed');
    if (typeof data === 'string') this.all.send(this, ops.text, new TextEncoder().encode(data));
    else this.all.send(this, ops.binary, new Uint8Array(data));
  }

  close() {
    if (this.readyState === 'closed') return;
    this.all.send(this, ops.close, new Uint8Array());
    this.closed();
  }

  closed() {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    this.all.forget(this);
    this.dispatchEvent(new Event('close'));
    this.onclose?.();
  }

  /** @param {number} bytes that were sent */
  left(bytes) {
    const before = this.bufferedAmount;
    this.bufferedAmount -= bytes;
    if (before > this.bufferedAmountLowThreshold && this.bufferedAmount <= this.bufferedAmountLowThreshold) this.onbufferedamountlow?.();
  }
}

/** All channels of one path. Numbers that we give are even on one side and odd on the other. */
export class Channels {
  /** The one for chat and state. */
  main = new Channel(this, 0, '');

  /** @type {Map<number, Channel>} */ #channels = new Map([[0, this.main]]);
  /** @type {{channel: Channel, frame: Uint8Array<ArrayBuffer>, bytes: number}[]} */ #queue = [];
  /** On their way, or lost with a socket. @type {Uint8Array<ArrayBuffer>[]} */ #sent = [];
  #unanswered = 0;
  #last = 0;
  #unsaid = 0;
  #got = 0;
  #resent = 0;
  /** They were to be sent once more, at a calmer time. */
  #owed = false;
  #next;
  #out;
  #incoming;
  #flooded;
  #part;

  /**
   * @param {boolean} even which numbers are ours
   * @param {() => number} part so many bytes go at once
   * @param {(content: Uint8Array<ArrayBuffer>) => void} out
   * @param {(channel: Channel) => void} incoming the other side has opened one
   * @param {() => void} flooded too much waits
   */
  constructor(even, part, out, incoming, flooded) {
    this.#next = even ? 2 : 1;
    this.#part = part;
    this.#out = out;
    this.#incoming = incoming;
    this.#flooded = flooded;
  }

  /** @param {string} label */
  createDataChannel(label) {
    const channel = new Channel(this, this.#next, label);
    this.#next = (this.#next + 2) & 0xffff;
    this.#channels.set(channel.id, channel);
    this.send(channel, ops.open, new TextEncoder().encode(label));
    return channel;
  }

  /** @param {Channel} channel @param {number} op @param {Uint8Array} data */
  send(channel, op, data) {
    const part = this.#part();
    for (; data.length > part; data = data.subarray(part)) this.#add(channel, ops.more, data.subarray(0, part));
    this.#add(channel, op, data);
    this.#pump();
  }

  /** @param {Channel} channel @param {number} op @param {Uint8Array} data */
  #add(channel, op, data) {
    if (this.#queue.length >= mostWaiting) return this.#flooded();
    const frame = new Uint8Array(headBytes + data.length);
    new DataView(frame.buffer).setUint16(0, channel.id);
    frame[2] = op;
    frame.set(data, headBytes);
    channel.bufferedAmount += data.length;
    const item = {channel, frame, bytes: data.length};
    // What is said goes before the pieces of files.
    const at = channel === this.main ? this.#queue.findIndex((other) => other.channel !== this.main) : -1;
    if (at < 0) this.#queue.push(item);
    else this.#queue.splice(at, 0, item);
  }

  #pump() {
    while (this.#queue.length && (this.#unanswered === 0 || this.#unanswered + this.#queue[0].frame.length <= windowBytes)) {
      const {channel, frame, bytes} = /** @type {{channel: Channel, frame: Uint8Array<ArrayBuffer>, bytes: number}} */ (this.#queue.shift());
      this.#unanswered += frame.length;
      new DataView(frame.buffer).setUint32(3, ++this.#last);
      this.#sent.push(frame);
      this.#out(frame);
      channel.left(bytes);
    }
  }

  /** @param {Uint8Array<ArrayBuffer>} content */
  take(content) {
    if (content.length < headBytes) return;
    const view = new DataView(content.buffer, content.byteOffset), id = view.getUint16(0), op = content[2], number = view.getUint32(3), data = content.slice(headBytes);
    if (op === ops.had || op === ops.again) return this.#answered(number, op === ops.again);
    this.#unsaid += content.length;
    if (number !== this.#got + 1) return; // it has come before, or one before it has not
    this.#got = number;
    if (this.#unsaid >= windowBytes / 4) this.#answer(ops.had);
    const channel = this.#channels.get(id);
    if (op === ops.open) {
      if (channel || this.#channels.size >= mostChannels || data.length > 256) return;
      const opened = new Channel(this, id, new TextDecoder().decode(data));
      this.#channels.set(id, opened);
      this.#incoming(opened);
    } else if (op === ops.close) {
      if (channel !== this.main) channel?.closed();
    } else if (channel && (op === ops.text || op === ops.binary || op === ops.more)) {
      channel.parts.push(data);
      channel.counted += Math.max(leastPart, data.length);
      if (channel.counted > mostParts) return this.#flooded();
      if (op === ops.more) return;
      const whole = channel.parts.length > 1 ? new Uint8Array(channel.parts.reduce((sum, {length}) => sum + length, 0)) : data;
      if (whole !== data) channel.parts.reduce((at, part) => { whole.set(part, at); return at + part.length; }, 0);
      channel.parts = [];
      channel.counted = 0;
      channel.onmessage?.({data: op === ops.text ? new TextDecoder().decode(whole) : whole.buffer});
    }
  }

  /** @param {number} had @param {boolean} again */
  #answered(had, again) {
    while (this.#sent.length && this.#last - this.#sent.length < had) this.#unanswered -= /** @type {Uint8Array} */ (this.#sent.shift()).length;
    if (again) this.#again();
    this.#pump();
  }

  #again() {
    if (this.#resent++ < mostAgain) this.#resend();
    else this.#owed = true;
  }

  #resend() {
    this.#owed = false;
    for (const frame of this.#sent) this.#out(frame);
  }

  /** @param {number} op */
  #answer(op) {
    const frame = new Uint8Array(headBytes);
    frame[2] = op;
    new DataView(frame.buffer).setUint32(3, this.#got);
    this.#unsaid = 0;
    this.#out(frame);
  }

  /** Says how much has come: now and then. */
  say() {
    this.#resent = 0;
    if (this.#owed) this.#resend();
    if (this.#unsaid) this.#answer(ops.had);
  }

  /** The two have met by another socket: what was on its way may be lost. */
  met() {
    this.#answer(ops.again);
    this.#again(); // the other side need not know of it
  }

  /** @param {Channel} channel */
  forget(channel) {
    if (this.#channels.get(channel.id) === channel) this.#channels.delete(channel.id);
    if (channel.readyState === 'closed') this.#queue = this.#queue.filter((item) => item.channel !== channel || item.frame[2] === ops.close);
  }

  /** The path has ended. Those who use them go on elsewhere. */
  close() {
    this.#queue = this.#sent = [];
    for (const channel of [...this.#channels.values()]) {
      channel.onmessage = channel.onclose = channel.onopen = null;
      channel.closed();
    }
  }
}
