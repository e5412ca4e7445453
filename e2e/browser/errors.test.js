// Everything that can keep a visitor from a call is said in plain words, with what to do about it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import jsqr from 'jsqr';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { startCrowd } from '../harness/crowd.js';
import { long } from '../harness/long.js';
import { decodesVideo } from '../harness/media.js';
import { binary, startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser({ args: ['--host-resolver-rules=MAP calls.test 127.0.0.1'] });
});
after(cleanup);

/** @param {Page} page @param {string} state @param {RegExp} words */
async function notice(page, state, words) {
  await page.waitForSelector(`body[data-view=notice][data-state=${state}]`, { timeout: 60_000 });
  assert.match(await page.innerText('.notice:not([hidden])'), words);
}

/** @param {Page} page @param {...string} problems such as "video-missing" */
async function problems(page, ...problems) {
  await page.waitForFunction((wanted) => {
    const shown = [...document.querySelectorAll('#problems [data-problem]')].flatMap((item) => (/** @type {HTMLElement} */ (item).dataset.problem ?? '').split(' ')).sort();
    return JSON.stringify(shown) === JSON.stringify(wanted);
  }, problems.sort());
}

long('the QR code says the link', async () => {
  const page = await browser.newPage();
  await openLobby(page, server.base, { room: 'blue-fox-42' });
  await page.click('#show-qr');
  const { data, width, height } = await page.evaluate(() => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector('#qr'));
    const pixels = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')).getImageData(0, 0, canvas.width, canvas.height);
    return { data: [...pixels.data], width: canvas.width, height: canvas.height };
  });
  const decode = /** @type {any} */ (jsqr).default ?? jsqr;
  assert.equal(decode(new Uint8ClampedArray(data), width, height)?.data, `${server.base}/#blue-fox-42`);
  await page.context().close();
});

long('a full room', async () => {
  const [people, page] = await Promise.all([browser.newPage(), browser.newPage()]);
  await people.goto(`${server.base}/healthz`);
  const crowd = await startCrowd(people);
  let last = 0;
  for (let i = 0; i < 6; i++) last = await crowd.enter(`Guest ${i}`, 'full');
  await openLobby(page, server.base, { room: 'full' });
  await page.click('#join');
  await notice(page, 'full', /6 people already/);
  await crowd.leave(last);
  await page.click('#notice-again');
  await page.waitForSelector('body[data-view=lobby][data-state=ready]');
  await join(page);
  await connected(page, 5);
  await Promise.all([people, page].map((one) => one.context().close()));
});

