// In the call: hand and reactions, views, quality, push to talk, links in the chat, and the chat when the call is over.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { judge } from '../harness/accessible.js';
import { inBoth, press } from '../harness/both.js';
import { cleanup } from '../harness/cleanup.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;

before(async () => { server = await startServer(); });
after(cleanup);

/** @param {Page} page */
async function menu(page) {
  await page.click('#more');
  await page.waitForSelector('#more-dialog[open]');
}

/** What is sent of pictures. @param {Page} page */
const sent = (page) => page.evaluate(() => {
  const [sender] = /** @type {any} */ (window).calls.filter((/** @type {RTCPeerConnection} */ pc) => pc.connectionState === 'connected')
    .flatMap((/** @type {RTCPeerConnection} */ pc) => pc.getSenders()).filter((/** @type {RTCRtpSender} */ { track }) => track?.kind === 'video');
  const [{ active, maxBitrate }] = sender.getParameters().encodings;
  return { active, maxBitrate };
});

/** @param {Page} page @param {{active: boolean, most: number}} wanted */
async function sends(page, wanted) {
  for (let tries = 0; ; tries++) {
    const { active, maxBitrate } = await sent(page);
    if (active === wanted.active && (!active || maxBitrate <= wanted.most)) return;
    assert.ok(tries < 100, `sends ${JSON.stringify({ active, maxBitrate })}`);
    await page.waitForTimeout(50);
  }
}

