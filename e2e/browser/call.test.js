// What two people do in a call: other cameras, the screen, chat, files, keys.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { screenshot } from '../harness/screenshot.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Page} */ let vasya;
/** @type {Page} */ let petya;

before(async () => {
  const server = await startServer();
  const browser = await startBrowser({ cameras: 3 });
  [vasya, petya] = await Promise.all([browser.newPage({ clean: true }), browser.newPage({ clean: true })]);
  await vasya.addInitScript(() => {
    const own = /** @type {any} */ (window);
    own.locks = 0;
    // A browser without a screen has none to keep on: what is asked of it is counted.
    Object.defineProperty(navigator, 'wakeLock', { value: { request: async () => {
      own.locks++;
      const lock = new EventTarget();
      return Object.assign(lock, { release: async () => { own.locks--; lock.dispatchEvent(new Event('release')); } });
    } } });
  });
  await openLobby(vasya, server.base, { name: 'Vasya', room: 'talk' });
  assert.equal(await asks(vasya), false);
  await join(vasya);
  await openLobby(petya, server.base, { name: 'Petya', room: 'talk' });
  await join(petya);
  await Promise.all([connected(vasya), connected(petya)]);
});
after(cleanup);

/**
 * Waits until the page shows twenty pictures more of the other person, of this width where one is given.
 * @param {Page} page @param {number} [width]
 */
async function moves(page, width = 0) {
  await page.evaluate((width) => {
    const video = /** @type {HTMLVideoElement} */ (document.querySelector('.tile:not(.self):not(.screen) video'));
    const shown = /** @type {any} */ (window).shown = { count: 0 };
    const next = () => {
      if (/** @type {any} */ (window).shown !== shown) return;
      if (!width || video.videoWidth === width) shown.count++;
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  }, width);
  await page.waitForFunction(() => /** @type {any} */ (window).shown.count >= 20);
}

/** The device behind the page's own picture. @param {Page} page */
const camera = (page) => page.evaluate(() => {
  const stream = /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (document.querySelector('.tile.self video')).srcObject);
  return stream.getVideoTracks().map(({ label }) => label).join();
});

/** Whether the page wants to be asked before it goes. @param {Page} page */
const asks = (page) => page.evaluate(() => !dispatchEvent(new Event('beforeunload', { cancelable: true })));

const others = '.tile:not(.self):not(.screen)';

long('another camera in the middle of the call: the picture goes on', async () => {
  await moves(petya);
  assert.equal(await camera(vasya), 'fake_device_0');
  await vasya.click('#settings');
  await vasya.selectOption('#camera-select', { label: 'fake_device_2' });
  await vasya.keyboard.press('Escape');
  await vasya.waitForFunction(() => {
    const stream = /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (document.querySelector('.tile.self video')).srcObject);
    return stream.getVideoTracks()[0]?.label === 'fake_device_2';
  });
  await moves(petya);
  assert.equal(await petya.getAttribute(others, 'data-state'), 'connected');
});

long('the screen is shared beside the camera, from both sides, and taken back', async () => {
  // A browser that has much to do sends smaller pictures for a while; only a whole one can be told from what comes after.
  const width = await vasya.evaluate(() => /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (document.querySelector('.tile.self video')).srcObject).getVideoTracks()[0].getSettings().width ?? 0);
  await moves(petya, width);
  await vasya.keyboard.press('s');
  await petya.waitForSelector('.tile.screen');
  assert.match(await petya.getAttribute('.tile.screen', 'aria-label') ?? '', /Vasya – screen/);
  await petya.waitForFunction((width) => {
    const video = /** @type {HTMLVideoElement} */ (document.querySelector('.tile.screen video'));
    return video.videoWidth > 0 && video.videoWidth !== width;
  }, width, { timeout: 20_000 });
  await moves(petya);
  assert.equal(await petya.getAttribute(others, 'data-media'), 'audio video');
  for (const size of [{ width: 1280, height: 800 }, { width: 360, height: 740 }, { width: 900, height: 640 }]) {
    await petya.setViewportSize(size);
    await screenshot(petya, `screen-${size.width}`);
  }
  assert.equal(await camera(vasya), 'fake_device_2', 'the own picture is the camera');
  await vasya.waitForSelector('#sharing:not([hidden])');
  // The other one too, over the same m-lines.
  await petya.keyboard.press('s');
  await vasya.waitForSelector('.tile.screen');
  await vasya.waitForFunction(() => /** @type {HTMLVideoElement} */ (document.querySelector('.tile.screen video')).videoWidth > 0, undefined, { timeout: 20_000 });
  await petya.click('#screen');
  await vasya.waitForSelector('.tile.screen', { state: 'detached' });
  await vasya.click('#stop-sharing');
  await petya.waitForSelector('.tile.screen', { state: 'detached' });
  await moves(petya, width);
  assert.equal(await camera(vasya), 'fake_device_2');
  // Again, without a new negotiation.
  await vasya.keyboard.press('s');
  await petya.waitForFunction((width) => {
    const video = /** @type {HTMLVideoElement | null} */ (document.querySelector('.tile.screen video'));
    return video !== null && video.videoWidth > 0 && video.videoWidth !== width;
  }, width, { timeout: 20_000 });
  await vasya.click('#screen');
  await petya.waitForSelector('.tile.screen', { state: 'detached' });
});

