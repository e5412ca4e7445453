// One voice as packets of Opus, each way: by WebCodecs, or by libopus where a browser has none.
import {packetMs, sampleRate} from './playout.js';

/** Bits per second. */
const bitrate = 24_000;

/** @type {AudioEncoderConfig} */
const encoding = {codec: 'opus', sampleRate, numberOfChannels: 1, bitrate, opus: {frameDuration: packetMs * 1000}};
/** @type {AudioDecoderConfig} */
const decoding = {codec: 'opus', sampleRate, numberOfChannels: 1};

const encodes = async () => !!globalThis.AudioEncoder && (await AudioEncoder.isConfigSupported(encoding).catch(() => null))?.supported === true;
const decodes = async () => !!globalThis.AudioDecoder && (await AudioDecoder.isConfigSupported(decoding).catch(() => null))?.supported === true;
const libopus = () => import('./libopus.js');

/** Whether voices can be encoded and decoded here. What that takes is loaded. */
export async function speaks() {
  const [encoder, decoder] = await Promise.all([encodes(), decodes()]);
  if (encoder && decoder) return true;
  return libopus().then(({load}) => load()).then(() => true, () => false);
}

/** Of the first byte of a packet: how it is coded, and how many frames it has; the number follows where that is any. */
const coded = 0xfc, frames = 0x03, any = 0x03;
/** Of the second: frames of different lengths. */
const varied = 0x80;

/**
 * Joins packets of one frame each to one of several, which any decoder takes (RFC 6716 section 3.2.5).
 * @param {Uint8Array[]} packets one after the other
 * @returns {Uint8Array<ArrayBuffer> | null} null: they are coded differently, or have more frames already
 */
export function joined(packets) {
  const [first] = packets;
  if (packets.some(([head]) => head !== first[0] || (head & frames) !== 0)) return null;
  const lengths = packets.slice(0, -1).flatMap(({length}) => (length - 1 < 252 ? [length - 1] : [252 + ((length - 1) & 3), (length - 1 - 252 - ((length - 1) & 3)) >> 2]));
  return Uint8Array.from([(first[0] & coded) | any, varied | packets.length, ...lengths, ...packets.flatMap((packet) => [...packet.subarray(1)])]);
}

/**
 * @typedef {object} VoiceEncoder
 * @property {(samples: Float32Array<ArrayBuffer>, time: number) => void} encode milliseconds
 * @property {() => void} close
 */

/** @param {(packet: Uint8Array<ArrayBuffer>, time: number) => void} out @returns {Promise<VoiceEncoder>} */
export async function encoder(out) {
  if (await encodes()) return new CodecEncoder(out);
  const {load, Encoder} = await libopus();
  const voice = await Encoder.begin(await load(), bitrate);
  return {encode: (samples, time) => out(voice.encode(samples), time), close() {}};
}

class CodecEncoder {
  /** @type {AudioEncoder | null} */ #encoder = null;
  #out;

  /** @param {(packet: Uint8Array<ArrayBuffer>, time: number) => void} out */
  constructor(out) { this.#out = out; }

  /** @param {Float32Array<ArrayBuffer>} samples @param {number} time */
  encode(samples, time) {
    if (this.#encoder?.state !== 'configured') {
      this.#encoder = new AudioEncoder({error: (error) => console.warn('turnhub: sound', error), output: (chunk) => {
        const packet = new Uint8Array(chunk.byteLength);
        chunk.copyTo(packet);
        this.#out(packet, chunk.timestamp / 1000);
      }});
      this.#encoder.configure(encoding);
    }
    const data = new AudioData({format: 'f32-planar', sampleRate, numberOfFrames: samples.length, numberOfChannels: 1, timestamp: Math.round(time * 1000), data: samples});
    this.#encoder.encode(data);
    data.close();
  }

  close() {
    if (this.#encoder && this.#encoder.state !== 'closed') this.#encoder.close();
  }
}

/**
 * @typedef {object} VoiceDecoder
 * @property {(packet: Uint8Array<ArrayBuffer>, time: number) => void} decode milliseconds
 * @property {() => void} close
 */

/** @param {(samples: Float32Array<ArrayBuffer>, time: number) => void} out @returns {Promise<VoiceDecoder>} */
export async function decoder(out) {
  if (await decodes()) return new CodecDecoder(out);
  const {load, Decoder} = await libopus();
  const module = await load();
  /** @type {import('./libopus.js').Decoder | null} */ let voice = await Decoder.begin(module);
  return {
    decode(packet, time) {
      try {
        const samples = voice?.decode(packet);
        if (samples) out(samples, time);
      } catch {
        // What a packet has broken is begun anew; what comes meanwhile is lost.
        voice = null;
        Decoder.begin(module).then((another) => { voice = another; }, () => {});
      }
    },
    close() {},
  };
}

class CodecDecoder {
  /** @type {AudioDecoder | null} */ #decoder = null;
  #out;

  /** @param {(samples: Float32Array<ArrayBuffer>, time: number) => void} out */
  constructor(out) { this.#out = out; }

  /** @param {Uint8Array<ArrayBuffer>} packet @param {number} time */
  decode(packet, time) {
    try {
      if (this.#decoder?.state !== 'configured') {
        this.#decoder = new AudioDecoder({output: (data) => this.#decoded(data), error: () => {}});
        this.#decoder.configure(decoding);
      }
      // What is asked of it and not done is bounded by what may come: a hostile side is paced by the server.
      if (this.#decoder.decodeQueueSize < 50) this.#decoder.decode(new EncodedAudioChunk({type: 'key', timestamp: time * 1000, data: packet}));
    } catch { /* the next begins anew */ }
  }

  /** @param {AudioData} data */
  #decoded(data) {
    const samples = new Float32Array(data.numberOfFrames), time = data.timestamp / 1000;
    if (data.sampleRate === sampleRate) {
      data.copyTo(samples, {planeIndex: 0, format: 'f32-planar'});
      this.#out(samples, time);
    }
    data.close();
  }

  close() {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
  }
}
