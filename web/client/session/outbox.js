import {HubError} from '../base/codes.js';

/** @typedef {{seq: number, message: import('./session.js').Message, bytes: number}} Sent */

// At most so much is kept unacknowledged (protocol.md, "Numbers, acknowledgement, resume").
const queueMessages = 256;
const queueBytes = 1 << 20;

/** What the server has not acknowledged, in order, with its numbers. */
export class Outbox {
  /** @type {Sent[]} */ entries = [];
  #bytes = 0;
  #last = 0;

  /** Numbers a message and keeps it. @param {import('./session.js').Message} message */
  add(message) {
    const bytes = JSON.stringify(message).length;
    if (this.entries.length >= queueMessages || this.#bytes + bytes > queueBytes) {
      throw new HubError('queue-full', 'too much is waiting to be sent while the connection is away', true);
    }
    const entry = {seq: ++this.#last, message, bytes};
    this.entries.push(entry);
    this.#bytes += bytes;
    return entry;
  }

  /** The server has everything up to this number. @param {unknown} ack */
  acknowledge(ack) {
    if (typeof ack !== 'number') return;
    while (this.entries.length && this.entries[0].seq <= ack) this.#bytes -= /** @type {Sent} */ (this.entries.shift()).bytes;
  }

  /** For another session, whose numbers begin anew. */
  clear() {
    this.entries = [];
    this.#bytes = this.#last = 0;
  }
}
