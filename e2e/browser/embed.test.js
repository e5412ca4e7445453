// The client in pages of other origins: it reaches the server that it was loaded from, and says so where that is none.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;
/** The site of somebody else, on another port: it serves pages and copies of the client, and notes what is asked of it. */
const shop = { base: '', asked: /** @type {string[]} */ ([]), pages: /** @type {Record<string, string>} */ ({}) };

const client = new URL('../../web/client/', import.meta.url);
const example = /^## In a page of another site\n(?:(?!^## )[^])*?^```html\n([^]*?)^```/m.exec(readFileSync(new URL('../../docs/client.md', import.meta.url), 'utf8'))?.[1] ?? '';

before(async () => {
  server = await startServer();
  browser = await startBrowser();
  const site = http.createServer((request, response) => {
    const path = new URL(request.url ?? '', 'http://shop').pathname;
    shop.asked.push(path);
    if (path in shop.pages) return response.setHeader('content-type', 'text/html').end(shop.pages[path]);
    if (path.startsWith('/copy/')) return response.setHeader('content-type', 'text/javascript').end(readFileSync(new URL(path.slice(6), client)));
    response.statusCode = 404;
    response.end('nothing here');
  }).on('upgrade', (request, socket) => {
    shop.asked.push(`UPGRADE ${request.url}`);
    socket.end('HTTP/1.1 404 Not Found\r\n\r\n');
  });
  await new Promise((resolve) => site.listen(0, '127.0.0.1', () => resolve(undefined)));
  onCleanup(() => { site.closeAllConnections(); site.close(); });
  shop.base = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (site.address()).port}`;
});
after(cleanup);

/** What `connect` says in a page, of a client imported from `from`. @param {Page} page @param {string} from @param {any} [options] */
const connect = (page, from, options = {}) => page.evaluate(async ([from, options]) => {
  const { Hub } = await import(from);
  const hub = new Hub(options);
  try {
    await hub.connect();
    return 'connected';
  } catch (error) {
    return `${/** @type {any} */ (error).code}: ${/** @type {any} */ (error).message}`;
  } finally {
    hub.close();
  }
}, /** @type {[string, any]} */ ([from, options]));

test('the example of the documentation is a call, and asks nothing of the site that it stands on', async () => {
  assert.match(example, /https:\/\/calls\.example\.org\/client\/turnhub\.js/);
  shop.pages['/call'] = example.replaceAll('https://calls.example.org', server.base);
  const pages = [];
  for (let i = 0; i < 2; i++) {
    const page = await browser.newPage();
    await page.goto(`${shop.base}/call`);
    pages.push(page);
  }
  await Promise.all(pages.map((page) => decodesVideo(page)));
  assert.deepEqual(shop.asked.filter((path) => !['/call', '/favicon.ico'].includes(path)), []);
  await Promise.all(pages.map((page) => page.context().close()));
});

test('a raw relay and its configuration are those of the server that the module came from', async () => {
  shop.pages['/raw'] = '<video id="me"></video><video id="you"></video>';
  const pages = [];
  for (let i = 0; i < 2; i++) {
    const page = await browser.newPage();
    await page.goto(`${shop.base}/raw`);
    await page.evaluate(async (from) => {
      const { initializeVideoCall } = await import(from);
      const [localVideoElement, remoteVideoElement] = document.querySelectorAll('video');
      initializeVideoCall({ webSocketUrl: '/relay/embedded', localVideoElement, remoteVideoElement });
    }, `${server.base}/client/turnhub.js`);
    await page.waitForFunction(() => /** @type {any} */ (window).calls.length > 0);
    pages.push(page);
  }
  await Promise.all(pages.map((page) => decodesVideo(page)));
  assert.deepEqual(shop.asked.filter((path) => path.startsWith('UPGRADE') || path === '/config'), []);
  await Promise.all(pages.map((page) => page.context().close()));
});

long('where there is no server to be found, connect says so', async () => {
  const page = await browser.newPage();
  shop.pages['/'] = '<p>shop';
  await page.goto(shop.base);
  const { host } = new URL(shop.base);
  assert.equal(await connect(page, '/copy/turnhub.js', { url: `${server.base}/ws` }), 'connected');
  const [own, closed] = await Promise.all([
    connect(page, '/copy/turnhub.js'),
    connect(page, `${server.base}/client/turnhub.js`, { url: `${server.admin}/ws` }), // keeps its answers from other origins
  ]);
  assert.match(own, new RegExp(`^no-hub: ${host} answers, but not as a turnhub server.*url: 'wss:`));
  assert.match(closed, /^no-hub: .* cannot be reached from here, or is no turnhub server/);
  assert.match(await connect(page, `${server.base}/client/turnhub.js`, { url: 'ftp://x/' }), /^no-hub: .*no address of a server/);
  // A copy of which the browser only knows its text, as where a bundler has taken the address away.
  const copy = await page.evaluate(async (base) => {
    const { Hub } = await import(URL.createObjectURL(new Blob([`export {Hub} from '${base}/client/turnhub.js'`], { type: 'text/javascript' })));
    const { serverOf, socketURL } = await import(`${base}/client/base/home.js`);
    const known = ['blob:https://a.example/1', 'file:///srv/turnhub.js', 'data:text/javascript,1', '', undefined].map((from) => serverOf(from));
    let said = '';
    try { socketURL('/ws', "new Hub({url: 'wss://HOST/ws'})", null); } catch (error) { said = String(error); }
    return { known, said, hub: typeof Hub };
  }, server.base);
  assert.deepEqual(copy.known, [null, null, null, null, null]);
  assert.match(copy.said, /not loaded from a turnhub server.*new Hub\(\{url: 'wss:\/\/HOST\/ws'\}\)/);
  await page.context().close();
});

test('a worker reaches the server too', async () => {
  const page = await browser.newPage();
  shop.pages['/'] = '<p>shop';
  await page.goto(shop.base);
  assert.equal(await page.evaluate((base) => new Promise((resolve) => {
    const source = `import {Hub} from '${base}/client/turnhub.js'; const hub = new Hub(); hub.connect().then(() => postMessage('connected'), (e) => postMessage(String(e)));`;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), { type: 'module' });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => resolve(event.message);
  }), server.base), 'connected');
  await page.context().close();
});

test('an origin that is not allowed is told so', async () => {
  const strict = await startServer({ config: { access: { allowed_origins: ['same'] } } });
  const page = await browser.newPage();
  shop.pages['/'] = '<p>shop';
  await page.goto(shop.base);
  assert.match(await connect(page, `${strict.base}/client/turnhub.js`), /^no-hub: .*access\.allowed_origins/);
  await page.context().close();
  await strict.stop();
});
