// A path's WebSocket to the server, one after another: a path outlives the process of the server, the network and the proxy
// that a socket went through.

/** A lost one is opened anew after so long, milliseconds; the last of them from then on. */
const again = [50, 250, 500, 1000];
/** One beside another that is silent: so often at most, milliseconds. What the server has not taken by then is left. */
const renewEvery = 2000;
/**
 * Sooner where the last one was taken in less than a third of that, but not before so long, and twice that after two of them: a proxy whose
 * line has another address sends what is new over connections that it has kept, and that are dead.
 */
const quick = 700, times = 3;
/** How the server ends one for good: a fault of ours, a session that is revoked, too many, a flood, a frame that is too big. */
const final = new Set([4000, 4004, 4006, 4007, 4009]);

/**
 * What the link needs of its path.
 * @typedef {object} LinkHost
 * @property {() => WebSocket | null} socket one on its way; null: not now
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
  /** The one that is sent on. @type {WebSocket | null} */ #socket = null;
  /** One that is to take its place. @type {WebSocket | null} */ #next = null;
  /** The server has taken that one: it is used once the other side is met there, or ours is lost. */
  #taken = false;
  /** @type {any} */ #timer = null;
  #tries = 0;
  #renewedAt = -Infinity;
  /** When that on its way was begun, how long the last took until the server had taken it, and how many were left since. */
  #begunAt = 0;
  #took = Infinity;
  #left = 0;
  /** The server goes down: the next one is tried until it is taken, while the one in use goes on. */
  #moving = false;
  #closed = false;

  /** @param {LinkHost} host */
  constructor(host) {
    this.#host = host;
  }

  /** Bytes that wait in the browser. */
  get queued() { return this.#socket?.bufferedAmount ?? 0; }

  /** Whether what is sent now leaves. */
  get open() { return this.#socket?.readyState === 1; }

  /** @param {Uint8Array<ArrayBuffer>} frame sent, or lost where there is no socket */
  send(frame) {
    if (this.open) this.#socket?.send(frame);
  }

  /** Opens one; beside that in use, which goes on until the other side is met there. */
  begin() {
    const {clock} = this.#host;
    clock.clearTimeout(this.#timer);
    if (this.#closed || this.#next) return;
    const socket = this.#host.socket();
    if (!socket) return this.#later();
    this.#next = socket;
    this.#taken = false;
    this.#begunAt = clock.now();
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({data}) => { if (typeof data === 'string') this.#said(socket, data); else this.#host.came(new Uint8Array(data)); };
    socket.onclose = ({code}) => this.#lost(socket, code);
    this.#timer = clock.setTimeout(() => {
      if (this.#next !== socket || this.#taken) return;
      this.#next = null;
      this.#left++;
      this.#leave(socket);
      this.#later();
    }, Math.min(renewEvery, Math.max(quick, times * this.#took) * 2 ** (this.#left >> 1)));
  }

  /** Nothing has come for a while: the socket may be dead without knowing it. */
  renew() {
    const now = this.#host.clock.now();
    if (now - this.#renewedAt < renewEvery) return;
    this.#renewedAt = now;
    if (this.#next) this.#leave(this.#next);
    this.#next = null;
    this.begin();
  }

  /** Our session or the other side's is another: what was refused before may be taken. */
  again() {
    if (this.#socket || (this.#next && this.#taken)) return;
    if (this.#next) this.#leave(this.#next); // it has said the one before
    this.#next = null;
    this.#tries = 0;
    this.begin();
  }

  #later() {
    const {clock} = this.#host;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => this.begin(), again[Math.min(this.#tries++, again.length - 1)]);
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
      this.#tries = 0;
      if (socket === this.#next && !this.#taken) {
        this.#taken = true;
        this.#moving = false;
        this.#took = this.#host.clock.now() - this.#begunAt;
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
    if (this.#next === socket) this.#next = null;
  }

  /** @param {WebSocket} socket @param {number} code */
  #lost(socket, code) {
    if (this.#next === socket) this.#next = null;
    else if (this.#socket !== socket) return;
    if (this.#socket === socket) {
      this.#socket = null;
      this.here = false;
      if (this.#next && this.#taken) this.#use(this.#next);
    }
    if (final.has(code)) {
      this.close();
      this.#host.ended();
    } else if ((!this.#socket || this.#moving) && !this.#next) { // our session may come to the new process a moment later
      this.#later();
    }
  }

  /** @param {WebSocket} socket */
  #leave(socket) {
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  close() {
    this.#closed = true;
    this.#host.clock.clearTimeout(this.#timer);
    for (const socket of [this.#socket, this.#next]) if (socket) this.#leave(socket);
    this.#socket = this.#next = null;
  }
}
