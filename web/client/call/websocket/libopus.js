// libopus as WebAssembly (vendor/opus), for browsers that have no coder of sound for scripts. Loaded when it is needed.

/**
 * What opus.c offers. Numbers are places in `memory`, or errors of libopus where they are below 0.
 * @typedef {object} Opus
 * @property {WebAssembly.Memory} memory
 * @property {() => number} samples_at
 * @property {() => number} packet_at
 * @property {() => number} packet_most bytes
 * @property {(bitrate: number) => number} encoder 0: there is no memory
 * @property {() => number} decoder the same
 * @property {(encoder: number, samples: number) => number} encode
 * @property {(decoder: number, bytes: number) => number} decode
 */

/** @type {Promise<WebAssembly.Module> | null} */ let loading = null;

/** @returns {Promise<WebAssembly.Module>} rejected where it cannot be had */
export function load() {
  // Said whole: programs that pack modules look for such words.
  loading ??= fetch(new URL('../../vendor/opus/opus.wasm', import.meta.url)).then(async (answer) => {
    if (!answer.ok) throw new Error(`opus.wasm: ${answer.status}`);
    return WebAssembly.compile(await answer.arrayBuffer());
  });
  loading.catch(() => { loading = null; });
  return loading;
}

/** An instance for each voice: one that has broken off takes no other with it. @param {WebAssembly.Module} module */
const start = async (module) => /** @type {Opus} */ (/** @type {unknown} */ ((await WebAssembly.instantiate(module)).exports));

/** Encodes one voice: mono, 48 kHz. */
export class Encoder {
  #opus;
  #voice;

  /** @param {Opus} opus @param {number} voice */
  constructor(opus, voice) {
    this.#opus = opus;
    this.#voice = voice;
  }

  /** @param {WebAssembly.Module} module @param {number} bitrate */
  static async begin(module, bitrate) {
    const opus = await start(module), voice = opus.encoder(bitrate);
    if (!voice) throw new Error('libopus has no memory');
    return new Encoder(opus, voice);
  }

  /** @param {Float32Array} samples 20 ms of them @returns {Uint8Array<ArrayBuffer>} a packet */
  encode(samples) {
    const {memory} = this.#opus;
    new Float32Array(memory.buffer, this.#opus.samples_at(), samples.length).set(samples);
    const bytes = this.#opus.encode(this.#voice, samples.length);
    if (bytes < 0) throw new Error(`libopus: ${bytes}`);
    return new Uint8Array(memory.buffer, this.#opus.packet_at(), bytes).slice();
  }
}

/** Decodes one voice. */
export class Decoder {
  #opus;
  #voice;

  /** @param {Opus} opus @param {number} voice */
  constructor(opus, voice) {
    this.#opus = opus;
    this.#voice = voice;
  }

  /** @param {WebAssembly.Module} module */
  static async begin(module) {
    const opus = await start(module), voice = opus.decoder();
    if (!voice) throw new Error('libopus has no memory');
    return new Decoder(opus, voice);
  }

  /** @param {Uint8Array} packet @returns {Float32Array<ArrayBuffer> | null} null: that is none */
  decode(packet) {
    const {memory} = this.#opus;
    if (packet.length > this.#opus.packet_most()) return null;
    new Uint8Array(memory.buffer, this.#opus.packet_at(), packet.length).set(packet);
    const samples = this.#opus.decode(this.#voice, packet.length);
    return samples > 0 ? new Float32Array(memory.buffer, this.#opus.samples_at(), samples).slice() : null;
  }
}