inBoth('two in a call: hand, reactions, links, quality, push to talk, and the chat afterwards', async (browser) => {
  const [vasya, petya] = await Promise.all([browser.newPage(), browser.newPage()]);
  /** @type {string[]} */ const asked = [];
  vasya.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await Promise.all([openLobby(vasya, server.base, { name: 'Vasya', room: 'inthecall' }), openLobby(petya, server.base, { name: 'Petya', room: 'inthecall' })]);
  await join(vasya);
  await join(petya);
  await Promise.all([connected(vasya), connected(petya)]);
  assert.ok(!asked.some((path) => path.includes('more')), 'it is loaded when it is used');

  await menu(vasya);
  await judge(vasya, 'inthecall-menu', '#more-dialog');
  await vasya.keyboard.press('Escape');
  await vasya.keyboard.press('h');
  await petya.waitForSelector('.tile:not(.self) .hand:not([hidden])');
  await petya.waitForSelector('.toast:text("Vasya raises a hand")');
  await judge(petya, 'inthecall-hand', '#call');
  await vasya.keyboard.press('h');
  await petya.waitForSelector('.tile:not(.self) .hand', { state: 'hidden' });

  await menu(vasya);
  await vasya.click('[aria-label=Applause]');
  await petya.waitForSelector('.tile:not(.self) .reaction');
  await petya.waitForFunction(() => document.querySelector('#said')?.textContent === 'Vasya: Applause');

  await petya.click('#chat-open');
  await petya.fill('#chat-text', 'see (https://example.org/a_(b)?q=1&x=<b>), javascript:alert(1) https://bank.example@evil.example/ <img src=x onerror=alert(1)> https://\u0430pple.com/ https://b\u00fccher.example/');
  await petya.keyboard.press('Enter');
  for (const address of ['https://\u0430\u0440\u0440\u04cf\u0435\uff0ecom:8443/', 'https://\u0261oogle.com/']) { // another dot, a port, a Latin letter
    await petya.fill('#chat-text', address);
    await petya.keyboard.press('Enter');
  }
  await vasya.waitForFunction(() => document.querySelectorAll('#messages a').length === 5);
  assert.deepEqual(await vasya.$$eval('#messages a', (all) => all.map((a) => [a.href, a.rel, a.target, a.parentElement?.tagName])),
    ['https://example.org/a_(b)?q=1&x=', 'https://xn--pple-43d.com/', 'https://xn--bcher-kva.example/', 'https://xn--80ak6aa92e.com:8443/', 'https://xn--oogle-qmc.com/'].map((href) => [href, 'noopener noreferrer', '_blank', 'BDI']));
  // One that is not what it looks like is shown as what it is.
  assert.deepEqual(await vasya.$$eval('#messages a', (all) => all.slice(1).map((a) => a.textContent)), ['https://xn--pple-43d.com/', 'https://b\u00fccher.example/', 'https://xn--80ak6aa92e.com:8443/', 'https://xn--oogle-qmc.com/']);
  assert.equal(await vasya.$('#messages img'), null);
  await petya.click('#chat-close');

  // What one wishes to receive the other sends.
  await menu(vasya);
  await vasya.selectOption('#more-dialog label:has-text("Quality") select', 'saver');
  await vasya.keyboard.press('Escape');
  await sends(petya, { active: true, most: 240_000 });
  await sends(vasya, { active: true, most: 240_000 });
  await menu(vasya);
  await vasya.selectOption('#more-dialog label:has-text("Quality") select', 'sound');
  await vasya.keyboard.press('Escape');
  await sends(petya, { active: false, most: 0 });
  await vasya.waitForFunction(() => document.querySelector('.tile:not(.self)')?.getAttribute('data-media') === 'audio');
  await petya.waitForFunction(() => document.querySelector('.tile:not(.self)')?.getAttribute('data-media') === 'audio');
  await menu(vasya);
  await vasya.selectOption('#more-dialog label:has-text("Quality") select', 'automatic');
  await vasya.keyboard.press('Escape');
  await sends(petya, { active: true, most: 1e9 });

  // Push to talk: held, let go, and never while one types.
  await menu(vasya);
  await vasya.check('#more-dialog [role=switch]');
  await vasya.keyboard.press('Escape');
  const microphone = (/** @type {boolean} */ on) => vasya.waitForSelector(`#audio[aria-pressed=${on}]`);
  await microphone(false);
  await vasya.evaluate(() => /** @type {HTMLElement} */ (document.activeElement)?.blur());
  await vasya.keyboard.down('Space');
  await microphone(true);
  await vasya.keyboard.up('Space');
  await microphone(false);
  await vasya.hover('#audio');
  await vasya.mouse.down();
  await microphone(true);
  await vasya.mouse.up();
  await microphone(false);
  await vasya.click('#chat-open');
  await vasya.focus('#chat-text');
  await vasya.keyboard.down('Space');
  assert.equal(await vasya.getAttribute('#audio', 'aria-pressed'), 'false');
  await vasya.keyboard.up('Space');
  assert.equal(await vasya.inputValue('#chat-text'), ' ');
  await vasya.click('#chat-close');

  await vasya.click('#hang-up');
  await vasya.click('#notice-chat');
  await vasya.waitForSelector('#kept-dialog #messages a');
  await judge(vasya, 'inthecall-kept', '#kept-dialog');
  // Whatever ends it.
  const body = JSON.stringify({ user: await petya.getAttribute('body', 'data-session') });
  await fetch(`${server.admin}/revoke`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  await petya.waitForSelector('body[data-state=revoked] #notice-chat:not([hidden])');
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

inBoth('three in a call: one large, by choice or because he speaks, and a window of its own', async (browser) => {
  const pages = await Promise.all([browser.newPage(), browser.newPage(), browser.newPage()]);
  const [vasya] = pages;
  for (const [i, page] of pages.entries()) await openLobby(page, server.base, { name: ['Vasya', 'Petya', 'Ida'][i], room: 'views' });
  for (const page of pages) await join(page);
  await Promise.all(pages.map((page) => connected(page, 2)));
  await menu(vasya);
  const view = '#more-dialog label:has-text("View") select';
  await vasya.selectOption(view, { label: 'Ida' });
  await vasya.keyboard.press('Escape');
  await vasya.waitForSelector('.tile.large[aria-label=Ida]');
  await judge(vasya, 'inthecall-large', '#call');
  const [large, small] = await vasya.$$eval('.tile:not(.self)', (all) => all.map((tile) => tile.clientHeight).sort((a, b) => b - a));
  assert.ok(large > 2 * small, `${large} and ${small}`);
  // On the tile itself, with the mouse and by the keyboard.
  const pin = (/** @type {string} */ who, /** @type {boolean} */ on) => `.tile[aria-label=${who}] .pin[aria-pressed=${on}]`;
  assert.ok(await vasya.isVisible(pin('Ida', true)));
  await vasya.click(pin('Petya', false));
  await vasya.waitForSelector('.tile.large[aria-label=Petya]');
  assert.ok(await vasya.isVisible(pin('Ida', false)));
  await press(vasya, pin('Petya', true), 'Enter');
  await vasya.waitForSelector(pin('Petya', false));
  assert.equal(await vasya.$('.tile.large'), null);
  await vasya.click(pin('Ida', false));
  await pages[2].click('#hang-up');
  await connected(vasya, 1);
  assert.equal(await vasya.isVisible('.pin'), false, 'of two there is nobody to choose');
  assert.equal(await vasya.$('.tile.large'), null);
  await menu(vasya);
  await vasya.selectOption(view, 'speaker');
  await vasya.keyboard.press('Escape');
  await vasya.waitForSelector('.tile.large[aria-label=Petya]');
  await menu(vasya);
  await vasya.click('text=Picture in picture');
  await vasya.waitForFunction(() => document.pictureInPictureElement !== null);
  await vasya.click('#hang-up');
  await vasya.waitForFunction(() => document.pictureInPictureElement === null);
  await Promise.all(pages.map((page) => page.context().close()));
});
