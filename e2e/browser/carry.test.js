// One call name on two devices, where no token proves it: the link of one browser, taken over in another. Both ring then, with the page
// open and with it closed, and both stop when one has answered.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import jsqr from 'jsqr';
import { judge } from '../harness/accessible.js';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { startPushService, subscribed } from '../harness/pushservice.js';
import { startServer } from '../harness/server.js';
import { openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let chromium;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let firefox;
/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startPushService>>} */ let service;

before(async () => {
  service = await startPushService();
  process.env.SSL_CERT_FILE = service.caFile; // of the server, which inherits it
  server = await startServer({ config: { push: { services: [service.host], allow: ['127.0.0.0/8'] } } });
  [chromium, firefox] = await Promise.all([startBrowser(), startBrowser({ kind: 'firefox' })]);
});
after(cleanup);

/** Where the harness's own subscription is; the other device's is beside it. */
const endpoint = '/phone';

/** What the other device's camera reads. @param {Page} page */
async function shownLink(page) {
  const { grey, width, height } = await page.evaluate(() => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector('#carry-qr'));
    const { data, width, height } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')).getImageData(0, 0, canvas.width, canvas.height);
    return { grey: Array.from({ length: data.length / 4 }, (_, i) => String.fromCharCode(data[4 * i])).join(''), width, height }; // it is black and white
  });
  const data = Uint8ClampedArray.from({ length: 4 * grey.length }, (_, i) => (i % 4 === 3 ? 255 : grey.charCodeAt(i >> 2)));
  return jsqr.default(data, width, height)?.data ?? '';
}

/** The messages of one kind that come to both devices. @param {string} type */
async function toBoth(type) {
  const one = await service.next((said) => said.type === type);
  const other = await service.next((said) => said.type === type && said.call === one.call);
  assert.deepEqual([one.path, other.path].sort(), ['/desk', endpoint], `${type} at both`);
  return one;
}

test('a call name is taken over on another device, and both ring', async () => {
  const asked = /** @type {string[]} */ ([]);
  const phone = await chromium.newPage();
  await phone.context().grantPermissions(['notifications', 'camera', 'microphone', 'clipboard-read', 'clipboard-write']);
  await phone.context().addInitScript(subscribed, service.subscription);
  phone.on('request', (request) => asked.push(request.url()));
  await openLobby(phone, server.base, { user: 'petya', name: 'Petya' });
  await phone.check('#away');
  await phone.waitForFunction(() => document.querySelector('#toasts')?.textContent?.includes('This device rings'));
  assert.ok(!asked.some((url) => url.includes('carry')), 'it is loaded when it is used');
  await phone.click('#carry');
  await phone.waitForSelector('#carry-dialog[open]');
  assert.match(await phone.textContent('#carry-dialog') ?? '', /Whoever has this link can be called as petya, and can call others as petya/);
  await judge(phone, 'carry', '#carry-dialog');
  await phone.setViewportSize({ width: 900, height: 640 });
  await phone.click('#carry-copy');
  const link = await phone.evaluate(() => navigator.clipboard.readText());
  assert.equal(await shownLink(phone), link);
  const { secret, next } = await phone.evaluate(() => ({ secret: JSON.parse(localStorage.getItem('turnhub.names') ?? '').petya, next: localStorage.getItem('turnhub.secret') }));
  assert.ok(secret.length > 20 && next === null, 'the next name of this browser has another secret');
  assert.equal(link, `${server.base}/#user=petya&secret=${secret}`);
  await phone.keyboard.press('Escape');
  await phone.waitForSelector('#carry-dialog', { state: 'hidden' });
  assert.ok(!(await phone.content()).includes(secret), 'nothing of it stays in the page');

  // Another browser, which has a name of its own: it is asked, and the secret is nowhere to be seen.
  const desk = await firefox.newPage();
  await desk.context().addInitScript(subscribed, { ...service.subscription, endpoint: service.subscription.endpoint.replace(endpoint, '/desk') });
  desk.on('request', (request) => asked.push(request.url()));
  await openLobby(desk, server.base, { user: 'nina', name: 'Petya', secret: 'the secret of nina' });
  await desk.goto(link); // in the page that is open
  await desk.waitForSelector('#carry-take');
  assert.equal(desk.url(), `${server.base}/`);
  assert.match(await desk.textContent('#carry-ends') ?? '', /is called as nina/);
  await judge(desk, 'carry-asks', '#carry-dialog');
  await desk.setViewportSize({ width: 900, height: 640 });
  await desk.click('#carry-dialog button.secondary');
  assert.equal(await desk.inputValue('#user'), 'nina', 'nothing is taken without a click');
  assert.ok(!(await desk.evaluate(() => JSON.stringify(localStorage))).includes(secret));
  await desk.goto('about:blank');
  await desk.goto(link); // and as a new one
  await desk.click('#carry-take');
  await desk.click('#carry-away');
  await desk.waitForFunction(() => document.querySelector('#toasts')?.textContent?.includes('This device rings'));
  assert.equal(desk.url(), `${server.base}/`);
  assert.equal(await desk.inputValue('#user'), 'petya');
  assert.ok(!asked.some((url) => url.includes(secret)), 'the secret goes to no server in an address');

  // Both ring, one answers, the other stops.
  const vasya = await chromium.newPage();
  await openLobby(vasya, server.base, { user: 'vasya', name: 'Vasya', secret: 'the secret of vasya' });
  const call = async () => {
    await vasya.fill('#callee', 'petya');
    await vasya.click('#invite');
  };
  const back = async () => {
    await vasya.waitForSelector('body[data-view=notice]');
    await vasya.click('#notice-again');
    await vasya.waitForSelector('body[data-state=ready]');
  };
  await call();
  await Promise.all([phone, desk].map((page) => page.waitForSelector('#incoming[open]')));
  await toBoth('ring');
  await desk.click('#accept');
  for (const page of [vasya, desk]) await page.waitForSelector('.tile[data-state=connected]');
  await phone.waitForSelector('#incoming', { state: 'hidden' });
  assert.equal(await phone.getAttribute('body', 'data-view'), 'lobby');
  assert.equal((await service.next(({ type }) => type === 'stop')).reason, 'elsewhere');
  await desk.click('#hang-up');
  await back();

  // With both closed, push rings both.
  await Promise.all([phone, desk].map((page) => page.context().close()));
  await call();
  const ring = await toBoth('ring');
  assert.deepEqual([ring.to, ring.user], ['petya', 'vasya']);
  await vasya.click('#hang-up');
  await toBoth('stop');
});