test('the session goes on in another window', async () => {
  const page = await browser.newPage();
  /** @param {string} type @returns {Promise<any>} */
  const hears = (type) => new Promise((resolve) => page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => {
    const message = JSON.parse(String(payload));
    if (message.type === type) resolve(message);
  })));
  const [welcome, inLobby] = [hears('welcome'), hears('lobby')];
  await openLobby(page, server.base, { room: 'twice' });
  const { session, resume } = await welcome;
  const { seq } = await inLobby;
  const other = await browser.newPage();
  await other.goto(`${server.base}/healthz`);
  const resumed = await other.evaluate(({ session, token, seq }) => new Promise((resolve) => {
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws`, 'turnhub.v1');
    socket.onopen = () => socket.send(JSON.stringify({ type: 'hello', resume: { session, token, seq } }));
    socket.onmessage = ({ data }) => resolve(JSON.parse(data).resumed);
  }), { session, token: resume.token, seq });
  assert.equal(resumed, true);
  await notice(page, 'replaced', /another window/);
  await page.click('#notice-again');
  await page.waitForSelector('body[data-view=lobby][data-state=ready]');
  await Promise.all([page, other].map((one) => one.context().close()));
});

test('a browser without WebRTC', async () => {
  const page = await browser.newPage();
  await page.addInitScript(() => { delete (/** @type {any} */ (window)).RTCPeerConnection; });
  await page.goto(server.base);
  await notice(page, 'unsupported', /cannot make calls/);
  await page.goto(`${server.base}/check`);
  await page.waitForSelector('body[data-state=done][data-level=bad]');
  assert.match(await page.innerText('#text'), /^This browser cannot make calls/);
  assert.doesNotMatch(await page.innerText('body'), /operator|administrator/, 'nobody else is blamed');
  await page.context().close();
});

long('a question for the camera that nobody answers holds up neither the check nor, for long, the call', async () => {
  const silent = net.createServer(() => {}).listen(0, '127.0.0.1'); // takes connections and says nothing
  onCleanup(() => silent.close());
  await once(silent, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (silent.address());
  const page = await browser.newPage();
  await page.addInitScript((port) => {
    const own = /** @type {any} */ (window);
    navigator.mediaDevices.getUserMedia = (want) => new Promise((_, reject) => { own.refuse = () => reject(new DOMException('no', 'NotAllowedError')); own.asked = want; });
    if (!location.pathname.endsWith('/check')) return;
    const later = own.setTimeout, aborted = AbortSignal.timeout.bind(AbortSignal), NativeSocket = WebSocket, ask = fetch.bind(own);
    own.setTimeout = (/** @type {any} */ run, /** @type {number} */ time, /** @type {any[]} */ ...more) => later(run, time / 100, ...more);
    AbortSignal.timeout = (time) => aborted(time / 100);
    own.WebSocket = class extends NativeSocket { constructor() { super(`ws://127.0.0.1:${port}`); } };
    own.fetch = (/** @type {any} */ url, /** @type {any} */ more) => ask(`http://127.0.0.1:${port}/${url && ''}`, more);
  }, port);

  await page.goto(`${server.base}/check`);
  await page.waitForSelector('body[data-state=done][data-level=bad]');
  assert.match(await page.innerText('#details'), /asked for the camera and has not been answered/);
  assert.match(await page.innerText('#details'), /the server does not answer/);

  await page.goto(`${server.base}/#asked`);
  await page.waitForSelector('body[data-hub=open]');
  await page.waitForFunction(() => /** @type {any} */ (window).asked);
  assert.equal(await page.evaluate(() => /** @type {any} */ (window).calls.length), 0, 'the system asks for the camera first, and then for the local network');
  await page.click('#join');
  await page.waitForSelector('#toasts :text("beside the address bar")');
  assert.equal(await page.evaluate(() => /** @type {any} */ (window).calls.length), 0);
  const other = await browser.newPage();
  await openLobby(other, server.base, { room: 'asked' });
  await join(other);
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };
    /** @type {any} */ (window).refuse();
  });
  await Promise.all([connected(page), connected(other)]);
  await Promise.all([page, other].map((one) => one.context().close()));
});

test('the check without a camera says beforehand what the system may ask', async () => {
  const page = await browser.newPage();
  await page.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('none', 'NotFoundError'); };
    const Native = RTCPeerConnection, own = /** @type {any} */ (window);
    own.RTCPeerConnection = class extends Native {
      /** @param {RTCConfiguration} [config] */
      constructor(config) {
        super(config);
        own.said ??= document.querySelector('#text')?.textContent;
      }
    };
  });
  await page.goto(`${server.base}/check`);
  await page.waitForFunction(() => /** @type {any} */ (window).said);
  assert.match(await page.evaluate(() => /** @type {any} */ (window).said), /devices on your local network/);
  await page.context().close();
});

test('an address that is not secure', async () => {
  const page = await browser.newPage();
  await page.goto(`http://calls.test:${server.ports.http}/#plain`);
  await problems(page, 'audio-insecure', 'video-insecure');
  assert.match(await page.innerText('#problems'), /https/);
  await page.context().close();
});

test('camera and microphone refused, then allowed', async () => {
  const asking = await startBrowser({ granted: false });
  const page = await asking.newPage();
  await page.goto(server.base);
  await asking.permit(page, 'denied');
  await openLobby(page, server.base, { room: 'refused' });
  await problems(page, 'audio-refused', 'video-refused');
  assert.match(await page.innerText('#problems'), /address bar/);
  assert.doesNotMatch(await page.innerText('#problems'), /sound only/, 'nothing is promised that another sentence denies');
  assert.equal(await page.locator('#problems [data-problem]').count(), 1, 'both devices are spoken of once');
  const other = await browser.newPage();
  await openLobby(other, server.base, { room: 'refused' });
  for (const one of [page, other]) await join(one);
  await Promise.all([connected(page), connected(other)]);
  await decodesVideo(page, { seconds: 1 });
  await other.waitForSelector('.tile:not(.self)[data-media=""]');
  await asking.permit(page, 'granted');
  await other.waitForSelector('.tile:not(.self)[data-media~=audio][data-media~=video]');
  await decodesVideo(other, { seconds: 1 });
  await other.context().close();
  await asking.close();
});

