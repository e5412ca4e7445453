// A voice that can be recognised, and an ear for it: how long sound takes from one page to the other, and where it is missing.
// Both by Web Audio, on one machine with one clock.

/** @typedef {import('playwright-core').Page} Page */

/** A low tone all the time, and once a second a chirp: its beginning is said. At the other end, when it comes, and every gap. */
const worklets = `
  const rate = sampleRate;
  registerProcessor('mouth', class extends AudioWorkletProcessor {
    at = 0;
    process(_, [[out]]) {
      for (let i = 0; i < out.length; i++, this.at++) {
        const since = (this.at % rate) / rate, seconds = this.at / rate;
        if (since === 0) this.port.postMessage(Date.now() + (i / rate) * 1000);
        out[i] = since < 0.04 ? 0.7 * Math.sin(2 * Math.PI * (1500 + 20000 * since) * since) : 0.06 * Math.sin(2 * Math.PI * 330 * seconds);
      }
      return true;
    }
  });
  registerProcessor('ear', class extends AudioWorkletProcessor {
    heardAt = -Infinity; silent = 0; at = 0; last = 0;
    process([[heard]]) {
      const now = Date.now();
      for (let i = 0; i < 128; i++, this.at++) {
        const level = heard ? Math.abs(heard[i]) : 0;
        if (level > 0.3 && this.at - this.heardAt > rate / 2) {
          this.heardAt = this.at;
          this.port.postMessage({ chirp: now + (i / rate) * 1000 });
        }
        if (level < 0.004) this.silent++;
        else {
          // The tone itself is that low for less than a millisecond.
          if (this.silent > rate / 50) this.port.postMessage({ gap: (this.silent / rate) * 1000, at: now });
          this.silent = 0;
        }
      }
      return true;
    }
  });`;

/** From the next page on, its microphone is that voice. @param {Page} page */
export async function speakChirps(page) {
  // The page's policy takes scripts from its own server alone, and what a worklet loads no test can put in between.
  const bypass = await page.context().newCDPSession(page);
  await bypass.send('Page.setBypassCSP', { enabled: true });
  await page.addInitScript((worklets) => {
    const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media), here = /** @type {any} */ (window);
    here.spoken = [];
    here.chirpModule = URL.createObjectURL(new Blob([worklets], { type: 'text/javascript' }));
    media.getUserMedia = async (constraints) => {
      const stream = await ask(constraints);
      for (const track of stream.getAudioTracks()) {
        stream.removeTrack(track);
        track.stop();
        const context = new AudioContext({ sampleRate: 48_000 });
        await context.audioWorklet.addModule(here.chirpModule);
        const mouth = new AudioWorkletNode(context, 'mouth', { numberOfInputs: 0, outputChannelCount: [1] }), out = context.createMediaStreamDestination();
        mouth.port.onmessage = ({ data }) => { here.spoken = [...here.spoken.slice(-4000), data]; here.flashUntil = data + 150; };
        mouth.connect(out);
        await context.resume();
        here.mouth = mouth;
        stream.addTrack(out.stream.getAudioTracks()[0]);
      }
      return stream;
    };
  }, worklets);
}

/** From now on the page listens to the other one, by whatever track comes. @param {Page} page @param {string} tile */
export function listen(page, tile) {
  return page.evaluate(async (tile) => {
    const here = /** @type {any} */ (window);
    here.heard = [];
    here.gaps = [];
    const context = here.earContext = new AudioContext({ sampleRate: 48_000 });
    await context.audioWorklet.addModule(here.chirpModule);
    const ear = new AudioWorkletNode(context, 'ear', { numberOfOutputs: 0 });
    ear.port.onmessage = ({ data }) => {
      if (data.chirp) here.heard.push(data.chirp);
      else here.gaps.push(data);
    };
    /** @type {MediaStreamTrack | undefined} */ let heard;
    /** @type {MediaStreamAudioSourceNode | undefined} */ let source;
    const follow = () => {
      const [track] = /** @type {MediaStream | null} */ (document.querySelector(tile)?.querySelector('video')?.srcObject)?.getAudioTracks() ?? [];
      if (!track || track === heard) return;
      heard = track;
      source?.disconnect();
      source = context.createMediaStreamSource(new MediaStream([track]));
      source.connect(ear);
    };
    follow();
    setInterval(follow, 20);
    await context.resume();
    here.ear = ear;
  }, tile);
}

