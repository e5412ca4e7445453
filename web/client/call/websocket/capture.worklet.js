// Hands what a microphone gives to the page: mono, in packets, at the rate that Opus takes.
// Nothing is imported (playout.js says why): what a packet is comes with the options.

/** @type {any} */ const scope = globalThis;

class Capture extends scope.AudioWorkletProcessor {
  #samples;
  #wanted;
  #packet;
  #filled = 0;
  /** Where the next sample lies, in those of the block. */
  #at = 0;
  #before = 0;

  /** @param {{processorOptions: {packetSamples: number, sampleRate: number}}} options */
  constructor({processorOptions: {packetSamples, sampleRate}}) {
    super();
    this.#samples = packetSamples;
    this.#wanted = sampleRate;
    this.#packet = new Float32Array(packetSamples);
  }

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    const [first, ...others] = channels ?? [];
    if (!first) return true;
    const step = scope.sampleRate / this.#wanted;
    if (step === 1 && !others.length) return this.#copy(first);
    /** @param {number} i */
    const sampleAt = (i) => (i < 0 ? this.#before : others.reduce((sum, channel) => sum + channel[i], first[i]) / (1 + others.length));
    for (; this.#at <= first.length - 1; this.#at += step) {
      const low = Math.floor(this.#at), part = this.#at - low;
      this.#packet[this.#filled++] = part ? sampleAt(low) * (1 - part) + sampleAt(low + 1) * part : sampleAt(low);
      this.#give();
    }
    this.#before = sampleAt(first.length - 1);
    this.#at -= first.length;
    return true;
  }

  /** Most microphones: nothing to mix, nothing to convert. @param {Float32Array} samples */
  #copy(samples) {
    for (let at = 0, many = 0; at < samples.length; at += many) {
      many = Math.min(samples.length - at, this.#samples - this.#filled);
      this.#packet.set(samples.subarray(at, at + many), this.#filled);
      this.#filled += many;
      this.#give();
    }
    return true;
  }

  #give() {
    if (this.#filled < this.#samples) return;
    /** @type {any} */ (this).port.postMessage(this.#packet, [this.#packet.buffer]);
    this.#packet = new Float32Array(this.#samples);
    this.#filled = 0;
  }
}

scope.registerProcessor('turnhub-capture', Capture);