long('no camera: sound only; and one that is plugged in is taken up', async () => {
  const deaf = await startBrowser({ cameras: 0 });
  const [page, other] = await Promise.all([deaf.newPage(), browser.newPage()]);
  for (const one of [page, other]) await openLobby(one, server.base, { room: 'sound' });
  await problems(page, 'video-missing');
  assert.match(await page.innerText('#problems'), /join with sound only/);
  for (const one of [page, other]) await join(one);
  await Promise.all([connected(page), connected(other)]);
  await decodesVideo(page, { seconds: 1 });
  await other.waitForSelector('.tile:not(.self)[data-media=audio]');
  // No fake camera can be plugged in: from here on the page is told of a painted one.
  await page.evaluate(() => {
    const devices = navigator.mediaDevices;
    const canvas = document.createElement('canvas');
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    setInterval(() => { pen.fillStyle = `hsl(${Date.now() / 20 % 360} 50% 50%)`; pen.fillRect(0, 0, 300, 150); }, 100);
    const listed = devices.enumerateDevices.bind(devices);
    devices.enumerateDevices = async () => [...await listed(), /** @type {any} */ ({ kind: 'videoinput', deviceId: 'painted', label: 'Painted camera' })];
    const capture = devices.getUserMedia.bind(devices);
    const painted = canvas.captureStream(10);
    devices.getUserMedia = async (want) => (want?.video ? painted : capture(want));
    devices.dispatchEvent(new Event('devicechange'));
    /** @type {any} */ (window).pullOut = () => {
      devices.enumerateDevices = listed;
      devices.getUserMedia = capture;
      for (const track of painted.getTracks()) {
        track.stop();
        track.dispatchEvent(new Event('ended'));
      }
      devices.dispatchEvent(new Event('devicechange'));
    };
  });
  await other.waitForSelector('.tile:not(.self)[data-media~=video]');
  await decodesVideo(other, { seconds: 1 });
  await page.waitForSelector('.toast:has-text("Camera found")');
  assert.equal(await page.locator('#problems [data-problem]').count(), 0);
  await page.evaluate(() => /** @type {any} */ (window).pullOut());
  await page.waitForSelector('.toast.bad:has-text("No camera was found")');
  await other.waitForSelector('.tile:not(.self)[data-media=audio]');
  await other.context().close();
  await deaf.close();
});

long('no microphone: the others see, and are told that there is no sound', async () => {
  const [page, other] = await Promise.all([browser.newPage(), browser.newPage()]);
  // Chromium's fake devices always have a microphone: this page is told that there is none.
  await page.addInitScript(() => {
    const devices = navigator.mediaDevices;
    const listed = devices.enumerateDevices.bind(devices), capture = devices.getUserMedia.bind(devices);
    devices.enumerateDevices = async () => (await listed()).filter(({ kind }) => kind !== 'audioinput');
    devices.getUserMedia = async (want) => {
      if (want?.audio) throw new DOMException('Requested device not found', 'NotFoundError');
      return capture(want);
    };
  });
  for (const one of [page, other]) await openLobby(one, server.base, { room: 'silent' });
  await problems(page, 'audio-missing');
  assert.match(await page.innerText('#problems'), /they will not hear you/);
  for (const one of [page, other]) await join(one);
  await Promise.all([connected(page), connected(other)]);
  await Promise.all([page, other].map((one) => decodesVideo(one, { seconds: 1 })));
  await other.waitForSelector('.tile:not(.self)[data-media=video]');
  await page.click('#audio');
  await page.waitForSelector('.toast.bad:has-text("No microphone was found")');
  await Promise.all([page, other].map((one) => one.context().close()));
});

long('neither microphone nor camera: one hears and sees the others', async () => {
  const bare = await startBrowser({ devices: false });
  const [page, other] = await Promise.all([bare.newPage(), browser.newPage()]);
  for (const one of [page, other]) await openLobby(one, server.base, { room: 'receive' });
  await problems(page, 'audio-missing', 'video-missing');
  assert.match(await page.innerText('#problems'), /they will not hear you/);
  for (const one of [page, other]) await join(one);
  await Promise.all([connected(page), connected(other)]);
  await decodesVideo(page, { seconds: 1 });
  await other.waitForSelector('.tile:not(.self)[data-media=""]');
  await other.context().close();
  await bare.close();
});