test('a link whose name somebody else has by now changes nothing', async () => {
  const [nina, other] = await Promise.all([chromium.newPage(), chromium.newPage()]);
  await openLobby(other, server.base, { user: 'constructor', name: 'Olga', secret: 'the secret of olga' });
  await openLobby(nina, server.base, { user: 'nina2', name: 'Nina', secret: 'the secret of nina' });
  await nina.evaluate(() => { location.hash = '#user=constructor&secret=not-that-of-olga'; });
  await nina.click('#carry-take');
  await nina.waitForSelector('#carry-why');
  assert.match(await nina.textContent('#carry-why') ?? '', /no longer valid/);
  await nina.click('#carry-dialog button.secondary');
  assert.equal(await nina.inputValue('#user'), 'nina2');
  assert.equal(await nina.evaluate(() => localStorage.getItem('turnhub.names')), null);
  // One that was altered on its way is no link, and no room either: everybody in that would read the secret.
  for (const altered of ['#user=&secret=the-secret-of-somebody', '#user=an%20na&secret=the-secret-of-somebody', '#user=anna&secret=%E0%A4%A', '#user=anna&secret=short']) {
    await nina.evaluate((hash) => { location.hash = hash; }, altered);
    await nina.waitForFunction(() => location.hash === '');
    await nina.goto('about:blank');
    await nina.goto(`${server.base}/${altered}`);
    await nina.waitForSelector('body[data-state=ready]');
    assert.equal(new URL(nina.url()).hash, '');
    assert.doesNotMatch(`${await nina.inputValue('#room')} ${await nina.title()}`, /secret/);
    assert.equal(await nina.$('#carry-dialog[open]'), null);
  }
  // In a call it waits for nobody.
  await nina.fill('#room', 'carried');
  await nina.click('#join');
  await nina.waitForSelector('body[data-view=call]');
  await nina.evaluate(() => { location.hash = '#user=constructor&secret=not-that-of-olga'; });
  await nina.waitForFunction(() => document.querySelector('#toasts')?.textContent?.includes('End this call first'));
  assert.equal(new URL(nina.url()).hash, '#carried');
  await Promise.all([nina, other].map((page) => page.context().close()));
});

long('the link of a Firefox, in a Chromium that has no name yet', async () => {
  const [phone, desk, vasya] = await Promise.all([firefox.newPage(), chromium.newPage(), chromium.newPage()]);
  await openLobby(phone, server.base, { user: 'ida', name: 'Ida' });
  await phone.click('#carry');
  await phone.waitForSelector('#carry-dialog[open]');
  const link = await shownLink(phone);
  await phone.click('#carry-dialog button.secondary');
  await openLobby(desk, server.base);
  assert.equal(await desk.isVisible('#carry'), false, 'there is no name to hand over');
  await desk.goto(link);
  await desk.waitForSelector('#carry-take');
  assert.equal(await desk.$('#carry-ends'), null, 'there is none to give up');
  await desk.click('#carry-take');
  await desk.waitForSelector('#carry-away'); // offered, and not taken up
  await desk.click('#carry-dialog button.secondary');
  assert.equal(await desk.isVisible('#carry'), true, 'it is handed on from here as well');
  await desk.reload(); // it is remembered
  await desk.waitForSelector('body[data-state=ready]');
  await openLobby(vasya, server.base, { user: 'vasya2', name: 'Vasya', secret: 'the secret of vasya' });
  await vasya.fill('#callee', 'ida');
  await vasya.click('#invite');
  await Promise.all([phone, desk].map((page) => page.waitForSelector('#incoming[open]')));
  await desk.click('#decline');
  await phone.waitForSelector('#incoming', { state: 'hidden' });
  await vasya.waitForSelector('body[data-state=declined]');
  // The same link once more: it says so, and nothing is asked.
  await desk.goto(link);
  await desk.waitForFunction(() => document.querySelector('#toasts')?.textContent?.includes('has the call name ida already'));
  await Promise.all([phone, desk, vasya].map((page) => page.context().close()));
});
