// Relayed paths that are cut: another connection takes the place of the one that went over them, with everything that
// was on its way.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startCrowd } from '../harness/crowd.js';
import { long } from '../harness/long.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { until } from '../harness/until.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

/**
 * A page with somebody in a room, whose calls go over the relay alone. What it hears of the others is in `seen`.
 * @param {string} name @param {string} room
 * @param {'older' | 'deaf' | ''} [kind] one that knows nothing of replacements, or one to whom no offer of them comes
 */
async function enter(name, room, kind = '') {
  const page = await browser.newPage({ policy: 'relay' });
  await page.goto(`${server.base}/healthz`);
  await page.evaluate(async ({ name, room, kind }) => {
    const { Hub, Call, LocalMedia } = await import('/client/turnhub.js');
    const hub = new Hub({ name });
    if (kind === 'older') {
      const signal = hub.signal.bind(hub);
      hub.signal = (/** @type {string} */ to, /** @type {any} */ { connection, ...data }) => signal(to, data);
      hub.on('signal', (/** @type {any} */ { data }) => { delete data.connection; });
      hub.on('peer-joined', (/** @type {any} */ { first }) => { if (first) delete first.connection; });
    }
    if (kind === 'deaf') hub.on('signal', (/** @type {any} */ { data }) => { if (data.replacement) delete data.description; });
    const media = new LocalMedia();
    const call = new Call(hub, { media });
    const video = Object.assign(document.createElement('video'), { autoplay: true, muted: true, width: 320, height: 180 });
    document.body.append(video);
    /** @type {any} */ const seen = { hub, call, video, chats: [], files: [], shown: 0, dark: 0 };
    Object.assign(window, { seen });
    call.on('peer', (/** @type {any} */ peer) => {
      seen.peer ??= peer;
      peer.on('stream', (/** @type {MediaStream} */ stream) => { video.srcObject = stream; });
    });
    call.on('chat', (/** @type {any} */ { text }) => seen.chats.push(text));
    call.on('file', (/** @type {any} */ { transfer }) => {
      seen.files.push(transfer);
      transfer.on('done', (/** @type {Blob} */ blob) => { transfer.blob = blob; });
      transfer.accept();
    });
    await Promise.all([hub.connect(), media.open()]);
    if (!kind) await call.prepare(room); // connected in the lobby already
    await call.join(room);
  }, { name, room, kind });
  return page;
}

/** Waits until the call of a page is relayed, and knows it; remembers its connection. @param {Page} page */
async function relayed(page) {
  await page.waitForFunction(() => /^relay/.test(/** @type {any} */ (window).seen.peer?.quality?.path));
  await page.evaluate(() => { const { seen } = /** @type {any} */ (window); seen.before = seen.peer.pc; });
}

/** Waits until the call of a page goes over another connection, and over that alone. @param {Page} page */
async function replaced(page) {
  await page.waitForFunction(() => {
    const { seen, calls } = /** @type {any} */ (window);
    const alive = calls.filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState === 'connected');
    return seen.peer.pc !== seen.before && seen.before.connectionState === 'closed' && alive.length === 1 && alive[0] === seen.peer.pc;
  }, undefined, { timeout: 40_000 });
}

async function restartServer() {
  await server.kill('SIGKILL');
  await server.start();
}

/** @param {Page} page @param {string} text */
const say = (page, text) => page.evaluate((text) => /** @type {any} */ (window).seen.call.chat(text), text);

