import { setTimeout as pause } from 'node:timers/promises';
import { startBrowser } from '../harness/browser.js';
import { decodesVideo, firstFrame, pairInUse } from '../harness/media.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('./kinds.js').Client} Client */
/** @typedef {import('../harness/browser.js').Kind} Kind */

/**
 * What a call is held on: turnhub's page, or the plain one beside it.
 * @typedef {object} Site
 * @property {(page: Page, room: string, port?: number) => Promise<void>} open loads the page, by another port than 443 if one is named, and waits until one can join
 * @property {(page: Page) => Promise<number>} join clicks, and returns when that was (milliseconds since 1970)
 * @property {(page: Page) => Promise<unknown>} joined waits until the page is in the room
 */

/**
 * A client of the lab with its browser.
 * @typedef {{client: Client, browser: Awaited<ReturnType<typeof startBrowser>>}} Caller
 */

/**
 * The browsers of both sides, who is there first: E2E_PAIR=firefox-chromium, for instance. Two Chromium without it.
 */
export const browsers = /** @type {[Kind, Kind]} */ ((process.env.E2E_PAIR ?? 'chromium-chromium').split('-'));
if (browsers.length !== 2 || !browsers.every((kind) => kind === 'chromium' || kind === 'firefox')) {
  throw new Error(`E2E_PAIR=${process.env.E2E_PAIR}: write two of chromium and firefox with "-" between them`);
}

/**
 * Starts a client's browser.
 * @param {Client} client
 * @param {string} caFile
 * @param {{kind?: Kind, fps?: number, sound?: string, args?: string[]}} [options] fps: pictures a second that its camera gives; with five, several calls fit
 *   on two cores; sound: a sound card for Firefox; args: Chromium's, more of them
 * @returns {Promise<Caller>}
 */
export async function startCaller(client, caFile, { kind = 'chromium', fps = 5, sound = '', args } = {}) {
  const authorities = client.caFile ? [caFile, client.caFile] : caFile;
  return { client, browser: await startBrowser({ kind, netns: client.netns, caFile: authorities, proxy: client.proxy, password: client.password, fps, sound, args }) };
}

/**
 * @typedef {object} CallResult
 * @property {string} kinds of the first and the second user
 * @property {number} first milliseconds from the second user's click to the first remote frame, on that page
 * @property {number} firstThere the same on the page of who was there before
 * @property {import('../harness/media.js').CandidatePair} pair of the second user
 * @property {import('../harness/media.js').CandidatePair} pairThere of the one who was there
 * @property {number[]} frames decoded in two seconds, second user first
 */

/**
 * Connects a call: the first user is in the room, the second arrives.
 * @param {Site} site
 * @param {Caller} there
 * @param {Caller} arriving
 * @param {string} room
 * @param {number} [rest] milliseconds for which the first user has been there when the second clicks
 * @returns the pages, when the click was (milliseconds since 1970), and how long after it each page had its first frame
 */
export async function connectCall(site, there, arriving, room, rest = 0) {
  const pages = await Promise.all([there, arriving].map(({ browser }) => browser.newPage()));
  const [pageThere, page] = pages;
  await Promise.all([there, arriving].map(async ({ client }, index) => {
    await client.pageIsLoaded?.(false);
    await site.open(pages[index], room, client.port);
    await client.pageIsLoaded?.(true);
  }));
  await site.join(pageThere);
  await site.joined(pageThere);
  if (rest) await pause(rest);
  const click = await site.join(page);
  const [first, firstThere] = (await Promise.all([firstFrame(page), firstFrame(pageThere)])).map((time) => time - click);
  return { page, pageThere, click, first, firstThere };
}

/**
 * Holds a connected call: two seconds of video both ways, then both pages are closed.
 * @param {Awaited<ReturnType<typeof connectCall>>} call
 * @param {Caller} there
 * @param {Caller} arriving
 * @returns {Promise<CallResult>}
 */
