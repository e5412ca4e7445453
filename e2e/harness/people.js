// What a call page shows of the other person, by whatever way it comes.

/** @typedef {import('playwright-core').Page} Page */

/** Tile of the other person. */
export const others = '.tile:not(.self):not(.screen)';

/**
 * Waits until so many pictures more of the other person are shown.
 * @param {Page} page @param {number} count @param {number} [timeout] milliseconds
 */
export async function moves(page, count, timeout = 60_000) {
  await page.evaluate((selector) => {
    const video = /** @type {HTMLVideoElement} */ (document.querySelector(`${selector} video`)), shown = /** @type {any} */ (window).shown = { count: 0 };
    const next = () => {
      if (/** @type {any} */ (window).shown !== shown) return;
      shown.count++;
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  }, others);
  try {
    await page.waitForFunction((count) => /** @type {any} */ (window).shown.count >= count, count, { timeout });
  } finally {
    // Who goes on asking makes the page draw each picture anew.
    await page.evaluate(() => { /** @type {any} */ (window).shown = null; }).catch(() => {});
  }
}

/** Waits until the other person's sound is no silence. @param {Page} page */
export function hears(page) {
  return page.evaluate(async (selector) => {
    const stream = /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (document.querySelector(`${selector} video`)).srcObject);
    const context = new AudioContext(), analyser = context.createAnalyser();
    const end = Date.now() + 60_000;
    while (!stream.getAudioTracks().length) {
      if (Date.now() > end) throw new Error('no sound');
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    for (;;) {
      analyser.getFloatTimeDomainData(samples);
      if (samples.some((sample) => Math.abs(sample) > 0.01)) break;
      if (Date.now() > end) throw new Error(`nothing but silence; AudioContext ${context.state}`);
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    await context.close();
  }, others);
}

/** Waits until the tile of the other person says so. @param {Page} page @param {string} text */
export const told = (page, text) => page.locator(others, { hasText: text }).waitFor({ timeout: 60_000 });
