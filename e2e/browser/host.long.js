// Rooms with a host, at length: lock, hand over, who follows, restart and upgrade of the server, end for all, a guest whose
// page does as it likes, Firefox, and how all of it looks in every language and size.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { accessible } from '../harness/accessible.js';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { faultsNow } from '../harness/layout.js';
import { screenshot } from '../harness/screenshot.js';
import { binary, startServer } from '../harness/server.js';
import { connected, join } from './callpage.js';
import { admit, guest, hosts, person, twice } from './hosted.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

/** @param {Page[]} pages */
const end = (pages) => Promise.all(pages.map((page) => page.context().close()));

/** @param {Page} host */
const openPanel = async (host) => { if (!await host.isVisible('#host')) await host.click('#host-open'); };

test('locked, nobody else comes in; who waits is told, and the host opens again', async () => {
  const { host, guestsLink } = await hosts(browser, server.base, 'Vasya');
  const petya = await guest(browser, guestsLink, 'Petya');
  await host.waitForSelector('#door:not([hidden])');
  await openPanel(host);
  await host.check('#host input[type=checkbox]');
  await petya.getByRole('heading', { name: 'The room is locked' }).waitFor();
  await accessible(petya, 'locked');
  const masha = await guest(browser, guestsLink, 'Masha');
  await masha.getByRole('heading', { name: 'The room is locked' }).waitFor();
  await host.uncheck('#host input[type=checkbox]');
  await masha.click('#notice-again');
  await masha.click('#join');
  await masha.waitForSelector('body[data-state=knocking]');
  await host.locator('#host').getByRole('button', { name: 'Let in' }).click();
  await Promise.all([host, masha].map((page) => connected(page)));
  await end([host, petya, masha]);
});

test('several at the door: one turned away, the others let in together, by keyboard', async () => {
  const { host, guestsLink } = await hosts(browser, server.base, 'Vasya');
  const [petya, masha, ida] = [await guest(browser, guestsLink, 'Petya'), await guest(browser, guestsLink, 'Masha'), await guest(browser, guestsLink, 'Ida')];
  await host.waitForFunction(() => document.querySelector('#host-open .badge')?.textContent === '3');
  await accessible(host, 'three knock');
  await host.focus('#host-open');
  await host.keyboard.press('Enter');
  await host.waitForSelector('#host li[data-knock]');
  assert.equal(await host.evaluate(() => document.activeElement?.closest('#host') !== null), true, 'the focus is in the panel');
  await accessible(host, 'three in the panel');
  const row = host.locator('#host li[data-knock]', { hasText: 'Petya' });
  await row.getByRole('button', { name: 'Turn away' }).focus();
  await host.keyboard.press('Enter');
  await petya.getByRole('heading', { name: 'The host has not let you in' }).waitFor();
  assert.equal(await host.evaluate(() => document.activeElement?.closest('#host li[data-knock]') !== null), true, 'the focus is at the next one');
  await host.getByRole('button', { name: 'Let all in' }).click();
  await Promise.all([host, masha, ida].map((page) => connected(page, 2)));
  await host.keyboard.press('Escape');
  assert.equal(await host.evaluate(() => document.activeElement?.id), 'host-open');
  await end([host, petya, masha, ida]);
});

test('handed over; the host leaves, and who has been there longest follows; the link makes one host again', async () => {
  const { host, guestsLink, hostsLink } = await hosts(browser, server.base, 'Vasya');
  const petya = await guest(browser, guestsLink, 'Petya');
  await admit(host);
  await Promise.all([host, petya].map((page) => connected(page)));
  const masha = await guest(browser, guestsLink, 'Masha');
  await admit(host);
  await Promise.all([host, petya, masha].map((page) => connected(page, 2)));
  await openPanel(host);
  await twice(person(host, 'Masha').getByRole('button', { name: 'Make host' }));
  await masha.waitForSelector('#host-open:not([hidden])');
  await host.waitForSelector('#host-open', { state: 'hidden' });
  await petya.getByText('Masha is the host now.').waitFor();
  await masha.click('#hang-up');
  await host.waitForSelector('#host-open:not([hidden])');
  await host.click('#hang-up');
  await petya.waitForSelector('#host-open:not([hidden])');
  // Another tab of the first one's browser, and a browser that has the link.
  const tab = await host.context().newPage();
  await tab.goto(guestsLink);
  await tab.waitForSelector('body[data-state=ready]');
  await tab.getByText('You are the host of this room').waitFor();
  await join(tab);
  await tab.waitForSelector('#host-open:not([hidden])');
  const phone = await guest(browser, hostsLink, 'Vasya');
  await phone.waitForSelector('#host-open:not([hidden])');
  assert.equal(new URL(phone.url()).hash, new URL(guestsLink).hash, 'the secret has left the address');
  await phone.reload();
  await phone.waitForSelector('body[data-state=ready]');
  await join(phone);
  await phone.waitForSelector('#host-open:not([hidden])');
  await end([host, petya, masha, phone]);
});

