import assert from 'node:assert/strict';
import { frameTimes, watchFrames } from '../harness/media.js';
import { orFailed, record } from './record.js';

/** @typedef {import('playwright-core').Page} Page */

/**
 * What became of the video of one page when something broke.
 * @typedef {object} Healing
 * @property {string} what was broken, and which call
 * @property {number} gap longest time without a decoded frame since then, in milliseconds
 * @property {number} back milliseconds from the mend (or the break, where nothing is mended) to video again: the end
 *   of the last hole of half a second; 0 where there was none
 * @property {number} aim what we aim at for `back`, in milliseconds
 */

/** So many milliseconds without a frame, at ten frames a second on two busy cores, are a hole. */
const hole = 500;

/**
 * Breaks running calls and waits until every page has had video again for three seconds. What came of it is recorded.
 * @param {string} what
 * @param {{name: string, pages: Page[], aim: number}[]} calls
 * @param {() => Promise<number | void>} breakIt breaks and mends; returns when it was mended, if that was later
 *   than the break (milliseconds since 1970)
 * @param {number} [deadline] milliseconds from the mend
 * @returns {Promise<Healing[]>}
 */
export async function heal(what, calls, breakIt, deadline = 30_000) {
  await Promise.all(calls.flatMap(({ pages }) => pages.map(watchFrames)));
  const broken = Date.now();
  const mended = (await breakIt()) ?? broken;
  const healings = [];
  for (const { name, pages, aim } of calls) {
    const times = await orFailed('faults', [`${what}, ${name}`], () => Promise.all(pages.map((page) => videoAgain(page, mended, deadline).catch((error) => {
      throw new Error(`${what}, ${name}: ${error.message}`);
    }))));
    const holes = times.flatMap((each) => gaps(each, broken));
    const gap = Math.max(...holes.map(([from, to]) => to - from));
    // The last frame of the old path may be decoded a little after the break: what counts is the end of a hole.
    const back = Math.max(0, ...holes.filter(([from, to]) => to - from >= hole).map(([, to]) => to - mended));
    healings.push({ what: `${what}, ${name}`, gap, back, aim });
    record('faults', [`${what}, ${name}`, back ? `${(gap / 1000).toFixed(1)} s` : 'no gap']);
  }
  return healings;
}

/**
 * Waits for three seconds with frames in every one, all after a moment in time.
 * @param {Page} page @param {number} since @param {number} deadline
 */
async function videoAgain(page, since, deadline) {
  await page.waitForFunction(
    (since) => {
      const times = /** @type {any} */ (window).frameTimes.filter((/** @type {number} */ time) => time >= since);
      // A run of frames up to now, three seconds long, with no hole of a second in it.
      let start = times.length - 1;
      while (start > 0 && times[start] - times[start - 1] < 1000) start--;
      return start >= 0 && times[times.length - 1] - times[start] >= 3000;
    },
    since,
    { timeout: deadline, polling: 200 },
  );
  return frameTimes(page);
}

/** @param {number[]} times @param {number} since @returns {[number, number][]} */
function gaps(times, since) {
  const before = times.filter((time) => time < since).at(-1) ?? since;
  const after = times.filter((time) => time >= since);
  assert.ok(after.length, 'there are frames after the break');
  return after.map((time, index) => [index ? after[index - 1] : before, time]);
}

/** The table of all healings. @param {Healing[]} healings */
export function healingTable(healings) {
  const rows = healings.map(({ what, gap, back, aim }) => [what, `${gap} ms`, back ? `${back} ms` : 'no gap', aim ? `${aim} ms` : 'no gap']);
  const header = ['what was broken', 'longest gap', 'video back after', 'aim'];
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)));
  const line = (/** @type {string[]} */ cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
