// The operator's console with a real call on screen.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { clickJoin, inRoom, openLobby } from '../harness/callpage.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { screenshot } from '../harness/screenshot.js';
import { startServer } from '../harness/server.js';

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */
let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

test('the console shows a relayed call and ends it', async () => {
  const pages = await Promise.all([browser.newPage({ policy: 'relay' }), browser.newPage({ policy: 'relay' })]);
  await Promise.all(pages.map((page) => openLobby(page, server.base, 'watched')));
  for (const page of pages) {
    await clickJoin(page);
    await inRoom(page);
  }
  await Promise.all(pages.map((page) => decodesVideo(page)));

  const console_ = await browser.newPage({ viewport: { width: 1280, height: 1500 } });
  /** @type {string[]} */
  const complaints = [];
  console_.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  console_.on('pageerror', (error) => complaints.push(error.message));
  await console_.goto(server.admin);
  const calls = console_.locator('#calls');
  await calls.getByText('room watched').waitFor();
  await calls.getByText('relayed over UDP').first().waitFor();
  await console_.locator('#probes .good').first().waitFor();
  assert.equal(await calls.locator('tbody tr').count(), 2, await calls.innerText());
  const tiles = await console_.locator('#tiles').innerText();
  assert.match(tiles, /Calls\s+1\b/);
  // The plots have something to draw once two states have come.
  await console_.waitForFunction(() => /[1-9]/.test(document.querySelector('#tiles div:nth-child(4) dd')?.firstChild?.textContent ?? ''));
  await screenshot(console_, 'console-light');
  await console_.emulateMedia({ colorScheme: 'dark' });
  await screenshot(console_, 'console-dark');
  await console_.setViewportSize({ width: 360, height: 900 });
  const overflow = await console_.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0, 'the page is wider than a phone');
  await screenshot(console_, 'console-phone');
  await console_.setViewportSize({ width: 1280, height: 1500 });

  await calls.getByRole('button', { name: /^Revoke/ }).first().click();
  await console_.getByRole('dialog').getByRole('button', { name: 'Yes' }).click();
  await console_.getByText('Nobody is in a call.').waitFor();
  const state = await (await fetch(`${server.admin}/state`)).json();
  assert.equal(state.callCount, 0);

  // The call that has ended is in the history, with what the relay has passed, and can be looked for.
  const history = console_.locator('#history');
  const look = async (/** @type {string} */ text) => {
    await console_.getByRole('searchbox', { name: 'Search' }).fill(text);
    await console_.getByRole('button', { name: 'Show' }).click();
    await console_.waitForFunction(() => document.querySelector('#history-said')?.textContent !== 'Looking…');
  };
  for (let tries = 0; await look('WATCHED'), !await history.getByText('room watched').count(); tries++) {
    assert.ok(tries < 40, 'the call is not in the history');
    await new Promise((resolve) => { setTimeout(resolve, 250); });
  }
  const row = await history.locator('tbody tr').first().innerText();
  assert.match(row, /revoked/);
  assert.match(row, /\d+ (kB|MB)/);
  const [csv] = await Promise.all([console_.waitForEvent('download'), console_.getByRole('link', { name: 'CSV' }).click()]);
  assert.equal(csv.suggestedFilename(), 'turnhub-history.csv');
  await console_.locator('#history-form').scrollIntoViewIfNeeded();
  await screenshot(console_, 'console-history');
  await look('nobody of that name');
  assert.equal(await history.innerText(), '');
  assert.equal(await console_.locator('#history-said').innerText(), 'Nothing.');
  assert.deepEqual(complaints, []);
  await Promise.all(pages.map((page) => page.context().close()));
});
