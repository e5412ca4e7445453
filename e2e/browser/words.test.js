// The pages in German, as a visitor sees them whose browser asks for it: nothing is English, nothing is cut off on a phone;
// the same from right to left; and the choice by hand.
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

const sizes = [[320, 568], [1280, 800]].map(([width, height]) => ({ width, height }));

/** @param {string} tag @returns {string[]} */
const textsOf = (tag) => Object.values(JSON.parse(fs.readFileSync(new URL(`../../web/static/words/${tag}.json`, import.meta.url), 'utf8')))
  .flatMap((area) => Object.values(area)).filter((text) => typeof text === 'string');
const german = new Set(textsOf('de'));
/** What a German page does not say. */
const english = textsOf('en').filter((text) => / /.test(text) && !text.includes('{') && !german.has(text));

/** @param {string} [locale] */
async function open(locale = 'de-DE') {
  const context = await browser.browser.newContext({ locale, viewport: sizes[1], permissions: ['camera', 'microphone'] });
  return context.newPage();
}

/** @param {Page} page @param {string} view */
async function judge(page, view) {
  const { lang, says } = await page.evaluate(() => {
    const shown = [...document.querySelectorAll('[aria-label], [title], [placeholder]')].flatMap((e) => ['aria-label', 'title', 'placeholder'].map((name) => e.getAttribute(name)));
    return { lang: document.documentElement.lang, says: [document.title, document.body.innerText, ...shown].join('\n') };
  });
  assert.equal(lang, 'de', view);
  assert.deepEqual(english.filter((text) => says.includes(text)), [], view);
  assert.doesNotMatch(says, /\[\[|\{[a-z]+\}|\b(?:page|call|check|device)\.[a-z]/, view);
  /** @type {string[]} */ const wrong = [];
  for (const dir of ['rtl', 'ltr']) {
    await page.evaluate((dir) => { document.documentElement.dir = dir; }, dir);
    for (const size of sizes) {
      await page.setViewportSize(size);
      wrong.push(...(await faultsNow(page)).map((fault) => `${view}, ${dir}, ${size.width}: ${fault}`));
      await screenshot(page, `german-${view}-${dir}-${size.width}`);
    }
  }
  assert.deepEqual(wrong, []);
}

long('the lobby, the choice of a language, a wrong link, a call', async () => {
  const [vasya, petya] = await Promise.all([open(), open()]);
  await openLobby(vasya, server.base, { name: 'Vasya' });
  await judge(vasya, 'lobby');

  await vasya.selectOption('#language', 'en');
  await vasya.waitForSelector('html[lang=en] body[data-state=ready]');
  assert.equal(await vasya.textContent('#lobby-title'), 'Start a call');
  await vasya.goto(`${server.base}/check`);
  assert.equal(await vasya.getAttribute('html', 'lang'), 'en', 'it is remembered');
  await vasya.goto(`${server.base}/#german`);
  await vasya.waitForSelector('body[data-state=ready]');
  await vasya.selectOption('#language', 'de');
  await vasya.waitForSelector('html[lang=de] body[data-state=ready]');
  assert.equal(await vasya.inputValue('#room'), 'german', 'the link is still the same');

  await petya.goto(`${server.base}/ein-raum`);
  await petya.getByRole('link', { name: 'Raum „ein-raum“ betreten' }).waitFor();
  await judge(petya, 'wrong-link');

  await join(vasya);
  await judge(vasya, 'waiting');
  await openLobby(petya, server.base, { name: 'Petya', room: 'german' });
  await join(petya);
  await Promise.all([connected(vasya), connected(petya)]);
  await vasya.waitForFunction(() => document.querySelector('.tile .words')?.textContent === 'direkt');
  await judge(vasya, 'call');
  await vasya.click('#settings');
  await judge(vasya, 'devices');
  await vasya.click('#show-keys');
  await vasya.waitForSelector('#keys-dialog[open]');
  await judge(vasya, 'keys');
  await vasya.click('#keys-on');
  await vasya.keyboard.press('Escape');
  await vasya.keyboard.press('m');
  assert.equal(await vasya.getAttribute('#audio', 'aria-pressed'), 'true', 'keys that are switched off do nothing');
  await vasya.click('#hang-up');
  await vasya.waitForSelector('body[data-view=notice]');
  await judge(vasya, 'ended');
  await Promise.all([vasya, petya].map((page) => page.context().close()));
});

test('the network check and its report', async () => {
  const page = await open('de-AT');
  await page.goto(`${server.base}/check`);
  await page.waitForSelector('body[data-state=done]', { timeout: 60_000 });
  await judge(page, 'check');
  const report = await page.textContent('#report') ?? '';
  for (const part of ['Netzprüfung von', 'Signalisierungs-Socket: geht', 'Kamera: geht', 'Adressumsetzung: ']) assert.ok(report.includes(part), `${part} is not in ${report}`);
  assert.deepEqual(english.filter((text) => report.includes(text)), []);
  await page.context().close();
});
