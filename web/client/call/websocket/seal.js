// What two browsers send each other through the server's WebSocket is sealed, so that the server can neither read nor alter
// it. DTLS does not do it here: the keys are agreed upon over signaling, anew for each path.

const curve = {name: 'ECDH', namedCurve: 'P-256'};
const context = new TextEncoder().encode('turnhub.media.v1');

/** What a frame is. The server reads this, and nothing else of it. A picture begins with a `picture` or, where it needs none before it, a `key`; the rest of it comes in pieces. */
export const kinds = Object.freeze({sound: 1, picture: 2, key: 3, message: 4, report: 5, piece: 6});
/** @typedef {1 | 2 | 3 | 4 | 5 | 6} FrameKind */

/** What the server keeps in order among itself: sound overtakes pictures. Each is numbered by itself. @param {number} kind */
export const laneOf = (kind) => (kind === kinds.key || kind === kinds.piece ? kinds.picture : kind);

/** The kind, and the number that it is sealed under. */
const headBytes = 9;
/** What AES-GCM adds. */
const tagBytes = 16;

/** @param {Uint8Array} bytes */
export const toText = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
/** @param {string} text @returns {Uint8Array<ArrayBuffer>} */
const fromText = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));

/** Our half of an agreement, good for one path. */
export class Exchange {
  /** What the other side needs of it: an uncompressed point of P-256 (SEC 1, 2.3.3), base64url. */
  publicKey = '';
  /** @type {CryptoKey | null} */ #key = null;

  static async begin() {
    const exchange = new Exchange();
    const pair = await crypto.subtle.generateKey(curve, false, ['deriveBits']);
    exchange.#key = pair.privateKey;
    exchange.publicKey = toText(new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)));
    return exchange;
  }

  /**
   * A key for each direction (HKDF of RFC 5869 over the shared secret), so that no number is ever used twice under one.
   * @param {string} theirs the other side's public key
   * @param {Uint8Array | null} [shared] what both know, and nobody else: without it the keys cannot be made
   * @returns {Promise<{sealer: Sealer, opener: Opener, agreement: string}>} rejected where that is none; `agreement` is alike on both
   *   sides if both have the same two public keys, hexadecimal
   */
  async agree(theirs, shared = null) {
    if (theirs === this.publicKey) throw new Error('our own key came back');
    const mine = fromText(this.publicKey), other = fromText(theirs);
    const point = await crypto.subtle.importKey('raw', other, curve, false, []);
    const secret = await crypto.subtle.deriveBits({name: 'ECDH', public: point}, /** @type {CryptoKey} */ (this.#key), 256);
    const material = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveKey']);
    /** @param {Uint8Array} from @param {Uint8Array} to @param {KeyUsage} use */
    const key = (from, to, use) => crypto.subtle.deriveKey({name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array([...context, ...(shared ?? [])]), info: new Uint8Array([...from, ...to])},
      material, {name: 'AES-GCM', length: 256}, false, [use]);
    const both = this.publicKey < theirs ? [...mine, ...other] : [...other, ...mine];
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array([...context, ...both])));
    return {sealer: new Sealer(await key(mine, other, 'encrypt')), opener: new Opener(await key(other, mine, 'decrypt')),
      agreement: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')};
  }
}

/** @param {number} kind @param {bigint} number */
function nonceOf(kind, number) {
  const nonce = new Uint8Array(12);
  nonce[0] = laneOf(kind);
  new DataView(nonce.buffer).setBigUint64(4, number);
  return nonce;
}

/** Seals frames, each lane under its counter. */
export class Sealer {
  #last = new BigUint64Array(8);
  #key;

  /** @param {CryptoKey} key */
  constructor(key) { this.#key = key; }

  /** The number of the last one of a lane. @param {FrameKind} kind */
  numberOf(kind) { return Number(this.#last[laneOf(kind)]); }

  /** @param {FrameKind} kind @param {Uint8Array<ArrayBuffer>} content @returns {Promise<Uint8Array<ArrayBuffer>>} */
  async seal(kind, content) {
    const number = ++this.#last[laneOf(kind)];
    const sealed = await crypto.subtle.encrypt({name: 'AES-GCM', iv: nonceOf(kind, number), additionalData: new Uint8Array([kind])}, this.#key, content);
    const frame = new Uint8Array(headBytes + sealed.byteLength);
    frame[0] = kind;
    new DataView(frame.buffer).setBigUint64(1, number);
    frame.set(new Uint8Array(sealed), headBytes);
    return frame;
  }
}

/** Opens frames, each once and those of a lane in the order in which they were sealed; some may be missing. */
export class Opener {
  /** Frames that were not opened: forged, altered, said again or too late. */
  refused = 0;

  #last = new BigUint64Array(8);
  #key;

  /** @param {CryptoKey} key */
  constructor(key) { this.#key = key; }

  /** `missing`: so many before it did not come. @param {Uint8Array<ArrayBuffer>} frame @returns {Promise<{kind: FrameKind, number: number, missing: number, content: Uint8Array<ArrayBuffer>} | null>} */
  async open(frame) {
    if (frame.length < headBytes + tagBytes) return this.#refuse();
    const [kind] = frame, lane = laneOf(kind), number = new DataView(frame.buffer, frame.byteOffset).getBigUint64(1);
    if (kind < kinds.sound || kind > kinds.piece || number <= this.#last[lane]) return this.#refuse();
    try {
      const content = await crypto.subtle.decrypt({name: 'AES-GCM', iv: nonceOf(kind, number), additionalData: new Uint8Array([kind])}, this.#key, frame.subarray(headBytes));
      const last = this.#last[lane];
      if (number <= last) return this.#refuse(); // two were opened at once
      this.#last[lane] = number;
      return {kind: /** @type {FrameKind} */ (kind), number: Number(number), missing: Number(number - last - 1n), content: new Uint8Array(content)};
    } catch {
      return this.#refuse();
    }
  }

  #refuse() {
    this.refused++;
    return null;
  }
}
