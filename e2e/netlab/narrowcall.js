// A call whose line becomes narrow and wide again, and what it should come to.
import { setTimeout as pause } from 'node:timers/promises';
import { decodesVideo } from '../harness/media.js';
import { connectCall } from './calls.js';
import { narrowLink } from './links.js';
import { noteLine, readLine } from './line.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('./calls.js').Caller} Caller */

/** The calls by what carries them, and the kind of both networks. */
export const paths = /** @type {const} */ ({ UDP: 'symmetric', TCP: 'udp-blocked', TLS: 'tls-443', proxy: 'proxy' });

/** @typedef {keyof typeof paths} Path */
/** @typedef {{path: Path, direction: import('./links.js').Direction, kbit: number, start?: boolean, cached?: boolean}} Link start: it is narrow before the call; cached: and the browsers had the page already */
/** @typedef {Awaited<ReturnType<typeof readLine>>} Read */

/** The first so many milliseconds of a narrow line are for finding out. */
const findingOut = 4000;

/**
 * Holds a call over a line that is narrow for a while.
 * @param {import('./lab.js').Lab} lab @param {string} base of the server
 * @param {[Caller, Caller]} callers who is there has the line @param {string} room @param {Link} link
 * @param {{fps: number, calm?: number, narrowFor: number, lookedFor: number}} times milliseconds before it becomes narrow, that it stays so, and that all
 *   of it is waited for afterwards
 * @returns what who has the line came to, what the other one did, and of both whose picture and sound it hurts
 */
export async function holdNarrow(lab, base, [there, arriving], room, { direction, kbit, start = false, cached = false }, { fps, calm = 3000, narrowFor, lookedFor }) {
  const narrow = () => narrowLink(lab, there.client, direction, kbit), site = turnhubSite(base);
  if (start && !cached) await narrow();
  const { page, pageThere, first, firstThere } = await connectCall(cached ? seenBefore(site, narrow) : site, there, arriving, room);
  // Who has the narrow line is A; whose picture it hurts looks at the other end of it.
  const a = pageThere, seen = direction === 'up' ? page : a;
  if (!start) await Promise.all([decodesVideo(a, { seconds: 3 }), decodesVideo(page, { seconds: 3 })]);
  await Promise.all([noteLine(a), noteLine(page)]);
  await pause(start ? 0 : calm);
  const narrowed = Date.now();
  if (!start) await narrow();
  await pause(narrowFor);
  const freed = Date.now();
  await narrowLink(lab, there.client, direction, 0);
  const whole = start ? { width: 640, frames: fps } : undefined;
  const read = () => Promise.all([readLine(a, narrowed, freed, findingOut, whole), readLine(page, narrowed, freed, findingOut, whole)]);
  let [own, other] = await read();
  while (Date.now() < freed + lookedFor + 2500) {
    await pause(1000);
    [own, other] = await read();
    if ((seen === a ? own : other).back < Infinity) break;
  }
  await Promise.all([page.context().close(), pageThere.context().close()]);
  return { own, other, shown: seen === a ? own : other, first, firstThere };
}

/**
 * A site whose pages the browsers have had before the line becomes narrow: a page of it has been open in another of the tabs of each.
 * @param {import('./calls.js').Site} site @param {() => Promise<void>} narrow @returns {import('./calls.js').Site}
 */
function seenBefore(site, narrow) {
  let opened = 0, all = () => {};
  /** @type {Promise<void> | undefined} */ let narrowed;
  /** @type {Promise<void>} */ const both = new Promise((resolve) => { all = resolve; });
  return { ...site, async open(page, room, port) {
    const before = await page.context().newPage();
    await site.open(before, room, port);
    await before.close();
    if (++opened === 2) all();
    await both;
    await (narrowed ??= narrow());
    await site.open(page, room, port);
  } };
}

/**
 * What a row should come to at the most. Straight over UDP it is the browser alone, which the others are held against.
 * @param {Link} link @param {Read} own who has the line @param {Read} seen whose picture and sound it hurts
 * @param {number} straight for so many seconds the picture stands still straight over UDP
 */
export function aims({ path, direction, kbit }, own, seen, straight) {
  if (path === 'UDP') return [];
  const up = direction !== 'down', list = [{ what: 'all of it back', is: seen.back, most: 10, unit: 's' }];
  if (kbit >= 130) {
    list.push({ what: 'round trip, median', is: own.median, most: up ? 600 : 400, unit: 'ms' });
    if (!up) list.push({ what: 'round trip, worst', is: own.worst, most: 1000, unit: 'ms' });
    list.push({ what: 'picture still', is: seen.still, most: up ? 3 : straight + 1, unit: 's' });
  }
  if (kbit >= 80) list.push({ what: 'gap in sound', is: seen.later, most: 200, unit: 'ms' });
  return list;
}

/** @param {number} number @param {string} unit @param {number} [digits] */
export const told = (number, unit, digits = 0) => (Number.isNaN(number) ? '–' : number === Infinity ? 'not in time' : `${number.toFixed(digits)} ${unit}`);
/** @param {ReturnType<typeof aims>[number]} aim */
export const inWords = ({ what, is, most, unit }) => `${what} ${told(is, unit, unit === 's' ? 1 : 0)} (aim ${most.toFixed(unit === 's' ? 1 : 0)} ${unit})`;
