import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { until } from '../harness/until.js';

// The examples of docs/client.md are run as they stand there, each in two pages.

const text = readFileSync(new URL('../../docs/client.md', import.meta.url), 'utf8');
const examples = [...text.matchAll(/^## (.*)\n(?:(?!^## )[^])*?^```html\n([^]*?)^```/gm)]
  .map(([, title, html]) => ({ title, html }))
  .filter(({ html }) => !html.includes('https://')); // that of another site is run by embed.test.js

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */
let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

test('the page has its examples', () => assert.ok(examples.length >= 3));

for (const { title, html } of examples) {
  test(`example: ${title}`, async () => {
    const pages = [];
    for (const me of ['vasya', 'petya']) {
      const page = await browser.newPage();
      page.on('dialog', (dialog) => dialog.accept());
      // Written into a document that the server really sent: a page out of nowhere may not open sockets to loopback.
      const [first] = pages, link = await first?.$eval('a#guests[href]', (guests) => new URL(/** @type {HTMLAnchorElement} */ (guests).href).hash).catch(() => '');
      await page.goto(`${server.base}/healthz?me=${me}${link ?? ''}`);
      await page.setContent(html);
      if (link) await first.getByRole('button', { name: 'Let in' }).click();
      // One after the other: on a raw relay nobody hears what was said before they came.
      await page.waitForFunction(() => /** @type {any} */ (window).calls.length > 0 || document.querySelector('#call'));
      pages.push(page);
    }
    if (await pages[0].$('#call')) {
      const [caller] = pages;
      await until(caller, async () => {
        const { Hub } = await import('/client/turnhub.js');
        const hub = new Hub();
        await hub.connect();
        const { petya } = await hub.subscribe('petya');
        hub.close();
        return petya === 'online';
      }, undefined);
      await caller.click('#call');
    }
    await Promise.all(pages.map((page) => decodesVideo(page)));
    await Promise.all(pages.map((page) => page.context().close()));
  });
}

test('a call of two in one function goes over the native hub as well: mute, hang up', async () => {
  const html = examples[0].html.replace('/relay/example-one', '/ws?room=example-one');
  assert.notEqual(html, examples[0].html);
  const pages = await Promise.all(['vasya', 'petya'].map(async (me) => {
    const page = await browser.newPage();
    await page.goto(`${server.base}/healthz?me=${me}`);
    await page.setContent(html);
    return page;
  }));
  await Promise.all(pages.map((page) => decodesVideo(page)));
  const [one, other] = pages;
  const sound = () => one.evaluate(() => /** @type {any} */ (window).calls
    .flatMap((/** @type {RTCPeerConnection} */ call) => call.getSenders())
    .find((/** @type {RTCRtpSender} */ { track }) => track?.kind === 'audio').track.enabled);
  assert.equal(await sound(), true);
  await one.click('#mute');
  assert.equal(await sound(), false);
  await one.click('#end');
  await other.waitForFunction(() => /** @type {HTMLVideoElement} */ (document.querySelector('#you')).srcObject === null);
  for (const video of ['#me', '#you']) assert.equal(await one.evaluate((id) => /** @type {any} */ (document.querySelector(id)).srcObject, video), null);
  await Promise.all(pages.map((page) => page.context().close()));
});
