// The pages of examples/, as they stand there, on a site of their own: each between Chromium and Firefox.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { decodesVideo, hearsSound } from '../harness/media.js';
import { moves } from '../harness/people.js';
import { startPushService, subscribed } from '../harness/pushservice.js';
import { startServer } from '../harness/server.js';
import { join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {Awaited<ReturnType<typeof startServer>>} Server */

/** @type {Server} */ let server;
/** @type {Awaited<ReturnType<typeof startPushService>>} */ let service;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let chromium;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let firefox;
/** The address of the site, whose pages name the server where the examples name calls.example.org. */
let site = '';

/** @param {string} path of a page of the site @param {Server} [of] the server that it names @param {string} [room] instead of the example's */
const at = (path, of = server, room = appointment) => `${site}/${path}${path.includes('?') ? '&' : '?'}server=${of.base}&room=${room}`;
const appointment = 'appointment-4711';

before(async () => {
  [chromium, firefox] = await Promise.all([startBrowser(), startBrowser({ kind: 'firefox' })]);
  const pages = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://site');
    const [, kind] = /^\/[a-z-]+\/[a-z]+\.(html|js)$/.exec(pathname) ?? [];
    if (!kind) return response.writeHead(404).end();
    const page = readFileSync(new URL(`../../examples${pathname}`, import.meta.url), 'utf8');
    response.setHeader('content-type', kind === 'js' ? 'text/javascript' : 'text/html');
    response.end(page.replaceAll('https://calls.example.org', searchParams.get('server') ?? '').replaceAll(appointment, searchParams.get('room') ?? ''));
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', () => resolve(undefined)));
  onCleanup(() => { pages.closeAllConnections(); pages.close(); });
  site = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (pages.address()).port}`;
  service = await startPushService();
  process.env.SSL_CERT_FILE = service.caFile; // of the server, which inherits it
  server = await startServer({ config: { access: { embed_origins: [site] }, push: { services: [service.host], allow: ['127.0.0.0/8'] } } });
});
after(cleanup);

/** @type {Page[]} */ let opened = [];
/** @param {typeof chromium} browser */
async function open(browser) {
  const page = await browser.newPage();
  opened.push(page);
  return page;
}
afterEach(async () => {
  await Promise.all(opened.map((page) => page.context().close()));
  opened = [];
});

/** What an example says about itself. @param {Page} page @param {string} text */
const says = (page, text) => page.waitForFunction((text) => document.querySelector('#state')?.textContent === text, text, { timeout: 30_000 });

test('a plain page', async () => {
  const pages = await Promise.all([chromium, firefox].map(open));
  for (const page of pages) await page.goto(`${at('plain-page/index.html')}#caf\u00e9`); // which browsers write with %
  await Promise.all(pages.map((page) => decodesVideo(page)));
  await opened.shift()?.context().close();
  await pages[1].waitForFunction(() => document.querySelectorAll('video').length === 1, undefined, { timeout: 30_000 });
});

