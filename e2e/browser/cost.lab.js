// What our page takes of a processor in a steady call of two, beside the same call on a bare page: two <video> elements as large
// as ours, the same questions to camera and microphone, one RTCPeerConnection. Both sides of a call together, in turns. And what
// a call of six decodes beside what it shows. By itself, on a quiet machine: node --test browser/cost.lab.js. E2E_TIMES=n measures so
// often, E2E_SECONDS=n for so long each, E2E_KIND=firefox in Firefox.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { moves } from '../harness/people.js';
import { startBrowserTime } from '../harness/processes.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

const times = Number(process.env.E2E_TIMES ?? 3);
/** A call is measured for so long, after so long; seconds. By then it has its bitrate, and nothing is made ready any more. */
const measured = Number(process.env.E2E_SECONDS ?? 10), settled = 10;
/** Of ours beside the bare one, and of pixels decoded beside those shown. */
const aims = { call: 1.1, pixels: 1.3, websocket: 1.6 };

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;
/** What our page has asked of camera and microphone, and how large it shows them. */
let asked = {}, shown = [{ left: 0, top: 0, width: 0, height: 0 }];

before(async () => {
  server = await startServer();
  browser = await startBrowser({ kind: process.env.E2E_KIND === 'firefox' ? 'firefox' : 'chromium', fps: 10 });
});
after(cleanup);

/** @param {Page[]} pages */
const close = (pages) => Promise.all(pages.map((page) => page.context().close()));

let rooms = 0;

/** A call on our page. @param {number} [people] @param {import('../harness/observe.js').Narrowing} [narrowing] */
async function ours(people = 2, narrowing = {}) {
  const pages = await Promise.all(Array.from({ length: people }, () => browser.newPage(narrowing)));
  const room = `cost-${rooms++}`;
  for (const page of pages) {
    await page.addInitScript(() => {
      const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
      media.getUserMedia = (constraints) => {
        /** @type {any} */ (window).asked ??= constraints;
        return ask(constraints);
      };
    });
    await openLobby(page, server.base, { room });
    await join(page);
  }
  await Promise.all(pages.map((page) => connected(page, people - 1)));
  if (narrowing.only === 'nothing') await Promise.all(pages.map((page) => moves(page, 15)));
  else await Promise.all(pages.map((page) => decodesVideo(page, { count: people - 1, seconds: 1 })));
  return pages;
}

/** Notes what the bare page needs to be like ours. @param {Page} page */
async function look(page) {
  ({ asked, shown } = await page.evaluate(() => ({
    asked: /** @type {any} */ (window).asked,
    shown: ['.tile:not(.self) video', '.tile.self video'].map((selector) => {
      const { left, top, width, height } = /** @type {Element} */ (document.querySelector(selector)).getBoundingClientRect();
      return { left, top, width, height };
    }),
  })));
}

/** The same call on a bare page. */
async function bare() {
  const pages = await Promise.all([0, 1].map(() => browser.newPage()));
  const style = shown.map(({ left, top, width, height }) => `position: absolute; object-fit: cover; left: ${left}px; top: ${top}px; width: ${width}px; height: ${height}px`);
  const text = `<!doctype html><meta charset="utf-8"><body style="margin: 0; background: #111">
    <video id="them" playsinline autoplay style="${style[0]}"></video><video id="me" playsinline autoplay muted style="${style[1]}"></video>`;
  await Promise.all(pages.map(async (page) => {
    await page.route(`${server.base}/bare`, (route) => route.fulfill({ contentType: 'text/html', body: text }));
    await page.goto(`${server.base}/bare`);
    await page.unrouteAll();
    await page.evaluate(async (asked) => {
      const stream = await navigator.mediaDevices.getUserMedia(asked);
      const show = (/** @type {string} */ id, /** @type {MediaStream} */ what) => { /** @type {HTMLVideoElement} */ (document.getElementById(id)).srcObject = what; };
      show('me', stream);
      const pc = /** @type {any} */ (window).pc = new RTCPeerConnection();
      pc.ontrack = ({ streams }) => show('them', streams[0]);
      for (const track of stream.getTracks()) pc.addTrack(track, stream);
    }, asked);
  }));
  /** @type {RTCSessionDescriptionInit | undefined} */ let said;
  for (const page of [...pages, pages[0]]) {
    said = await page.evaluate(async (heard) => {
      const pc = /** @type {RTCPeerConnection} */ (/** @type {any} */ (window).pc);
      if (heard) await pc.setRemoteDescription(heard);
      if (heard?.type === 'answer') return;
      await pc.setLocalDescription();
      await new Promise((resolve) => {
        const look = () => { if (pc.iceGatheringState === 'complete') resolve(undefined); };
        pc.onicegatheringstatechange = look;
        look();
      });
      return pc.localDescription?.toJSON();
    }, said);
  }
  await Promise.all(pages.map((page) => decodesVideo(page, { seconds: 1 })));
  return pages;
}

