// A voice that never pauses, and an ear for where it is missing, and an eye for pictures, in every browser: of nodes that browsers
// have, as the page's policy lets no worklet of a test in (chirp.js has Chromium leave that out).

import { others } from './people.js';

/** @typedef {import('playwright-core').Page} Page */

/** From the next page on, its microphone is that voice. @param {Page} page */
export const speakTone = (page) => page.addInitScript(() => {
  const media = navigator.mediaDevices, here = /** @type {any} */ (window);
  if (!media) return;
  const ask = media.getUserMedia.bind(media);
  media.getUserMedia = async (constraints) => {
    const stream = await ask(constraints);
    for (const track of stream.getAudioTracks()) {
      stream.removeTrack(track);
      track.stop();
      const context = here.mouth = new AudioContext({ sampleRate: 48_000 }), mouth = context.createBufferSource(), out = context.createMediaStreamDestination();
      const buffer = context.createBuffer(1, 48_000, 48_000); // whole waves, so that it goes on where it ends
      buffer.getChannelData(0).forEach((_, i, samples) => { samples[i] = 0.2 * Math.sin((2 * Math.PI * 330 * i) / 48_000); });
      mouth.buffer = buffer; // full: Firefox takes it as it is now
      mouth.loop = true;
      mouth.connect(out);
      mouth.start();
      await context.resume();
      stream.addTrack(out.stream.getAudioTracks()[0]);
    }
    return stream;
  };
});

/**
 * From now on the page notes where the other one's sound is missing, and how long no picture is shown, whatever track and element they
 * come by. By samples, so that a page that stands still for half a second misses none.
 * @param {Page} page @param {string} tile
 */
export const perceive = (page, tile) => page.evaluate(async (tile) => {
  const here = /** @type {any} */ (window);
  here.perceived = { silences: [], soundAt: NaN, still: [], pictureAt: NaN };
  const { perceived } = here, context = here.ear = new AudioContext(), analyser = context.createAnalyser(), nothing = context.createConstantSource(), mute = context.createGain();
  analyser.fftSize = 32_768;
  // It runs whether something is heard or not.
  nothing.offset.value = mute.gain.value = 0;
  nothing.connect(analyser).connect(mute).connect(context.destination);
  nothing.start();
  await context.resume();
  const samples = new Float32Array(analyser.fftSize), rate = context.sampleRate;
  /** @type {MediaStreamTrack | undefined} */ let heard;
  /** @type {MediaStreamAudioSourceNode | undefined} */ let source;
  /** @type {HTMLVideoElement | null | undefined} */ let seen;
  let at = context.currentTime, silent = 0, asked = 0, askedAt = 0;
  const ask = (/** @type {HTMLVideoElement} */ video) => {
    const mine = ++asked;
    askedAt = Date.now();
    video.requestVideoFrameCallback(() => {
      if (video !== seen) return;
      const now = Date.now();
      if (now - perceived.pictureAt > 250) perceived.still.push({ at: now, ms: now - perceived.pictureAt });
      perceived.pictureAt = now;
      if (mine === asked) ask(video); // asked again meanwhile: one of them goes on
    });
  };
  setInterval(() => {
    const video = document.querySelector(tile)?.querySelector('video'), [track] = /** @type {MediaStream | null} */ (video?.srcObject)?.getAudioTracks() ?? [];
    // One that is given another stream forgets in Firefox what it was asked.
    if (video && (video !== seen || Date.now() - askedAt > 250)) {
      seen = video;
      ask(video);
    }
    if (track && track !== heard) {
      heard = track;
      source?.disconnect();
      source = context.createMediaStreamSource(new MediaStream([track]));
      source.connect(analyser);
    }
    const now = context.currentTime, fresh = Math.min(samples.length, Math.round((now - at) * rate));
    at = now;
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples.subarray(samples.length - fresh)) {
      if (Math.abs(sample) < 0.004) silent++;
      else {
        perceived.soundAt = Date.now();
        // The tone itself is that low for less than a millisecond.
        if (silent > rate / 50) perceived.silences.push({ at: perceived.soundAt, ms: (silent / rate) * 1000 });
        silent = 0;
      }
    }
  }, 50);
}, tile);

/** Waits until the page has heard and seen the other one for so long without a pause of a second, and from now on. @param {Page} page @param {number} ms @param {number} [timeout] */
export async function perceives(page, ms, timeout = 60_000) {
  try {
    await page.waitForFunction(([since, ms]) => {
      const { silences, soundAt, still, pictureAt } = /** @type {any} */ (window).perceived, now = Date.now();
      const from = Math.max(since, ...[...silences, ...still].filter((/** @type {{ms: number}} */ pause) => pause.ms > 1000).map((/** @type {{at: number}} */ pause) => pause.at));
      return now - from > ms && now - soundAt < 500 && now - pictureAt < 1000;
    }, [Date.now(), ms], { timeout, polling: 200 });
  } catch (error) {
    const found = await page.evaluate((tile) => {
      const { soundAt, pictureAt, silences, still } = /** @type {any} */ (window).perceived, now = Date.now(), video = document.querySelector(`${tile} video`);
      const tracks = /** @type {MediaStream | null} */ (/** @type {HTMLVideoElement | null} */ (video)?.srcObject)?.getTracks().map(({ kind, muted, readyState, id }) => `${kind} ${muted} ${readyState} ${id}`);
      return JSON.stringify({ sound: now - soundAt, picture: now - pictureAt, silences: silences.slice(-5), still: still.slice(-5), tracks, ready: /** @type {any} */ (video)?.readyState, paused: /** @type {any} */ (video)?.paused });
    }, others);
    throw new Error(`${error}: milliseconds ago, ${found}`, { cause: error });
  }
}

/**
 * The pauses that ended since a moment, milliseconds: the longest of the sound, of the pictures, and when the last one of the sound that is
 * longer than a tenth of a second was over.
 * @param {Page} page @param {number} since milliseconds since 1970
 */
export async function pauses(page, since) {
  const { silences, still } = await page.evaluate(() => /** @type {any} */ (window).perceived);
  const late = (/** @type {{at: number, ms: number}[]} */ all) => all.filter(({ at }) => at > since);
  const longest = (/** @type {{ms: number}[]} */ all) => Math.max(0, ...all.map(({ ms }) => ms));
  return { silence: longest(late(silences)), still: longest(late(still)), over: Math.max(0, ...late(silences).filter(({ ms }) => ms > 100).map(({ at }) => at - since)),
    all: late(silences).filter(({ ms }) => ms > 100) };
}
