import {keysOf} from '../sas.js';

/** @typedef {{bond: string, secret: Uint8Array<ArrayBuffer>, keys: string}} Shared `secret`: what two people alone know; `bond`: a name of it, by which they see that they mean the same; `keys`: of the connection */

/** @param {Uint8Array} bytes */
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** @param {string} use @param {string[]} words */
const hashOf = async (use, words) => new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode([`turnhub.bond.v1 ${use}`, ...words].join('\n'))));

/** What a side says over the data channel of a connection: 32 random bytes. @param {unknown} word @returns {word is string} */
export const isBondWord = (word) => typeof word === 'string' && /^[0-9a-f]{64}$/.test(word);

/**
 * What the two ends of a connection have told each other over its data channel, which DTLS seals: nobody else knows it. The keys of
 * another way are bound to it, and are then as good as the connection's, whoever has carried them.
 */
export class Bond {
  /** @type {WeakMap<RTCPeerConnection, {ours: string, theirs: string, keys: string}>} of each connection */ #words = new WeakMap();

  /** @param {RTCPeerConnection} pc */
  #of(pc) {
    const words = this.#words.get(pc) ?? {ours: '', theirs: '', keys: ''};
    this.#words.set(pc, words);
    // It loses its state with its path, and not its keys.
    words.keys = keysOf(pc) || words.keys;
    return words;
  }

  /** What we say over a connection. @param {RTCPeerConnection} pc @returns {string} '' where this page may make no keys */
  word(pc) {
    const words = this.#of(pc);
    if (!words.ours && globalThis.crypto?.subtle) words.ours = hex(crypto.getRandomValues(new Uint8Array(32)));
    return words.ours;
  }

  /** The other side's, over that connection. It says one. @param {RTCPeerConnection} pc @param {string} word */
  hear(pc, word) {
    const words = this.#of(pc);
    words.theirs ||= word;
  }

  /** The connection is in another state. @param {RTCPeerConnection} pc */
  look(pc) { this.#of(pc); }

  /** @param {RTCPeerConnection | null} pc @returns {Promise<Shared | null>} null: not both have said theirs there */
  async shared(pc) {
    if (!pc) return null;
    const {ours, theirs, keys} = this.#of(pc);
    if (!ours || !theirs || ours === theirs || !keys) return null;
    const words = [ours, theirs].sort();
    return {secret: await hashOf('secret', words), bond: hex(await hashOf('name', words)), keys};
  }
}
