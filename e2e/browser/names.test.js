import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { connected, openLobby } from './callpage.js';

// Calls by name among three people: Vasya calls, Petya has two devices, Masha is the third.

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */
let browser;
/** Who calls somebody who never answers, and that one: it rings for long, so the other tests go on meanwhile. @type {import('playwright-core').Page[]} */
let unanswered;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
  unanswered = await Promise.all([person('Sasha'), person('Dasha')]);
  await dial(unanswered[0], 'dasha');
  await unanswered[1].waitForSelector('#incoming[open]');
});
after(cleanup);

/** @param {string} name @param {string} [secret] */
async function person(name, secret = `secret-of-${name}`) {
  const page = await browser.newPage();
  await openLobby(page, server.base, { name, user: name.toLowerCase(), secret });
  return page;
}

/** @param {import('playwright-core').Page} page @param {string} who */
async function dial(page, who) {
  await page.fill('#callee', who);
  await page.click('#invite');
}

/** @param {import('playwright-core').Page} page @param {string} state */
const noticed = (page, state) => page.waitForSelector(`body[data-view=notice][data-state=${state}]`, { timeout: 60_000 });

test('ring, accept, talk, hang up; the other device stops ringing', async () => {
  const [vasya, petya, tablet] = await Promise.all([person('Vasya'), person('Petya'), person('Petya')]);
  await dial(vasya, 'petya');
  await vasya.waitForSelector('body[data-state=ringing]');
  await Promise.all([petya, tablet].map((page) => page.waitForSelector('#incoming[open]')));
  assert.equal(await petya.textContent('#incoming-name'), 'Vasya');
  await petya.click('#accept');
  await Promise.all([connected(vasya), connected(petya), tablet.waitForSelector('#incoming:not([open])', { state: 'attached' })]);
  await Promise.all([decodesVideo(vasya), decodesVideo(petya)]);
  assert.match(await vasya.getAttribute('.tile:not(.self)', 'aria-label') ?? '', /Petya/);
  // The name came after the tile: it is everywhere by now.
  for (const [page, name, letters] of /** @type {const} */ ([[vasya, 'Petya', 'PE'], [petya, 'Vasya', 'VA']])) {
    assert.doesNotMatch(await page.locator('.tile:not(.self)').evaluate((tile) => tile.outerHTML), /Guest/);
    assert.equal(await page.textContent('.tile:not(.self) .avatar'), letters);
    assert.match(await page.textContent('.tile:not(.self) .quality') ?? '', new RegExp(`Connection to ${name}`));
  }
  await petya.click('#hang-up');
  await noticed(vasya, 'ended');
  assert.equal(await vasya.textContent('#notice-title'), 'Petya has ended the call');
  assert.equal(await petya.textContent('#notice-title'), 'You have ended the call');
  assert.match(await vasya.locator('#notice-icon use').getAttribute('href') ?? '', /#hang-up$/, 'no warning');
  await vasya.click('#notice-call');
  await petya.waitForSelector('#incoming[open]');
  await vasya.click('#hang-up');
  await petya.waitForSelector('#incoming:not([open])', { state: 'attached' });
  await Promise.all([vasya, petya, tablet].map((page) => page.context().close()));
});

long('a call is heard, and told to who looks elsewhere; the caller gives up and it is over', async () => {
  const [vasya, petya] = await Promise.all([person('Vasya'), person('Petya')]);
  // No tab of a browser without a screen is ever hidden, nor has it notifications to look at.
  await petya.evaluate(() => {
    const notes = /** @type {any} */ (window);
    Object.assign(notes, { told: [], tones: 0 });
    Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' });
    notes.Notification = class {
      static permission = 'granted';
      /** @param {string} title */
      constructor(title) { notes.told.push(title); }
      close() { notes.told.push('closed'); }
    };
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...when) {
      notes.tones++;
      start.apply(this, when);
    };
  });
  const title = await petya.title();
  await dial(vasya, 'petya');
  await petya.waitForSelector('#incoming[open]');
  assert.equal(await petya.title(), 'Vasya is calling');
  await vasya.waitForSelector('body[data-state=ringing]');
  await vasya.click('#hang-up');
  await petya.waitForSelector('#incoming:not([open])', { state: 'attached' });
  assert.deepEqual(await petya.evaluate(() => /** @type {any} */ (window).told), ['Vasya is calling', 'closed']);
  assert.ok(await petya.evaluate(() => /** @type {any} */ (window).tones) >= 4);
  assert.equal(await petya.title(), title);
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

long('decline, busy and nobody there', async () => {
  const [vasya, petya, masha] = await Promise.all([person('Vasya'), person('Petya'), person('Masha')]);
  await dial(vasya, 'petya');
  await petya.waitForSelector('#incoming[open]');
  await petya.click('#decline');
  await noticed(vasya, 'declined');
  await vasya.click('#notice-again');
  await vasya.waitForSelector('body[data-state=ready]');
  await dial(vasya, 'petya');
  await petya.waitForSelector('#incoming[open]');
  await petya.click('#accept');
  await connected(vasya);
  await dial(masha, 'petya');
  await noticed(masha, 'busy');
  await petya.waitForSelector('.toast:has-text("Masha called while you were in another call")');
  await masha.click('#notice-again');
  await masha.waitForSelector('body[data-state=ready]');
  await dial(masha, 'nobody-of-this-name');
  await noticed(masha, 'unavailable');
  await Promise.all([vasya, petya, masha].map((page) => page.context().close()));
});

long('the caller gives up, and calls again', async () => {
  const [vasya, petya] = await Promise.all([person('Vasya'), person('Petya')]);
  await dial(vasya, 'petya');
  await petya.waitForSelector('#incoming[open]');
  await vasya.click('#hang-up');
  await petya.waitForSelector('#incoming:not([open])', { state: 'attached' });
  await petya.waitForSelector('#missed li:has-text("Vasya called")');
  await vasya.click('#notice-again');
  await vasya.waitForSelector('body[data-state=ready]');
  await petya.getByRole('button', { name: 'Call Vasya back' }).click();
  await vasya.waitForSelector('#incoming[open]');
  assert.equal(await vasya.textContent('#incoming-name'), 'Petya');
  await petya.click('#hang-up');
  await petya.click('#notice-again');
  await vasya.waitForSelector('#incoming:not([open])', { state: 'attached' });
  await vasya.waitForSelector('body[data-state=ready]');
  await dial(vasya, 'petya');
  await petya.waitForSelector('#incoming[open]');
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

long('both call each other at once: one call', async () => {
  const [vasya, petya] = await Promise.all([person('Vasya'), person('Petya')]);
  await Promise.all([vasya.fill('#callee', 'petya'), petya.fill('#callee', 'vasya')]);
  await Promise.all([vasya, petya].map((page) => page.evaluate(() => /** @type {HTMLElement} */ (document.querySelector('#invite')).click())));
  await Promise.all([connected(vasya), connected(petya)]);
  await Promise.all([decodesVideo(vasya), decodesVideo(petya)]);
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

test('a call name that somebody else uses is refused in plain words', async () => {
  const petya = await person('Petya');
  const other = await browser.newPage();
  await openLobby(other, server.base, { name: 'Another', user: 'petya', secret: 'another-secret' });
  await other.waitForSelector('.toast.bad');
  assert.match(await other.textContent('.toast.bad') ?? '', /in use by somebody else/);
  await other.waitForSelector('body[data-hub=open]');
  assert.equal(await other.inputValue('#user'), '');
  // One that no server takes is not kept, nor used where it was.
  await other.fill('#user', 's_anna');
  await other.press('#user', 'Tab');
  assert.equal(await other.evaluate(() => [/** @type {HTMLInputElement} */ (document.querySelector('#user')).validity.valid, localStorage.getItem('turnhub.user')].join()), 'false,');
  await other.evaluate(() => localStorage.setItem('turnhub.user', 's_anna'));
  await other.reload();
  await other.waitForSelector('body[data-hub=open][data-state=ready]');
  await Promise.all([petya, other].map((page) => page.context().close()));
});

test('a call that nobody answers ends by itself', async () => {
  const [caller, callee] = unanswered;
  await noticed(caller, 'timeout');
  await callee.waitForSelector('#incoming:not([open])', { state: 'attached' });
});
