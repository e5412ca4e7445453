import {Emitter} from '../../base/emitter.js';
import {Quota} from '../../base/quota.js';
import {realClock} from '../../base/clock.js';

// A message of 16 KiB passes every browser's SCTP; a queue of 1 MiB keeps the path full up to 80 Mbit/s at 100 ms.
const chunkBytes = 16 * 1024;
const queueBytes = 1 << 20;
// On a line that is measured nothing waits here for longer than this, milliseconds, and a piece is a packet: sound goes between.
const waits = 200, packetBytes = 1100;
// In one file the other side may go from one connection to another so often at once, and so often in the long run, milliseconds.
const turnsAtOnce = 8, turnEvery = 1000;
// So many pieces are kept before they are put together.
const mostParts = 1024;

/** The largest file that is taken: it is held in memory until it is whole. */
export const fileLimit = 512 * 1024 * 1024;

/**
 * Why a file did not come across: `canceled` or `declined` here; `refused`: the other side did not take it; `stopped`: the
 * other side did so in the middle; `left`: the other side is gone; `too-large`: over `fileLimit`; `wrong`: something else
 * than was announced came; `cut-off`: the connection ended before the file was whole; `unreadable`: the file cannot be read.
 * @typedef {'canceled' | 'declined' | 'refused' | 'stopped' | 'left' | 'too-large' | 'wrong' | 'cut-off' | 'unreadable'} TransferFailure
 */

/**
 * How fast a file is sent.
 * @typedef {object} Pace
 * @property {() => number} rate bits per second, asked before each piece; Infinity: as fast as the connection takes it
 * @property {(bytes: number) => void} sent
 */

/** @type {Pace} */
const unpaced = {rate: () => Infinity, sent: () => {}};

/**
 * @typedef {object} TransferEvents
 * @property {number} progress bytes so far
 * @property {Blob | null} done the file, or null for the sender
 * @property {TransferFailure} failed why
 */

/**
 * One file on its way, in either direction, over a data channel of its own.
 * @extends {Emitter<TransferEvents>}
 */
export class Transfer extends Emitter {
  /** @type {'offered' | 'running' | 'done' | 'failed'} */
  state = 'offered';
  /** bytes so far */
  bytes = 0;
  /** The connection that it goes over. @type {RTCPeerConnection | null} */
  over = null;
  /** How often the receiver has said from where it goes on, which it counts; -1: not yet. */
  turn = -1;
  asked = new Quota(realClock, turnsAtOnce, turnEvery);
  /** @type {RTCDataChannel | null} */ #channel = null;
  /** @type {BlobPart[]} */ #parts = [];
  /** @type {(answer: 'accept' | 'decline' | 'done') => void} */ #answer;

  /**
   * @param {{id: string, name: string, size: number, mime: string}} about
   * @param {'in' | 'out'} direction
   * @param {(answer: 'accept' | 'decline' | 'done') => void} [answer] tells the sender
   */
  constructor({id, name, size, mime}, direction, answer = () => {}) {
    super();
    this.id = id;
    this.name = name;
    this.size = size;
    this.mime = mime;
    this.direction = direction;
    this.#answer = answer;
  }

  /** Takes an offered file. */
  accept() {
    if (this.direction !== 'in' || this.state !== 'offered') return;
    if (this.size > fileLimit) return this.cancel('too-large');
    this.state = 'running';
    this.#answer('accept');
  }

  /** Whether its bytes may come over a new channel now: it was taken here, and this connection has none for it yet. @param {RTCPeerConnection | null} pc */
  takes(pc) {
    return this.direction === 'in' && this.state === 'running' && this.size <= fileLimit && (this.#channel === null || this.over !== pc);
  }

  /** Whether everything has been sent. */
  get whole() { return this.direction === 'out' && this.state === 'running' && this.bytes === this.size; }

  /** Refuses or stops it. @param {TransferFailure} [why] */
  cancel(why = 'canceled') {
    if (this.state === 'done' || this.state === 'failed') return;
    if (this.direction === 'in') this.#answer('decline');
    this.fail(why);
  }

  /** @param {TransferFailure} why */
  fail(why) {
    if (this.state === 'done' || this.state === 'failed') return;
    this.state = 'failed';
    this.#parts = [];
    this.#channel?.close();
    this.emit('failed', why);
  }

  /** Lets go of the channel, whose connection is replaced: the receiver says from where it goes on, over another. */
  pause() {
    const channel = this.#channel;
    this.#channel = null;
    if (channel) channel.onmessage = channel.onclose = channel.onopen = null;
  }

  /** The connection may be closed, which then says nothing of the file. */
  leave() {
    if (this.#channel) this.#channel.onclose = null;
  }

  /** The receiver's end of the channel. @param {RTCDataChannel} channel */
  receive(channel) {
    this.pause();
    this.#channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({data}) => {
      if (channel !== this.#channel || this.state !== 'running') return;
      if (!(data instanceof ArrayBuffer) || data.byteLength === 0 || this.bytes + data.byteLength > this.size) return this.cancel('wrong');
      this.#parts.push(data);
      // However small the pieces are: what is kept is hardly more than their bytes.
      if (this.#parts.length > mostParts) this.#parts = [new Blob(this.#parts)];
      this.bytes += data.byteLength;
      this.emit('progress', this.bytes);
      if (this.bytes === this.size) this.finish(new Blob(this.#parts, {type: this.mime || 'application/octet-stream'}));
    };
    channel.onclose = () => this.fail('cut-off');
    if (this.size === 0) this.finish(new Blob([], {type: this.mime}));
  }

  /** The sender's end. @param {RTCDataChannel} channel @param {Blob} file @param {number} [from] bytes that the receiver has @param {Pace} [pace] */
  async send(channel, file, from = 0, pace = unpaced) {
    const before = this.#channel;
    this.pause();
    before?.close(); // the receiver has let go of it
    this.#channel = channel;
    this.bytes = from;
    this.state = 'running';
    channel.binaryType = 'arraybuffer';
    // The receiver closes the channel when it has everything.
    channel.onclose = () => (this.bytes === this.size ? this.finish() : this.fail('stopped'));
    await new Promise((resolve) => { if (channel.readyState === 'open') resolve(null); else channel.onopen = resolve; });
    for (let at = from; at < file.size && channel === this.#channel;) {
      const rate = pace.rate(), paced = rate < Infinity;
      const length = paced && rate < 2_000_000 ? packetBytes : chunkBytes;
      const chunk = await file.slice(at, at + length).arrayBuffer();
      const most = paced ? Math.max(length, (rate * waits) / 8000) : queueBytes;
      if (paced) await new Promise((resolve) => setTimeout(resolve, (chunk.byteLength * 8000) / rate));
      if (channel.bufferedAmount > most) {
        channel.bufferedAmountLowThreshold = most / 2;
        await new Promise((resolve) => {
          channel.onbufferedamountlow = resolve;
          channel.addEventListener('close', resolve, {once: true});
        });
      }
      if (channel !== this.#channel || channel.readyState !== 'open') return;
      channel.send(chunk);
      at += chunk.byteLength;
      this.bytes += chunk.byteLength;
      pace.sent(chunk.byteLength);
      this.emit('progress', this.bytes);
    }
  }

  /** It is whole. @param {Blob | null} [result] what the receiver has */
  finish(result = null) {
    if (this.state === 'done' || this.state === 'failed') return;
    this.state = 'done';
    this.#parts = [];
    if (result) {
      this.#answer('done');
      this.#channel?.close();
    }
    this.emit('done', result);
  }
}
