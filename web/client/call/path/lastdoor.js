import {lastDoorTimes as times} from '../../base/times.js';
import {Quota} from '../../base/quota.js';

/** @typedef {import('../websocket/path.js').WebSocketPath} WebSocketPath */
/** @typedef {{key: string, pictures: string[], sound: boolean, bond?: string}} DoorKey a browser's key for the way through the server's WebSocket, and what it can do there; `bond`: of the connection that its keys are bound to */

/**
 * What the last door needs of its peer.
 * @typedef {object} LastDoorHost
 * @property {import('../../base/clock.js').Clock} clock
 * @property {() => Promise<{WebSocketPath: new (host: import('../websocket/path.js').PathHost) => WebSocketPath, abilities: () => Promise<Omit<DoorKey, 'key'> | null>}>} load what does it
 * @property {() => boolean} possible whether the server passes media on, and the other side can be told
 * @property {() => number} unconnected how long there has been no WebRTC path, milliseconds; 0: there is one
 * @property {() => number} still how long nothing has come by the path in use, where something should, milliseconds; 0: all is well
 * @property {() => boolean} [waits] that path is over TCP or TLS, where a line that has become narrow stands still for longer
 * @property {() => boolean} [strained] it is known as narrow, or what is sent by it comes late: it lives, and another beside it takes of it
 * @property {() => boolean} [narrow] our line is thought to be narrow, and what a path of WebRTC says takes longer there: what is tried beside it takes of that
 * @property {() => boolean} lost a path of WebRTC has been in use, and is known to be lost
 * @property {() => boolean} waiting whether there is anybody in the call to be connected with
 * @property {(said: DoorKey) => void} say
 * @property {() => Omit<import('../websocket/path.js').PathHost, 'closed' | 'sending' | 'standing' | 'opened'>} path
 * @property {() => Promise<import('./bond.js').Shared | null>} shared what the two have told each other over the connection in use, where nobody else hears it
 * @property {() => void} unanswered the other side does not know of such a way, or has not got what it takes, or the two do not meet there
 * @property {(path: WebSocketPath) => void} opened both ends of it are there
 * @property {() => void} changed media goes this way, or sound stands in, or does not any more
 */

/**
 * Opens the way through the server's WebSocket where no path of WebRTC comes about or is left, and closes it once there is
 * one. What does it is loaded when it is needed first.
 */
export class LastDoor {
  /** Media goes this way: there is no other. */
  carries = false;
  /** Sound and pictures are asked for this way, by one that may be dead and may not: nothing else changes, whichever it is. */
  #stands = false;

  /** @type {LastDoorHost} */ #host;
  /** @type {WebSocketPath | null} */ #path = null;
  /** The key that ours has been agreed upon with; '': none yet. */
  #agreed = '';
  /** @type {any} */ #timer = null;
  #beginning = false;
  /** What we have said for the path that there is, and what it may be bound to. @type {DoorKey | null} */ #said = null;
  /** @type {import('./bond.js').Shared | null} */ #shared = null;
  #begunAt = -Infinity;
  #closed = false;
  /** @type {number} */ #pause = times.again;
  #notBefore = -Infinity;
  /** @type {Promise<{WebSocketPath: new (host: import('../websocket/path.js').PathHost) => WebSocketPath, abilities: () => Promise<Omit<DoorKey, 'key'> | null>}> | null} */ #fetched = null;
  /** When it was opened without patience. */
  #hurriedAt = -Infinity;
  /** It is made ready for paths that stand still; and because the other side asks. @type {Quota} */ #ahead;
  /** @type {Quota} */ #answers;

  /** @param {LastDoorHost} host */
  constructor(host) {
    this.#host = host;
    this.#ahead = new Quota(host.clock, times.aheadAtOnce, times.ahead);
    this.#answers = new Quota(host.clock, times.answersAtOnce, times.answers);
  }

