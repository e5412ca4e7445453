// Among the devices: the test of microphone and speaker, and the switch that leaves noise in the sound, in the lobby and in a call.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { judge } from '../harness/accessible.js';
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

/** What the test says of the microphone. @param {Page} page @param {string} text */
const says = (page, text) => page.waitForFunction((wanted) => document.querySelector('#sound-test')?.textContent?.includes(wanted), text);

test('the test of microphone and speaker: hears, plays, plays back, and says what is wrong', async () => {
  const page = await browser.newPage();
  /** @type {string[]} */ const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.addInitScript(() => {
    /** @type {any} */ (window).played = [];
    const { play } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.play = function () {
      if (this instanceof HTMLAudioElement) /** @type {any} */ (window).played.push(this.srcObject ? 'stream' : 'file');
      return play.call(this);
    };
  });
  await openLobby(page, server.base);
  assert.ok(!asked.some((path) => path.includes('soundtest')), 'it is loaded when it is used');
  await page.focus('#try-sound');
  await page.keyboard.press('Enter');
  await says(page, 'Your microphone works.');
  assert.equal(await page.getAttribute('#try-sound', 'aria-expanded'), 'true');
  assert.ok(Number(await page.getAttribute('#sound-test [role=meter]', 'aria-valuenow')) >= 0);
  await judge(page, 'devices-test', '#devices');

  await page.click('text=Play a sound');
  await says(page, 'A sound is playing.');
  await page.click('text=Hear yourself');
  await says(page, 'Speak now');
  await says(page, 'This is how the others hear you.');
  await says(page, 'If you heard yourself');
  assert.deepEqual(await page.evaluate(() => /** @type {any} */ (window).played), ['stream', 'file']);

  await page.click('#lobby-audio');
  await says(page, 'Your microphone is switched off on this page');
  assert.equal(await page.isDisabled('text=Hear yourself'), true);
  await page.click('#lobby-audio');
  await says(page, 'Your microphone works.');
  await join(page);
  await page.waitForSelector('#sound-test', { state: 'hidden' });
  assert.equal(await page.getAttribute('#try-sound', 'aria-expanded'), 'false', 'it ends with the lobby');
  await page.context().close();

  const silent = await browser.newPage();
  await silent.addInitScript(() => {
    const { getUserMedia } = navigator.mediaDevices;
    navigator.mediaDevices.getUserMedia = async (constraints) => {
      const stream = await getUserMedia.call(navigator.mediaDevices, constraints);
      const [track] = stream.getAudioTracks();
      if (track) {
        stream.removeTrack(track);
        stream.addTrack(new AudioContext().createMediaStreamDestination().stream.getAudioTracks()[0]);
      }
      return stream;
    };
  });
  await openLobby(silent, server.base);
  await silent.click('#try-sound');
  await says(silent, 'Nothing is heard.');
  await silent.context().close();
});

/**
 * Chromium's fake microphone has no processing: here tracks say what they were asked for. `running`: they can be changed while they run.
 * @param {Page} page @param {boolean} running
 */
const process = (page, running) => page.addInitScript((running) => {
  const { getUserMedia } = navigator.mediaDevices;
  const state = /** @type {any} */ (window).microphone = { tracks: [], applied: 0 };
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await getUserMedia.call(navigator.mediaDevices, constraints);
    for (const track of stream.getAudioTracks()) {
      const settings = { ...track.getSettings(), .../** @type {any} */ (constraints)?.audio };
      track.getSettings = () => settings;
      track.applyConstraints = async (wanted) => {
        state.applied++;
        if (running) Object.assign(settings, wanted);
      };
      state.tracks.push(track);
    }
    return stream;
  };
}, running);

for (const running of [true, false]) {
  test(`the noise switch, where a track ${running ? 'changes while it runs' : 'has to be asked for anew'}: in a call, without a gap, remembered, and honest`, async () => {
    const [here, there] = await Promise.all([browser.newPage(), browser.newPage()]);
    await process(here, running);
    /** What the browser does to the sound that is sent. @param {Page} page */
    const processing = (page) => page.evaluate(() => {
      const [sender] = /** @type {any} */ (window).calls.filter((/** @type {RTCPeerConnection} */ pc) => pc.connectionState === 'connected')
        .flatMap((/** @type {RTCPeerConnection} */ pc) => pc.getSenders()).filter((/** @type {RTCRtpSender} */ { track }) => track?.kind === 'audio');
      const { noiseSuppression, autoGainControl, echoCancellation } = sender.track.getSettings();
      return { noiseSuppression, autoGainControl, echoCancellation, live: sender.track.readyState };
    });
    const room = `noise-${running}`;
    await openLobby(here, server.base, { room });
    await openLobby(there, server.base, { room });
    assert.equal(await here.isChecked('#noise'), true);
    await join(here);
    await join(there);
    await Promise.all([connected(here), connected(there)]);
    assert.deepEqual(await processing(here), { noiseSuppression: true, autoGainControl: true, echoCancellation: true, live: 'live' });
    await here.click('#settings');
    await here.focus('#noise');
    await here.keyboard.press('Space');
    await here.waitForFunction(() => localStorage.getItem('turnhub.noise') === 'off');
    assert.deepEqual(await processing(here), { noiseSuppression: false, autoGainControl: false, echoCancellation: true, live: 'live' });
    assert.deepEqual(await here.evaluate(() => /** @type {any} */ (window).microphone.tracks.map((/** @type {MediaStreamTrack} */ { readyState }) => readyState)),
      running ? ['live'] : ['ended', 'live']);
    if (running) await judge(here, 'devices-call', '#devices');
    await here.reload();
    await here.waitForSelector('body[data-state=ready]');
    assert.equal(await here.isChecked('#noise'), false, 'it is remembered');
    assert.equal(await here.evaluate(() => /** @type {any} */ (window).microphone.tracks[0].getSettings().noiseSuppression), false);

    // A browser that does not do it says so, and the switch stays as it was.
    await here.evaluate(() => { navigator.mediaDevices.getSupportedConstraints = () => ({}); });
    await here.click('#noise');
    await here.waitForSelector('.toast.bad');
    assert.equal(await here.isChecked('#noise'), false);
    await Promise.all([here, there].map((page) => page.context().close()));
  });
}
