// What was switched off is off: random clicks in the lobby and in a call, while every device starts late. What counts is
// what the other one receives. SEED=n repeats a run.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;
let seed = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9)) >>> 0;
console.log(`SEED=${seed}`);
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

/** Devices that start when the test lets them, and are counted. @param {Page} page */
async function late(page) {
  await page.addInitScript(() => {
    const devices = navigator.mediaDevices, capture = devices.getUserMedia.bind(devices), own = /** @type {any} */ (window);
    own.captured = [];
    own.asked = 0;
    devices.getUserMedia = async (want) => {
      own.asked++;
      const stream = await capture(want);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 400));
      own.asked--;
      own.captured.push(...stream.getTracks());
      return stream;
    };
  });
}

/** Clicks as no mouse is quick enough to. @param {Page} page @param {string} prefix @param {number} count */
async function clicks(page, prefix, count) {
  const plan = Array.from({ length: count }, () => ({ id: `${prefix}${random() < 0.5 ? 'audio' : 'video'}`, wait: random() < 0.5 ? 0 : random() * 250 }));
  await page.evaluate(async (plan) => {
    for (const { id, wait } of plan) {
      /** @type {HTMLElement} */ (document.querySelector(`#${id}`)).click();
      if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }, plan);
}

/** Waits until nothing is being started any more, and says what the buttons show and what is live. @param {Page} page @param {string} prefix */
async function truth(page, prefix) {
  await page.waitForFunction((prefix) => /** @type {any} */ (window).asked === 0
    && [...document.querySelectorAll(`#${prefix}audio, #${prefix}video`)].every((button) => button.getAttribute('aria-busy') !== 'true'), prefix);
  return page.evaluate((prefix) => {
    const state = (/** @type {'audio' | 'video'} */ kind) => ({
      shown: document.querySelector(`#${prefix}${kind}`)?.getAttribute('aria-pressed') === 'true',
      live: /** @type {any} */ (window).captured.some((/** @type {MediaStreamTrack} */ track) => track.kind === kind && track.readyState === 'live' && track.enabled),
      remembered: localStorage.getItem(`turnhub.${kind}`) !== 'off',
    });
    return { audio: state('audio'), video: state('video') };
  }, prefix);
}

/** @param {Page} page what is received in a while: frames and the energy of sound */
async function received(page) {
  const read = () => page.evaluate(async () => {
    let frames = 0, energy = 0;
    for (const call of /** @type {any} */ (window).calls) {
      if (call.connectionState === 'closed') continue;
      for (const stat of (await /** @type {any} */ (window).statsOf(call)).values()) {
        if (stat.type !== 'inbound-rtp') continue;
        frames += stat.framesDecoded ?? 0;
        energy += stat.totalAudioEnergy ?? 0;
      }
    }
    return { frames, energy };
  });
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 700))); // what is on its way arrives
  const first = await read();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1500))); // the fake microphone beeps once a second
  const last = await read();
  return { video: last.frames > first.frames, audio: last.energy - first.energy > 1e-4 };
}

/** @param {Page} page @param {Page} other @param {string} prefix @param {number} round */
async function agrees(page, other, prefix, round) {
  const now = await truth(page, prefix);
  for (const kind of /** @type {const} */ (['audio', 'video'])) {
    const { shown, live, remembered } = now[kind];
    assert.deepEqual({ live, remembered }, { live: shown, remembered: shown }, `round ${round}: ${kind}`);
  }
  /** @type {any} */ let got;
  for (let tries = 0; tries < 8; tries++) { // on a busy machine the first pictures take their time
    got = await received(other);
    if (got.video === now.video.shown && got.audio === now.audio.shown) return;
  }
  assert.fail(`round ${round}: shown ${JSON.stringify(now)}, received ${JSON.stringify(got)}`);
}

long('in the lobby and in the call, however quickly it is clicked', async () => {
  const [vasya, petya] = await Promise.all([browser.newPage(), browser.newPage()]);
  await late(vasya);
  await openLobby(petya, server.base, { name: 'Petya', room: 'off' });
  await join(petya);
  await openLobby(vasya, server.base, { name: 'Vasya', room: 'off' });
  await clicks(vasya, 'lobby-', 3 + Math.floor(random() * 6));
  await join(vasya);
  await Promise.all([connected(vasya), connected(petya)]);
  await agrees(vasya, petya, '', 0);
  for (let round = 1; round <= 40; round++) {
    await clicks(vasya, '', 1 + Math.floor(random() * 8));
    await agrees(vasya, petya, '', round);
  }
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

long('who comes with the camera off is heard', async () => {
  const [vasya, petya] = await Promise.all([browser.newPage({ clean: true }), browser.newPage({ clean: true })]);
  await openLobby(petya, server.base, { name: 'Petya', room: 'heard' });
  await join(petya);
  await openLobby(vasya, server.base, { name: 'Vasya', room: 'heard' });
  await vasya.click('#lobby-video[aria-pressed=true]');
  await join(vasya);
  await Promise.all([connected(vasya), connected(petya)]);
  await petya.waitForSelector('.tile.speaking');
  await petya.waitForFunction(() => /** @type {HTMLVideoElement} */ (document.querySelector('.tile:not(.self) video')).currentTime > 0);
  await vasya.click('#video');
  await petya.waitForFunction(() => /** @type {HTMLVideoElement} */ (document.querySelector('.tile:not(.self) video')).videoWidth > 0);
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

test('switched off while it starts, and after a reload', async () => {
  const page = await browser.newPage();
  await late(page);
  await page.goto(`${server.base}/#reload`);
  for (const kind of ['audio', 'video']) await page.evaluate((kind) => /** @type {HTMLElement} */ (document.querySelector(`#lobby-${kind}`)).click(), kind);
  for (let load = 0; load < 2; load++) {
    await page.waitForSelector('body[data-state=ready]');
    const { audio, video } = await truth(page, 'lobby-');
    assert.deepEqual([audio, video], Array(2).fill({ shown: false, live: false, remembered: false }), `load ${load}`);
    if (load === 0) await page.reload();
  }
  await page.click('#lobby-video');
  await page.waitForSelector('#lobby-video[aria-pressed=true]');
  assert.equal((await truth(page, 'lobby-')).audio.live, false, 'and each stands for itself');
  await page.context().close();
});