for (const [framing, other] of /** @type {const} */ ([['chromium', 'firefox'], ['firefox', 'chromium']])) {
  test(`a call in an iframe of ${framing}: in by order, muted, out and in again`, async () => {
    const browsers = { chromium, firefox };
    const [page, visitor] = await Promise.all([open(browsers[framing]), open(browsers[other])]);
    const room = `appointment-${framing}`; // its own: who has closed a page is in the room for some seconds
    await page.addInitScript(() => {
      const said = /** @type {any} */ (window).said = /** @type {string[]} */ ([]);
      addEventListener('message', ({ data }) => { if (data?.turnhub) said.push(data.type); });
    });
    await page.goto(at('iframe/index.html', server, room));
    await says(page, 'Ready.');
    const told = () => page.evaluate(() => /** @type {any} */ (window).said);
    assert.deepEqual((await told()).filter((/** @type {string} */ type) => !['ready', 'devices'].includes(type)), [], 'nothing has begun or ended');
    const frame = page.frames()[1];
    assert.equal(await frame.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--accent')), 'rgb(122 60 194)');
    assert.equal(await frame.locator('.bar').isVisible(), false, 'the bar of the page is not there');
    await page.click('#join');
    await says(page, 'You are in.');
    await openLobby(visitor, server.base, { name: 'Bob', room });
    await join(visitor);
    await says(page, 'With Bob.');
    await Promise.all([moves(/** @type {any} */ (frame), 5), moves(visitor, 5), hearsSound(visitor)]);
    assert.equal(await visitor.locator('.tile:not(.self) .name').textContent(), 'Ann');
    const kept = await frame.evaluate(() => { try { return localStorage.getItem('turnhub.name'); } catch { return null; } });
    assert.equal(kept, null, 'another page names no visitor for good');
    await page.click('#mute');
    await visitor.locator('.tile:not(.self) .muted').waitFor();
    await page.locator('#mute', { hasText: 'Unmute' }).waitFor();
    await page.click('#leave');
    await says(page, 'It is over.');
    assert.deepEqual((await told()).filter((/** @type {string} */ type) => ['joined', 'left'].includes(type)), ['joined', 'left']);
    assert.equal(await frame.locator('#notice-home').isVisible(), false, 'nothing leads out of the frame');
    await page.click('#join');
    await says(page, 'With Bob.');
    await moves(/** @type {any} */ (frame), 5);
  });
}

test('a page that is not named gets a word that helps, and no call', async () => {
  const closed = await startServer();
  for (const browser of [chromium, firefox]) {
    const page = await open(browser);
    await page.goto(at('iframe/index.html', closed));
    await page.waitForFunction(() => document.querySelector('iframe'));
    const frame = page.frameLocator('iframe');
    await frame.getByText(`${site} may not show calls of this server`).waitFor();
  }
  await closed.stop();
});

test('a support button rings the whole team; one answers, and the others stop', async () => {
  const [customer, agent, colleague] = await Promise.all([open(chromium), open(firefox), open(chromium)]);
  /** @type {string[]} */ const wrong = [];
  customer.on('pageerror', (error) => wrong.push(String(error)));
  await customer.addInitScript(() => { // a browser that asks its user first
    const { mediaDevices } = navigator, ask = mediaDevices.getUserMedia.bind(mediaDevices);
    const answered = new Promise((resolve) => { /** @type {any} */ (window).allow = resolve; });
    mediaDevices.getUserMedia = async (wanted) => { await answered; return ask(wanted); };
  });
  await customer.goto(at('support-button/index.html'));
  assert.equal(await customer.locator('#support').isDisabled(), true, 'nobody is there yet');
  for (const page of [agent, colleague]) {
    await page.goto(at('support-button/team.html?secret=of-the-team-alone'));
    await says(page, 'Waiting.');
  }
  await customer.click('#support');
  await customer.click('#support'); // no, not now
  await says(customer, 'The call has ended.');
  await customer.evaluate(() => /** @type {any} */ (window).allow());
  await customer.click('#support');
  for (const page of [agent, colleague]) await says(page, 'Customer is calling');
  await agent.click('#answer');
  await says(colleague, 'Waiting.');
  await says(agent, 'With Customer.');
  await Promise.all([decodesVideo(customer), hearsSound(agent)]);
  await customer.click('#support'); // hangs up
  await says(agent, 'Waiting.');
  await says(customer, 'The call has ended.');
  assert.deepEqual(wrong, []);
});

for (const [callee, other] of /** @type {const} */ ([['chromium', 'firefox'], ['firefox', 'chromium']])) {
  test(`two by name: ${callee} is rung with its page closed, and answers in the one that opens`, async () => {
    const browsers = { chromium, firefox };
    const [page, caller] = await Promise.all([open(browsers[callee]), open(browsers[other])]);
    const context = page.context();
    if (callee === 'chromium') await context.grantPermissions(['notifications', 'camera', 'microphone']);
    await context.addInitScript(subscribed, service.subscription);
    const address = at('by-name/index.html');
    for (const [each, name] of /** @type {[Page, string][]} */ ([[page, `petya-${callee}`], [caller, `vasya-${callee}`]])) {
      await each.goto(address);
      await each.fill('#me', name);
      await each.click('#begin');
      await says(each, 'Ready.');
    }
    await page.check('#away');
    await says(page, 'This device rings.');
    const next = await context.newPage();
    await page.close();
    await caller.fill('#whom', `petya-${callee}`);
    await caller.click('#call');
    const ring = await service.next(({ type, to }) => type === 'ring' && to === `petya-${callee}`);
    await next.goto(`${address}&answer=${ring.call}`); // what the worker opens
    await says(next, `With vasya-${callee}.`);
    await Promise.all([next, caller].map((each) => each.waitForFunction(() => /** @type {HTMLVideoElement} */ (document.querySelector('#other')).videoWidth > 0)));
    await next.click('#end');
    await says(caller, 'Over: hangup.');
    await next.uncheck('#away');
    await says(next, 'This device does not ring any more.');
  });
}