test('a session that the operator ends', async () => {
  const page = await browser.newPage();
  await openLobby(page, server.base, { room: 'revoked' });
  const session = await page.getAttribute('body', 'data-session');
  const answer = await fetch(`${server.admin}/revoke`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ user: session }) });
  assert.equal(answer.status, 200);
  await notice(page, 'revoked', /operator has ended/);
  await page.context().close();
});

/** A server where not everybody may call, and what mints its tokens. */
async function closedServer() {
  const dir = await mkdtemp(path.join(tmpdir(), 'turnhub-token-'));
  onCleanup(() => rm(dir, { recursive: true, force: true }));
  const secret = path.join(dir, 'secret');
  const newSecret = () => writeFile(secret, randomBytes(48).toString('base64'));
  await newSecret();
  const closed = await startServer({ config: { access: { mode: 'token', token_secret_file: secret } } });
  const mint = (/** @type {string} */ ttl) =>
    execFileSync(binary, ['token', '--config', closed.configFile, '--user', 'vasya', '--ttl', ttl], { encoding: 'utf8', cwd: closed.dir }).trim();
  return { closed, mint, newSecret };
}

test('access tokens: none, a wrong one, a good one, and one that is no longer good when the page comes back', async () => {
  const { closed, mint, newSecret } = await closedServer();
  const page = await browser.newPage();
  for (const query of ['', '?token=nonsense']) {
    const answer = await page.goto(`${closed.base}/${query}`);
    assert.equal(answer?.status(), 401);
    await notice(page, 'refused', /Ask whoever invited you/);
  }
  await openLobby(page, closed.base, { query: `?token=${mint('1h')}`, room: 'closed' });
  await join(page);
  await closed.kill('SIGKILL');
  await newSecret();
  await closed.start();
  await notice(page, 'refused', /not admitted here[^]*token is not valid/);
  await page.context().close();
  await closed.stop();
});

long('access tokens that expire are renewed, and the session goes on', async () => {
  const { closed, mint } = await closedServer();
  const page = await browser.newPage();
  await page.exposeFunction('mint', mint);
  await page.addInitScript(() => {
    const notes = /** @type {any} */ (window);
    const Native = window.WebSocket;
    notes.sent = [];
    notes.WebSocket = class extends Native {
      /** @param {string} url @param {string} protocol */
      constructor(url, protocol) {
        super(url, protocol);
        notes.socket = this;
      }
      /** @param {string} text */
      send(text) {
        notes.sent.push(JSON.parse(text));
        super.send(text);
      }
    };
  });
  await page.goto(`${closed.base}/client/turnhub.js?token=${mint('1h')}`);

  // A string: the program is told, and hands in another.
  const told = await page.evaluate(async (token) => {
    const { Hub } = await import(location.pathname);
    const hub = new Hub({ token });
    const expires = new Promise((resolve) => hub.on('token', resolve));
    await hub.connect();
    const { after } = /** @type {any} */ (await expires);
    await hub.renew(await /** @type {any} */ (window).mint('1h'));
    const refused = await hub.renew('nonsense').catch((/** @type {any} */ error) => error.code);
    hub.close();
    return { after, refused };
  }, mint('40s'));
  assert.ok(told.after > 0 && told.after <= 40_000, String(told.after));
  assert.equal(told.refused, 'forbidden');

  // A function: what the server refuses and what expires is replaced by itself, and the socket comes back with it.
  const back = await page.evaluate(async () => {
    const notes = /** @type {any} */ (window);
    const { Hub } = await import(location.pathname);
    let asked = 0, last = '';
    const token = async () => (last = asked++ === 0 ? 'nonsense' : await notes.mint(asked === 2 ? '1s' : '1h'));
    const hub = new Hub({ token });
    await hub.connect();
    const first = hub.id;
    while (asked < 3 || !notes.sent.some((/** @type {any} */ { token }) => token === last)) await new Promise((resolve) => setTimeout(resolve, 50)); // the pause of a poll
    const welcome = new Promise((resolve) => hub.on('welcome', resolve));
    notes.socket.close();
    const { resumed } = /** @type {any} */ (await welcome);
    const same = hub.id === first;
    hub.close();
    return { resumed, asked, same, url: notes.socket.url.endsWith(last) };
  });
  assert.deepEqual(back, { resumed: true, asked: 3, same: true, url: true });
  await page.context().close();
  await closed.stop();
});
