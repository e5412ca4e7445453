// libopus as the pages have it: web/client/vendor/opus.
import test from 'node:test';
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {Decoder, Encoder} from '../call/websocket/libopus.js';
import {joined} from '../call/websocket/voice.js';

const module = await WebAssembly.compile(await readFile(new URL('../vendor/opus/opus.wasm', import.meta.url)));
const count = 960;

/** 20 ms of two tones. @param {number} at the how-manieth */
const spoken = (at) => Float32Array.from({length: count}, (_, i) => 0.3 * Math.sin((at * count + i) / 30) + 0.1 * Math.sin((at * count + i) / 7));

test('a voice goes through it, in few bytes and little memory', async () => {
  assert.deepEqual(WebAssembly.Module.imports(module), [], 'it can do nothing but count');
  const encoder = await Encoder.begin(module, 24_000), decoder = await Decoder.begin(module);
  /** @type {number[]} */ const sent = [], came = [];
  let bytes = 0;
  for (let at = 0; at < 100; at++) {
    const samples = spoken(at), packet = encoder.encode(samples);
    bytes += packet.length;
    const heard = decoder.decode(packet);
    assert.equal(heard?.length, count);
    sent.push(...samples);
    came.push(.../** @type {Float32Array} */ (heard));
  }
  assert.ok(bytes < 100 * 90 && bytes > 100 * 20, `${bytes} bytes for two seconds`);
  // What comes out is what went in, some milliseconds later.
  let best = 0;
  for (let delay = 0; delay < 960; delay++) {
    let both = 0, a = 0, b = 0;
    for (let i = 48_000; i < 52_000; i++) {
      both += sent[i] * came[i + delay];
      a += sent[i] ** 2;
      b += came[i + delay] ** 2;
    }
    best = Math.max(best, both / Math.sqrt(a * b));
  }
  assert.ok(best > 0.9, `they are alike by ${best.toFixed(2)}`);
});

test('packets that travel together are heard as if each came by itself', async () => {
  const encoder = await Encoder.begin(module, 24_000), [one, other] = [await Decoder.begin(module), await Decoder.begin(module)];
  for (let at = 0; at < 300; at += 3) {
    // Some are long, some short: silence, a tone, noise.
    const packets = [0, 1, 2].map((i) => encoder.encode(Float32Array.from(spoken(at + i), (sample) => (at % 9 === 0 ? 0 : at % 9 === 3 ? sample : Math.sin(sample * 1e6) * 0.5))));
    const apart = packets.map((packet) => one.decode(packet)), whole = joined(packets);
    if (!whole) { // coded differently
      for (const packet of packets) other.decode(packet);
      continue;
    }
    assert.deepEqual(other.decode(whole), Float32Array.from(apart.flatMap((samples) => [...(samples ?? [])])));
  }
  const long = [new Uint8Array(300).fill(1), new Uint8Array(252).fill(2), new Uint8Array(254).fill(3)].map((bytes) => { bytes[0] = 0x78; return bytes; });
  const frames = joined(long) ?? new Uint8Array();
  assert.deepEqual([...frames.subarray(0, 5)], [0x7b, 0x83, 252 + (299 & 3), (299 - 252 - (299 & 3)) / 4, 251]);
  assert.equal(frames.length, 5 + 299 + 251 + 253);
  assert.equal(joined([frames, frames]), null, 'no packets of several frames');
  assert.equal(joined([long[0], Uint8Array.of(0x70, 1)]), null, 'nor of different kinds');
});

test('whatever comes as a packet, nothing more than a voice is lost', async () => {
  let state = 20261128;
  const random = (/** @type {number} */ most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * most);
  };
  let decoder = await Decoder.begin(module), broken = 0;
  const encoder = await Encoder.begin(module, 24_000);
  for (let i = 0; i < 5000; i++) {
    const packet = i % 2 ? encoder.encode(spoken(i)) : new Uint8Array(random(2000)).map(() => random(256));
    if (i % 2) packet[random(packet.length)] = random(256);
    try {
      const samples = decoder.decode(packet);
      assert.ok(samples === null || (samples.length <= 5760 && samples.every((sample) => Math.abs(sample) <= 1)));
    } catch (error) {
      assert.ok(error instanceof WebAssembly.RuntimeError, String(error));
      broken++;
      decoder = await Decoder.begin(module);
    }
  }
  assert.ok(broken < 5, `${broken} of 5000 packets broke it off`);
  assert.equal(decoder.decode(new Uint8Array(1501)), null, 'longer than any packet');
  assert.equal(decoder.decode(new Uint8Array(0)), null, 'nothing');
  assert.throws(() => encoder.encode(new Float32Array(7)), /libopus/);
});
