// Sound on its way out and in: captured and played by worklets.
import {close, open} from './audio.js';
import {packetMs, packetSamples, sampleRate} from './playout.js';
import {decoder, encoder, joined, speaks} from './voice.js';

/** The time of its first sample. */
const headBytes = 4;
/**
 * About so long, milliseconds, an element takes to play what it is given. Nobody is asked: `outputLatency` tells of a context's
 * own output, which nothing goes to here, and in Firefox (153) reading it takes the lock of the sound's graph and waits for
 * the sound server, which waits for that graph: the page stands still for ever.
 */
const elementMs = 30;
/** Softer than this is silence, which is not sent once it has lasted so many packets; one in so many goes all the same. */
const silent = 0.0015, silentFor = 20, silentEach = 20;

/** Whether this browser can send and play sound here. */
export const hasSound = async () => !!globalThis.AudioWorkletNode && speaks();

/** Sends a microphone's sound. */
export class SoundSender {
  /** @type {MediaStreamTrack | null} */ #track = null;
  /** @type {AudioContext | null} */ #context = null;
  /** @type {AudioNode[]} */ #nodes = [];
  /** @type {import('./voice.js').VoiceEncoder | null} */ #encoder = null;
  /** Samples so far, and when the first was taken, milliseconds. */
  #taken = 0;
  #from = NaN;
  #quiet = 0;
  /** Packets that wait for those they leave with, and the time of the first. @type {Uint8Array[]} */ #waiting = [];
  #waitsFrom = 0;
  #closed = false;
  #send;
  #together;

  /** @param {(content: Uint8Array<ArrayBuffer>) => void} send @param {() => number} together how many packets are to leave together */
  constructor(send, together) {
    this.#send = send;
    this.#together = together;
    Promise.all([open(), encoder((packet, time) => this.#out(packet, time))]).then(([context, encoder]) => {
      if (this.#closed) return encoder.close();
      this.#context = context;
      this.#encoder = encoder;
      this.#capture();
    }).catch((error) => console.warn('turnhub: sound', error));
  }

  /** @param {MediaStreamTrack | null} track */
  use(track) {
    if (track === this.#track) return;
    this.#track = track;
    this.#capture();
  }

  #capture() {
    for (const node of this.#nodes.splice(0)) node.disconnect();
    const context = this.#context, track = this.#track;
    if (!context || !track || this.#closed) return;
    context.resume().catch(() => {});
    const source = context.createMediaStreamSource(new MediaStream([track]));
    const node = new AudioWorkletNode(context, 'turnhub-capture', {numberOfOutputs: 0, processorOptions: {packetSamples, sampleRate}});
    node.port.onmessage = ({data}) => { if (track === this.#track && !this.#closed) this.#take(data); };
    source.connect(node);
    this.#nodes = [source, node];
    this.#from = NaN;
  }

  /** @param {Float32Array<ArrayBuffer>} samples */
  #take(samples) {
    // By the number of samples, and not by when they come here: that is uneven. A page that was asleep begins anew.
    const now = performance.now() - packetMs, at = this.#from + (this.#taken / sampleRate) * 1000;
    if (Number.isNaN(this.#from) || Math.abs(now - at) > 300) {
      this.#from = now;
      this.#taken = 0;
    }
    const time = this.#from + (this.#taken / sampleRate) * 1000;
    this.#taken += samples.length;
    let sum = 0;
    for (const sample of samples) sum += sample * sample;
    this.#quiet = Math.sqrt(sum / samples.length) < silent ? this.#quiet + 1 : 0;
    if (this.#quiet > silentFor && this.#quiet % silentEach) return;
    try {
      this.#encoder?.encode(samples, time);
    } catch (error) {
      console.warn('turnhub: sound was not encoded', error);
    }
  }

  /** @param {Uint8Array} packet @param {number} time */
  #out(packet, time) {
    const waiting = this.#waiting;
    // Before a silence, and after it, packets do not follow each other.
    if (waiting.length && Math.abs(time - this.#waitsFrom - waiting.length * packetMs) > packetMs / 2) this.#leave();
    if (!waiting.length) this.#waitsFrom = time;
    waiting.push(packet);
    if (waiting.length >= this.#together()) this.#leave();
  }

  #leave() {
    const packets = this.#waiting.splice(0), whole = packets.length > 1 ? joined(packets) : packets[0];
    if (whole) this.#frame(whole, this.#waitsFrom);
    else for (const [i, packet] of packets.entries()) this.#frame(packet, this.#waitsFrom + i * packetMs);
  }

  /** @param {Uint8Array} packet @param {number} time */
  #frame(packet, time) {
    const content = new Uint8Array(headBytes + packet.length);
    new DataView(content.buffer).setUint32(0, Math.max(0, time) >>> 0);
    content.set(packet, headBytes);
    this.#send(content);
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const node of this.#nodes.splice(0)) node.disconnect();
    this.#encoder?.close();
    close();
  }
}

/** Plays what comes. */
export class SoundReceiver {
  /** How loud it is, 0 to 1. */
  level = 0;
  /** @type {MediaStreamTrack | null} once there is one */ track = null;

  /** @type {import('./voice.js').VoiceDecoder | null} */ #decoder = null;
  /** @type {AudioWorkletNode | null} */ #node = null;
  /** By how much what is played is behind our clock, milliseconds; NaN: nothing is played. */
  #behind = NaN;
  #closed = false;

  /** @param {(track: MediaStreamTrack) => void} ready */
  constructor(ready) {
    Promise.all([open(), decoder((samples, at) => this.#out(samples, at))]).then(([context, decoder]) => {
      if (this.#closed) return decoder.close();
      this.#decoder = decoder;
      context.resume().catch(() => {});
      const node = this.#node = new AudioWorkletNode(context, 'turnhub-playout', {numberOfInputs: 0, outputChannelCount: [1]});
      node.port.onmessage = ({data: {at, level}}) => {
        this.level = level;
        this.#behind = performance.now() - at + elementMs;
      };
      const out = context.createMediaStreamDestination();
      node.connect(out);
      [this.track] = out.stream.getAudioTracks();
      ready(/** @type {MediaStreamTrack} */ (this.track));
    }).catch((error) => console.warn('turnhub: sound', error));
  }

  /** When what was taken at that time of the sender's is played, by our clock, milliseconds; NaN: nothing is played. @param {number} at */
  dueAt(at) { return at + this.#behind; }

  /** @param {Uint8Array<ArrayBuffer>} content */
  take(content) {
    if (content.length > headBytes) this.#decoder?.decode(content.subarray(headBytes), new DataView(content.buffer, content.byteOffset).getUint32(0));
  }

  /** @param {Float32Array<ArrayBuffer>} samples @param {number} at */
  #out(samples, at) {
    this.#node?.port.postMessage({at, samples, now: performance.now()}, [samples.buffer]);
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#node?.port.postMessage(null);
    this.#node?.disconnect();
    this.#decoder?.close();
    this.track?.stop();
    close();
  }
}
