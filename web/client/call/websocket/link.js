// A path's WebSocket to the server, one after another: a path outlives the process of the server, the network and the proxy
// that a socket went through.
import {holdsBack} from '../../session/retry.js';

/** A lost one is opened anew after so long, milliseconds; the last of them from then on. */
const again = [50, 250, 500, 1000];
/** One beside another that is silent: so often at most, milliseconds. What the server has not taken by then is left. */
const renewEvery = 2000;
/** The server is asked by one that is silent so often at most, milliseconds. */
const askEvery = 400;
/**
 * Beside one that is silent another is tried where the one before has not opened in the time that the last one took, within these, milliseconds; so
 * many at once, and no more once so many were left: then the line is gone, and not one connection of a proxy.
 */
const besideSoonest = 100, besideLatest = 300, mostBeside = 4, mostLeft = 8;
/**
 * Sooner where the last one was taken in less than a third of that, but not before so long, and twice that after two of them: a proxy whose
 * line has another address sends what is new over connections that it has kept, and that are dead.
 */
const quick = 700, times = 3;
/** And sooner yet where the browser opens one after the other only (RFC 6455 section 4.1), and another cannot be tried beside it. */
const serial = {quick: 300, times: 2};
/** How the server ends one for good: a fault of ours, a session that is revoked, too many, a flood, a frame that is too big. */
const final = new Set([4000, 4004, 4006, 4007, 4009]);

/** @typedef {{socket: WebSocket | null, begunAt: number, timer: any, sure: boolean}} Try `sure`: it is used, whatever the one in use does meanwhile */

/**
 * What the link needs of its path.
 * @typedef {object} LinkHost
 * @property {(opens: () => boolean) => WebSocket | null} socket one on its way; null: not now. `opens` is asked once it has opened: false, nothing is said there
 * @property {(socket: WebSocket) => boolean} near whether it goes to the node that has our session
 * @property {() => boolean} wide whether the line has room for several on their way at once
 * @property {import('../../base/clock.js').Clock} clock
 * @property {(frame: Uint8Array<ArrayBuffer>) => void} came
 * @property {() => void} met the other side has its socket too, or has it anew: what was on its way may be lost
 * @property {() => void} key a picture did not get through
 * @property {() => void} ended there will be none any more
 */

/** The sockets of one end. */
export class Link {
  /** Whether the other side has its socket, as far as the server has told. */
  here = false;

  /** @type {LinkHost} */ #host;
  /** The one that is sent on, and when anything came by it last. @type {WebSocket | null} */ #socket = null;
  #heardAt = -Infinity;
  /** Those on their way, the oldest first. @type {Try[]} */ #tries = [];
  /** One that the server has taken: it is used once the other side is met there, or ours is lost. @type {WebSocket | null} */ #taken = null;
  /** @type {any} */ #timer = null;
  /** @type {any} */ #racing = null;
  #attempts = 0;
  #renewedAt = -Infinity;
  #askedAt = -Infinity;
  /** How long the last took until the server had taken it, and how many were left since. */
  #took = Infinity;
  #left = 0;
  /** The server goes down, or a session is another: the next one is tried until the two have met there, while the one in use goes on. */
  #moving = false;
  #closed = false;
  #serial;

  /** @param {LinkHost} host @param {string} [agent] */
  constructor(host, agent = globalThis.navigator?.userAgent ?? '') {
    this.#host = host;
    this.#serial = holdsBack(agent);
  }

