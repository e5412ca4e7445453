// The unmodified npm clients 0.3.16 and 1.5 in Chromium against the binary's PeerJS server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { peerjs, startPages } from '../seeds/pages.js';

after(cleanup);

/** A page that waits for something that does not come must not wait for ever. */
const limit = { timeout: 180_000 };

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */
let browser;
/** @type {Awaited<ReturnType<typeof startPages>>} */
let pages;

before(async () => {
  server = await startServer({ config: { signaling: { peerjs_discovery: true } } });
  browser = await startBrowser();
  pages = await startPages();
});

/** @typedef {keyof typeof peerjs} Version */

/**
 * A page with the client loaded, in which `open(id, more)` makes a peer and waits until it is open.
 * @param {import('node:test').TestContext} t
 * @param {Version} version
 */
async function newPage(t, version) {
  const page = await browser.newPage();
  t.after(() => page.context().close());
  await page.goto(`${pages.base}/peerjs/bare.html?server=${server.base}&client=${peerjs[version]}`);
  await page.evaluate(() => {
    const w = /** @type {any} */ (window);
    w.errors = [];
    w.open = async (/** @type {string | undefined} */ id, more = {}) => {
      w.peer = new w.Peer(id, { ...(await w.options()), ...more });
      w.peer.on('error', (/** @type {any} */ error) => w.errors.push(error.type));
      return new Promise((resolve) => w.peer.on('open', resolve));
    };
  });
  return page;
}