long('the relay is gone: another connection, and neither chat nor a file is lost', async () => {
  const vasya = await enter('Vasya', 'cut');
  const petya = await enter('Petya', 'cut');
  await Promise.all([relayed(vasya), relayed(petya)]);
  const size = 32 << 20;
  await vasya.evaluate((size) => {
    const { seen } = /** @type {any} */ (window);
    const file = new File([Uint32Array.from({ length: size / 4 }, (_, index) => index * 2654435761)], 'plan.bin');
    [{ transfer: seen.sent }] = seen.call.sendFile(file);
  }, size);
  await petya.waitForFunction(() => /** @type {any} */ (window).seen.files[0]?.bytes > 1 << 20);
  await say(vasya, 'one');
  await petya.waitForFunction(() => /** @type {any} */ (window).seen.chats.length === 1);
  await server.kill('SIGKILL');
  for (const text of ['two', 'three']) await say(vasya, text);
  await say(petya, 'who is there?');
  await server.start();
  await Promise.all([replaced(vasya), replaced(petya)]);
  await vasya.waitForFunction(() => /** @type {any} */ (window).seen.sent.state !== 'running', undefined, { timeout: 60_000 });
  assert.equal(await vasya.evaluate(() => /** @type {any} */ (window).seen.sent.state), 'done');
  const wrong = await petya.evaluate(async (size) => {
    const words = new Uint32Array(await /** @type {any} */ (window).seen.files[0].blob.arrayBuffer());
    return words.length * 4 === size ? words.findIndex((word, index) => word !== (index * 2654435761) >>> 0) : words.length;
  }, size);
  assert.equal(wrong, -1, 'the first wrong word of the file');
  await say(vasya, 'four');
  await petya.waitForFunction(() => /** @type {any} */ (window).seen.chats.includes('four'));
  assert.deepEqual(await petya.evaluate(() => /** @type {any} */ (window).seen.chats), ['one', 'two', 'three', 'four']);
  assert.deepEqual(await vasya.evaluate(() => /** @type {any} */ (window).seen.chats), ['who is there?']);
  await Promise.all([decodesVideo(vasya), decodesVideo(petya)]);
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

test('both offer one at once while the old path still works: one is made, and the picture does not go out', async () => {
  const vasya = await enter('Vasya', 'both');
  const petya = await enter('Petya', 'both');
  const pages = [vasya, petya];
  await Promise.all(pages.map(relayed));
  for (let round = 0; round < 2; round++) {
    await Promise.all(pages.map((page) => page.evaluate(() => {
      const { seen } = /** @type {any} */ (window);
      const pen = /** @type {CanvasRenderingContext2D} */ (Object.assign(document.createElement('canvas'), { width: 32, height: 18 })
        .getContext('2d', { willReadFrequently: true }));
      clearInterval(seen.looking);
      seen.looking = setInterval(() => {
        pen.clearRect(0, 0, 32, 18);
        pen.drawImage(seen.video, 0, 0, 32, 18);
        const bright = pen.getImageData(0, 0, 32, 18).data.some((value, index) => index % 4 < 3 && value > 40);
        if (bright) seen.shown++;
        else if (seen.shown) seen.dark++;
      }, 10);
    })));
    await Promise.all(pages.map((page) => page.waitForFunction(() => /** @type {any} */ (window).seen.shown > 10)));
    await Promise.all(pages.map((page) => page.evaluate(() => /** @type {any} */ (window).seen.peer.restart(true))));
    await Promise.all(pages.map(replaced));
    await Promise.all(pages.map((page) => decodesVideo(page, { seconds: 2 })));
    // The element follows: it shows pictures of the new track.
    await Promise.all(pages.map((page) => page.evaluate(() => new Promise((resolve) => {
      /** @type {any} */ (window).seen.video.requestVideoFrameCallback(resolve);
    }))));
    for (const page of pages) assert.equal(await page.evaluate(() => /** @type {any} */ (window).seen.dark), 0, 'black pictures');
    await Promise.all(pages.map(relayed));
  }
  await Promise.all(pages.map((page) => page.context().close()));
});

for (const [kind, what] of /** @type {const} */ ([['older', 'an older client'], ['deaf', 'a replacement that does not come about']])) {
  long(`${what}: ICE is restarted on the old connection`, async () => {
    const vasya = await enter('Vasya', kind, kind);
    const petya = await enter('Petya', kind, kind);
    await Promise.all([relayed(vasya), relayed(petya)]);
    await restartServer();
    await Promise.all([decodesVideo(vasya), decodesVideo(petya)]);
    for (const page of [vasya, petya]) {
      await until(page, async () => /** @type {any} */ (window).seen.peer.state === 'connected', undefined);
      assert.ok(await page.evaluate(() => { const { seen } = /** @type {any} */ (window); return seen.peer.pc === seen.before; }), 'the same connection');
    }
    await Promise.all([vasya, petya].map((page) => page.context().close()));
  });
}

test('three people: each finds both others again', async () => {
  const page = await browser.newPage({ policy: 'relay' });
  await page.goto(`${server.base}/healthz`);
  const crowd = await startCrowd(page);
  for (const name of ['Vasya', 'Petya', 'Masha']) await crowd.enter(name, 'three');
  const all = (/** @type {string} */ goal) => until(page, async (goal) => {
    /** @type {any[]} */ const peers = /** @type {any} */ (window).people.flatMap((/** @type {any} */ { call }) => [...call.peers]);
    if (peers.length !== 6 || !peers.every(({ state, quality }) => state === 'connected' && /^relay/.test(quality?.path))) return false;
    return goal === 'connected' || peers.every((peer) => peer.quality.frameRate > 0);
  }, goal);
  await all('connected');
  await restartServer();
  await all('again');
  await until(page, async () => /** @type {any} */ (window).calls
    .filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState === 'connected').length === 6, undefined);
  await page.context().close();
});