/** Cores that both sides together take, and what is decoded meanwhile. @param {Page[]} pages */
async function measure(pages) {
  await pause(settled * 1000);
  const taken = startBrowserTime(), before = await decoded(pages[0]), since = Date.now();
  await pause(measured * 1000);
  const cores = taken() / ((Date.now() - since) / 1000), after = await decoded(pages[0]);
  return { cores, rate: (after.frames - before.frames) / measured, bits: ((after.bytes - before.bytes) * 8) / measured, size: after.size };
}

/** @param {Page} page */
function decoded(page) {
  return page.evaluate(async () => {
    let frames = 0, bytes = 0, pixels = 0, size = '';
    for (const call of /** @type {any} */ (window).calls) {
      if (call.connectionState === 'closed') continue;
      for (const stat of (await /** @type {any} */ (window).statsOf(call)).values()) {
        if (stat.type !== 'inbound-rtp' || stat.kind !== 'video' || !stat.framesDecoded) continue;
        frames += stat.framesDecoded;
        bytes += stat.bytesReceived;
        pixels += (stat.frameWidth ?? 0) * (stat.frameHeight ?? 0);
        size = `${stat.frameWidth}×${stat.frameHeight}`;
      }
    }
    return { frames, bytes, pixels, size };
  });
}

const middle = (/** @type {number[]} */ values) => values.toSorted((a, b) => a - b)[values.length >> 1];

test('a call of two beside the same on a bare page', async () => {
  const taken = { ours: /** @type {number[]} */ ([]), bare: /** @type {number[]} */ ([]) };
  for (let n = 0; n < times; n++) {
    for (const which of /** @type {const} */ (n % 2 ? ['bare', 'ours'] : ['ours', 'bare'])) {
      const pages = await { ours, bare }[which]();
      if (which === 'ours') await look(pages[0]);
      const { cores, rate, bits, size } = await measure(pages);
      taken[which].push(cores);
      console.log(`${which}: ${cores.toFixed(3)} cores, ${size} at ${rate.toFixed(1)}/s, ${(bits / 1000).toFixed(0)} kbit/s`);
      await close(pages);
    }
  }
  const [mine, theirs] = [middle(taken.ours), middle(taken.bare)];
  console.log(`our page ${mine.toFixed(3)} of a core, a bare one ${theirs.toFixed(3)}: ${(mine / theirs).toFixed(2)} times (aim ${aims.call})`);
  assert.ok(mine < 2 * aims.call * theirs, `${mine} beside ${theirs}`);
});

test('a call of two through the WebSocket beside the same over WebRTC', async () => {
  const taken = { websocket: /** @type {number[]} */ ([]), webrtc: /** @type {number[]} */ ([]) };
  for (let n = 0; n < times; n++) {
    for (const which of /** @type {const} */ (n % 2 ? ['webrtc', 'websocket'] : ['websocket', 'webrtc'])) {
      const pages = await ours(2, which === 'websocket' ? { only: 'nothing' } : {});
      const { cores } = await measure(pages);
      taken[which].push(cores);
      console.log(`${which}: ${cores.toFixed(3)} cores`);
      await close(pages);
    }
  }
  const [socket, direct] = [middle(taken.websocket), middle(taken.webrtc)];
  console.log(`through the WebSocket ${socket.toFixed(3)} of a core, over WebRTC ${direct.toFixed(3)}: ${(socket / direct).toFixed(2)} times (aim ${aims.websocket})`);
  assert.ok(socket < 2 * aims.websocket * direct, `${socket} beside ${direct}`);
});

test('six people: pixels decoded beside those shown', async () => {
  const pages = await ours(6);
  await pause(settled * 1000);
  const { pixels } = await decoded(pages[0]);
  const seen = await pages[0].evaluate(() => [...document.querySelectorAll('.tile:not(.self) video')].reduce((sum, video) => {
    const { width, height } = video.getBoundingClientRect();
    return sum + width * height * devicePixelRatio ** 2;
  }, 0));
  console.log(`six people: ${(pixels / 1000).toFixed(0)} thousand pixels decoded, ${(seen / 1000).toFixed(0)} shown: ${(pixels / seen).toFixed(2)} times (aim ${aims.pixels})`);
  await close(pages);
  assert.ok(pixels < 2 * aims.pixels * seen, `${pixels} beside ${seen}`);
});
