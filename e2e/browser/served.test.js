// What a visit of the call page costs: few requests, compressed, and little of it again the next time.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startServer } from '../harness/server.js';

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

test('the first visit is a few compressed files, the next one asks for the page, and has one file come to see how fast the line is', async (t) => {
  const page = await browser.newPage();
  const network = await page.context().newCDPSession(page);
  await network.send('Network.enable');
  /** @type {Map<string, {url: string, cached: boolean, bytes: number, encoding: string}>} */ const asked = new Map();
  network.on('Network.responseReceived', ({ requestId, response }) => asked.set(requestId, { url: response.url, bytes: 0,
    cached: response.fromDiskCache === true || response.fromPrefetchCache === true, encoding: response.headers['Content-Encoding'] ?? '' }));
  network.on('Network.requestServedFromCache', ({ requestId }) => asked.delete(requestId));
  network.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const answer = asked.get(requestId);
    if (answer) answer.bytes = encodedDataLength;
  });
  const visit = async () => {
    asked.clear();
    await page.goto(`${server.base}/`);
    await page.waitForSelector('body[data-state=ready]');
    const all = [...asked.values()].filter(({ url, cached }) => url.startsWith(server.base) && !cached);
    return { files: all.length, bytes: all.reduce((sum, { bytes }) => sum + bytes, 0), all };
  };
  const first = await visit();
  await page.goto('about:blank');
  const next = await visit();
  t.diagnostic(`first visit: ${first.files} files, ${first.bytes} bytes; next: ${next.files} files, ${next.bytes} bytes`);
  assert.ok(first.files <= 8 && first.bytes < 90_000, JSON.stringify(first));
  const sampled = next.all.filter(({ url }) => url.endsWith('/static/maskable-512.png')), { length } = sampled; // web/client/base/downlink.js
  const bytes = next.bytes - sampled.reduce((sum, { bytes }) => sum + bytes, 0);
  assert.ok(length <= 1 && next.files - length <= 3 && bytes < 5_000 && next.bytes < 25_000, JSON.stringify(next));
  assert.equal(first.all.filter(({ url }) => url.endsWith('/static/maskable-512.png')).length, 0, 'the first one shows it by itself');
  const { encoding } = first.all.find(({ url }) => url.includes('/static/app.min.')) ?? {};
  assert.ok(encoding === 'br' || encoding === 'gzip', 'there is one script, and it is compressed');
  await page.context().close();
});
