// The page /check in real Chromium on every kind of network: what it finds must be what the lab has built.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { screenshot } from '../harness/screenshot.js';
import { threePorts } from './between.js';
import { startCaller } from './calls.js';
import { startHost } from './host.js';
import { addClient, kinds } from './kinds.js';
import { Lab } from './lab.js';

after(cleanup);

/**
 * What the check must find in each kind of network: the ways that work, of those that the server offers; the kind of
 * NAT; and what it says and asks for.
 * @type {Record<import('./kinds.js').Kind, {works: string[], nat: RegExp, level: string, says: RegExp, asks: RegExp[]}>}
 */
const expected = {
  open: { works: ['stun', 'udp', 'tcp', 'tls'], nat: /^No address translation/, level: 'good', says: /Calls will connect/, asks: [] },
  cone: { works: ['stun', 'udp', 'tcp', 'tls'], nat: /^Ordinary address translation/, level: 'good', says: /Calls will connect/, asks: [] },
  symmetric: { works: ['stun', 'udp', 'tcp', 'tls'], nat: /^Strict address translation/, level: 'good', says: /Calls will connect/, asks: [] },
  'udp-blocked': { works: ['tcp', 'tls'], nat: /^UDP does not get out/, level: 'fair', says: /blocks UDP/, asks: [/UDP port 3478/] },
  'tcp-443': { works: ['tls'], nat: /^UDP does not get out/, level: 'fair', says: /only web traffic/, asks: [/UDP port 3478/] },
  'tls-443': { works: ['tls'], nat: /^UDP does not get out/, level: 'fair', says: /only web traffic/, asks: [/UDP port 3478/] },
  proxy: { works: ['tls'], nat: /^UDP does not get out/, level: 'fair', says: /only web traffic/, asks: [/UDP port 3478/] },
  'proxy-no-dns': { works: ['tls'], nat: /^UDP does not get out/, level: 'fair', says: /only web traffic/, asks: [/UDP port 3478/] },
  ipv6: { works: ['stun', 'udp', 'tcp', 'tls'], nat: /^No address translation/, level: 'good', says: /Calls will connect/, asks: [] },
};

/** In `make test` those with which most networks' ways are seen once. @type {readonly import('./kinds.js').Kind[]} */
const checked = process.env.E2E_LONG ? kinds : ['symmetric', 'proxy-no-dns', 'ipv6'];

test('the network check from every kind of network', async () => {
  const lab = await Lab.create();
  const server = await startHost(lab);
  const clients = [];
  for (const [index, kind] of checked.entries()) clients.push(await addClient(lab, kind, index + 1));
  /** @type {Error[]} */
  const failures = [];
  const waiting = [...clients];
  const lane = async () => {
    for (let client; (client = waiting.shift()); ) {
      const { kind } = client;
      const { browser } = await startCaller(client, server.caFile ?? '');
      const found = await check(await browser.newPage(), server.base, `check-${kind}`);
      await browser.close();
      console.log(`${kind}: ${found.seconds} s\n${found.report}\n`);
      try {
        judge(kind, found);
      } catch (error) {
        failures.push(new Error(`${kind}: ${error}`, { cause: error }));
      }
    }
  };
  await Promise.all([lane(), lane(), lane()]);
  if (failures.length) throw new AggregateError(failures, failures.map(({ message }) => message).join('\n'));
});

/**
 * Lets the page check the network, and presses its button.
 * @param {import('playwright-core').Page} page @param {string} base @param {string} name of the screenshot
 */
