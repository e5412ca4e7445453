// Plays what the page hands over, when it is due.
import {Playout, sampleRate as comes} from './playout.js';

/** @type {any} */ const scope = globalThis;

/** The page is told what is being played, so that pictures go with it: each so many seconds. */
const tellEvery = 0.1;

class Player extends scope.AudioWorkletProcessor {
  #playout = new Playout();
  #told = 0;
  #at = 0;
  /** What was pulled at the rate of packets and is not played yet. */
  #block = new Float32Array(1);
  #level = 0;
  #ended = false;

  constructor() {
    super();
    /** @type {any} */ (this).port.onmessage = (/** @type {MessageEvent} */ {data}) => {
      if (data === null) this.#ended = true;
      else this.#playout.push(data.at, data.samples, data.now);
    };
  }

  /** @param {Float32Array[][]} _inputs @param {Float32Array[][]} outputs */
  process(_inputs, [[out]]) {
    const step = comes / scope.sampleRate;
    if (step === 1) this.#playout.pull(out);
    else {
      for (let i = 0; i < out.length; i++) {
        for (this.#at += step; this.#at >= 1; this.#at--) this.#playout.pull(this.#block);
        out[i] = this.#block[0];
      }
    }
    for (let i = 0; i < out.length; i++) this.#level = Math.max(this.#level, Math.abs(out[i]));
    if (scope.currentTime - this.#told >= tellEvery) {
      this.#told = scope.currentTime;
      const {playing, at, waiting, concealed, target} = this.#playout;
      /** @type {any} */ (this).port.postMessage({at: playing ? at : NaN, waiting, concealed, target, level: this.#level});
      this.#level = 0;
    }
    return !this.#ended;
  }
}

scope.registerProcessor('turnhub-playout', Player);
