// How long the first visit of a phone takes on a slow line, until the lobby can be used: Chromium's own throttling, 400 kbit/s each
// way and 400 ms for each request, over TLS as people run it, with the processor of this machine and with a quarter of it.
// Used: its script has run, and the click joins. Prepared: with the connection that is made before the click, which nobody need wait
// for. Chromium throttles neither the handshake of TLS nor the WebSocket. A table, nothing asserted; E2E_TIMES says how often (5).
import { after, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startServer } from '../harness/server.js';

const line = { offline: false, latency: 400, downloadThroughput: 400_000 / 8, uploadThroughput: 400_000 / 8 };
const times = Number(process.env.E2E_TIMES ?? 5);
const phone = { width: 390, height: 844 };
after(cleanup);

test('a first visit', async () => {
  const server = await startServer({ tls: true });
  const browser = await startBrowser({ caFile: server.caFile });
  const rows = ['| processor | first paint | lobby seen | and used | worst | call prepared | files | compressed |', '|---|---|---|---|---|---|---|---|'];
  for (const slower of [1, 4]) {
    /** @type {{painted: number, seen: number, usable: number, ready: number, files: number, bytes: number}[]} */ const visits = [];
    /** @type {string[]} */ let waterfall = [];
    for (let i = 0; i < times; i++) {
      const page = await browser.newPage({ viewport: phone });
      const cdp = await page.context().newCDPSession(page);
      await cdp.send('Network.enable');
      await cdp.send('Network.emulateNetworkConditions', line);
      await cdp.send('Emulation.setCPUThrottlingRate', { rate: slower });
      /** @type {Map<string, {url: string, at: number, end: number, bytes: number}>} */ const asked = new Map();
      cdp.on('Network.requestWillBeSent', ({ requestId, request, timestamp }) => asked.set(requestId, { url: request.url, at: timestamp, end: 0, bytes: 0 }));
      cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength, timestamp }) => Object.assign(asked.get(requestId) ?? {}, { bytes: encodedDataLength, end: timestamp }));
      await page.addInitScript(() => {
        const times = /** @type {any} */ (window).lobby = { seen: 0, usable: 0, ready: 0 };
        new MutationObserver(() => {
          const { body } = document;
          if (!times.usable && /** @type {HTMLInputElement | null} */ (document.querySelector('#room'))?.value) times.usable = performance.now();
          if (!times.ready && body?.dataset.state === 'ready') times.ready = performance.now();
          if (!times.seen && /** @type {HTMLElement | null} */ (document.querySelector('#join'))?.checkVisibility()) requestAnimationFrame(() => { times.seen ||= performance.now(); });
        }).observe(document, { subtree: true, childList: true, attributes: true });
      });
      await page.goto(`${server.base}/`);
      await page.waitForSelector('body[data-state=ready]');
      const { painted, lobby } = await page.evaluate(() => ({
        painted: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN, lobby: /** @type {any} */ (window).lobby,
      }));
      // What had come by then: the size of what is compressed, as it was on the line.
      const before = [...asked.values()].filter(({ url, end }) => url.startsWith(server.base) && end);
      const start = Math.min(...before.map(({ at }) => at));
      waterfall = before.map(({ url, at, end, bytes }) => `  ${Math.round((at - start) * 1000)} to ${Math.round((end - start) * 1000)} ms  ${bytes} B  ${new URL(url).pathname}`);
      visits.push({ painted, ...lobby, files: before.length, bytes: before.reduce((sum, { bytes }) => sum + bytes, 0) });
      await page.context().close();
    }
    /** @param {'painted' | 'seen' | 'usable' | 'ready' | 'files' | 'bytes'} what */
    const sorted = (what) => visits.map((each) => each[what]).sort((a, b) => a - b);
    const median = (/** @type {'painted' | 'seen' | 'usable' | 'ready' | 'files' | 'bytes'} */ what) => sorted(what)[Math.floor(times / 2)];
    const seconds = (/** @type {number} */ ms) => `${(ms / 1000).toFixed(2)} s`;
    rows.push(`| ${slower === 1 ? 'whole' : `1/${slower}`} | ${seconds(median('painted'))} | ${seconds(median('seen'))} | ${seconds(median('usable'))} | ${seconds(sorted('usable').at(-1) ?? NaN)} | ${seconds(median('ready'))} | ${median('files')} | ${(median('bytes') / 1000).toFixed(1)} kB |`);
    rows.push(...(process.env.E2E_LOG ? waterfall : []));
  }
  console.log(rows.join('\n'));
});
