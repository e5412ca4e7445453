import {lastDoorTimes as times} from '../../base/times.js';

/** @typedef {import('../websocket/path.js').WebSocketPath} WebSocketPath */
/** @typedef {{key: string, pictures: string[], sound: boolean}} DoorKey a browser's key for the way through the server's WebSocket, and what it can do there */

/**
 * What the last door needs of its peer.
 * @typedef {object} LastDoorHost
 * @property {import('../../base/clock.js').Clock} clock
 * @property {() => Promise<{WebSocketPath: new (host: import('../websocket/path.js').PathHost) => WebSocketPath, abilities: () => Promise<Omit<DoorKey, 'key'> | null>}>} load what does it
 * @property {() => boolean} possible whether the server passes media on, and the other side can be told
 * @property {() => number} unconnected how long there has been no WebRTC path, milliseconds; 0: there is one
 * @property {() => boolean} lost a path of WebRTC has been in use, and is known to be lost
 * @property {() => boolean} waiting whether there is anybody in the call to be connected with
 * @property {(said: DoorKey) => void} say
 * @property {() => Omit<import('../websocket/path.js').PathHost, 'closed' | 'sending' | 'opened'>} path
 * @property {() => void} unanswered the other side does not know of such a way, or has not got what it takes
 * @property {(carries: boolean) => void} changed media goes this way, or does not any more
 */

/**
 * Opens the way through the server's WebSocket where no path of WebRTC comes about or is left, and closes it once there is
 * one. What does it is loaded when it is needed first.
 */
export class LastDoor {
  /** Media goes this way. */
  carries = false;

  /** @type {LastDoorHost} */ #host;
  /** @type {WebSocketPath | null} */ #path = null;
  /** The key that ours has been agreed upon with; '': none yet. */
  #agreed = '';
  /** @type {any} */ #timer = null;
  #beginning = false;
  /** What we have said for the path that there is. @type {DoorKey | null} */ #said = null;
  #begunAt = -Infinity;
  #closed = false;
  /** @type {number} */ #pause = times.again;
  #notBefore = -Infinity;
  /** @type {Promise<{WebSocketPath: new (host: import('../websocket/path.js').PathHost) => WebSocketPath, abilities: () => Promise<Omit<DoorKey, 'key'> | null>}> | null} */ #fetched = null;
  /** When it was opened without patience. */
  #hurriedAt = -Infinity;

  /** @param {LastDoorHost} host */
  constructor(host) {
    this.#host = host;
  }

  /** The way in use; null: none. */
  get path() { return this.carries ? this.#path : null; }

  /** A path of WebRTC may have come or gone. */
  look() {
    const {clock} = this.#host;
    clock.clearTimeout(this.#timer);
    if (this.#closed || !this.#host.waiting()) return;
    const unconnected = this.#host.unconnected();
    if (unconnected === 0) {
      this.#pause = times.again;
      this.#carry(false);
      // The other side may need it a little longer.
      if (this.#path) this.#timer = clock.setTimeout(() => { if (this.#host.unconnected() === 0) this.#drop(); else this.look(); }, times.keep);
      return;
    }
    if (this.#path?.open) return this.#carry(true);
    if (this.#path && clock.now() - this.#begunAt > times.open) {
      if (!this.#agreed) this.#host.unanswered();
      return this.#drop();
    }
    const hurried = this.#host.lost() && clock.now() - this.#hurriedAt > times.hurry;
    const within = Math.max(hurried ? 0 : times.patience - unconnected, this.#notBefore - clock.now());
    if (within > 0) {
      // What does it is fetched meanwhile: over a slow line that takes as long as the rest.
      const fetchIn = times.fetch - unconnected;
      if (fetchIn <= 0 && this.#host.possible()) this.#fetch();
      this.#timer = clock.setTimeout(() => this.look(), fetchIn > 0 ? Math.min(within, fetchIn) : within);
    } else if (!this.#path && this.#host.possible()) this.#begin(hurried);
    else this.#timer = clock.setTimeout(() => this.look(), times.look);
  }

  /** The other side wants it, or answers. @param {DoorKey} said */
  async hear(said) {
    if (this.#closed || !this.#host.waiting() || !this.#host.possible()) return;
    if (said.key === this.#agreed) return;
    // Theirs is another: they have begun anew, and so do we. At most so often, whatever they say.
    if (this.#agreed) {
      if (this.#host.clock.now() < this.#notBefore) return;
      this.#drop();
    }
    if (!this.#path) await this.#begin();
    const path = this.#path;
    if (!path || this.#agreed) return;
    this.#agreed = said.key;
    // Ours may have come when the other side had no use for it.
    if (this.#said) this.#host.say(this.#said);
    await path.agree(said).catch(() => path.close());
  }

  /** Loads what does it, once. */
  #fetch() {
    this.#fetched ??= this.#host.load().then(async (door) => { await door.abilities(); return door; }); // what that loads is there then
    this.#fetched.catch(() => { this.#fetched = null; });
    return this.#fetched;
  }

  /** @param {boolean} [hurried] without patience */
  async #begin(hurried = false) {
    if (this.#beginning) return;
    this.#beginning = true;
    const {clock} = this.#host;
    if (hurried) this.#hurriedAt = clock.now();
    this.#notBefore = clock.now() + this.#pause;
    this.#pause = Math.min(times.againMost, this.#pause * 2);
    try {
      // What this browser can do is asked anew: a file that could not be loaded then may have come.
      const {WebSocketPath, abilities} = await this.#fetch(), able = await abilities();
      if (!able || this.#closed) return;
      const path = new WebSocketPath({...this.#host.path(),
        sending: () => this.carries,
        opened: () => { if (path === this.#path) this.look(); },
        closed: () => { if (path === this.#path) this.#drop(); },
      });
      await path.begin();
      if (this.#closed) return path.close();
      this.#path = path;
      this.#begunAt = clock.now();
      this.#host.say(this.#said = {key: path.publicKey, ...able});
    } catch (error) {
      console.warn('turnhub: the way through the WebSocket', error);
    } finally {
      this.#beginning = false;
    }
    this.look();
  }

  /** @param {boolean} carries */
  #carry(carries) {
    if (this.carries === carries) return;
    this.carries = carries;
    this.#host.changed(carries);
    this.#path?.send();
  }

  #drop() {
    const path = this.#path;
    this.#path = null;
    this.#agreed = '';
    this.#carry(false);
    path?.close();
    this.look();
  }

  /** What we send has changed. */
  send() { this.#path?.send(); }

  close() {
    this.#closed = true;
    this.#host.clock.clearTimeout(this.#timer);
    this.#drop();
  }
}
