// Called though the page is closed: the real server sends to a push service of the test's own, which decrypts along RFC 8291, and what it has
// got is delivered into Chromium by its debugging protocol. PushManager, which needs a service outside, is replaced.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startPushService, subscribed } from '../harness/pushservice.js';
import { startServer } from '../harness/server.js';
import { openLobby } from './callpage.js';

/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;
/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startPushService>>} */ let service;

before(async () => {
  service = await startPushService();
  process.env.SSL_CERT_FILE = service.caFile; // of the server, which inherits it
  server = await startServer({ config: { push: { services: [service.host], allow: ['127.0.0.0/8'] } } });
  browser = await startBrowser();
});
after(cleanup);

test('a call rings the closed page, is answered and declined from the notification, and missed calls are told', async () => {
  const phone = await browser.newPage();
  const context = phone.context();
  await context.grantPermissions(['notifications', 'camera', 'microphone']);
  await context.addInitScript(subscribed, service.subscription);
  const petya = { user: 'petya', name: 'Petya', secret: 'the secret of petya' };
  await openLobby(phone, server.base, petya);
  await phone.check('#away');
  await phone.waitForFunction(() => document.querySelector('#toasts')?.textContent?.includes('This device rings'));

  // Its own page, of another address: what the worker shows is looked at from there, while no call page is open.
  const watcher = await context.newPage();
  await watcher.goto(`${server.base}/robots.txt`);
  const cdp = await context.newCDPSession(watcher);
  /** @type {string} */ let registrationId = '';
  cdp.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => { registrationId = registrations.find(({ isDeleted }) => !isDeleted)?.registrationId ?? registrationId; });
  await cdp.send('ServiceWorker.enable');
  await phone.close();
  /**
   * Until the worker has shown something. Not looked for before: Chromium forgets notifications that it has written down and not shown
   * yet when somebody asks for them in that moment.
   * @param {any} said
   */
  const deliver = async (said) => {
    const worker = /** @type {import('playwright-core').Worker} */ (context.serviceWorkers()[0]);
    await worker.evaluate(() => {
      const { prototype } = ServiceWorkerRegistration, { showNotification } = prototype;
      /** @type {any} */ (globalThis).shows = new Promise((resolve) => {
        prototype.showNotification = async function (...args) {
          prototype.showNotification = showNotification;
          await showNotification.apply(this, args);
          resolve(undefined);
        };
      });
    });
    await cdp.send('ServiceWorker.deliverPushMessage', { origin: server.base, registrationId, data: JSON.stringify(said) });
    await worker.evaluate(() => /** @type {any} */ (globalThis).shows);
  };
  const titles = () => watcher.evaluate(async () => (await (await navigator.serviceWorker.getRegistration('/'))?.getNotifications() ?? []).map(({ title }) => title));
  /** Waits until these are all the notifications. @param {...RegExp} wanted */
  const shown = async (...wanted) => {
    /** @type {string[]} */ let last = [];
    for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => { setTimeout(resolve, 250); })) {
      last = await titles();
      if (last.length === wanted.length && wanted.every((each, i) => each.test(last[i]))) return;
    }
    assert.fail(`notifications: ${JSON.stringify(last)}`);
  };
  /** Clicks the notification; the address that the worker opens. @param {string} action */
  const click = (action) => /** @type {import('playwright-core').Worker} */ (context.serviceWorkers()[0]).evaluate(async (chosen) => {
    const worker = /** @type {any} */ (globalThis);
    let opened = '', work = Promise.resolve();
    worker.clients.openWindow = async (/** @type {string} */ url) => { opened = url; };
    const [notification] = await worker.registration.getNotifications();
    worker.dispatchEvent(Object.assign(new Event('notificationclick'), { notification, action: chosen, waitUntil: (/** @type {Promise<void>} */ promise) => { work = promise; } }));
    await work;
    return opened;
  }, action);

  const desk = await browser.newPage();
  await openLobby(desk, server.base, { user: 'vasya', name: ' Vasya\t', secret: 'the secret of vasya' }); // as copied from a table
  const call = async () => {
    await desk.fill('#callee', 'petya');
    await desk.click('#invite');
    const ring = await service.next(({ type }) => type === 'ring');
    assert.deepEqual([ring.to, ring.user, ring.name], ['petya', 'vasya', 'Vasya']);
    assert.ok(ring.ttl > 30 && ring.ttl <= 45, `TTL ${ring.ttl}`);
    await deliver(ring);
    await shown(/^Vasya is calling$/);
    return ring;
  };
  const back = async () => {
    await desk.waitForSelector('body[data-view=notice]');
    await desk.click('#notice-again');
    await desk.waitForSelector('body[data-state=ready]');
  };

  // Declined without a page.
  await call();
  await click('decline');
  await shown();
  await desk.waitForSelector('body[data-state=declined]');
  assert.equal((await service.next(({ type }) => type === 'stop')).reason, 'elsewhere'); // this worker cannot say which subscription is its own
  await back();

  // Answered: the page that opens takes the call.
  const ring = await call();
  const address = await click('accept');
  assert.equal(address, `${server.base}/?answer=${ring.call}`);
  const opened = await context.newPage();
  await opened.goto(address);
  for (const page of [desk, opened]) await page.waitForSelector('.tile[data-state=connected]');
  assert.equal(new URL(opened.url()).search, '');
  await opened.click('#hang-up');
  await back();
  await opened.close();

  // Nobody sees it: the notification says so, and the page at its next opening, once.
  await call();
  await desk.click('#hang-up');
  const missed = await service.next(({ reason }) => reason === 'missed');
  assert.deepEqual([missed.type, missed.name], ['stop', 'Vasya']);
  await deliver({ ...missed, name: 'Vasya $& {time}' }); // a name is nothing but a name
  await shown(/^Vasya \$& \{time\} called at \d/);
  await back();
  const again = await context.newPage();
  await again.goto(server.base);
  await again.waitForSelector('#missed-list li');
  assert.match(await again.textContent('#missed-list') ?? '', /Vasya called at/);
  await again.reload();
  await again.waitForSelector('body[data-state=ready]');
  assert.equal(await again.locator('#missed-list li').count(), 0);

  // Switched off, nobody is rung any more.
  await again.uncheck('#away');
  for (let i = 0; i < 200 && await again.evaluate(async () => Boolean(await navigator.serviceWorker.getRegistration('/'))); i++) await again.waitForTimeout(50);
  await again.close();
  await desk.fill('#callee', 'petya');
  await desk.click('#invite');
  await desk.waitForSelector('body[data-state=unavailable]');
});
