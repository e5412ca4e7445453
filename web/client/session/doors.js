import {HubError} from '../base/codes.js';

/** Why somebody is turned away at a door, by the reasons of protocol.md. @type {Record<string, [import('../base/codes.js').HubErrorCode, string]>} */
const reasons = {
  declined: ['declined', 'the host does not let you in'],
  locked: ['locked', 'the host has locked the room'],
  removed: ['removed', 'the host has removed you from the room'],
  ended: ['ended', 'the host has ended the call'],
  'too-many': ['door-full', 'too many wait at this door'],
};

/** @param {string} reason of `out` */
export function errorOf(reason) {
  const [code, message] = reasons[reason] ?? reasons.declined;
  return new HubError(code, message, code === 'door-full');
}

/** The rooms at whose door this session waits, until it is let in. */
export class Doors {
  /** @type {Map<string, {open: () => void, shut: (error: HubError) => void}>} */ #waiting = new Map();

  /** Waits at a door. @param {string} room @returns {Promise<void>} settled when one may join again; rejected when one is turned away */
  wait(room) {
    this.shut(room, new HubError('closed', 'joined anew'));
    return new Promise((resolve, reject) => { this.#waiting.set(room, {open: () => resolve(undefined), shut: reject}); });
  }

  /** @param {string} room */
  open(room) {
    const {open} = this.#waiting.get(room) ?? {};
    this.#waiting.delete(room);
    open?.();
  }

  /** @param {string} room @param {HubError} error @returns {boolean} whether somebody waited there */
  shut(room, error) {
    const {shut} = this.#waiting.get(room) ?? {};
    this.#waiting.delete(room);
    shut?.(error);
    return shut !== undefined;
  }

  /** The server has forgotten who waits: they knock again. */
  again() {
    for (const room of [...this.#waiting.keys()]) this.open(room);
  }

  close() {
    for (const room of [...this.#waiting.keys()]) this.shut(room, new HubError('closed', 'the hub is closed'));
  }
}
