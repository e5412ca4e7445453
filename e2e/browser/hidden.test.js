// In a tab that nobody sees nothing moves: no meter, no mark of who speaks.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

/**
 * A microphone into which somebody says a word of 0.7 s, and then another. The browser's own beeps for a moment, between two
 * looks of the page more often than not.
 */
function speak() {
  const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (constraints) => {
    const stream = await ask(constraints), [real] = stream.getAudioTracks();
    if (!real) return stream;
    const context = new AudioContext(), tone = new OscillatorNode(context, { frequency: 440 }), gain = new GainNode(context, { gain: 0 });
    const out = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    tone.connect(gain).connect(out);
    tone.start();
    setInterval(() => { gain.gain.value = gain.gain.value ? 0 : 0.5; }, 700);
    stream.removeTrack(real);
    stream.addTrack(out.stream.getAudioTracks()[0]);
    return stream;
  };
}

/** Counts from now on what the page changes of its looks. @param {Page} page */
const watch = (page) => page.evaluate(() => {
  const own = /** @type {any} */ (window);
  own.moved = [];
  own.watching ??= new MutationObserver((changes) => own.moved.push(...changes.map(({ target }) => /** @type {Element} */ (target).className)));
  own.watching.observe(document.body, { subtree: true, attributes: true, attributeFilter: ['class', 'style'] });
});

/** @param {Page} page @param {boolean} hidden */
const hide = (page, hidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => (hidden ? 'hidden' : 'visible') });
  document.dispatchEvent(new Event('visibilitychange'));
}, hidden);

/** While somebody speaks: something moves where it is seen, and nothing where it is not. @param {Page} page */
async function restsHidden(page) {
  await watch(page);
  await page.waitForFunction(() => /** @type {any} */ (window).moved.length > 1, undefined, { timeout: 10_000 });
  await hide(page, true);
  const moved = await page.evaluate(async () => {
    const own = /** @type {any} */ (window);
    await new Promise((resolve) => setTimeout(resolve, 300)); // what was on its way
    own.moved = [];
    await new Promise((resolve) => setTimeout(resolve, 1500));
    return own.moved;
  });
  assert.deepEqual(moved, []);
  await hide(page, false);
  await watch(page);
  await page.waitForFunction(() => /** @type {any} */ (window).moved.length > 1, undefined, { timeout: 10_000 });
}

test('a page that nobody sees stands still, in the lobby and in a call', async () => {
  const pages = await Promise.all([browser.newPage(), browser.newPage()]);
  const [page, other] = pages;
  await Promise.all(pages.map((each) => each.addInitScript(speak)));
  await openLobby(page, server.base, { room: 'hidden' });
  await restsHidden(page);
  await join(page);
  await openLobby(other, server.base, { room: 'hidden' });
  await join(other);
  await Promise.all(pages.map((each) => connected(each)));
  await restsHidden(page);
  await Promise.all(pages.map((each) => each.context().close()));
});