for (const version of /** @type {Version[]} */ (Object.keys(peerjs))) {
  // The older one is the one that programs of others' documents load, and asks more of the server.
  const either = version === '0.3.16' ? test : long;
  either(`${version}: an id from the server, data both ways, hanging up`, limit, async (t) => {
    const [a, b] = [await newPage(t, version), await newPage(t, version)];
    const id = await a.evaluate(() => window.open());
    assert.match(String(id), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    await a.evaluate(() => {
      window.got = [];
      window.peer.on('connection', (conn) => {
        conn.on('data', (data) => {
          window.got.push(data);
          conn.send({ echo: data });
        });
        conn.on('close', () => window.got.push('closed'));
      });
    });
    await b.evaluate(() => window.open('b'));
    const echoes = await b.evaluate(async (id) => {
      const conn = window.peer.connect(id, { reliable: true });
      window.conn = conn;
      await new Promise((resolve) => conn.on('open', resolve));
      const echoes = [];
      const all = new Promise((resolve) => conn.on('data', (data) => echoes.push(data) === 3 && resolve()));
      for (const data of ['text', { nested: [1, null] }, 'x'.repeat(50_000)]) conn.send(data);
      await all;
      return echoes.map((echo) => (echo.echo.length > 1000 ? echo.echo.length : echo.echo));
    }, id);
    assert.deepEqual(echoes, ['text', { nested: [1, null] }, 50_000]);
    await b.evaluate(() => window.conn.close());
    await a.waitForFunction(() => window.got.includes('closed'));
  });

  test(`${version}: a call with video both ways`, limit, async (t) => {
    const [a, b] = [await newPage(t, version), await newPage(t, version)];
    await a.evaluate(async () => {
      await window.open('callee');
      window.peer.on('call', async (call) => call.answer(await navigator.mediaDevices.getUserMedia({ video: true, audio: true })));
    });
    await b.evaluate(async () => {
      await window.open('caller');
      window.peer.call('callee', await navigator.mediaDevices.getUserMedia({ video: true, audio: true }));
    });
    await Promise.all([a, b].map((page) => decodesVideo(page, { seconds: 2 })));
  });

  long(`${version}: who is not there, expiry`, limit, async (t) => {
    const page = await newPage(t, version);
    await page.evaluate(() => window.open('lonely'));
    await page.evaluate(() => void window.peer.connect('nobody'));
    await page.waitForFunction(() => window.errors.includes('peer-unavailable'), undefined, { timeout: 30_000 });
    assert.equal(await page.evaluate(() => window.peer.destroyed), false);
  });

  either(`${version}: who comes within five seconds is still reached`, limit, async (t) => {
    const [a, b] = [await newPage(t, version), await newPage(t, version)];
    await a.evaluate(() => window.open('early'));
    const opened = a.evaluate(() => new Promise((resolve) => window.peer.connect('late').on('open', () => resolve(true))));
    await b.evaluate(() => window.open('late'));
    assert.equal(await opened, true);
  });

  either(`${version}: an id in use is refused, and reported as such`, limit, async (t) => {
    const [a, b] = [await newPage(t, version), await newPage(t, version)];
    await a.evaluate(() => window.open('mine'));
    await b.evaluate(() => void window.open('mine'));
    await b.waitForFunction(() => window.errors.includes('unavailable-id'));
    assert.deepEqual(await a.evaluate(() => [window.errors, window.peer.open]), [[], true]);
  });

  either(`${version}: disconnect and reconnect keep the id`, limit, async (t) => {
    const [a, b] = [await newPage(t, version), await newPage(t, version)];
    await a.evaluate(() => window.open('again'));
    await a.evaluate(async () => {
      const gone = new Promise((resolve) => window.peer.on('disconnected', resolve));
      // 0.3.16 takes the end of the old WebSocket for one of the new, if it comes later than that is open.
      const closed = new Promise((resolve) => window.peer.socket._socket.addEventListener('close', resolve));
      window.peer.disconnect();
      await Promise.all([gone, closed]);
      const open = new Promise((resolve) => window.peer.on('open', resolve));
      window.peer.reconnect();
      await open;
    });
    await a.evaluate(() => window.peer.on('connection', (conn) => conn.on('data', (data) => (window.got = data))));
    await b.evaluate(async () => {
      await window.open('other');
      const conn = window.peer.connect('again');
      conn.on('open', () => conn.send('found'));
    });
    await a.waitForFunction(() => window.got === 'found');
  });

  either(`${version}: a reconnect after the server was restarted`, limit, async (t) => {
    const own = await startServer();
    t.after(() => own.stop());
    const page = await newPage(t, version);
    await page.evaluate(async (port) => window.open('steady', { port }), own.ports.http);
    await own.kill('SIGTERM');
    await page.waitForFunction(() => window.peer.disconnected);
    await own.start();
    await page.evaluate(() => new Promise((resolve) => {
      window.peer.on('open', resolve);
      window.peer.reconnect();
    }));
  });

  either(`${version}: the list of all peers, and another mount path`, limit, async (t) => {
    const [a, b] = [await newPage(t, version), await newPage(t, version)];
    await a.evaluate(() => window.open('listed', { path: '/some/app' }));
    await b.evaluate(() => window.open('lister', { path: 'some/app/' }));
    const ids = await b.evaluate(() => new Promise((resolve) => window.peer.listAllPeers(resolve)));
    assert.deepEqual(ids, ['listed', 'lister']);
  });
}

test('0.3.16 and 1.5 reach each other', limit, async (t) => {
  const [old, recent] = [await newPage(t, '0.3.16'), await newPage(t, '1.5.5')];
  await old.evaluate(() => window.open('old'));
  await old.evaluate(() => window.peer.on('call', async (call) => call.answer(await navigator.mediaDevices.getUserMedia({ video: true }))));
  await recent.evaluate(async () => {
    await window.open('recent');
    window.peer.call('old', await navigator.mediaDevices.getUserMedia({ video: true }));
  });
  await Promise.all([old, recent].map((page) => decodesVideo(page, { seconds: 2 })));
});

test('0.3.16 says at once what it has to say, before its socket is open', limit, async (t) => {
  const [receiver, sender] = [await newPage(t, '0.3.16'), await newPage(t, '0.3.16')];
  await receiver.evaluate(() => window.open('early-receiver'));
  await receiver.evaluate(() => window.peer.on('connection', (conn) => conn.on('data', (data) => (window.got = data))));
  /** @type {string[]} */
  const posts = [];
  sender.on('request', (request) => {
    if (request.method() === 'POST') posts.push(request.url().split('/').at(-1) ?? '');
  });
  // The socket opens late, as on a slow network: everything goes by POST.
  await sender.evaluate(async () => {
    const options = await window.options();
    const Native = window.WebSocket;
    window.WebSocket = function (url) {
      const late = {};
      window.openSocket = () => {
        const real = new Native(url);
        real.onmessage = (event) => late.onmessage(event);
        real.onopen = (event) => { late.readyState = 1; late.send = (text) => real.send(text); late.onopen(event); };
      };
      late.readyState = 0;
      return late;
    };
    window.peer = new window.Peer('early-sender', options);
    const conn = window.peer.connect('early-receiver');
    conn.on('open', () => conn.send('hi!'));
  });
  while (!posts.includes('offer') || !posts.includes('candidate')) await sender.waitForEvent('requestfinished');
  await sender.evaluate(() => window.openSocket());
  await receiver.waitForFunction(() => window.got === 'hi!');
});
