// Every view in every language: written in the direction of the language, on a phone of 320 px and on a screen at 200 % zoom,
// with nothing cut off and nothing on anything else.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { faultsNow } from '../harness/layout.js';
import { long } from '../harness/long.js';
import { screenshot } from '../harness/screenshot.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

const folder = new URL('../../web/static/words/', import.meta.url);
/** The texts of each language that there is, by its tag; E2E_LANGUAGES="ar uk" takes these only. @type {Record<string, any>} */
const languages = Object.fromEntries(fs.readdirSync(folder).map((name) => [name.replace('.json', ''), JSON.parse(fs.readFileSync(new URL(name, folder), 'utf8'))])
  .filter(([tag]) => !process.env.E2E_LANGUAGES || process.env.E2E_LANGUAGES.split(' ').includes(tag)));
/** In CSS pixels: a small phone, and 1280 × 800 at 200 %. */
const sizes = [[320, 568], [640, 400]].map(([width, height]) => ({ width, height }));

/** @param {Page} page @param {string} tag @param {string} view @returns {Promise<string[]>} */
async function judge(page, tag, view) {
  const { lang, dir, shown } = await page.evaluate(() => ({ lang: document.documentElement.lang, dir: getComputedStyle(document.body).direction, shown: document.body.innerText }));
  assert.equal(lang, tag, view);
  assert.equal(dir, languages[tag].language.dir, `${view} in ${tag}`);
  assert.doesNotMatch(shown, /\[\[|\{[a-z]+\}|\b(?:page|call|check|device)\.[a-z]/, `${view} in ${tag}`);
  /** @type {string[]} */ const wrong = [];
  for (const size of sizes) {
    await page.setViewportSize(size);
    wrong.push(...(await faultsNow(page)).map((fault) => `${view} in ${tag} at ${size.width} × ${size.height}: ${fault}`));
    await screenshot(page, `language-${tag}-${view}-${size.width}`);
  }
  return wrong;
}

/** @param {string} tag */
async function open(tag) {
  const context = await browser.browser.newContext({ locale: tag, viewport: sizes[1], permissions: ['camera', 'microphone'] });
  context.setDefaultTimeout(60_000);
  return context.newPage();
}

test('the lobby and the page of a wrong link', async () => {
  const page = await browser.newPage();
  /** @type {string[]} */ const wrong = [];
  for (const tag of Object.keys(languages)) {
    await page.goto(`${server.base}/?language=${tag}`);
    await page.waitForSelector('body[data-state=ready]');
    assert.equal(await page.textContent('#lobby-title'), languages[tag].lobby.start);
    wrong.push(...await judge(page, tag, 'lobby'));
    await page.goto(`${server.base}/rondvraag?language=${tag}`);
    wrong.push(...await judge(page, tag, 'wrong-link'));
  }
  assert.deepEqual(wrong, []);
  await page.context().close();
});

for (const tag of Object.keys(languages)) {
  long(`a call in ${tag}, and what is around it`, async () => {
    const [vasya, petya] = await Promise.all([open(tag), open(tag)]);
    /** @type {string[]} */ const wrong = [];
    /** @param {Page} page @param {string} view */
    const look = async (page, view) => { wrong.push(...await judge(page, tag, view)); };
    await openLobby(vasya, server.base, { name: 'Василь Миколайович', user: `vasya-${tag}`, secret: `secret-of-vasya-${tag}` });
    await openLobby(petya, server.base, { name: 'פטיה Petya', user: `petya-${tag}`, secret: `secret-of-petya-${tag}` });

    await vasya.fill('#callee', `petya-${tag}`);
    await vasya.waitForSelector('#presence[data-presence=online]');
    await look(vasya, 'presence');
    await vasya.click('#carry');
    await vasya.waitForSelector('#carry-dialog[open]');
    await look(vasya, 'carry');
    await vasya.click('#carry-dialog .secondary');
    await petya.evaluate((user) => { location.hash = `#user=${user}&secret=not-the-one-of-vasya`; }, `vasya-${tag}`);
    await petya.click('#carry-take');
    await petya.waitForSelector('#carry-why');
    await look(petya, 'carry-asks');
    await petya.click('#carry-dialog .secondary');
    await vasya.click('#invite');
    await petya.waitForSelector('#incoming[open]');
    await look(vasya, 'ringing');
    await look(petya, 'incoming');
    await vasya.click('#hang-up');
    await petya.waitForSelector('#missed:not([hidden])');
    await petya.waitForSelector('.toast', { state: 'detached' });
    await look(petya, 'missed');
    await look(vasya, 'hung-up');

    await vasya.goto(`${server.base}/#${'a room with spaces '.repeat(3)}`);
    await vasya.reload();
    await vasya.waitForSelector('body[data-state=ready]');
    await look(vasya, 'misnamed');

    await vasya.goto(`${server.base}/#round-${tag}`);
    await vasya.reload();
    await vasya.waitForSelector('body[data-state=ready]');
    await vasya.click('#show-qr');
    await look(vasya, 'qr');
    await vasya.keyboard.press('Escape');
    await join(vasya);
    await look(vasya, 'waiting');
    await petya.goto(`${server.base}/#round-${tag}`);
    await petya.reload();
    await petya.waitForSelector('body[data-state=ready]');
    await join(petya);
    await Promise.all([connected(vasya), connected(petya)]);
    await vasya.waitForFunction((direct) => document.querySelector('.tile .words')?.textContent === direct, languages[tag].quality.direct);
    await look(vasya, 'call');
    await vasya.click('.tile .quality');
    await look(vasya, 'quality');
    await vasya.click('.tile .quality');
    await petya.click('#chat-open');
    await look(petya, 'chat-empty');
    await petya.fill('#chat-text', 'שלום Hello привіт');
    await petya.keyboard.press('Enter');
    await petya.setInputFiles('#chat-file', { name: 'Протокол зустрічі.pdf', mimeType: 'application/pdf', buffer: Buffer.alloc(2500) });
    await look(petya, 'chat');
    await vasya.click('#chat-open');
    await vasya.waitForSelector('.file button');
    await look(vasya, 'file');
    await vasya.click('#chat-close');
    await vasya.click('#more');
    await vasya.waitForSelector('#more-dialog[open]');
    await look(vasya, 'more');
    await vasya.click('#more-dialog .row button:has([href$="#gear"])');
    await look(vasya, 'devices');
    await vasya.click('#try-sound');
    await vasya.waitForSelector('#sound-test:not([hidden])');
    await look(vasya, 'sound-test');
    await vasya.click('#try-sound');
    await vasya.click('#show-keys');
    await vasya.waitForSelector('#keys-dialog[open]');
    await look(vasya, 'keys');
    await vasya.keyboard.press('Escape');
    await petya.click('#chat-close');
    await vasya.click('#settings');
    await vasya.click('#record');
    await petya.waitForSelector('#records:not([hidden])');
    await vasya.waitForSelector('#recording:not([hidden])');
    await look(vasya, 'recording');
    await look(petya, 'recorded');
    await vasya.click('#recording button');
    await petya.waitForSelector('#records', { state: 'hidden' });
    await petya.click('#hang-up');
    await vasya.waitForSelector('body[data-people="0"]');
    await vasya.waitForSelector('.toast', { state: 'detached' });
    await look(vasya, 'left');
    await vasya.click('#hang-up');
    await vasya.waitForSelector('body[data-view=notice]');
    await look(vasya, 'ended');

    await petya.goto(`${server.base}/check`);
    await petya.waitForSelector('body[data-state=done]', { timeout: 90_000 });
    await look(petya, 'check');
    assert.deepEqual(wrong, []);
    await Promise.all([vasya, petya].map((page) => page.context().close()));
  });
}

test('a room in any script, however it is typed; and two whose names look alike', async () => {
  const [anna, other] = await Promise.all([browser.newPage(), browser.newPage()]);
  await openLobby(anna, server.base, { name: 'Anna', room: encodeURIComponent('café-кімната') });
  await openLobby(other, server.base, { name: '\u0410nna', room: encodeURIComponent('cafe\u0301-кімната') });
  for (const page of [anna, other]) assert.equal(await page.inputValue('#room'), 'caf\u00e9-кімната');
  await join(anna);
  assert.equal(await anna.textContent('#waiting-link'), `${server.base}/#caf\u00e9-кімната`);
  assert.equal(await anna.evaluate(() => location.hash), `#${encodeURIComponent('caf\u00e9-кімната')}`);
  await join(other);
  await Promise.all([connected(anna), connected(other)]);
  assert.equal(await anna.textContent('.tile:not(.self) .name'), '\u0410nna (2)');
  assert.equal(await other.textContent('.tile:not(.self) .name'), 'Anna (2)', 'not the visitor');
  await Promise.all([anna, other].map((page) => page.context().close()));

  const page = await browser.newPage();
  await openLobby(page, server.base);
  await page.fill('#room', 'c\u0430ll');
  await page.click('#join');
  assert.equal(await page.getAttribute('body', 'data-view'), 'lobby', 'a word in two alphabets is no name');
  assert.equal(await page.evaluate(() => /** @type {HTMLInputElement} */ (document.querySelector('#room')).validity.customError), true);
  await page.context().close();
});