test('ended for all', async () => {
  const { host, guestsLink } = await hosts(browser, server.base, 'Vasya');
  const petya = await guest(browser, guestsLink, 'Petya');
  await admit(host);
  await Promise.all([host, petya].map((page) => connected(page)));
  const masha = await guest(browser, guestsLink, 'Masha');
  await masha.waitForSelector('body[data-state=knocking]');
  await openPanel(host);
  await twice(host.locator('#host').getByRole('button', { name: 'End for all' }));
  for (const page of [host, petya, masha]) await page.getByRole('heading', { name: 'The host has ended the call' }).waitFor();
  await accessible(petya, 'ended');
  await end([host, petya, masha]);
});

for (const [what, happens] of /** @type {[string, (own: Awaited<ReturnType<typeof startServer>>) => Promise<void>][]} */ ([
  ['killed and started again', async (own) => { await own.kill(); await own.start(); }],
  ['upgraded', (own) => own.upgrade()],
])) {
  test(`the server is ${what}: nobody knocks again, muted stays muted, removed is out`, async () => {
    const own = await startServer();
    const { host, guestsLink } = await hosts(browser, own.base, 'Vasya');
    /** @type {Page[]} */ const guests = [];
    for (const name of ['Petya', 'Masha', 'Ida']) {
      guests.push(await guest(browser, guestsLink, name));
      await admit(host);
      await Promise.all([host, ...guests].map((page) => connected(page, guests.length)));
    }
    const [petya, masha, ida] = guests;
    await openPanel(host);
    await person(host, 'Petya').getByRole('button', { name: 'Mute' }).click();
    await petya.waitForSelector('#silenced:not([hidden])');
    await twice(person(host, 'Ida').getByRole('button', { name: 'Remove' }));
    await ida.waitForSelector('body[data-view=notice]');
    await Promise.all([host, petya, masha].map((page) => connected(page, 2)));
    const waiting = await guest(browser, guestsLink, 'Olha');
    await host.waitForSelector('#host li[data-knock]');
    const before = await Promise.all([host, petya, masha, waiting].map((page) => page.getAttribute('body', 'data-session')));
    await happens(own);
    await Promise.all([host, petya, masha, waiting].map((page, i) => page.waitForFunction((old) => document.body.dataset.hub === 'open' && document.body.dataset.session !== old, before[i])));
    await host.waitForFunction(() => document.querySelectorAll('#host li[data-knock]').length === 1 && document.querySelectorAll('#host li[data-person]').length === 2);
    assert.match(await host.textContent('#host li[data-knock]') ?? '', /Olha/);
    await person(host, 'Petya').getByRole('button', { name: 'Let speak' }).waitFor();
    await Promise.all([host, petya, masha].map((page) => connected(page, 2)));
    assert.equal(await masha.locator('.tile[data-silenced=true]').count(), 1);
    assert.equal(await petya.isVisible('#silenced'), true);
    await host.locator('#host').getByRole('button', { name: 'Let in' }).click();
    await Promise.all([host, petya, masha, waiting].map((page) => connected(page, 3)));
    await end([host, ...guests, waiting]);
    await own.stop();
  });
}

