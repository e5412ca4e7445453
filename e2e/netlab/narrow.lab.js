// A line becomes narrow in the middle of a call, and wide again: the round trip of the path in use, how long the picture
// stood still, how long the sound was away, and how soon everything is back. Times need an idle machine: `make narrow`, not
// `make test`. E2E_LINKS="TLS:down:130 UDP:up:80" chooses.
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

const links = (process.env.E2E_LINKS ?? 'TLS:down:300 TLS:up:300 TLS:down:130 TLS:up:130 TLS:both:130 TLS:down:80 TLS:up:80 TCP:down:130 TCP:up:130 UDP:down:130 UDP:up:130').split(' ')
  .map((words) => words.split(':'))
  .map(([path, direction, kbit]) => ({ path: /** @type {Path} */ (path), direction: /** @type {import('./links.js').Direction} */ (direction), kbit: Number(kbit) }));
/** So long a line stays narrow, milliseconds; the first 4 s are for finding out. */
const narrowFor = Number(process.env.E2E_SECONDS ?? 24) * 1000, findingOut = 4000;

/** @type {Lab} */
let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */
let server;
/** @type {Map<Path, Promise<[Caller, Caller]>>} */
const callers = new Map();
const rows = ['| line | round trip, median | worst | picture still | picture off | longest gap in sound | … after 4 s | invented | sound heard | sent twice | back after |', '|---|--:|--:|--:|--:|--:|--:|--:|--:|---|--:|'];

before(async () => {
  lab = await Lab.create();
  server = await startHost(lab);
});
after(async () => {
  console.log(rows.join('\n'));
  await cleanup();
});

/** Both ends of the calls over a path. @param {Path} path */
function callersOf(path) {
  let pair = callers.get(path);
  if (!pair) {
    const first = 2 * Object.keys(paths).indexOf(path) + 1;
    const starting = browsers.map(async (kind, side) => startCaller(await addClient(lab, paths[path], first + side), server.caFile ?? '', { kind }));
    callers.set(path, pair = /** @type {Promise<[Caller, Caller]>} */ (Promise.all(starting)));
  }
  return pair;
}

for (const [number, { path, direction, kbit }] of links.entries()) {
  test(`${path}, ${direction} ${kbit} kbit/s`, async () => {
    const [there, arriving] = await callersOf(path);
    const { page, pageThere } = await connectCall(turnhubSite(server.base), there, arriving, `narrow-${number}`);
    // Who has the narrow line is A; whose picture it hurts looks at the other end of it.
    const a = pageThere, seen = direction === 'up' ? page : a;
    await Promise.all([decodesVideo(a, { seconds: 3 }), decodesVideo(page, { seconds: 3 })]);
    await Promise.all([noteLine(a), noteLine(page)]);
    await pause(3000);
    const narrowed = Date.now();
    await narrowLink(lab, there.client, direction, kbit);
    await pause(narrowFor);
    const freed = Date.now();
    await narrowLink(lab, there.client, direction, 0);
    await pause(12_000);
    const [own, other] = await Promise.all([readLine(a, narrowed, freed, findingOut), readLine(page, narrowed, freed, findingOut)]);
    const { still, off, gap, later, invented, back, sounds, twice } = seen === a ? own : other;
    const row = `| ${path}, ${direction} ${kbit} kbit/s | ${own.median} ms | ${own.worst} ms | ${still} s | ${off} s | ${gap} ms | ${later} ms | ${invented} % | ${sounds} kbit/s | ${twice} | ${back} |`;
    rows.push(row);
    console.log(row);
    if (process.env.E2E_NOTES) console.log(own.notes.join('\n'), '\n--\n', other.notes.join('\n'));
    await Promise.all([page.context().close(), pageThere.context().close()]);
  });
}
