// Every view at 200 % zoom, on a phone on its side, and 320 px wide: nothing lies on anything else, nothing is cut off, and
// what begins a call is on the first screen.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startCrowd } from '../harness/crowd.js';
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

/** In CSS pixels, which is all that zoom changes: 1440 × 900 at 200 %, 1280 × 800 at 200 %, phones on their side, small ones upright. */
const sizes = [[720, 450], [640, 400], [844, 390], [667, 375], [320, 568], [360, 740]].map(([width, height]) => ({ width, height }));

/**
 * What is wrong with a view as it is laid out now: pieces of text, controls and pictures that lie on each other or are cut off.
 * Runs in the page.
 */
function faults() {
  const chat = document.querySelector('#chat:not([hidden])');
  const cover = chat && getComputedStyle(chat).position === 'fixed' ? chat : null; // on small screens it lies on all else
  const root = document.querySelector('dialog[open]') ?? cover ?? document.body;
  const name = (/** @type {Element} */ e) => `${e.tagName.toLowerCase()}${e.id && `#${e.id}`}${e.classList.length ? `.${e.classList[0]}` : ''} “${(e.textContent ?? '').trim().slice(0, 24)}”`;
  /** @type {{element: Element, box: DOMRect, words: boolean}[]} */ const pieces = [];
  /** @type {string[]} */ const wrong = [];
  /** How much of a box its ancestors let be seen, or be scrolled to. @param {Element} element @param {DOMRect} box @param {boolean} words */
  const seen = (element, box, words) => {
    let { left, right, top, bottom } = box;
    let fixed = false;
    for (let e = words ? element : element.parentElement; e && e !== document.body && !fixed; e = e.parentElement) {
      const { overflowX, overflowY, position, textOverflow } = getComputedStyle(e);
      const clip = e.getBoundingClientRect();
      if (textOverflow === 'ellipsis') return { left: Math.max(left, clip.left), right: Math.min(right, clip.right), top, bottom, full: true };
      if (overflowX === 'hidden' || overflowX === 'clip') { left = Math.max(left, clip.left); right = Math.min(right, clip.right); }
      if (overflowY === 'hidden' || overflowY === 'clip') { top = Math.max(top, clip.top); bottom = Math.min(bottom, clip.bottom); }
      if (/auto|scroll/.test(overflowX + overflowY)) { // what is outside can be scrolled to, what is inside is seen
        top = Math.max(top, clip.top); bottom = Math.min(bottom, clip.bottom); left = Math.max(left, clip.left); right = Math.min(right, clip.right);
        return { left, right, top, bottom, full: true };
      }
      fixed = position === 'fixed';
    }
    const full = right - left >= box.width - 1.5 && bottom - top >= box.height - 1.5;
    return { left, right, top, bottom, full };
  };
  /** @param {Element} element @param {DOMRect} box @param {boolean} words */
  const add = (element, box, words) => {
    if (box.width < 2 || box.height < 2 || element.closest('.hidden, .toasts, [aria-hidden=true]:not(.avatar)')) return;
    for (let e = /** @type {Element | null} */ (element); e; e = e.parentElement) {
      const { visibility, opacity, clipPath } = getComputedStyle(e);
      if (visibility === 'hidden' || opacity === '0' || clipPath === 'inset(50%)') return; // for screen readers, or nobody
    }
    const { left, right, top, bottom, full } = seen(element, box, words);
    if (!full) wrong.push(`cut off: ${name(element)}`);
    if (right - left > 1 && bottom - top > 1) pieces.push({ element, box: new DOMRect(left, top, right - left, bottom - top), words });
    if (full && (left < -1 || right > innerWidth + 1)) wrong.push(`outside: ${name(element)} ${Math.round(left)}–${Math.round(right)}`);
  };
  for (const element of root.querySelectorAll('button, a, input, select, canvas, .tile, .preview-frame, .avatar')) add(element, element.getBoundingClientRect(), false);
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const parent = node.parentElement;
    if (!parent || !node.textContent?.trim() || parent.closest('option, noscript, script, style, button, a, select')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    add(parent, range.getBoundingClientRect(), true);
  }
  for (const [i, a] of pieces.entries()) {
    for (const b of pieces.slice(i + 1)) {
      if (a.element === b.element || a.element.contains(b.element) || b.element.contains(a.element)) continue;
      // What is painted on a picture lies on the avatar in place of it.
      if ([a, b].some(({ element }) => element.matches('.avatar')) && a.element.closest('.tile, .preview-frame') && a.element.closest('.tile, .preview-frame') === b.element.closest('.tile, .preview-frame')) continue;
      // In a call of two the own picture lies on the other's, as everywhere; not on what is written there.
      if (a.element.matches('.tile') && b.element.matches('.tile')) continue;
      const width = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const height = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      // A line of text is taller than its letters.
      if (width > 2 && height > (a.words || b.words ? 5 : 2)) wrong.push(`${name(a.element)} and ${name(b.element)} lie on each other, ${Math.round(width)} × ${Math.round(height)}`);
    }
  }
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) wrong.push(`wider than the screen by ${scrollWidth - clientWidth}`);
  return wrong;
}

/** @type {string[]} */ let complaints = [];