async function check(page, base, name) {
  await page.context().grantPermissions(['camera', 'microphone', 'clipboard-read', 'clipboard-write']);
  await page.goto(`${base}/check`);
  const begun = Date.now();
  await page.waitForSelector('body[data-state=done]', { timeout: 60_000 });
  const seconds = Math.round((Date.now() - begun) / 100) / 10;
  await page.setViewportSize({ width: 900, height: 1150 });
  await screenshot(page, name);
  await page.click('#copy');
  await page.waitForSelector('#toasts :text("copied")');
  return page.evaluate(async (seconds) => {
    const text = (/** @type {string} */ selector) => document.querySelector(selector)?.textContent ?? '';
    const rows = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('#urls tr'));
    return {
      seconds,
      level: document.body.dataset.level,
      says: text('#text'),
      asks: [...document.querySelectorAll('#ask-list li')].map((line) => line.textContent ?? ''),
      ways: [...rows].map(({ dataset, textContent }) => ({ kind: dataset.kind, works: dataset.result === 'works', time: dataset.time, errorCode: dataset.errorCode, says: textContent ?? '' })),
      details: Object.fromEntries(['socket', 'nat', 'loop', 'video', 'audio'].map((name) => [name, text(`[data-check=${name}] dd`)])),
      report: await navigator.clipboard.readText(),
    };
  }, seconds);
}

// Nothing is called failed because the relay's range is closed: neither on the page nor on the console.
test('the network check and the console where nothing passes the relay\'s range', { skip: !process.env.E2E_LONG }, async () => {
  const lab = await Lab.create();
  const server = await startHost(lab, { firewall: 'no range', config: threePorts });
  const untold = /^The kind of address translation was not told: .* closed, as is normal/;
  for (const [index, kind] of /** @type {const} */ (['open', 'cone', 'symmetric', 'udp-blocked']).entries()) {
    const { browser } = await startCaller(await addClient(lab, kind, index + 1), server.caFile ?? '');
    const found = await check(await browser.newPage(), server.base, `check-closed-${kind}`);
    await browser.close();
    console.log(`${kind}: ${found.seconds} s\n${found.report}\n`);
    judge(kind, found, { ...expected[kind], ...(kind === 'cone' || kind === 'symmetric' ? { nat: untold } : {}),
      ...(kind === 'udp-blocked' ? { asks: [/UDP port 443/] } : {}) });
    if (kind !== 'udp-blocked') assert.doesNotMatch(found.report, /FAIL/);
  }
  const operator = await startBrowser({ netns: lab.netns('host') });
  const page = await operator.newPage();
  await page.goto('http://127.0.0.1:9478/');
  await page.waitForFunction(() => document.querySelector('#range')?.textContent);
  await screenshot(page, 'console-closed');
  assert.match(await page.textContent('#range') ?? '', /closed to IPv4, as is normal: .* Open, they spare .* closed to IPv6, as is normal/);
  assert.equal(await page.locator('.bad:visible').count(), 0, 'something is called bad');
  await operator.close();
});

/** @param {import('./kinds.js').Kind} kind @param {Awaited<ReturnType<typeof check>>} found */
function judge(kind, { level, says, asks, ways, details, report }, { works, nat, level: wanted, says: words, asks: wishes } = expected[kind]) {
  assert.deepEqual(ways.map((way) => way.kind).sort(), ['stun', 'tcp', 'tls', 'tls', 'udp'], 'every way was tried');
  assert.deepEqual([...new Set(ways.filter((way) => way.works).map((way) => way.kind))], works, report);
  for (const way of ways) assert.match(way.works ? way.time ?? '' : way.errorCode ?? '', /^\d+$/, way.says);
  assert.match(details.nat, nat);
  assert.match(details.socket, /^Works/);
  assert.match(details.video, /^Works/);
  assert.match(details.audio, /^Works/);
  const loop = /^(.*)\sms there and back, jitter (.*)\sms, (.*)\s% lost, (.*)\sMbit\/s/.exec(details.loop);
  assert.ok(loop, details.loop);
  const [latency, jitter, loss, throughput] = loop.slice(1).map(Number);
  assert.ok(latency > 0 && jitter >= 0 && loss < 100 && throughput > 0, details.loop);
  assert.equal(level, wanted, says);
  assert.match(says, words);
  assert.equal(asks.length > 0, wishes.length > 0, asks.join('\n'));
  for (const wish of wishes) assert.ok(asks.some((line) => wish.test(line)), asks.join('\n'));
  for (const part of [says.slice(0, 20), ...asks, 'through the relay: ', 'Mbit/s', 'signaling socket: works']) assert.ok(report.includes(part), `${part}\n${report}`);
}
