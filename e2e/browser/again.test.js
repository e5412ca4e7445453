// What a page is made of does not come, as where a proxy or a server that begins anew says 503: the page asks again, and where it never comes it says so.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { startServer } from '../harness/server.js';

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
before(async () => { server = await startServer(); });
after(cleanup);

/** Its script has put a room's name there. @param {import('playwright-core').Page} page */
const runs = (page) => page.waitForFunction(() => document.body.dataset.view === 'lobby' && /** @type {HTMLInputElement | null} */ (document.querySelector('#room'))?.value, undefined, { timeout: 20_000 });

/** A proxy in front of the server, and what it refuses: the name of a file, and how often. */
async function refusing() {
  /** @type {Map<string, number>} */ const refused = new Map();
  let asked = 0;
  /** @type {Promise<void> | null} */ let hung = null;
  const proxy = http.createServer(async (request, response) => {
    if (request.url?.startsWith('/static/app.')) await hung;
    const [name, left] = [...refused].find(([name]) => request.url?.startsWith(`/static/${name}`)) ?? ['', 0];
    if (name) asked++;
    if (left > 0) {
      refused.set(name, left - 1);
      response.writeHead(503, { 'Cache-Control': 'no-store' }).end();
      return;
    }
    const passed = http.request(server.base + request.url, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    request.pipe(passed);
  });
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', () => resolve(undefined)); });
  onCleanup(async () => { proxy.closeAllConnections(); proxy.close(); });
  return { refused, base: `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (proxy.address()).port}`, asked: () => asked,
    /** The page's script does not come until that is called. @returns {() => void} */
    hang() {
      /** @type {() => void} */ let go = () => {};
      hung = new Promise((resolve) => { go = () => { hung = null; resolve(); }; });
      return () => go();
    } };
}

for (const kind of /** @type {const} */ (['chromium', 'firefox'])) {
  test(kind, { timeout: 120_000 }, async () => {
    const browser = await startBrowser({ kind });
    let page = await browser.newPage();
    const { refused, base, asked, hang } = await refusing();
    refused.set('app.', 2).set('base-', 1);
    await page.goto(`${base}/`);
    await runs(page);
    await page.waitForFunction(() => getComputedStyle(document.querySelector('#notice') ?? document.body).display === 'none' && [...document.styleSheets].some(({ cssRules }) => cssRules.length > 50));
    assert.ok(asked() <= 5, `${asked()} times`);
    refused.set('check.', 1);
    await page.goto(`${base}/check`);
    await page.waitForSelector('#urls tr', { timeout: 20_000 });

    page = await browser.newPage(); // which has kept nothing
    refused.set('app.', 100);
    await page.goto(`${base}/?language=de`);
    await page.waitForSelector('#notice:not([hidden])', { timeout: 40_000 });
    assert.match(await page.locator('#notice-title').innerText(), /nicht vollständig/);
    assert.ok(await page.locator('#lobby').isHidden());
    assert.ok(100 - (refused.get('app.') ?? 0) < 6, 'it is not asked for ever');
    refused.delete('app.');
    await page.locator('#notice-again').click();
    await runs(page);
    // One that hangs for long is said to, and a page that runs is none of these.
    page = await browser.newPage();
    await page.addInitScript(() => {
      const later = window.setTimeout;
      /** @type {any} */ (window).setTimeout = (/** @type {any} */ run, /** @type {number} */ ms, /** @type {any[]} */ ...rest) => later(run, ms === 30_000 ? 1000 : ms, ...rest);
    });
    const go = hang();
    await page.goto(`${base}/?language=de`, { waitUntil: 'commit' });
    await page.waitForSelector('#notice:not([hidden])', { timeout: 20_000 });
    go();
    await runs(page);
    for (const way of ['/', '/check']) {
      await page.goto(base + way);
      if (way === '/') await runs(page);
      else await page.waitForSelector('#urls tr', { timeout: 20_000 });
      await pause(1500);
      assert.equal(await page.getByText('not loaded completely').count(), 0, `${way} runs`);
    }
    await browser.close();
  });
}