/** From the next page on, its camera is a dark picture that is bright for a moment at each chirp; before `speakChirps`. @param {Page} page */
export const showFlashes = (page) => page.addInitScript(() => {
  const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media), here = /** @type {any} */ (window);
  media.getUserMedia = async (constraints) => {
    const stream = await ask(constraints);
    for (const track of stream.getVideoTracks()) {
      stream.removeTrack(track);
      track.stop();
      const canvas = document.createElement('canvas'), drawing = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { alpha: false }));
      Object.assign(canvas, { width: 640, height: 360 });
      let n = 0;
      const draw = () => {
        drawing.fillStyle = Date.now() < (here.flashUntil ?? 0) ? '#fff' : '#222';
        drawing.fillRect(0, 0, 640, 360);
        drawing.fillStyle = '#444';
        drawing.fillRect((n++ * 7) % 600, 300, 40, 40); // something moves, in the lower part
      };
      setInterval(draw, 20);
      stream.addTrack(canvas.captureStream(50).getVideoTracks()[0]);
    }
    return stream;
  };
});

/** From now on the page notes when the other one's picture becomes bright. @param {Page} page @param {string} tile */
export const watchFlashes = (page, tile) => page.evaluate((tile) => {
  const here = /** @type {any} */ (window), video = /** @type {HTMLVideoElement} */ (document.querySelector(`${tile} video`));
  const canvas = document.createElement('canvas'), drawing = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
  Object.assign(canvas, { width: 1, height: 1 });
  here.flashes = [];
  let bright = false;
  const shown = (/** @type {number} */ _, /** @type {VideoFrameCallbackMetadata} */ { expectedDisplayTime }) => {
    drawing.drawImage(video, 100, 50, 100, 100, 0, 0, 1, 1);
    const now = drawing.getImageData(0, 0, 1, 1).data[0] > 140;
    if (now && !bright) here.flashes.push(performance.timeOrigin + expectedDisplayTime);
    bright = now;
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);
}, tile);

/** How much later than its chirp each flash was seen since a moment, milliseconds. @param {Page} page @param {number} since milliseconds since 1970 */
export async function lips(page, since) {
  const { heard, flashes } = await page.evaluate(() => ({ heard: /** @type {any} */ (window).heard, flashes: /** @type {any} */ (window).flashes }));
  return flashes.filter((/** @type {number} */ at) => at > since).flatMap((/** @type {number} */ at) => {
    const chirp = heard.find((/** @type {number} */ when) => Math.abs(when - at) < 450);
    return chirp === undefined ? [] : [at - chirp];
  });
}

/**
 * What the page has heard since a moment: how long each chirp took, and the gaps, milliseconds.
 * @param {Page} ear @param {Page} mouth @param {number} since milliseconds since 1970
 */
export async function chirps(ear, mouth, since) {
  const [{ heard, gaps }, spoken] = await Promise.all([
    ear.evaluate(() => ({ heard: /** @type {any} */ (window).heard, gaps: /** @type {any} */ (window).gaps })),
    mouth.evaluate(() => /** @type {any} */ (window).spoken),
  ]);
  const took = heard.filter((/** @type {number} */ at) => at > since)
    .map((/** @type {number} */ at) => ({ at, took: at - spoken.findLast((/** @type {number} */ said) => said < at) }));
  return { took, gaps: gaps.filter((/** @type {{at: number}} */ { at }) => at > since).map((/** @type {{gap: number}} */ { gap }) => gap) };
}
