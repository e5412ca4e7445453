// Being called with the page closed, where things differ: in Firefox, over TLS below a path, over an upgrade of the server, and when
// the browser changes its subscription.
import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { startPushService, subscribed } from '../harness/pushservice.js';
import { startServer } from '../harness/server.js';
import { openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {Awaited<ReturnType<typeof startServer>>} Server */
/** @typedef {Awaited<ReturnType<typeof startBrowser>>} Browser */

/** @type {Awaited<ReturnType<typeof startPushService>>} */ let service;
/** @type {Record<string, any>} */ let config;

before(async () => {
  service = await startPushService();
  process.env.SSL_CERT_FILE = service.caFile; // of the server, which inherits it
  config = { push: { services: [service.host], allow: ['127.0.0.0/8'] } };
});
after(cleanup);
/** @type {{stop?: () => Promise<void>, close?: () => Promise<void>}[]} */ let running = [];
afterEach(async () => {
  await Promise.all(running.map((each) => each.stop?.() ?? each.close?.()));
  running = [];
});

/** @param {Partial<import('../harness/server.js').ServerOptions>} [more] */
async function serve({ config: other, ...more } = {}) {
  const server = await startServer({ config: { ...config, ...other }, ...more });
  running.push(server);
  return server;
}
/** @param {import('../harness/browser.js').BrowserOptions} [options] */
async function browse(options) {
  const browser = await startBrowser(options);
  running.push(browser);
  return browser;
}

/** Somebody who has switched it on. @param {Browser} browser @param {string} base */
async function rung(browser, base) {
  const page = await browser.newPage();
  if (browser.kind === 'chromium') await page.context().grantPermissions(['notifications', 'camera', 'microphone']);
  await page.context().addInitScript(subscribed, service.subscription);
  await openLobby(page, base, { user: 'petya', name: 'Petya', secret: 'the secret of petya' });
  await page.check('#away');
  await page.waitForFunction(() => document.querySelector('#toasts')?.textContent?.includes('This device rings'));
  assert.equal(await page.locator('#user-why').isVisible(), false, 'the page need not be open any more');
  return page;
}

/** Calls with no page of petya open; what the push service gets. @param {Page} page @param {string} base */
async function call(page, base) {
  await openLobby(page, base, { user: 'vasya', name: 'Vasya', secret: 'the secret of vasya' });
  await page.fill('#callee', 'petya');
  await page.click('#invite');
  return service.next(({ type }) => type === 'ring');
}

/** The page that the worker opens takes the call. @param {Page} opened @param {string} base @param {any} ring @param {Page} caller */
async function answer(opened, base, ring, caller) {
  await opened.goto(`${base}/?answer=${ring.call}`);
  for (const page of [caller, opened]) await page.waitForSelector('.tile[data-state=connected]');
}

for (const kind of /** @type {const} */ (['firefox', 'chromium'])) {
  long(`${kind}, over TLS below a path, the server upgraded in between`, async () => {
    const server = await serve({ tls: true, config: { public_path: '/calls' } });
    const base = `${server.base}/calls`;
    const [browser, other] = await Promise.all([browse({ kind, caFile: server.caFile }), browse({ caFile: server.caFile })]);
    const phone = await rung(browser, base);
    const scope = await phone.evaluate(async () => (await navigator.serviceWorker.ready).scope);
    assert.equal(scope, `${base}/`);
    const left = await phone.evaluate(async () => (await (await (await caches.open('turnhub-away')).match('left-by-the-page'))?.json()).page);
    assert.equal(left, `${base}/`);
    // What an installed page is made of is all there, below the path.
    const parts = await phone.evaluate(async () => {
      const { href } = /** @type {HTMLLinkElement} */ (document.querySelector('link[rel=manifest]'));
      const { icons, shortcuts, start_url: start } = await (await fetch(href)).json();
      const all = [start, ...[...icons, ...shortcuts.flatMap((/** @type {any} */ each) => each.icons)].map(({ src }) => src), ...shortcuts.map((/** @type {any} */ { url }) => url)];
      return Promise.all(all.map(async (part) => ({ at: new URL(part, href).href, status: (await fetch(new URL(part, href))).status })));
    });
    assert.ok(parts.length > 6);
    assert.deepEqual(parts.filter(({ at, status }) => status !== 200 || !at.startsWith(`${base}/`)), []);
    const opened = await phone.context().newPage();
    await phone.close();
    await server.upgrade();
    const desk = await other.newPage();
    const ring = await call(desk, base);
    assert.deepEqual([ring.to, ring.user], ['petya', 'vasya']);
    await answer(opened, base, ring, desk);
    // Declined from the notification, by what the worker sends.
    await opened.click('#hang-up');
    await desk.waitForSelector('body[data-view=notice]');
    await opened.close();
    const caller = await other.newPage();
    await desk.close();
    const second = await call(caller, base);
    const status = await caller.evaluate(async ({ call, decline }) => (await fetch('push/decline', { method: 'POST', body: JSON.stringify({ call, decline, endpoint: '' }) })).status, second);
    assert.equal(status, 204);
    await caller.waitForSelector('body[data-state=declined]');
  });
}

long('a subscription that the browser changes is told by the worker', async () => {
  const server = await serve();
  const browser = await browse();
  const phone = await rung(browser, server.base);
  const context = phone.context();
  const watcher = await context.newPage();
  await watcher.goto(`${server.base}/robots.txt`); // keeps the worker's context while no call page is open
  await phone.close();
  const worker = context.serviceWorkers()[0];
  assert.ok(worker);
  // What the browser has now: another address of the same service.
  const changed = { ...service.subscription, endpoint: service.subscription.endpoint.replace('/phone', '/phone-anew') };
  await worker.evaluate(async (subscription) => {
    let work = Promise.resolve();
    dispatchEvent(Object.assign(new Event('pushsubscriptionchange'), {
      newSubscription: { toJSON: () => subscription }, waitUntil: (/** @type {Promise<void>} */ promise) => { work = promise; },
    }));
    await work;
  }, changed);
  const desk = await browser.newPage();
  await call(desk, server.base);
  const paths = new Set([service.asked.at(-1), service.asked.at(-2)]);
  assert.ok(paths.has('/phone-anew'), `asked for ${[...paths]}`);
});
