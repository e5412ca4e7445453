import {explain} from './problems.js';

/** @typedef {import('./problems.js').Kind} Kind */
/** @typedef {import('./problems.js').Problem} Problem */

/**
 * The microphone or the camera: what the person wishes, and the track that follows the wish.
 *
 * Nothing but the person changes the wish, and nothing but this class holds a track of the device. The browser is
 * asked by one question at a time. What it answers, however late, is held against the wish of *that* moment: a track
 * that nobody wants any more is stopped as it arrives, and is never handed on.
 */
export class Device {
  /** What the person wishes. */
  wished = true;
  /** @type {Problem | undefined} why there is no track although one is wished */
  problem = undefined;
  /** @type {MediaStreamTrack | null} */
  track = null;
  /** The id of the device to take; '' for any. */
  chosen = '';
  /** Which way the camera is to look: 'user', 'environment', or '' for either. */
  facing = '';

  /** @type {(loose: boolean) => Promise<MediaStreamTrack | undefined>} */ #capture;
  /** @type {(track: boolean) => void} */ #changed;
  /** The page wants this kind at all. */
  #opened = false;
  #closed = false;
  /** The track is of another device than the one that was chosen since. */
  #outdated = false;
  /** Counts the choices of a device, so that an answer to an older question is recognized. */
  #choice = 0;
  /** @type {Promise<void> | null} the question that the browser has not answered yet */ #question = null;
  #awaitsPermission = false;
  /** The browser has answered a question before. */
  #answeredOnce = false;

  /**
   * @param {Kind} kind
   * @param {(loose: boolean) => Promise<MediaStreamTrack | undefined>} capture asks the browser; `loose`: for any device of any size
   * @param {(track: boolean) => void} changed something has changed; `track`: what is sent
   */
  constructor(kind, capture, changed) {
    this.kind = kind;
    this.#capture = capture;
    this.#changed = changed;
  }

  /** A track should be there now. */
  get wanted() { return this.wished && this.#opened && !this.#closed; }
  /** One is wanted, and the browser has been asked for it. */
  get starting() { return this.wanted && this.#question !== null; }
  /** It is there and on. */
  get on() { return this.track !== null && this.track.readyState !== 'ended' && this.wished; }
  /** The first question to the browser while it is open: the visitor may be looking at it. @returns {Promise<void> | null} */
  get firstQuestion() { return this.#answeredOnce ? null : this.#question; }
  get missing() { return this.wanted && (this.track === null || this.#outdated); }

  /**
   * The person's wish. Switching off works before this returns. A camera is released, so that its light goes out; a
   * microphone stays open, silenced, so that it is back at once.
   * @param {boolean} on
   */
  wish(on) {
    this.wished = on;
    if (on) {
      this.#opened = true;
    } else {
      this.problem = undefined;
      if (this.kind === 'video') this.release();
    }
    if (this.track) this.track.enabled = on;
  }

  /** The page wants this kind, or not. @param {boolean} opened */
  open(opened) {
    this.#opened = opened;
  }

  /** Another device. @param {string} id @param {string} [facing] */
  choose(id, facing = '') {
    this.#choice++;
    this.chosen = id;
    this.facing = facing;
    if (!this.track) return;
    this.#outdated = true;
    // Some cameras and phones open one device at a time only. And one that is off is not kept for its successor.
    if (this.kind === 'video') this.track.stop();
    if (!this.wished) this.release();
  }

  /** Asks the browser until what is there is what is wished, or cannot be had. @returns {Promise<void>} */
  settle() {
    if (!this.missing) return Promise.resolve();
    return (this.#question ??= this.#ask());
  }

  /**
   * Settles with the answer to a question that was asked for both kinds at once.
   * @param {Promise<MediaStreamTrack | undefined>} answer never rejected; undefined: each kind has to be asked for alone
   */
  settleWith(answer) {
    return (this.#question ??= this.#ask(answer));
  }

  /** @param {Promise<MediaStreamTrack | undefined>} [answer] */
  async #ask(answer) {
    let loose = false;
    try {
      if (answer) {
        const choice = this.#choice;
        this.#answered(await answer, choice);
      }
      while (this.missing) {
        const choice = this.#choice;
        try {
          const track = await this.#capture(loose);
          if (!this.#answered(track, choice) && choice === this.#choice && this.missing) throw Object.assign(new Error('no track'), {name: 'NotReadableError'});
        } catch (error) {
          if (choice !== this.#choice) { // another device was chosen meanwhile
            loose = false;
            continue;
          }
          const {name} = /** @type {any} */ (error) ?? {};
          if (!loose && (name === 'OverconstrainedError' || name === 'NotFoundError')) {
            // The chosen device is gone, or cannot do what was asked: any device, any size.
            loose = true;
            this.chosen = this.facing = '';
            continue;
          }
          this.#failed(error);
          return;
        }
      }
    } finally {
      // Here and not later: a wish that comes next has to find that nobody asks any more.
      this.#question = null;
      this.#answeredOnce = true;
      this.#changed(false);
    }
  }

  /** A track has come: keeps it if it is wanted still. @param {MediaStreamTrack | undefined} track @param {number} choice of the moment it was asked for */
  #answered(track, choice) {
    if (!track) return false;
    if (!this.missing || choice !== this.#choice || track.readyState === 'ended') {
      track.stop();
      return false;
    }
    this.take(track);
    return true;
  }

  /** @param {unknown} error */
  #failed(error) {
    this.#outdated = false;
    if (this.track?.readyState === 'ended') this.release();
    if (!this.wanted) return;
    this.problem = explain(this.kind, error);
    if (this.problem.code === 'refused') this.#awaitPermission();
  }

  /** @param {MediaStreamTrack} track */
  take(track) {
    const old = this.track;
    this.#opened = true;
    this.#outdated = false;
    this.problem = undefined;
    this.track = track;
    track.enabled = this.wished;
    if (old !== track) old?.stop();
    track.addEventListener('ended', () => { if (this.track === track) this.#unplugged(); });
    this.#changed(true);
  }

  release() {
    const {track} = this;
    this.#outdated = false;
    if (!track) return;
    this.track = null;
    track.stop();
    this.#changed(true);
  }

  /** The device in use was pulled out: another one takes its place. */
  #unplugged() {
    if (!this.#outdated) this.chosen = this.facing = '';
    this.release();
    this.settle();
  }

  /** What was refused may be allowed later, in the browser's own settings. */
  async #awaitPermission() {
    if (this.#awaitsPermission) return;
    this.#awaitsPermission = true;
    const name = /** @type {PermissionName} */ (this.kind === 'audio' ? 'microphone' : 'camera');
    const status = await navigator.permissions?.query({name}).catch(() => null);
    if (status) status.onchange = () => { if (status.state === 'granted') this.settle(); };
  }

  close() {
    this.#closed = true;
    this.problem = undefined;
    this.release();
  }
}
