// A line over TLS becomes narrow in the middle of a call, and wide again. One row of narrow.lab.js, shorter, and judged by the
// order of magnitude: without what holds the line its round trip is some seconds and the picture stands still for as long as it is
// narrow.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { startCaller } from './calls.js';
import { counted } from './counted.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { holdNarrow, paths } from './narrowcall.js';

after(cleanup);

test('a call whose line becomes narrow stays a conversation', async () => {
  const lab = await Lab.create(), server = await startHost(lab), fps = 15;
  const [there, arriving] = await Promise.all([1, 2].map(async (number) => startCaller(await addClient(lab, paths.TLS, number), server.caFile ?? '', { fps })));
  const { own, shown } = await holdNarrow(lab, server.base, [there, arriving], 'narrow', { path: 'TLS', direction: 'down', kbit: 130 }, { fps, calm: 1000, narrowFor: 7000, lookedFor: 40_000 });
  const { median, still, later, back } = { ...shown, median: own.median };
  const told = `round trip ${median} ms, picture still for ${still.toFixed(1)} s, sound away for ${later} ms after the first seconds, all of it back after ${back.toFixed(1)} s`;
  console.log(told);
  assert.ok(median <= 1500 && still <= 6 && later <= 1500 && back <= 40, told);
  // Where the machine has the other side send so little that it fits, nothing waits.
  const dropped = await counted(lab, server, 'turnhub_relay_stream_late_total');
  assert.ok(dropped > 0 || own.worst <= 1500, `nothing that was too old was dropped, at a round trip of up to ${own.worst} ms`);
});
