// Both routers of a call begin to lose packets, and stop: how much of the sound has to be invented, and what it costs. Times
// and shares need an idle machine: `make narrow`, not `make test`. E2E_LOSSES="UDP:5 UDP:10" chooses.
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { browsers, connectCall, startCaller } from './calls.js';
import { loss } from './faults.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { noteLine, readSound } from './line.js';
import { turnhubSite } from './sites.js';

/** The calls by what carries them, and the kind of both networks. */
const paths = /** @type {const} */ ({ direct: 'cone', UDP: 'symmetric', TLS: 'tls-443' });

/** @typedef {keyof typeof paths} Path */

const losses = (process.env.E2E_LOSSES ?? 'UDP:5 UDP:10').split(' ').map((words) => words.split(':'))
  .map(([path, percent]) => ({ path: /** @type {Path} */ (path), percent: Number(percent) }));
/** So long packets are lost, and so long it is looked at afterwards, milliseconds. */
const lossyFor = Number(process.env.E2E_SECONDS ?? 40) * 1000, calmFor = Number(process.env.E2E_CALM ?? 45) * 1000;

/** @type {Lab} */
let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */
let server;
const rows = ['| path, lost by each router | invented, nothing lost yet | heard once | heard twice | sound sent, before | during | in the end | sent twice |', '|---|--:|--:|--:|--:|--:|--:|---|'];

before(async () => {
  lab = await Lab.create();
  server = await startHost(lab);
});
after(async () => {
  console.log(rows.join('\n'));
  await cleanup();
});

for (const [number, { path, percent }] of losses.entries()) {
  test(`${path}, ${percent} % lost by each router`, async () => {
    const [there, arriving] = await Promise.all(browsers.map(async (kind, side) => (
      startCaller(await addClient(lab, paths[path], 2 * number + side + 1), server.caFile ?? '', { kind }))));
    const { page, pageThere } = await connectCall(turnhubSite(server.base), there, arriving, `lossy-${number}`);
    await Promise.all([decodesVideo(pageThere, { seconds: 3 }), decodesVideo(page, { seconds: 3 })]);
    await Promise.all([noteLine(pageThere), noteLine(page)]);
    await pause(5000);
    const began = Date.now();
    for (const { client } of [there, arriving]) await loss(lab, client, percent);
    await pause(lossyFor);
    const ended = Date.now();
    for (const { client } of [there, arriving]) await loss(lab, client, 0);
    await pause(calmFor);
    await Promise.all([decodesVideo(pageThere), decodesVideo(page)]);
    const sides = await Promise.all([pageThere, page].map((each) => readSound(each, began, ended)));
    for (const [side, sound] of sides.entries()) {
      const row = `| ${path}, ${percent} %, heard by ${browsers[side]} | ${sound.clean} | ${sound.once} | ${sound.twice} | ${sound.calm} kbit/s | ${sound.during} kbit/s | ${sound.end} kbit/s | ${sound.redundant} |`;
      rows.push(row);
      console.log(row);
      if (process.env.E2E_NOTES) console.log(sound.notes.join('\n'), '\n--\n');
    }
    await Promise.all([there, arriving].map(({ browser }) => browser.close()));
  });
}