long('who speaks is marked, who is muted is not; the tab asks before it closes, and the screen stays on', async () => {
  await petya.waitForSelector(`${others}.speaking`); // the fake microphone beeps
  await vasya.click('#audio');
  await petya.waitForSelector(`${others}:not(.speaking) .muted:not([hidden])`);
  assert.equal(await petya.locator(`${others}.speaking`).count(), 0);
  await vasya.click('#audio');
  await petya.waitForSelector(`${others}.speaking`);
  assert.equal(await asks(vasya), true);
  await vasya.waitForFunction(() => /** @type {any} */ (window).locks === 1);
});

test('chat goes over as it was written', async () => {
  const said = 'Привет! <b>1 < 2</b> & 👋 "quoted"';
  await vasya.keyboard.press('c');
  await vasya.fill('#chat-text', said);
  await vasya.keyboard.press('Enter');
  await petya.waitForSelector('#chat-open .badge:not([hidden])');
  assert.equal(await petya.getAttribute('#chat-open', 'aria-label'), 'Chat, 1 unread');
  await petya.click('#chat-open');
  assert.equal(await petya.textContent('#messages li:last-child p:last-child'), said);
  assert.match(await petya.textContent('#messages li:last-child .from') ?? '', /Vasya/);
  assert.equal(await vasya.textContent('#messages li.own p:last-child'), said);
});

long('a file arrives byte for byte, and one that nobody wants does not', async () => {
  const contents = randomBytes(1_500_001);
  await petya.setInputFiles('#chat-file', { name: 'plan.bin', mimeType: 'application/octet-stream', buffer: contents });
  await vasya.getByRole('button', { name: 'Take it' }).click();
  const [download] = await Promise.all([vasya.waitForEvent('download'), vasya.getByRole('link', { name: 'Save' }).click()]);
  assert.equal(download.suggestedFilename(), 'plan.bin');
  assert.ok(contents.equals(await readFile(await download.path())), 'the file differs');
  await petya.getByText('Vasya has it').waitFor();
  await petya.setInputFiles('#chat-file', { name: 'unwanted.bin', mimeType: 'application/octet-stream', buffer: contents });
  await vasya.getByRole('button', { name: 'No, thanks' }).click();
  await petya.getByText('the other side did not take it').waitFor();
});

test('the link is at hand during the call', async () => {
  await vasya.click('#room-label');
  await vasya.waitForSelector('#qr-dialog[open]');
  assert.equal(await vasya.textContent('#qr-link'), vasya.url());
  await vasya.getByRole('button', { name: 'Close', exact: true }).click();
});

test('keys: written text is text; outside of fields they mute and switch the camera, and none hangs up', async () => {
  await vasya.locator('#chat-text').pressSequentially('mvsch');
  assert.equal(await vasya.inputValue('#chat-text'), 'mvsch');
  assert.equal(await vasya.getAttribute('body', 'data-view'), 'call');
  await vasya.click('#chat-close');
  await vasya.keyboard.press('m');
  await petya.waitForSelector(`${others} .muted:not([hidden])`);
  assert.equal(await vasya.getAttribute('#audio', 'aria-pressed'), 'false');
  await vasya.keyboard.press('m');
  await petya.waitForSelector(`${others}[data-media~=audio] .muted[hidden]`, { state: 'attached' });
  // the same key of a Cyrillic keyboard
  await vasya.evaluate(() => { document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'м', code: 'KeyV', bubbles: true })); });
  await petya.waitForSelector(`${others}:not([data-media~=video])`);
  await petya.waitForSelector(`${others} .avatar`, { state: 'visible' });
  assert.equal(await camera(vasya), '', 'the camera is released');
  await vasya.keyboard.press('v');
  await petya.waitForSelector(`${others}[data-media~=video]`);
  await moves(petya);
  await vasya.keyboard.press('h');
  await vasya.keyboard.press('?');
  await vasya.waitForSelector('#keys-dialog[open]');
  await vasya.keyboard.press('v'); // a dialog hears no keys of the call
  assert.equal(await vasya.getAttribute('#video', 'aria-pressed'), 'true');
  await vasya.getByRole('button', { name: 'Close', exact: true }).click();
  assert.equal(await vasya.getAttribute('body', 'data-view'), 'call');
  await vasya.click('#hang-up');
  await vasya.waitForSelector('body[data-view=notice][data-state=ended]');
  assert.equal(await asks(vasya), false);
  assert.equal(await vasya.evaluate(() => /** @type {any} */ (window).locks), 0);
  await petya.waitForSelector('body[data-state=waiting]');
  assert.equal(await petya.textContent('#waiting-title'), 'Vasya has left');
  await petya.waitForSelector('.toast:has-text("Vasya has left")');
  await vasya.click('#notice-again');
  await vasya.waitForSelector('body[data-view=lobby][data-state=ready]');
  await join(vasya);
  await Promise.all([connected(vasya), connected(petya), moves(petya)]);
});