test('a guest whose page does as it likes gains nothing', async () => {
  const { host, guestsLink } = await hosts(browser, server.base, 'Vasya');
  const room = decodeURIComponent(new URL(guestsLink).hash.slice(1));
  const petya = await guest(browser, guestsLink, 'Petya');
  await admit(host);
  await Promise.all([host, petya].map((page) => connected(page)));
  const mallory = await browser.newPage();
  await mallory.goto(`${server.base}/healthz`);
  /** What comes of it, at the door and inside. @param {Page} page */
  const attempts = (page) => page.evaluate(async ({ room }) => {
    const own = /** @type {any} */ (window);
    const { Hub } = await import('/client/turnhub.js');
    own.hub ??= new Hub({ name: 'Mallory' });
    if (own.hub.state === 'closed') await own.hub.connect();
    const codes = [];
    const tries = [
      ...['admit', 'decline', 'remove', 'mute', 'unmute', 'hand', 'lock', 'unlock', 'end'].map((action) => () => own.hub.host(room, action, own.hub.id)),
      () => own.hub.request({ type: 'join', room, host: 'x'.repeat(22) }), () => own.hub.request({ type: 'join', room, seat: 'x'.repeat(90) }),
      () => own.hub.lobby(room, { description: {} }), () => own.hub.message({ room, data: 'hello' }),
    ];
    for (const attempt of tries) codes.push(await attempt().then(() => 'ok', (/** @type {any} */ { code }) => code));
    return codes;
  }, { room });
  const outside = await attempts(mallory);
  assert.deepEqual(outside, [...Array(9).fill('forbidden'), 'forbidden', 'knocking', 'forbidden', 'not-in-room']);
  await host.locator('#door', { hasText: 'Mallory' }).waitFor();
  // Let in, muted, and sending all the same: with tracks and state of its own.
  await mallory.evaluate(async ({ room }) => {
    const own = /** @type {any} */ (window);
    const { Call } = await import('/client/turnhub.js');
    await own.hub.leave(room);
    own.call = new Call(own.hub, { media: await navigator.mediaDevices.getUserMedia({ audio: true, video: true }) });
    own.out = '';
    own.hub.on('out', (/** @type {any} */ { reason }) => { own.out = reason; });
    own.call.join(room).catch(() => {});
  }, { room });
  await host.locator('#door', { hasText: 'Mallory' }).waitFor();
  await admit(host);
  await Promise.all([host, petya].map((page) => connected(page, 2)));
  assert.deepEqual(new Set((await attempts(mallory)).slice(0, 10)), new Set(['forbidden']));
  await openPanel(host);
  await person(host, 'Mallory').getByRole('button', { name: 'Mute' }).click();
  for (const page of [host, petya]) {
    await page.waitForSelector('.tile[data-silenced=true]');
    const tracks = await page.$eval('.tile[data-silenced=true] video', (video) => /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (video).srcObject).getTracks().map(({ kind }) => kind));
    assert.deepEqual(tracks, ['video']);
  }
  // Removed: it keeps its connections, its session and its words, and nobody is at the other end.
  await mallory.evaluate(() => {
    const own = /** @type {any} */ (window);
    own.kept = own.calls.filter((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState === 'connected');
    for (const pc of own.kept) pc.close = () => {};
  });
  await twice(person(host, 'Mallory').getByRole('button', { name: 'Remove' }));
  await Promise.all([host, petya].map((page) => connected(page, 1)));
  await mallory.waitForFunction(() => /** @type {any} */ (window).out === 'removed');
  await mallory.waitForFunction(() => /** @type {any} */ (window).kept.every((/** @type {RTCPeerConnection} */ { connectionState }) => connectionState !== 'connected'));
  const { code, signal } = await mallory.evaluate(async ({ room }) => {
    const { hub, call } = /** @type {any} */ (window);
    const peers = [...call.peers].map(({ id }) => id);
    return { code: await hub.request({ type: 'join', room }).catch((/** @type {any} */ { code }) => code),
      signal: await hub.request({ type: 'signal', to: peers[0] ?? 's_x', data: { rejoin: 'x' } }).catch((/** @type {any} */ { code }) => code) };
  }, { room });
  assert.deepEqual([code, signal], ['forbidden', 'not-in-room']);
  await end([host, petya, mallory]);
});

test('access.mode token: the operator says who is host, and the host invites', async () => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'turnhub-host-'));
  onCleanup(() => rm(dir, { recursive: true, force: true }));
  const secret = path.join(dir, 'secret');
  await writeFile(secret, randomBytes(48).toString('base64'), { mode: 0o600 });
  const own = await startServer({ config: { access: { mode: 'token', token_secret_file: secret } } });
  const { stderr } = spawnSync(binary, ['token', '--config', own.configFile, '--user', 'anna', '--room', 'team', '--host'], { encoding: 'utf8' });
  const link = /^to open: (.*)$/m.exec(stderr)?.[1] ?? '';
  const host = await browser.newPage();
  await host.addInitScript(() => { navigator.clipboard.writeText = async (text) => { /** @type {any} */ (window).copied = text; }; });
  await host.goto(link);
  await host.waitForSelector('body[data-state=ready]');
  await join(host);
  await host.click('#host-open');
  await host.getByRole('button', { name: 'Copy link for guests' }).click();
  const copied = await /** @type {Promise<string>} */ ((await host.waitForFunction(() => /** @type {any} */ (window).copied)).jsonValue());
  assert.match(copied, /\?token=i\..+#team~host\./);
  const petya = await guest(browser, copied, 'Petya');
  await host.locator('#host li[data-knock]').getByRole('button', { name: 'Let in' }).click();
  await Promise.all([host, petya].map((page) => connected(page)));
  assert.equal(await petya.isVisible('#host-open'), false);
  await end([host, petya]);
  await own.stop();
});

