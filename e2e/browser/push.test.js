// Called though the page is closed: the real server sends to a push service of the test's own, which decrypts along RFC 8291, and what it has
// got is delivered into Chromium by its debugging protocol. PushManager, which needs a service outside, is replaced.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs/promises';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { makeCertificates } from '../harness/certificates.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
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

/** A push service with one subscription. */
async function startPushService() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-push-'));
  onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
  const { caFile, certFile, keyFile } = await makeCertificates(dir, ['127.0.0.1']);
  const receiver = crypto.createECDH('prime256v1');
  receiver.generateKeys();
  const auth = crypto.randomBytes(16);
  /** @type {any[]} */ const got = [];
  /** @type {(() => void)[]} */ let waiting = [];
  const web = https.createServer({ cert: await fs.readFile(certFile), key: await fs.readFile(keyFile) }, async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    got.push({ ...JSON.parse(decrypt(body)), ttl: Number(request.headers.ttl) });
    response.writeHead(201).end();
    for (const wake of waiting.splice(0)) wake();
  });
  const decrypt = (/** @type {Buffer} */ body) => { // RFC 8188, 2.1 and RFC 8291, 3.4
    const salt = body.subarray(0, 16), sender = body.subarray(21, 21 + body[20]), sealed = body.subarray(21 + body[20]);
    const expand = (/** @type {Buffer} */ key, /** @type {Buffer} */ from, /** @type {string | Buffer} */ info, /** @type {number} */ size) => Buffer.from(crypto.hkdfSync('sha256', key, from, info, size));
    const ikm = expand(receiver.computeSecret(sender), auth, Buffer.concat([Buffer.from('WebPush: info\0'), receiver.getPublicKey(), sender]), 32);
    const opened = crypto.createDecipheriv('aes-128-gcm', expand(ikm, salt, 'Content-Encoding: aes128gcm\0', 16), expand(ikm, salt, 'Content-Encoding: nonce\0', 12));
    opened.setAuthTag(sealed.subarray(-16));
    const text = Buffer.concat([opened.update(sealed.subarray(0, -16)), opened.final()]).toString();
    return text.slice(0, text.lastIndexOf('\u0002'));
  };
  await new Promise((listening) => web.listen(0, '127.0.0.1', () => listening(undefined)));
  onCleanup(() => { web.closeAllConnections(); web.close(); });
  const { port } = /** @type {import('node:net').AddressInfo} */ (web.address());
  const host = `127.0.0.1:${port}`;
  const keys = { p256dh: receiver.getPublicKey('base64url'), auth: auth.toString('base64url') };
  return {
    caFile, host,
    subscription: { endpoint: `https://${host}/phone`, expirationTime: null, keys },
    /** The next message for which this holds; those before it are of no interest. @param {(said: any) => boolean} wanted */
    async next(wanted) {
      for (;;) {
        while (!got.length) await new Promise((resolve) => { waiting.push(() => resolve(undefined)); });
        const said = got.shift();
        if (wanted(said)) return said;
      }
    },
  };
}

/** PushManager as a browser that has that subscription. @param {any} subscription */
function subscribed(subscription) {
  const made = { ...subscription, options: {}, toJSON: () => subscription, unsubscribe: async () => { localStorage.removeItem('test.push'); return true; } };
  PushManager.prototype.getSubscription = async () => (localStorage.getItem('test.push') ? made : null);
  PushManager.prototype.subscribe = async ({ applicationServerKey, userVisibleOnly }) => {
    if (!userVisibleOnly || /** @type {Uint8Array} */ (applicationServerKey).length !== 65) throw new TypeError('no key');
    localStorage.setItem('test.push', 'yes');
    return made;
  };
}

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
  const deliver = (/** @type {any} */ said) => cdp.send('ServiceWorker.deliverPushMessage', { origin: server.base, registrationId, data: JSON.stringify(said) });
  const titles = () => watcher.evaluate(async () => (await (await navigator.serviceWorker.getRegistration('/'))?.getNotifications() ?? []).map(({ title }) => title));
  /** Waits until these are all the notifications. @param {...RegExp} wanted */
  const shown = async (...wanted) => {
    /** @type {string[]} */ let last = [];
    for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => { setTimeout(resolve, 50); })) {
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
  await openLobby(desk, server.base, { user: 'vasya', name: 'Vasya', secret: 'the secret of vasya' });
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
  await deliver(missed);
  await shown(/^Vasya called at/);
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