export async function holdCall({ page, pageThere, first, firstThere }, there, arriving) {
  const frames = await Promise.all([decodesVideo(page), decodesVideo(pageThere)]);
  const [pair, pairThere] = await Promise.all([pairInUse(page), pairInUse(pageThere)]);
  await Promise.all([page.context().close(), pageThere.context().close()]);
  return { kinds: `${there.client.kind} – ${arriving.client.kind}`, first, firstThere, pair, pairThere, frames };
}

/** What a call came to, in a few words: the pair of who came, and when there was a picture. @param {CallResult} result */
export function found({ pair, first }) {
  return `${describe(pair)}, ${(first / 1000).toFixed(1)} s`;
}

const describe = (/** @type {import('../harness/media.js').CandidatePair} */ pair) =>
  `${pair.local}${pair.relayProtocol && `/${pair.relayProtocol}`} – ${pair.remote}`;

/**
 * The table of all calls, ready to print.
 * @param {CallResult[]} results
 */
export function table(results) {
  const rows = results.map((r) => [r.kinds, describe(r.pairThere), describe(r.pair), `${r.first} ms`, `${r.firstThere} ms`, r.frames.join(' + ')]);
  const header = ['networks', 'pair, who was there', 'pair, who came', 'first frame', 'and there', 'frames in 2 s'];
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)));
  const line = (/** @type {string[]} */ cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/**
 * Median and worst of the times to the first frame.
 * @param {CallResult[]} results
 */
export function summary(results) {
  const times = results.map(({ first }) => first).sort((a, b) => a - b);
  return `${times.length} calls, first remote frame after ${times[times.length >> 1]} ms (median), ${times.at(-1)} ms (worst)`;
}

/**
 * Holds a call between every two kinds of network. Setting up is done one call at a time, so that its time can be
 * told; the two seconds of video overlap with the next calls, of other clients, up to `lanes` at once.
 * @param {Site} site
 * @param {[Caller, Caller][]} pairs who is there, who arrives
 * @param {{lanes?: number, told?: (name: string, result: CallResult | string) => void}} [options] told: of each call, when it
 *   is over, what it came to, or in words what was wrong
 */
export async function holdCalls(site, pairs, { lanes = 3, told = () => {} } = {}) {
  /** @type {CallResult[]} */
  const results = [];
  /** @type {Error[]} */
  const failures = [];
  const waiting = pairs.map((pair, index) => ({ pair, index }));
  /** @type {Set<Caller>} */
  const busy = new Set();
  /** @type {Set<Promise<void>>} */
  const running = new Set();
  while (waiting.length || running.size) {
    const next = running.size < lanes ? waiting.findIndex(({ pair }) => !pair.some((caller) => busy.has(caller))) : -1;
    if (next < 0) {
      await Promise.race(running);
      continue;
    }
    const [{ pair, index }] = waiting.splice(next, 1);
    const name = pair.map(({ client }) => client.kind).join(' – ');
    pair.forEach((caller) => busy.add(caller));
    /** @type {Awaited<ReturnType<typeof connectCall>>} */
    let call;
    try {
      call = await connectCall(site, pair[0], pair[1], `lab-${index}`);
    } catch (error) {
      failures.push(new Error(`${name}: no call`, { cause: error }));
      told(name, 'no call');
      await Promise.all(pair.flatMap(({ browser }) => browser.browser.contexts().map((context) => context.close())));
      pair.forEach((caller) => busy.delete(caller));
      continue;
    }
    const held = holdCall(call, pair[0], pair[1])
      .then((result) => {
        results[index] = result;
        told(name, result);
      })
      .catch((error) => {
        failures.push(new Error(`${name}: no lasting video`, { cause: error }));
        told(name, 'no lasting video');
      })
      .finally(() => {
        pair.forEach((caller) => busy.delete(caller));
        running.delete(held);
      });
    running.add(held);
  }
  return { results: results.filter(Boolean), failures };
}
