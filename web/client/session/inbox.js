import {sessionTimes as times} from '../base/times.js';

// When what has come is acknowledged (protocol.md, "Numbers, acknowledgement, resume").
const ackAfter = 32;
const ackBytes = 1 << 18;

/** Which of the server's numbered messages have come, and which of them it knows we have. */
export class Inbox {
  /** The number of the last message that was handled. */
  handled = 0;
  #acked = 0;
  /** Characters that have come since the last acknowledgement. */
  #unacknowledged = 0;
  /** @type {any} */ #timer = null;
  /** @type {import('../base/clock.js').Clock} */ #clock;
  #acknowledge;

  /** @param {import('../base/clock.js').Clock} clock @param {() => void} acknowledge sends an acknowledgement, as nothing else has carried it */
  constructor(clock, acknowledge) {
    this.#clock = clock;
    this.#acknowledge = acknowledge;
  }

  /**
   * A numbered message has come.
   * @param {number} seq @param {number} size characters
   * @returns {boolean} false: it was handled before the socket was lost
   */
  take(seq, size) {
    if (seq <= this.handled) return false;
    this.handled = seq;
    this.#unacknowledged += size;
    if (this.handled - this.#acked >= ackAfter || this.#unacknowledged >= ackBytes) {
      this.#acknowledge();
    } else {
      this.#timer ??= this.#clock.setTimeout(() => {
        this.#timer = null;
        if (this.handled > this.#acked) this.#acknowledge();
      }, times.acknowledge);
    }
    return true;
  }

  /** What the message that is being sent acknowledges; undefined: nothing that the server does not know. */
  acknowledged() {
    this.#unacknowledged = 0;
    if (this.handled === this.#acked) return undefined;
    return (this.#acked = this.handled);
  }

  /** There is no socket. */
  stop() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** For another session, whose numbers begin anew. */
  clear() {
    this.handled = this.#acked = 0;
  }
}