/** @param {Page} page @param {string} view @param {(size: {width: number, height: number}) => Promise<void>} [more] */
async function judge(page, view, more) {
  for (const size of sizes) {
    await page.setViewportSize(size);
    const wrong = await page.evaluate(async () => {
      for (let frames = 0; frames < 3; frames++) await new Promise(requestAnimationFrame); // observers of sizes have run
    }).then(() => page.evaluate(faults));
    complaints.push(...wrong.map((fault) => `${view} at ${size.width} × ${size.height}: ${fault}`));
    await screenshot(page, `layout-${view}-${size.width}x${size.height}`);
    await more?.(size);
  }
}

/** @param {() => Promise<void>} run */
const judged = (run) => async () => {
  complaints = [];
  await run();
  assert.deepEqual(complaints, []);
};

test('the judge sees what lies on something else, and what is cut off', async () => {
  const page = await browser.newPage();
  await page.goto(`${server.base}/healthz`);
  await page.setContent('<p style="position: absolute; top: 5px; left: 5px">one text</p><button style="position: absolute; top: 20px; left: 20px">over it</button>');
  assert.match((await page.evaluate(faults)).join(), /lie on each other/);
  await page.setContent('<div style="width: 30px; height: 12px; overflow: hidden; white-space: nowrap">a long text</div>');
  assert.match((await page.evaluate(faults)).join(), /^$|cut off/);
  await page.setContent('<div style="width: 30px; height: 12px; overflow: hidden"><p>a long text that does not fit</p></div>');
  assert.match((await page.evaluate(faults)).join(), /cut off/);
  await page.setContent('<div style="width: 3000px">x</div>');
  assert.match((await page.evaluate(faults)).join(), /wider than the screen/);
  await page.setContent('<p>one</p><button>two</button>');
  assert.deepEqual(await page.evaluate(faults), []);
  await page.context().close();
});

test('lobby, wrong link, ringing, incoming call, what ended', judged(async () => {
  const [vasya, petya] = await Promise.all([browser.newPage(), browser.newPage()]);
  await openLobby(vasya, server.base, { name: 'Vasya', user: 'vasya', secret: 'secret-of-vasya' });
  await openLobby(petya, server.base, { name: 'Petya', user: 'petya', secret: 'secret-of-petya' });
  await judge(petya, 'lobby', async ({ width, height }) => {
    const reached = await petya.evaluate(() => /** @type {HTMLElement} */ (document.querySelector('#room')).getBoundingClientRect().bottom);
    const most = width > 560 ? height : 1.15 * height; // an upright phone shows the picture first
    if (reached > most) complaints.push(`lobby at ${width} × ${height}: name and room are ${Math.round(reached)} px down`);
  });
  await vasya.fill('#callee', 'petya');
  await vasya.click('#invite');
  await petya.waitForSelector('#incoming[open]');
  await judge(vasya, 'ringing');
  await judge(petya, 'incoming');
  await petya.click('#decline');
  await vasya.waitForSelector('body[data-view=notice]');
  await judge(vasya, 'ended');
  await vasya.goto(`${server.base}/some-room-with-a-name-that-is-rather-long-for-a-small-screen`);
  await judge(vasya, 'wrong-link');
  await vasya.goto(`${server.base}/#ein%20Name%20mit%20Ümläuten`);
  await vasya.waitForSelector('#room-hint:not([hidden])');
  await judge(vasya, 'misnamed');
  await Promise.all([vasya, petya].map((page) => page.context().close()));
}));

test('waiting, dialogs, calls of two, four and (E2E_LONG) six, chat', judged(async () => {
  const page = await browser.newPage();
  const host = await browser.newPage();
  await openLobby(page, server.base, { name: 'Vasya', room: 'layout' });
  await page.click('#show-qr');
  await judge(page, 'qr');
  await page.click('#qr-dialog .secondary');
  await join(page);
  await page.waitForFunction(() => /** @type {HTMLCanvasElement} */ (document.querySelector('#waiting-qr')).width !== 300);
  await judge(page, 'waiting');
  await host.goto(`${server.base}/healthz`);
  const crowd = await startCrowd(host);
  let people = 1;
  const names = ['Anna Maria Bartholomäus-Schmidt', 'محمد', 'Čeněk', 'Bo', 'Ida'];
  for (const name of process.env.E2E_LONG ? names : names.slice(0, 3)) { // six send and decode 30 pictures
    await crowd.enter(name, 'layout');
    people++;
    if (people % 2) continue;
    await connected(page, people - 1);
    await judge(page, `call-of-${people}`);
    if (people !== 2) continue;
    await page.click('#settings');
    await judge(page, 'devices');
    await page.keyboard.press('Escape');
    await page.keyboard.press('c');
    await page.fill('#chat-text', 'Look at this: a sentence that is long enough for two lines on a small screen.');
    await page.keyboard.press('Enter');
    await judge(page, 'chat');
    await page.click('#chat-close');
  }
  await Promise.all([page, host].map((page) => page.context().close()));
}));

test('the network check and the console', judged(async () => {
  const [check, operator] = await Promise.all([browser.newPage(), browser.newPage()]);
  await check.goto(`${server.base}/check`);
  await check.waitForSelector('body[data-state=done]', { timeout: 60_000 });
  await judge(check, 'check');
  await operator.goto(server.admin);
  await operator.locator('#probes .good').first().waitFor();
  await judge(operator, 'console');
  await Promise.all([check, operator].map((page) => page.context().close()));
}));
