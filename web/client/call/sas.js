import {Quota} from '../base/quota.js';
import {sasTimes as times} from '../base/times.js';

/** A string has so many symbols, each one of so many: 24 bits. */
export const sasLength = 4, sasSymbols = 64;

/** So many runs at once, and then one each `times.again`: each is one chance in 16 million for who sits between. */
const runsAtOnce = 4;

/** @typedef {{commit?: string, nonce?: string, to?: string}} SaidSas of signaling data; hex of 32 bytes each */

/**
 * What the short authentication string needs of its peer.
 * @typedef {object} SasHost
 * @property {import('../base/clock.js').Clock} clock
 * @property {() => string} binding what both sides have alike of the keys in use, and nobody between them; '': nothing yet
 * @property {(said: SaidSas) => void} say
 * @property {(numbers: number[] | null) => void} changed
 */

/** @typedef {{binding: string, nonce: string, commit: string, revealed: boolean, theirs: string, at: number}} Run */

/** @param {Uint8Array} bytes */
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** @param {string} text */
const hashOf = async (text) => new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));

/** @param {string} nonce */
const commitmentTo = async (nonce) => hex(await hashOf(`turnhub sas 1 commit ${nonce}`));

/**
 * The short authentication string of two people (the idea of RFC 6189 section 4.4.1.1): they read it to each other, and where
 * it is the same on both sides nobody sits between their browsers, not even the server that carried their keys.
 *
 * It is a hash over the keys in use and a nonce of each side. Whoever sits between has other keys with each of the two,
 * and would search for nonces with which the strings are equal all the same. So each side says the hash of its nonce first,
 * and the nonce itself only when it has the hash of the other's: then nothing is left to choose, and a string fits by
 * chance alone.
 */
export class ShortAuthenticationString {
  /** @type {number[] | null} of the keys in use, each below `sasSymbols` */ numbers = null;

  /** @type {SasHost} */ #host;
  /** @type {Run | null} */ #run = null;
  #quota;
  /** What is heard and asked is handled one after the other: hashes are made meanwhile. @type {Promise<unknown>} */ #queue = Promise.resolve();
  /** @type {Set<() => void>} */ #waiting = new Set();

  /** @param {SasHost} host */
  constructor(host) {
    this.#host = host;
    this.#quota = new Quota(host.clock, runsAtOnce, times.again);
  }

  /**
   * The string, once both sides have it.
   * @returns {Promise<number[] | null>} null: the other side does not know of it, or there are no keys yet
   */
  async ask() {
    const {clock} = this.#host;
    this.moved();
    if (this.numbers || !globalThis.crypto?.subtle) return this.numbers;
    const came = new Promise((resolve) => {
      const done = () => { this.#waiting.delete(done); resolve(undefined); };
      this.#waiting.add(done);
      clock.setTimeout(done, times.answer);
    });
    this.#next(async () => {
      if (this.numbers) return;
      // One that is under way is said again: its words may be lost.
      const run = this.#run, late = run?.revealed && clock.now() - run.at > times.answer;
      if (!run || late || run.binding !== this.#host.binding()) await this.#begin();
      if (this.#run?.revealed) this.#reveal(this.#run);
      else if (this.#run) this.#host.say({commit: this.#run.commit});
    });
    await came;
    return this.numbers;
  }

  /** What the other side says. @param {SaidSas} said */
  hear(said) {
    if (!globalThis.crypto?.subtle) return;
    return this.#next(() => this.#hear(said));
  }

  /** The keys in use may be others. */
  moved() {
    if (this.numbers && this.#run?.binding !== this.#host.binding()) this.#set(null);
  }

  /** @param {() => Promise<void>} step */
  #next(step) { return (this.#queue = this.#queue.then(step).catch(() => {})); }

  async #begin() {
    const binding = this.#host.binding();
    this.#run = null;
    // The other side's would be another from here on.
    this.#set(null);
    if (!binding || !this.#quota.take()) return;
    const nonce = hex(crypto.getRandomValues(new Uint8Array(32)));
    this.#run = {binding, nonce, commit: await commitmentTo(nonce), revealed: false, theirs: '', at: this.#host.clock.now()};
  }

  /** @param {SaidSas} said */
  async #hear({commit, nonce, to}) {
    if (to && to !== this.#run?.commit) return; // of a run that is over
    if (commit && commit !== this.#run?.theirs && commit !== this.#run?.commit) {
      // What is known already is worth nothing any more: a nonce is said for one of theirs alone.
      if (!this.#run || this.#run.revealed || this.#run.binding !== this.#host.binding()) await this.#begin();
      const run = this.#run;
      if (!run) return;
      run.theirs = commit;
      run.revealed = true;
      this.#reveal(run);
    } else if (commit && commit === this.#run?.theirs && !nonce) this.#reveal(this.#run); // they have not heard it
    const run = this.#run;
    if (!nonce || !to || !run?.theirs || to !== run.commit || (await commitmentTo(nonce)) !== run.theirs) return;
    const numbers = await hashOf(['turnhub sas 1', run.binding, ...[run.nonce, nonce].sort()].join('\n'));
    const bits = (numbers[0] << 16) | (numbers[1] << 8) | numbers[2];
    this.#set(Array.from({length: sasLength}, (_, i) => (bits >> (18 - 6 * i)) & (sasSymbols - 1)));
    for (const done of [...this.#waiting]) done();
  }

  /** @param {Run} run */
  #reveal({commit, nonce, theirs}) { this.#host.say({commit, nonce, to: theirs}); }

  /** @param {number[] | null} numbers */
  #set(numbers) {
    if (String(numbers) === String(this.numbers)) return;
    this.numbers = numbers;
    this.#host.changed(numbers);
  }
}

/**
 * The keys that a connection is sealed with, as both sides have them: the fingerprints of the certificates of both.
 * @param {RTCPeerConnection | null} pc @returns {string} '' before they are proved
 */
export function keysOf(pc) {
  if (pc?.connectionState !== 'connected') return '';
  const [ours, theirs] = [pc.currentLocalDescription, pc.currentRemoteDescription].map((description) =>
    [...new Set([...(description?.sdp ?? '').matchAll(/^a=fingerprint:(\S+ \S+)/gm)].map(([, each]) => each.toUpperCase()))].sort().join());
  return ours && theirs ? ['DTLS', ...[ours, theirs].sort()].join('\n') : '';
}
