// Rooms with a host: the page that makes one, who knocks, and what the host does. The rest is in host.long.js.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { accessible } from '../harness/accessible.js';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { screenshot } from '../harness/screenshot.js';
import { startServer } from '../harness/server.js';
import { connected } from './callpage.js';
import { admit, guest, hosts, person, twice } from './hosted.js';

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

test('a room with a host: knock, let in, mute, remove, and out for good', { timeout: 180_000 }, async () => {
  const { host, guestsLink, hostsLink } = await hosts(browser, server.base, 'Vasya');
  assert.doesNotMatch(guestsLink, /host=/);
  assert.ok(hostsLink.startsWith(`${guestsLink}&host=`), 'the host has a link of his own');
  assert.equal(host.url().replace(server.base, ''), guestsLink.replace(server.base, ''), 'the secret is not in the address');

  const petya = await guest(browser, guestsLink, 'Petya');
  await petya.getByText('Waiting to be let in').waitFor();
  await host.locator('#door', { hasText: 'Petya would like to come in' }).waitFor();
  assert.match(await host.textContent('#said') ?? '', /Petya would like to come in/, 'a screen reader says so');
  await screenshot(host, 'host-knock');
  await screenshot(petya, 'host-waiting');
  await accessible(host, 'somebody knocks');
  await accessible(petya, 'waiting at the door');
  assert.equal(await petya.locator('.tile:not(.self)').count(), 0);
  await admit(host);
  await Promise.all([connected(host), connected(petya)]);
  assert.equal(await host.evaluate(() => document.activeElement?.id), 'host-open', 'the focus stays where the host was');

  await host.click('#host-open');
  await accessible(host, 'the panel');
  await screenshot(host, 'host-panel');
  await person(host, 'Petya').getByRole('button', { name: 'Mute' }).click();
  await petya.waitForSelector('#silenced:not([hidden])');
  await petya.waitForSelector('#audio[aria-pressed=false]');
  await host.waitForSelector('.tile[data-silenced=true]');
  const heard = () => host.evaluate(() => /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (document.querySelector('.tile:not(.self) video')).srcObject).getAudioTracks().length);
  assert.equal(await heard(), 0, 'the page of the host plays no sound of theirs, whatever they send');
  await accessible(petya, 'muted');
  await screenshot(petya, 'host-muted');
  await petya.click('#ask');
  await host.getByText('Petya would like to speak').waitFor();
  await person(host, 'Petya').getByRole('button', { name: 'Let speak' }).click();
  await petya.waitForSelector('#silenced', { state: 'hidden' });
  await host.waitForSelector('.tile:not(.self):not([data-silenced=true])');
  while (await heard() !== 1) await pause(20); // each page hears of it by itself; the test's own time ends this

  await twice(person(host, 'Petya').getByRole('button', { name: 'Remove' }));
  await petya.getByRole('heading', { name: 'The host has removed you from the call' }).waitFor();
  await accessible(petya, 'removed');
  await host.waitForSelector('.tile:not(.self)', { state: 'detached' });
  // With another session there is a knock, of which the host is told what it is.
  await petya.goto('about:blank');
  await petya.goto(guestsLink);
  await petya.waitForSelector('body[data-state=ready]');
  await petya.click('#join');
  await petya.waitForSelector('body[data-state=knocking]');
  await host.locator('#host').getByText('Somebody on the same connection was removed before.').waitFor();
  await host.click('#host-open');
  await host.locator('#door').getByText('Somebody on the same connection was removed before.').waitFor();
  await accessible(host, 'somebody knocks again');
  await screenshot(host, 'host-again');
  await host.click('#host-open');
  await host.locator('#host').getByRole('button', { name: 'Turn away' }).click();
  await petya.getByRole('heading', { name: 'The host has not let you in' }).waitFor();
  // A host's link that was cut off makes a guest, who is told so; nor does it take the place of one that is good, by which one is the host.
  const bad = hostsLink.slice(0, -1), known = (/** @type {import('playwright-core').Page} */ page) => page.evaluate(() => localStorage.getItem('turnhub.hosts') ?? '{}');
  const before = await known(host);
  for (const page of [petya, host]) {
    await page.goto('about:blank');
    await page.goto(bad);
    await (page === host ? page.getByText('You are the host of this room') : page.getByText('link is not whole')).waitFor();
    assert.equal(page.url(), guestsLink);
  }
  await petya.getByText('This room has a host, who lets you in.').waitFor();
  assert.equal(await host.getByText('link is not whole').count(), 0);
  assert.deepEqual([await known(petya), await known(host)], ['{}', before]);
  await petya.goto(hostsLink);
  await petya.getByText('You are the host of this room').waitFor();
  await Promise.all([host, petya].map((page) => page.context().close()));
});
