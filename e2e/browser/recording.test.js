// A recording of a call: everybody is told, whoever comes later too; the file holds picture and sound; who cannot be told is not in it;
// and a page that is closed in the middle keeps what was written.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { judge } from '../harness/accessible.js';
import { browserOf, inBoth, press } from '../harness/both.js';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;

before(async () => { server = await startServer(); });
after(cleanup);

/** Keeps the files that the page gives to its visitor. @param {Page} page */
const keepFiles = (page) => page.addInitScript(() => {
  const { click } = HTMLAnchorElement.prototype;
  const { createObjectURL } = URL;
  /** @type {any} */ let last;
  URL.createObjectURL = (content) => createObjectURL.call(URL, last = content);
  HTMLAnchorElement.prototype.click = function () {
    if (!this.download) return click.call(this);
    /** @type {any} */ (window).saved = { name: this.download, url: this.href, blob: last };
  };
});

/** Plays a saved file: what it shows and how loud it is at its loudest. @param {Page} page */
const play = (page) => page.evaluate(async () => {
  const { name, url, blob } = /** @type {any} */ (window).saved;
  const video = Object.assign(document.createElement('video'), { src: url, muted: true });
  await video.play();
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 36 });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
  /** By half of the picture, how many points are as colourful as fake cameras are, and the page is not. */
  let left = 0, right = 0, frames = 0;
  await new Promise((resolve) => {
    // Four seconds of it, or longer where few pictures are shown in them: the machine may be busy.
    const began = performance.now(), end = setTimeout(resolve, 60_000);
    video.onended = () => { clearTimeout(end); resolve(undefined); };
    const look = () => {
      frames++;
      context.drawImage(video, 0, 0, 64, 36);
      const { data } = context.getImageData(0, 0, 64, 36);
      let l = 0, r = 0;
      for (let p = 0; p < 64 * 36; p++) {
        const color = data.slice(4 * p, 4 * p + 3);
        if (Math.max(...color) - Math.min(...color) > 60) { if (p % 64 < 32) l++; else r++; }
      }
      left = Math.max(left, l);
      right = Math.max(right, r);
      if (frames <= 5 || performance.now() - began < 4000) return video.requestVideoFrameCallback(look);
      clearTimeout(end);
      resolve(undefined);
    };
    video.requestVideoFrameCallback(look);
  });
  const sound = await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(await blob.arrayBuffer());
  const samples = sound.getChannelData(0);
  let loud = 0;
  for (const sample of samples) loud = Math.max(loud, Math.abs(sample));
  return { name, size: blob.size, width: video.videoWidth, frames, left, right, loud, seconds: sound.duration };
});

/** @param {Page} page */
async function record(page) {
  await page.click('#settings');
  await press(page, '#record', 'Enter');
  await page.waitForSelector('#recording:not([hidden])');
}