  /** Bytes that wait in the browser. */
  get queued() { return this.#socket?.bufferedAmount ?? 0; }

  /** Whether what is sent now leaves. */
  get open() { return this.#socket?.readyState === 1; }

  /** How long the server has said nothing by the one in use, whoever's word it was, milliseconds. */
  get silence() { return this.#socket ? this.#host.clock.now() - this.#heardAt : Infinity; }

  /** @param {Uint8Array<ArrayBuffer>} frame sent, or lost where there is no socket */
  send(frame) {
    if (this.open) this.#socket?.send(frame);
  }

  /** Opens one; beside that in use, which goes on until the other side is met there. */
  begin() {
    this.#host.clock.clearTimeout(this.#timer);
    if (!this.#tries.length) this.#try(false);
  }

  /** @param {boolean} sure */
  #try(sure) {
    const {clock} = this.#host;
    if (this.#closed || this.#taken) return;
    /** @type {Try} */ const one = {socket: null, begunAt: clock.now(), timer: null, sure};
    const socket = one.socket = this.#host.socket(() => this.#opens(one));
    if (!socket) return this.#tries.length ? undefined : this.#later();
    this.#tries.push(one);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({data}) => {
      if (socket === this.#socket) {
        this.#heardAt = clock.now();
        this.#left = 0;
      }
      if (typeof data === 'string') this.#said(socket, data);
      else this.#host.came(new Uint8Array(data));
    };
    socket.onclose = ({code}) => this.#lost(socket, code);
    one.timer = clock.setTimeout(() => {
      this.#forget(one);
      this.#left++;
      if (!this.#tries.length) this.#later();
      else this.#race();
    }, this.#patience);
    this.#race();
  }

  /** How long one may be on its way, milliseconds. */
  get #patience() {
    const least = this.#serial && this.#silent ? serial : {quick, times};
    return Math.min(renewEvery, Math.max(least.quick, least.times * this.#took) * 2 ** (this.#left >> 1));
  }

  /** Whether there is one in use that may be dead, on a line that has room for others. */
  get #silent() { return this.#socket !== null && !this.#moving && this.#host.wide(); }

  /** Where the one in use is silent another may fare better: a proxy sends some over connections that are dead. */
  #race() {
    const {clock} = this.#host, [first] = this.#tries;
    clock.clearTimeout(this.#racing);
    if (!this.#silent || this.#serial || !first || this.#took === Infinity || this.#left >= mostLeft || this.#tries.length >= mostBeside) return;
    this.#racing = clock.setTimeout(() => {
      if (this.#tries.length && !this.#goesOn(first)) this.#try(first.sure);
    }, Math.min(besideLatest, Math.max(besideSoonest, this.#took)));
  }

  /** Whether the one in use needs no other: it has gone on since that was begun. @param {Try} one */
  #goesOn({sure, begunAt}) { return this.open && !this.#moving && !sure && this.#heardAt > begunAt; }

  /** One has got through to the server: those beside it are not needed, nor it where the one in use goes on. @param {Try} one */
  #opens(one) {
    if (!this.#tries.includes(one)) return false;
    const goesOn = this.#goesOn(one);
    for (const other of [...this.#tries]) if (goesOn || other !== one) this.#forget(other);
    return !goesOn;
  }

  /** @param {Try} one that is not waited for any more @param {boolean} [leave] it is not used either */
  #forget(one, leave = true) {
    this.#host.clock.clearTimeout(one.timer);
    this.#tries = this.#tries.filter((other) => other !== one);
    if (leave && one.socket) this.#leave(one.socket);
  }

  /** Asks the server for a word, by the one in use: whether it is that which is silent. */
  ask() {
    const now = this.#host.clock.now();
    if (!this.open || now - this.#askedAt < askEvery) return;
    this.#askedAt = now;
    this.#socket?.send('{"type":"ping"}');
  }

  /**
   * Nothing has come for a while: the socket may be dead without knowing it.
   * @param {boolean} [sure] another is used even if this one goes on meanwhile
   */
  renew(sure = false) {
    const now = this.#host.clock.now();
    if (now - this.#renewedAt < renewEvery) return;
    this.#renewedAt = now;
    if (this.#taken) { // nobody has been met there, and nothing is heard here
      this.here = false;
      this.#use(this.#taken);
    } else if (this.#tries.length) {
      for (const one of this.#tries) one.sure ||= sure;
    } else {
      this.#host.clock.clearTimeout(this.#timer);
      this.#try(sure);
    }
  }

  /** Our session or the other side's is another: the one in use is of those before, and goes on until the two have met as these. */
  again() {
    for (const one of [...this.#tries]) this.#forget(one); // they have said the one before
    if (this.#taken) this.#leave(this.#taken);
    this.#taken = null;
    this.#moving = this.#socket !== null;
    this.#attempts = 0;
    this.begin();
  }

  /** Our session goes on, at another node perhaps. The server passes on what comes to two, and each costs: all of ours go to that one. */
  settle() {
    const sockets = [this.#socket, this.#taken, ...this.#tries.map(({socket}) => socket)];
    if (sockets.some((socket) => socket && !this.#host.near(socket))) this.again();
  }

  #later() {
    const {clock} = this.#host;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => this.begin(), again[Math.min(this.#attempts++, again.length - 1)]);
  }

  /** @param {WebSocket} socket @param {string} text of the server */
  #said(socket, text) {
    let said;
    try {
      said = JSON.parse(text);
    } catch {
      return;
    }
    const {type, here, after} = said ?? {};
    if (type === 'ready' || type === 'peer') {
      this.#attempts = 0;
      const one = this.#tries.find((each) => each.socket === socket);
      if (one) {
        this.#forget(one, false);
        for (const other of [...this.#tries]) this.#forget(other);
        this.#taken = socket;
        this.#took = this.#host.clock.now() - one.begunAt;
        this.#left = 0;
      }
      if (here || !this.#socket) this.#use(socket);
      if (socket !== this.#socket) return;
      this.here = here === true;
      if (here) this.#host.met();
    } else if (type === 'key') {
      this.#host.key();
    } else if (type === 'restart' && socket === this.#socket && Number.isFinite(after)) {
      this.#host.clock.clearTimeout(this.#timer);
      this.#moving = true;
      this.#timer = this.#host.clock.setTimeout(() => this.begin(), Math.max(0, Math.min(after, 10_000)));
    }
  }

  /** @param {WebSocket} socket */
  #use(socket) {
    if (socket === this.#socket) return;
    if (this.#socket) this.#leave(this.#socket);
    this.#socket = socket;
    this.#moving = false;
    this.#heardAt = this.#host.clock.now();
    if (this.#taken === socket) this.#taken = null;
  }

  /** @param {WebSocket} socket @param {number} code */
  #lost(socket, code) {
    const one = this.#tries.find((each) => each.socket === socket);
    if (one) this.#forget(one, false);
    else if (this.#taken === socket) this.#taken = null;
    else if (this.#socket !== socket) return;
    if (this.#socket === socket) {
      this.#socket = null;
      this.here = false;
      if (this.#taken) this.#use(this.#taken);
    }
    if (final.has(code)) {
      this.close();
      this.#host.ended();
    } else if ((!this.#socket || this.#moving) && !this.#tries.length && !this.#taken) { // our session may come to the new process a moment later
      this.#later();
    }
  }

  /** @param {WebSocket} socket */
  #leave(socket) {
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  close() {
    const {clock} = this.#host;
    this.#closed = true;
    clock.clearTimeout(this.#timer);
    clock.clearTimeout(this.#racing);
    for (const one of [...this.#tries]) this.#forget(one);
    for (const socket of [this.#socket, this.#taken]) if (socket) this.#leave(socket);
    this.#socket = this.#taken = null;
  }
}