for (const [first, second] of [['firefox', 'chromium'], ['chromium', 'firefox']]) {
  test(`the host in ${first}, the guest in ${second}`, async () => {
    const other = await startBrowser({ kind: 'firefox' });
    const by = { firefox: other, chromium: browser };
    const { host, guestsLink } = await hosts(by[/** @type {'firefox'} */ (first)], server.base, 'Vasya');
    const petya = await guest(by[/** @type {'firefox'} */ (second)], guestsLink, 'Petya');
    await admit(host);
    await Promise.all([host, petya].map((page) => connected(page)));
    await openPanel(host);
    await person(host, 'Petya').getByRole('button', { name: 'Mute' }).click();
    await host.waitForSelector('.tile[data-silenced=true]');
    await person(host, 'Petya').getByRole('button', { name: 'Let speak' }).click();
    await host.waitForSelector('.tile[data-silenced=false]');
    assert.equal(await host.$eval('.tile:not(.self) video', (video) => /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (video).srcObject).getAudioTracks().length), 1);
    await twice(person(host, 'Petya').getByRole('button', { name: 'Remove' }));
    await petya.waitForSelector('body[data-view=notice][data-state=removed]');
    await end([host, petya]);
    await other.browser.close();
  });
}

const folder = new URL('../../web/static/words/', import.meta.url);
/** E2E_LANGUAGES="ar uk" takes these only. */
const languages = fs.readdirSync(folder).map((name) => name.replace('.json', '')).filter((tag) => !process.env.E2E_LANGUAGES || process.env.E2E_LANGUAGES.split(' ').includes(tag));

test('every view of host and guest in every language, on a small phone and at 200 % zoom', async () => {
  /** @type {string[]} */ const wrong = [];
  for (const tag of languages) {
    const [own, other] = await Promise.all([0, 1].map(async () => {
      const page = await browser.newPage({ viewport: { width: 320, height: 568 } });
      await page.addInitScript((tag) => localStorage.setItem('turnhub.name', `A rather long name in ${tag}`), tag);
      return page;
    }));
    /** @param {Page} page @param {string} view */
    const judge = async (page, view) => {
      // The count on the host's button stands out of it, as that on the chat's does.
      for (const size of [{ width: 320, height: 568 }, { width: 640, height: 400 }, { width: 1280, height: 800 }]) {
        await page.setViewportSize(size);
        if (size.width < 1280) wrong.push(...(await faultsNow(page)).filter((fault) => !fault.includes('button#host-open')).map((fault) => `${view} in ${tag} at ${size.width}: ${fault}`));
        await screenshot(page, `host-${tag}-${view}-${size.width}`);
      }
      assert.doesNotMatch(await page.evaluate(() => document.body.innerText), /(?<!~)\b(?:host|page|lobby|ending)\.[a-z]|\{[a-z]+\}/, `${view} in ${tag}`);
    };
    await own.goto(`${server.base}/?language=${tag}`);
    await own.waitForSelector('body[data-state=ready]');
    await own.fill('#room', 'team');
    await own.check('#hosted');
    await own.waitForSelector('#copy-own:not([hidden])');
    await judge(own, 'lobby');
    await join(own);
    await own.waitForSelector('#host-open:not([hidden])');
    await other.goto(own.url());
    await other.waitForSelector('body[data-state=ready]');
    await other.click('#join');
    await own.waitForSelector('#door:not([hidden])');
    await judge(own, 'knock');
    await judge(other, 'waiting');
    await own.click('#host-open');
    await judge(own, 'panel-knock');
    await own.click('#host li[data-knock] .secondary');
    await connected(own);
    await own.click('#host li[data-person] button');
    await other.waitForSelector('#silenced:not([hidden])');
    await judge(own, 'panel');
    await judge(other, 'muted');
    await end([own, other]);
  }
  assert.deepEqual(wrong, []);
});