/** Waits until the site's file of a recording has grown so many times, and says its size in bytes. @param {number} times */
async function fileGrows(times) {
  let size = 0;
  for (const end = Date.now() + 60_000; times > 0;) {
    if (Date.now() > end) throw new Error(`the recording stays at ${size} bytes`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    for await (const file of /** @type {any} */ (await navigator.storage.getDirectory()).values()) {
      if (file.name !== localStorage.getItem('turnhub.recording')) continue;
      const now = (await file.getFile()).size;
      if (now > size) times--;
      size = Math.max(size, now);
    }
  }
  return size;
}

inBoth('a recording: everybody is told, and it holds what was seen and heard', async (browser) => {
  const [vasya, petya, ida] = await Promise.all([browser.newPage(), browser.newPage(), browser.newPage()]);
  await keepFiles(vasya);
  await vasya.addInitScript(() => {
    const { start } = MediaRecorder.prototype;
    MediaRecorder.prototype.start = function (...args) {
      /** @type {any} */ (window).pieces = 0;
      this.addEventListener('dataavailable', () => { /** @type {any} */ (window).pieces++; });
      return start.apply(this, args);
    };
  });
  /** Waits until so many seconds more are recorded: a piece is one. @param {number} count */
  const recorded = async (count) => {
    const before = await vasya.evaluate(() => /** @type {any} */ (window).pieces);
    // Three pages and what writes share the processors with another test: a piece comes when there is time for it.
    await vasya.waitForFunction((wanted) => /** @type {any} */ (window).pieces >= wanted, before + count, { timeout: 240_000 });
  };
  for (const [page, name] of /** @type {[Page, string][]} */ ([[vasya, 'Vasya'], [petya, 'Petya'], [ida, 'Ida']])) {
    await page.addInitScript(() => {
      const { start } = OscillatorNode.prototype;
      /** @type {any} */ (window).tones = 0;
      OscillatorNode.prototype.start = function (...args) { /** @type {any} */ (window).tones++; return start.apply(this, args); };
    });
    await openLobby(page, server.base, { room: 'recorded', name });
  }
  await join(vasya);
  await join(petya);
  await Promise.all([connected(vasya), connected(petya)]);
  assert.equal(await petya.isVisible('#records'), false);
  await petya.waitForTimeout(1500); // the tones of who came are over
  const tones = await petya.evaluate(() => /** @type {any} */ (window).tones);
  await record(vasya);
  await petya.waitForSelector('#records:has-text("Vasya is recording this call.")');
  assert.ok(await petya.evaluate(() => /** @type {any} */ (window).tones) > tones, 'it is heard');
  assert.equal(await petya.getAttribute('#records', 'role'), 'status');
  await judge(petya, 'recording-told');
  await judge(vasya, 'recording-own');

  await join(ida);
  await Promise.all([connected(vasya, 2), connected(ida, 2)]);
  await ida.waitForSelector('#records:has-text("Vasya is recording this call.")');
  await recorded(2);
  await vasya.click('#recording button');
  await Promise.all([petya, ida].map((page) => page.waitForSelector('#records', { state: 'hidden' })));
  await vasya.waitForFunction(() => /** @type {any} */ (window).saved);
  const played = await play(vasya);
  assert.match(played.name, /^turnhub-[\d-]+\.webm$/);
  assert.ok(played.width === 1280 && played.frames > 1 && played.left > 100 && played.right > 100, JSON.stringify(played));
  assert.ok(played.loud > 0.05 && played.seconds > 1, JSON.stringify(played));

  // Who leaves records no more; and what was not finished is there at the next opening. It begins in the menu as well.
  await vasya.click('#more');
  await vasya.click(`#more-dialog button:has-text("${await vasya.textContent('#record')}")`);
  await vasya.waitForSelector('#recording:not([hidden])');
  await petya.waitForSelector('#records:not([hidden])');
  const written = await vasya.evaluate(fileGrows, 3); // pieces that are handed over at once may not be written when the page goes
  await vasya.goto('about:blank');
  await Promise.all([petya, ida].map((page) => page.waitForSelector('#records', { state: 'hidden' })));
  await vasya.goto(`${server.base}/`);
  await vasya.click('.note.kept .secondary');
  await vasya.waitForSelector('.note.kept', { state: 'detached' });
  const cut = await play(vasya);
  assert.ok(cut.size >= written && cut.frames > 0 && cut.left > 100 && cut.seconds > 0, `${written} bytes written: ${JSON.stringify(cut)}`);
  await vasya.reload();
  await vasya.waitForFunction(() => !localStorage.getItem('turnhub.recorded'));
  assert.equal(await vasya.evaluate(async () => {
    let files = 0;
    for await (const _ of /** @type {any} */ (await navigator.storage.getDirectory()).keys()) files++;
    return files;
  }), 0, 'no copy is kept');
  await Promise.all([vasya, petya, ida].map((page) => page.context().close()));
});

long('who cannot be told is not recorded, and memory has a limit that is said', async () => {
  const browser = await browserOf('chromium');
  const [vasya, old] = await Promise.all([browser.newPage(), browser.newPage()]);
  await keepFiles(vasya);
  await vasya.addInitScript(() => { StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException('private window', 'SecurityError')); });
  await vasya.route('**/recorder.worker.js', async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: `StorageManager.prototype.getDirectory = () => Promise.reject(new Error('private window'));\n${await answer.text()}` });
  });
  // A program from before there were recordings: it says nothing of them.
  await old.addInitScript(() => {
    const { send } = RTCDataChannel.prototype;
    RTCDataChannel.prototype.send = function (/** @type {any} */ data) {
      return send.call(this, typeof data === 'string' ? data.replace('"recordings":true', '"odd":true') : data);
    };
  });
  await openLobby(vasya, server.base, { room: 'old', name: 'Vasya' });
  await openLobby(old, server.base, { room: 'old', name: 'Old' });
  await old.click('#lobby-audio');
  await vasya.click('#lobby-audio');
  await join(vasya);
  await join(old);
  await Promise.all([connected(vasya), connected(old)]);
  await vasya.click('#video');
  await record(vasya);
  await vasya.waitForSelector('.toast:has-text("500.0")');
  await vasya.waitForSelector('.toast:has-text("The program of Old cannot tell")');
  await vasya.click('#hang-up');
  await vasya.waitForFunction(() => /** @type {any} */ (window).saved);
  const played = await play(vasya);
  assert.ok(played.frames > 2 && played.left === 0 && played.right === 0 && played.loud < 0.02, `nothing of Old is in it: ${JSON.stringify(played)}`);
  await Promise.all([vasya, old].map((page) => page.context().close()));
});

long('a Firefox without a speaker mixes no sound, and says so', async () => {
  const firefox = await startBrowser({ kind: 'firefox' });
  const [vasya, petya] = await Promise.all([firefox.newPage(), firefox.newPage()]);
  for (const page of [vasya, petya]) {
    await openLobby(page, server.base, { room: 'soundless' });
    await join(page);
  }
  await Promise.all([connected(vasya), connected(petya)]);
  await record(vasya);
  await vasya.waitForSelector('.toast:has-text("This recording has no sound")');
  await firefox.close();
});
