// A line becomes narrow in the middle of a call, or is from the beginning, and becomes wide again: the round trip of the path in use,
// how long the picture stood still, how long the sound was away, how soon everything is back, and what of that is not as it should be.
// Times need an idle machine: `make narrow`, not `make test`. E2E_LINKS="TLS:down:130 UDP:up:80 TLS:both:130:far TCP:down:80:start"
// chooses: far adds 100 ms of way, start is a line that is narrow before the call.
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { browsers, connectCall, startCaller } from './calls.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { narrowLink } from './links.js';
import { noteLine, readLine } from './line.js';
import { turnhubSite } from './sites.js';

/** @typedef {import('./calls.js').Caller} Caller */

/** The calls by what carries them, and the kind of both networks. */
const paths = /** @type {const} */ ({ UDP: 'symmetric', TCP: 'udp-blocked', TLS: 'tls-443', proxy: 'proxy' });

/** @typedef {keyof typeof paths} Path */

const links = (process.env.E2E_LINKS ?? 'UDP:down:130 UDP:up:130 TLS:down:300 TLS:up:300 TLS:down:130 TLS:up:130 TLS:both:130 TLS:down:80 TLS:up:80 TCP:down:130 TCP:up:130 proxy:down:130 proxy:up:130 TLS:down:130:far TLS:up:130:far TLS:down:130:start TLS:up:130:start').split(' ')
  .map((words) => words.split(':'))
  .map(([path, direction, kbit, ...how]) => ({ name: `${path}, ${direction} ${kbit} kbit/s${how.includes('far') ? ', 100 ms away' : ''}${how.includes('start') ? ', from the beginning' : ''}`,
    path: /** @type {Path} */ (path), direction: /** @type {import('./links.js').Direction} */ (direction), kbit: Number(kbit), far: how.includes('far'), start: how.includes('start') }));
/** Pictures a second of the cameras: a browser that has made pictures smaller looks at 60 before it makes them larger again. */
const fps = Number(process.env.E2E_FPS ?? 15);
/** So long a line stays narrow, milliseconds; the first 4 s are for finding out. */
const narrowFor = Number(process.env.E2E_SECONDS ?? 24) * 1000, findingOut = 4000;

/** @type {Lab} */
let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */
let server;
/** By path and distance. @type {Map<string, Promise<[Caller, Caller]>>} */
const callers = new Map();
const rows = ['| line | round trip, median | worst | picture still | picture off | longest gap in sound | … after 4 s | invented | sound heard | sent twice | back after | not as it should be |', '|---|--:|--:|--:|--:|--:|--:|--:|--:|---|--:|---|'];

before(async () => {
  lab = await Lab.create();
  server = await startHost(lab);
});
after(async () => {
  console.log(rows.join('\n'));
  await cleanup();
});

/** Both ends of the calls over a path. @param {Path} path @param {boolean} far the first is 100 ms away */
function callersOf(path, far) {
  const key = /** @type {const} */ (`${path}${far ? ' far' : ''}`);
  let pair = callers.get(key);
  if (!pair) {
    const first = 2 * callers.size + 1;
    const starting = browsers.map(async (kind, side) => startCaller(await addClient(lab, paths[path], first + side, { delay: far && side === 0 ? 50 : 0 }), server.caFile ?? '', { kind, fps }));
    callers.set(key, pair = /** @type {Promise<[Caller, Caller]>} */ (Promise.all(starting)));
  }
  return pair;
}

/** How long the picture stood still straight over UDP, by direction and rate, as far as that was run before, seconds. @type {Map<string, number>} */
const still = new Map();

/**
 * What of a row is not as it should be, in words.
 * @param {typeof links[number]} link @param {Awaited<ReturnType<typeof readLine>>} own @param {Awaited<ReturnType<typeof readLine>>} seen
 */
function missed({ path, direction, kbit }, own, seen) {
  const aims = [{ what: 'all of it back', is: seen.backAfter, most: 10 }];
  if (path === 'UDP') still.set(`${direction} ${kbit}`, Number(seen.still));
  else if (kbit >= 130) {
    const up = direction !== 'down', beside = still.get(`${direction} ${kbit}`);
    aims.push({ what: 'round trip, median', is: own.median, most: up ? 600 : 400 }, { what: 'picture still', is: Number(seen.still), most: up ? 3 : (beside ?? 2) + 1 });
    if (!up) aims.push({ what: 'round trip, worst', is: own.worst, most: 1000 });
  }
  if (kbit >= 80) aims.push({ what: 'gap in sound', is: seen.later, most: 200 });
  return aims.filter(({ is, most }) => !(is <= most)).map(({ what, is, most }) => `${what} ${is} (${most})`).join(', ') || '–';
}

for (const [number, link] of links.entries()) {
  const { name, path, direction, kbit, far, start } = link;
  test(name, async () => {
    const [there, arriving] = await callersOf(path, far);
    if (start) await narrowLink(lab, there.client, direction, kbit);
    const { page, pageThere, first, firstThere } = await connectCall(turnhubSite(server.base), there, arriving, `narrow-${number}`);
    // Who has the narrow line is A; whose picture it hurts looks at the other end of it.
    const a = pageThere, seen = direction === 'up' ? page : a;
    if (!start) await Promise.all([decodesVideo(a, { seconds: 3 }), decodesVideo(page, { seconds: 3 })]);
    await Promise.all([noteLine(a), noteLine(page)]);
    await pause(start ? 0 : 3000);
    const narrowed = Date.now();
    if (!start) await narrowLink(lab, there.client, direction, kbit);
    await pause(narrowFor);
    const freed = Date.now();
    await narrowLink(lab, there.client, direction, 0);
    await pause(12_500);
    const whole = start ? { width: 640, frames: fps } : undefined;
    const [own, other] = await Promise.all([readLine(a, narrowed, freed, findingOut, whole), readLine(page, narrowed, freed, findingOut, whole)]);
    const shown = seen === a ? own : other;
    const row = `| ${name} | ${own.median} ms | ${own.worst} ms | ${shown.still} s | ${shown.off} s | ${shown.gap} ms | ${shown.later} ms | ${shown.invented} % | ${shown.sounds} kbit/s | ${shown.twice} | ${shown.back} | ${missed(link, own, shown)} |`;
    rows.push(row);
    console.log(row, start ? `first picture after ${first} and ${firstThere} ms` : '');
    if (process.env.E2E_NOTES) console.log(own.notes.join('\n'), '\n--\n', other.notes.join('\n'));
    await Promise.all([page.context().close(), pageThere.context().close()]);
  });
}