  /** The way in use; null: none. */
  get path() { return this.carries ? this.#path : null; }

  /** The one by which sound may be heard, and pictures seen, in place of a connection's; null: none. */
  get standIn() { return this.#stands ? this.#path : null; }

  /**
   * What both sides have alike of its keys, and nobody between them, while one of the two has nothing else: those of the connection
   * that they are bound to. null: the connection is in use.
   */
  get keys() {
    const path = this.carries || this.#path?.used ? this.#path : null;
    return path && (path.bound && this.#shared ? this.#shared.keys : path.agreement);
  }

  /** A path of WebRTC may have come or gone. */
  look() {
    const {clock} = this.#host;
    clock.clearTimeout(this.#timer);
    if (this.#closed || !this.#host.waiting()) return;
    const unconnected = this.#host.unconnected();
    if (unconnected === 0) {
      this.#pause = times.again;
      const still = this.#host.still();
      if (still) return this.#standBy(still);
      this.#use(false);
      // The other side may need it a little longer, or nothing of ours gets there by another way.
      if (this.#path) this.#timer = clock.setTimeout(() => { if (this.#host.unconnected() === 0 && !this.#host.still() && !this.#path?.wanted) this.#drop(); else this.look(); }, times.keep);
      return;
    }
    if (this.#path?.open) return this.#use(true);
    if (this.#path && clock.now() - this.#begunAt > times.open) {
      // Keys are agreed upon over signaling: the two may sit where no socket of one meets one of the other.
      this.#host.unanswered();
      return this.#drop();
    }
    const hurried = this.#host.lost() && clock.now() - this.#hurriedAt > times.hurry;
    // What was connected once is known to be lost.
    const longer = !this.#host.lost() && this.#host.narrow?.() ? times.longer : 0;
    const within = Math.max(hurried ? 0 : times.patience + longer - unconnected, this.#notBefore - clock.now());
    if (within > 0) {
      // What does it is fetched meanwhile: over a slow line that takes as long as the rest.
      const fetchIn = times.fetch + longer - unconnected;
      if (fetchIn <= 0 && this.#host.possible()) this.#fetch();
      this.#timer = clock.setTimeout(() => this.look(), fetchIn > 0 ? Math.min(within, fetchIn) : within);
    } else if (!this.#path && this.#host.possible()) this.#begin(hurried ? 'hurried' : '');
    else this.#timer = clock.setTimeout(() => this.look(), times.look);
  }

  /**
   * A path that stands still may go on or be dead: meanwhile this is made ready, and stands in if it takes long, where nobody could
   * have got between its keys who is not between the connection's: people have compared those.
   * @param {number} still milliseconds
   */
  #standBy(still) {
    const {clock} = this.#host, waits = this.#host.waits?.() ?? false, sure = waits ? times.sureWaiting : times.sure, due = this.#path?.open || waits ? sure - still : 0;
    this.#use(false, still >= sure && !!this.#path?.open && this.#path.bound);
    this.#timer = clock.setTimeout(() => this.look(), due > 0 ? due : times.look);
    if (waits && due > 0) return;
    if (!this.#path && !this.#beginning && this.#host.possible() && this.#ahead.take()) this.#begin('ahead');
  }

  /** The other side wants it, or answers. @param {DoorKey} said */
  async hear(said) {
    if (this.#closed || !this.#host.waiting() || !this.#host.possible()) return;
    if (said.key === this.#agreed) return;
    // Whoever hears nothing of us on a line that has become narrow cannot know.
    if (!this.#path && this.#host.unconnected() === 0 && this.#host.strained?.()) return;
    // Theirs is another: they have begun anew, and so do we. At most so often, whatever they say.
    if (this.#agreed) {
      if (this.#host.clock.now() < this.#notBefore) return;
      this.#drop();
    }
    // Keys that are none end it at once, and each beginning is a socket at the server.
    if (!this.#path && !this.#beginning && !this.#answers.take()) return;
    if (!this.#path) await this.#begin();
    const path = this.#path;
    if (!path || this.#agreed) return;
    this.#agreed = said.key;
    // Ours may have come when the other side had no use for it.
    if (this.#said) this.#host.say(this.#said);
    const bound = this.#shared && said.bond === this.#shared.bond ? this.#shared.secret : null;
    await path.agree(said, bound).catch(() => path.close());
  }

  /** Loads what does it, once. */
  #fetch() {
    this.#fetched ??= this.#host.load().then(async (door) => { await door.abilities(); return door; }); // what that loads is there then
    this.#fetched.catch(() => { this.#fetched = null; });
    return this.#fetched;
  }

  /** @param {'' | 'hurried' | 'ahead'} [how] without patience; before it is needed */
  async #begin(how = '') {
    if (this.#beginning) return;
    this.#beginning = true;
    const {clock} = this.#host;
    if (how === 'hurried') this.#hurriedAt = clock.now();
    // What is made ready and not used has a measure of its own: the loss of a path finds all as it was.
    if (how !== 'ahead') {
      this.#notBefore = clock.now() + this.#pause;
      this.#pause = Math.min(times.againMost, this.#pause * 2);
    }
    try {
      // What this browser can do is asked anew: a file that could not be loaded then may have come.
      const {WebSocketPath, abilities} = await this.#fetch(), able = await abilities();
      if (!able || this.#closed) return;
      const path = new WebSocketPath({...this.#host.path(),
        sending: () => this.carries,
        standing: () => this.#stands,
        opened: () => {
          if (path !== this.#path) return;
          this.#host.opened(path);
          this.look();
        },
        closed: () => { if (path === this.#path) this.#drop(); },
      });
      const [shared] = await Promise.all([this.#host.shared(), path.begin()]);
      if (this.#closed) return path.close();
      this.#shared = shared;
      this.#path = path;
      this.#begunAt = clock.now();
      this.#host.say(this.#said = {key: path.publicKey, ...able, ...(shared && {bond: shared.bond})});
    } catch (error) {
      console.warn('turnhub: the way through the WebSocket', error);
    } finally {
      this.#beginning = false;
    }
    this.look();
  }

  /** @param {boolean} carries @param {boolean} [stands] */
  #use(carries, stands = false) {
    if (this.carries === carries && this.#stands === stands) return;
    this.carries = carries;
    this.#stands = stands;
    this.#host.changed();
    this.#path?.send();
  }

  #drop() {
    const path = this.#path;
    this.#path = null;
    this.#agreed = '';
    this.#use(false);
    if (path) this.#host.changed();
    path?.close();
    this.look();
  }

  /** One of the two has another session. */
  returned() { this.#path?.again(); }

  /** Our session goes on, at another node perhaps. */
  settle() { this.#path?.settle(); }

  /** The network is another one. */
  networkChanged() { this.#path?.networkChanged(); }

  /** What we send has changed. */
  send() { this.#path?.send(); }

  close() {
    this.#closed = true;
    this.#host.clock.clearTimeout(this.#timer);
    this.#drop();
  }
}
