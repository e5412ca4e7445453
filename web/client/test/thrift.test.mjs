// What is known of a line before the call, and that nothing is opened or tried beside a call on a narrow one.
import test from 'node:test';
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {downlink, sample, sampleDownlink} from '../base/downlink.js';
import {received} from '../call/path/received.js';
import {Thrift} from '../call/thrift.js';

const origin = 'https://calls.example.org';
const file = (from, until, bytes, more) => ({name: `${origin}/static/app.js`, initiatorType: 'script', transferSize: bytes, responseStart: from, responseEnd: until, ...more});
const kbit = (entries, since = 0) => Math.round(downlink(since, entries, origin) / 1000);

test('what the files of a page show of the line', () => {
  assert.equal(kbit([]), Infinity);
  assert.equal(kbit([file(100, 5100, 80_000)]), 128);
  assert.equal(kbit([file(100, 5100, 40_000), file(200, 5000, 39_000), file(3000, 3100, 1000)]), 128, 'side by side');
  assert.equal(kbit([file(100, 200, 3000), file(300, 400, 3000)]), Infinity, 'too little to say anything');
  assert.equal(kbit([file(100, 5100, 80_000), file(6000, 6100, 20_000)]), 1600, 'the fastest run of them counts');
  assert.equal(kbit([file(100, 5100, 80_000)], 5200), Infinity, 'old ones say nothing');
  assert.equal(kbit([file(0, 5100, 0), file(0, 0, 80_000)]), Infinity, 'nor do those that the browser had');
  assert.equal(kbit([file(100, 5100, 80_000, {name: 'https://elsewhere.example.org/slow.js'})]), Infinity, 'nor other servers');
  assert.equal(kbit([file(100, 5100, 80_000, {name: 'https://calls.example.org.elsewhere.example.org/slow.js'})]), Infinity);
  assert.equal(kbit([file(100, 5100, 80_000, {initiatorType: 'audio'})]), Infinity, 'nor what is played');
});

test('what the other side says of its line is a number of bits', () => {
  assert.equal(received({takes: 118_000}).takes, 118_000);
  for (const takes of [0, -1, 1.5, '9', null, {}, Infinity, 2 ** 60]) assert.equal(received({takes}).takes, undefined, String(takes));
});

test('our line is the narrow one where everybody with whom we are connected is on it', () => {
  const peers = new Set(), told = [];
  let takes = 118_000.4, now = 1000;
  const thrift = new Thrift({setNarrow: (narrow) => told.push(narrow)}, peers, (since) => (since > 500_000 ? Infinity : takes), () => now);
  assert.equal(thrift.here, false);
  assert.deepEqual(thrift.said, {takes: 118_000});
  takes = 5_000_000;
  now += 10_000;
  assert.deepEqual(thrift.said, {});
  const [a, b] = [{state: 'connected', narrow: true}, {state: 'connecting', narrow: false}];
  for (const peer of [a, b]) peers.add(peer);
  thrift.beat();
  b.state = 'connected';
  thrift.beat();
  b.narrow = true;
  thrift.beat();
  thrift.end();
  assert.deepEqual(told, [true, false, true, false]);
  takes = 118_000;
  now += 10_000;
  assert.equal(thrift.expected, true);
  now = 600_000;
  thrift.forget();
  assert.equal(thrift.expected, false, 'another network is another line');
});

test('whose browser had the page already has one file come past its cache', async (t) => {
  const size = (await readFile(new URL(`../../${sample}`, import.meta.url))).length;
  assert.ok(size >= 16_000 && size < 20_000, `${size} bytes`);
  assert.equal(kbit([file(100, 1100, size, {name: `${origin}/below/${sample}`, initiatorType: 'fetch'})]), Math.round(size / 125));
  assert.equal(kbit([file(100, 1100, size, {initiatorType: 'fetch'})]), Infinity, 'what a script asks for otherwise says nothing: it may be slow by itself');
  const asked = [], get = async (url, {cache}) => { asked.push([String(url), cache]); return new Response('no JSON'); };
  Object.defineProperty(globalThis, 'location', {value: new URL(origin), configurable: true});
  t.after(() => { delete globalThis.location; });
  await sampleDownlink(get, new URL(`${origin}/below/`));
  await sampleDownlink(get, new URL('https://elsewhere.example.org/'));
  await sampleDownlink(get, null);
  await sampleDownlink(async () => { throw new TypeError('no network'); }, new URL(origin));
  assert.deepEqual(asked, [[`${origin}/below/${sample}`, 'no-store']]);
});

test('a line of which nothing is known is looked at before a call, once for each network', async () => {
  let takes = Infinity, now = 1000, samples = 0, failing = false;
  const thrift = new Thrift({setNarrow: () => {}}, new Set(), () => takes, () => now, async () => { samples++; if (failing) throw new Error('no network'); takes = 118_000; });
  assert.equal(thrift.expected, false);
  thrift.look();
  thrift.look();
  await null;
  await null;
  assert.deepEqual([samples, thrift.expected], [1, true], 'what was not known a moment ago is now');
  takes = Infinity;
  for (; now < 250_000; now += 1000) thrift.look();
  assert.equal(samples, 1);
  now = 302_000;
  thrift.look();
  assert.equal(samples, 2, 'it is known no longer');
  takes = 20_000_000;
  thrift.forget();
  thrift.look();
  assert.equal(samples, 2, 'the files of the page say it');
  [takes, failing] = [Infinity, true];
  thrift.look();
  thrift.look();
  assert.equal(samples, 3);
});
