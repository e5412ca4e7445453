// The way through the server's WebSocket: keys, when sound is played, how much is sent, messages. Pictures need a browser:
// e2e/browser/websocket.long.js.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Exchange, kinds} from '../call/websocket/seal.js';
import {Playout, packetSamples, sampleRate} from '../call/websocket/playout.js';
import {Rate, sizeFor} from '../call/websocket/rate.js';
import {Channels} from '../call/websocket/channels.js';
import {Busy} from '../call/websocket/busy.js';
import {Pieces, oversized} from '../call/websocket/pictures.js';
import {received} from '../call/path/received.js';
import {FakeClock} from './fakes.mjs';

/** Numbers that look random, and are the same with the same seed. @param {number} seed */
function random(seed) {
  let state = seed >>> 0;
  return (/** @type {number} */ most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * most;
  };
}

async function agreed() {
  const [a, b] = [await Exchange.begin(), await Exchange.begin()];
  return [await a.agree(b.publicKey), await b.agree(a.publicKey)];
}

test('both sides agree on the same, and not through somebody between', async () => {
  const [a, b] = await agreed();
  assert.match(a.agreement, /^[0-9a-f]{64}$/);
  assert.equal(a.agreement, b.agreement);
  const [one, between, other] = await Promise.all([Exchange.begin(), Exchange.begin(), Exchange.begin()]);
  assert.notEqual((await one.agree(between.publicKey)).agreement, (await other.agree(between.publicKey)).agreement);
});

test('keys that are bound to a secret are made by those who know it alone', async () => {
  const [a, b] = [await Exchange.begin(), await Exchange.begin()], secret = new Uint8Array(32).fill(7);
  const [mine, theirs, without, another] = [await a.agree(b.publicKey, secret), await b.agree(a.publicKey, secret), await b.agree(a.publicKey), await b.agree(a.publicKey, new Uint8Array(32).fill(8))];
  const frame = await mine.sealer.seal(kinds.sound, bytes(1, 2, 3));
  assert.deepEqual((await theirs.opener.open(frame))?.content, bytes(1, 2, 3));
  for (const other of [without, another]) assert.equal(await other.opener.open(frame), null);
});

const bytes = (/** @type {number[]} */ ...values) => new Uint8Array(values);

test('what is sealed is opened by the other side alone, once and in order', async () => {
  const [a, b] = await agreed();
  const sealed = [];
  for (let i = 0; i < 5; i++) sealed.push(await a.sealer.seal(kinds.sound, bytes(1, 2, i)));
  assert.ok(!Buffer.from(sealed[4]).includes(Buffer.from([1, 2, 4])), 'nothing of it is readable');
  assert.equal(await a.opener.open(sealed[0]), null, 'the way back has another key');
  assert.deepEqual((await b.opener.open(sealed[0]))?.content, bytes(1, 2, 0));
  assert.equal(await b.opener.open(sealed[0]), null, 'said again');
  const late = await b.opener.open(sealed[3]);
  assert.deepEqual([late?.missing, late?.kind], [2, kinds.sound]);
  assert.equal(await b.opener.open(sealed[1]), null, 'too late');
  for (const at of [0, 4, 9, sealed[4].length - 1]) {
    const altered = sealed[4].slice();
    altered[at] ^= 1;
    assert.equal(await b.opener.open(altered), null, `byte ${at} altered`);
  }
  assert.equal(await b.opener.open(sealed[4].slice(0, 20)), null, 'cut off');
  assert.deepEqual((await b.opener.open(sealed[4]))?.content, bytes(1, 2, 4), 'what was refused has spoilt nothing');
  assert.equal(b.opener.refused, 7);
});

test('a counter at its end, or at none, is one like others', async (t) => {
  const a = await Exchange.begin(), b = await Exchange.begin(), encrypt = crypto.subtle.encrypt.bind(crypto.subtle);
  const [{sealer}, {opener}] = [await a.agree(b.publicKey), await b.agree(a.publicKey)];
  /** @type {any} */ let key;
  t.mock.method(crypto.subtle, 'encrypt', (/** @type {any} */ how, /** @type {any} */ by, /** @type {any} */ data) => encrypt(how, key = by, data));
  const first = await sealer.seal(kinds.sound, bytes(1));
  const frame = async (/** @type {bigint} */ number) => {
    const iv = new Uint8Array(12);
    iv[0] = kinds.sound;
    new DataView(iv.buffer).setBigUint64(4, number);
    const sealed = new Uint8Array(await encrypt({name: 'AES-GCM', iv, additionalData: bytes(kinds.sound)}, key, bytes(7))), whole = new Uint8Array(9 + sealed.length);
    whole[0] = kinds.sound;
    new DataView(whole.buffer).setBigUint64(1, number);
    whole.set(sealed, 9);
    return whole;
  };
  assert.equal(await opener.open(await frame(0n)), null, 'none is sealed under that');
  const last = await opener.open(await frame(2n ** 64n - 1n));
  assert.ok(last && Number.isFinite(last.number) && last.missing > 0 && Number.isFinite(last.missing));
  assert.equal(await opener.open(await frame(2n ** 64n - 1n)), null, 'once');
  assert.equal(await opener.open(first), null, 'and nothing after it: who does that is not heard any more');
  assert.ok(await opener.open(await sealer.seal(kinds.report, bytes(1))), 'in that lane');
});

test('sound may overtake pictures', async () => {
  const [a, b] = await agreed();
  const picture = await a.sealer.seal(kinds.key, bytes(1)), sound = await a.sealer.seal(kinds.sound, bytes(2)), piece = await a.sealer.seal(kinds.piece, bytes(3));
  for (const [frame, missing] of /** @type {const} */ ([[sound, 0], [picture, 0], [piece, 0]])) assert.equal((await b.opener.open(frame))?.missing, missing);
  const other = await a.sealer.seal(kinds.picture, bytes(4));
  other[0] = kinds.key;
  assert.equal(await b.opener.open(other), null, 'a picture that is said to be another kind');
});

test('a key that is none, or our own, is refused', async () => {
  const a = await Exchange.begin();
  await assert.rejects(a.agree(a.publicKey));
  await assert.rejects(a.agree('A'.repeat(87)));
  await assert.rejects(a.agree(''));
});

const tone = (/** @type {number} */ from) => Float32Array.from({length: packetSamples}, (_, i) => Math.sin((from * sampleRate / 1000 + i) / 20));

/** Plays a line of packets: [sent at, comes at]; the level of each 20 ms that is played. @param {[number, number][]} packets @param {number} until */
function play(packets, until) {
  const playout = new Playout(), block = new Float32Array(packetSamples);
  /** @type {{at: number, level: number, target: number, waiting: number}[]} */ const played = [];
  let next = 0;
  for (let now = 0; now < until; now += 20) {
    for (; next < packets.length && packets[next][1] <= now; next++) playout.push(packets[next][0], tone(packets[next][0]), packets[next][1]);
    playout.pull(block);
    played.push({at: playout.at, level: Math.max(...block.map(Math.abs)), target: playout.target, waiting: playout.waiting});
  }
  return {playout, played};
}

test('sound that comes evenly is played after 60 ms, without a gap', () => {
  const {playout, played} = play(Array.from({length: 500}, (_, i) => [i * 20, i * 20 + 30]), 10_000);
  assert.equal(playout.target, 60);
  assert.ok(played.slice(10, 490).every(({level}) => level > 0.5));
  assert.ok(played.slice(10, 490).every(({waiting}) => waiting <= 120));
});

test('what a hiccup has cost is made good, whole', () => {
  for (const hiccup of [100, 140, 300]) {
    const packets = /** @type {[number, number][]} */ (Array.from({length: 1500}, (_, i) => [i * 20, Math.max(i * 20 + 30, i * 20 < 5000 + hiccup && i * 20 >= 5000 ? 5030 + hiccup : 0)]));
    const {played} = play(packets, 30_000), [before, after] = [played[240], played[1490]];
    assert.ok(Math.max(...played.slice(250, 290).map(({waiting}) => waiting)) > before.waiting + 20, 'it did cost something');
    assert.equal(after.target, before.target);
    assert.ok(after.waiting <= before.waiting + 5, `${hiccup} ms: ${before.waiting} ms wait before, ${after.waiting} after`);
    assert.ok(after.waiting >= after.target - 25);
  }
});

test('in a silence packets come one by one, and what is said then waits as long as ever', () => {
  const spoken = (/** @type {number} */ i) => i % 200 < 100 || i % 20 === 0; // two seconds of each four
  const packets = /** @type {[number, number][]} */ (Array.from({length: 1500}, (_, i) => [i * 20, i * 20 + (i % 3 === 1 ? 55 : 30)])).filter((_, i) => spoken(i));
  const {played} = play(packets, 30_000);
  for (let at = 4000; at < 28_000; at += 4000) {
    // From its first packet on one follows the other.
    const from = played.findIndex((block) => block.at > at), words = played.slice(from, from + 80);
    assert.ok(from * 20 < at + 130, `said at ${at} ms, played at ${from * 20}`);
    assert.ok(words.every((word, i) => i === 0 || word.at - words[i - 1].at > 15), `said at ${at} ms, played: ${words.map((word) => Math.round(word.at - at))}`);
  }
});

test('what comes evenly is played sample by sample as it was, in blocks of every length', () => {
  for (const length of [1, 7, 128, 479, packetSamples]) {
    const playout = new Playout(), block = new Float32Array(length), played = new Float32Array(56 * packetSamples);
    for (let at = 0, next = 0; at + length < played.length; at += length) {
      for (; next * packetSamples <= at; next++) playout.push(next * 20, tone(next * 20), next * 20);
      playout.pull(block);
      played.set(block, at);
    }
    const from = played.findIndex(Boolean) - 1; // the first sample is zero
    for (let i = 0; i < 50 * packetSamples; i++) {
      if (played[from + i] !== tone(Math.floor(i / packetSamples) * 20)[i % packetSamples]) assert.fail(`blocks of ${length}: sample ${i} is ${played[from + i]}`);
      if (i % packetSamples === 0) i += packetSamples - 3; // the ends of packets, and what lies about those of blocks
    }
    assert.ok(playout.concealed < 8 * packetSamples);
  }
});

test('sound that comes unevenly waits longer, and what is missing is concealed', () => {
  const noise = random(7);
  let free = 0;
  const packets = /** @type {[number, number][]} */ (Array.from({length: 1000}, (_, i) => {
    free = Math.max(free, i * 20 + 30 + noise(150)); // in order, as a stream is
    return [i * 20, free];
  })).filter((_, i) => i % 50 !== 49);
  const {playout, played} = play(packets, 20_000);
  assert.ok(playout.target > 100 && playout.target <= 220, `${playout.target} ms`);
  const gaps = played.slice(100, 980).filter(({level}) => level === 0).length;
  assert.ok(gaps < 5, `${gaps} silent of 880`);
  assert.ok(playout.concealed > 0);
});

test('a line that stands still for two seconds does not stay two seconds late', () => {
  const packets = /** @type {[number, number][]} */ (Array.from({length: 1000}, (_, i) => [i * 20, i * 20 >= 4000 && i * 20 < 6000 ? 6000 : i * 20 + 20]));
  const {played} = play(packets, 20_000);
  assert.ok(played[900].waiting < 450, `${played[900].waiting} ms wait`);
  assert.ok(played.slice(320, 900).filter(({level}) => level > 0.1).length > 550);
});

test('two clocks that differ by a thousandth neither starve nor pile up', () => {
  for (const drift of [0.999, 1.001]) {
    const {played} = play(Array.from({length: 15_000}, (_, i) => [i * 20, i * 20 * drift + 20]), 290_000);
    assert.ok(played.slice(100).every(({waiting}) => waiting < 300));
    assert.ok(played.slice(100).filter(({level}) => level < 0.1).length < 20);
  }
});

test('whatever comes, little is kept: 20,000 random packets', () => {
  const seed = 20261128, pick = random(seed);
  const playout = new Playout(), block = new Float32Array(128);
  for (let i = 0, now = 0; i < 20_000; i++) {
    now += pick(40);
    playout.push(pick(10) < 1 ? pick(2 ** 32) : now + pick(400) - 200, new Float32Array(Math.ceil(pick(packetSamples * 2))), now);
    playout.pull(block);
    assert.ok(block.every((value) => Math.abs(value) <= 1 && !Number.isNaN(value)), `seed ${seed}`);
    assert.ok(playout.target >= 60 && playout.target <= 400);
  }
});

/** A line of so many bits a second with a queue: what is sent through it by the rate. @param {(now: number) => number} line @param {number} seconds */
function through(line, seconds) {
  const rate = new Rate(), sound = 30_000;
  let queue = 0;
  const seen = [];
  for (let now = 0; now < seconds * 1000; now += 500) {
    const carries = line(now) / 2;
    queue += (rate.picture + sound) / 2;
    const got = Math.min(queue, carries);
    queue -= got;
    let lost = 0;
    while (queue / (carries * 2) > 0.4) { queue -= carries * 0.1; lost++; } // the server drops what is late
    rate.take(now, {age: (queue / (carries * 2)) * 1000, got: got * 2, lost}, 0, {carries: queue > 0 ? Math.max(0, got * 2 - sound) : Infinity, roomy: queue === 0 && carries > 250_000});
    seen.push({now, picture: rate.picture, delay: (queue / (carries * 2)) * 1000});
  }
  return seen;
}

test('the rate follows the line, down within a second or two and up again', () => {
  const seen = through((now) => (now > 20_000 && now < 50_000 ? 130_000 : 1_000_000), 120);
  const at = (/** @type {number} */ second) => /** @type {{picture: number, delay: number}} */ (seen.find(({now}) => now >= second * 1000));
  assert.ok(at(19).picture > 500_000, `${at(19).picture} at first`);
  assert.ok(at(26).picture + 30_000 < 150_000 && at(26).picture > 30_000, `${at(26).picture} on the narrow line`);
  assert.ok(at(40).delay < 450);
  assert.ok(at(110).picture > 400_000, `${at(110).picture} again`);
});

test('a line that carries sound alone has no picture, and has one again when there is room', () => {
  const seen = through((now) => (now < 40_000 ? 45_000 : 1_000_000), 240);
  assert.equal(seen[60].picture, 0);
  assert.ok(/** @type {any} */ (seen.at(-1)).picture > 300_000);
  assert.deepEqual(sizeFor(300_000), {width: 640, height: 360, frames: 15});
});

test('a line is narrow until something has shown that it is not', () => {
  const rate = new Rate(), fine = {age: 0, got: 60_000, lost: 0};
  let now = 0;
  const take = (/** @type {number} */ seconds, /** @type {{carries: number, roomy: boolean}} */ seen) => { for (const end = now + seconds * 1000; now < end; now += 500) rate.take(now, fine, 0, seen); };
  take(10, {carries: Infinity, roomy: false});
  assert.equal(rate.together, 1, 'nobody has said that it is narrow');
  take(1, {carries: 40_000, roomy: false});
  assert.deepEqual([rate.together, rate.picture < 60_000], [3, true], 'it never was late, its queue is short');
  take(120, {carries: Infinity, roomy: false}); // nothing moves
  assert.deepEqual([rate.together, rate.picture < 200_000], [3, true]);
  take(5, {carries: Infinity, roomy: true});
  assert.deepEqual([rate.together, rate.picture > 200_000], [1, true]);
});

/** Two ends, and what is on its way between them. @param {number} [part] bytes of a message that go at once */
function channels(part = 1 << 14) {
  /** @type {{to: 0 | 1, content: Uint8Array}[]} */ const way = [];
  /** @type {any[][]} */ const incoming = [[], []];
  const flooded = [0, 0];
  const ends = /** @type {[Channels, Channels]} */ ([0, 1].map((i) => new Channels(i === 0, () => part, (content) => { way.push({to: /** @type {0 | 1} */ (1 - i), content}); }, (channel) => incoming[i].push(channel), () => { flooded[i]++; })));
  const carry = () => { for (let item = way.shift(); item; item = way.shift()) ends[item.to].take(/** @type {any} */ (item.content)); };
  return {ends, way, incoming, flooded, carry};
}

test('messages and files cross, with little on their way at once', () => {
  const {ends: [a, b], way, incoming, carry} = channels();
  /** @type {any[]} */ const heard = [];
  b.main.onmessage = ({data}) => heard.push(data);
  const file = /** @type {any} */ (a.createDataChannel('file-1'));
  let low = 0;
  file.bufferedAmountLowThreshold = 16_384;
  file.onbufferedamountlow = () => low++;
  for (let i = 0; i < 40; i++) file.send(new Uint8Array(16_384).fill(i).buffer);
  assert.ok(way.reduce((sum, {content}) => sum + content.length, 0) <= 64 * 1024, 'a window, no more');
  a.main.send('between');
  assert.ok(file.bufferedAmount > 500_000);
  for (let i = 0; i < 100; i++) {
    carry();
    if (incoming[1].length && !incoming[1][0].onmessage) incoming[1][0].onmessage = (/** @type {any} */ {data}) => heard.push(data);
    b.say();
  }
  carry();
  assert.equal(incoming[1][0].label, 'file-1');
  assert.equal(heard.findIndex((each) => each === 'between') < 6, true, 'a word is not behind the whole file');
  assert.equal(file.bufferedAmount, 0);
  assert.ok(low > 0);
  file.close();
  carry();
  assert.equal(incoming[1][0].readyState, 'closed');
});

test('what is long goes in parts, between which others go, and comes whole', () => {
  const {ends: [a, b], way, carry} = channels(600);
  /** @type {any[]} */ const heard = [];
  b.main.onmessage = ({data}) => heard.push(data);
  const text = 'Ω'.repeat(5000), file = /** @type {any} */ (a.createDataChannel('file-1'));
  file.send(new Uint8Array(5000).fill(7).buffer);
  a.main.send(text);
  a.main.send('short');
  assert.ok(way.every(({content}) => content.length < 700));
  for (let i = 0; i < 10; i++) { carry(); b.say(); a.say(); }
  assert.deepEqual(heard, [text, 'short']);
  // Parts without end are kept for nobody.
  const {ends: [c, d], flooded, carry: on} = channels(600);
  for (let i = 0; i < 500; i++) { c.send(c.main, 6, new Uint8Array(600)); on(); d.say(); on(); }
  assert.ok(flooded[1] > 0);
  // Nor such in which there is nothing.
  const {ends: [e, f], flooded: by, carry: onwards} = channels(600);
  for (let i = 0; i < 5000 && !by[1]; i++) { e.send(e.main, 6, new Uint8Array()); onwards(); f.say(); onwards(); }
  assert.ok(by[1] > 0);
});

test('who comes by one socket after the other is sent what waits a few times', () => {
  const {ends: [a], way} = channels();
  a.main.send('x'.repeat(60_000));
  let sent = 0;
  for (let n = 0; n < 1000; n++) {
    way.length = 0;
    a.met();
    sent += way.reduce((sum, {content}) => sum + content.length, 0);
  }
  assert.ok(sent < 5 * 60_000, `${sent} bytes`);
  way.length = 0;
  a.say();
  assert.ok(way.some(({content}) => content.length > 1000), 'and then again at a calmer time');
});

test('channels without end are not opened for anybody', () => {
  const {ends: [a, b], carry, incoming} = channels();
  for (let i = 0; i < 300; i++) { a.createDataChannel(`x${i}`); carry(); b.say(); carry(); }
  assert.equal(incoming[1].length, 65);
  b.take(new Uint8Array([9, 9]));
  b.take(new Uint8Array([9, 9, 77, 0, 0, 1, 45, 1]));
});

test('who opens channels without end and answers for nothing is left', () => {
  const {ends: [a, b], way, flooded} = channels();
  for (let i = 0; i < 40_000 && !flooded[1]; i++) {
    const {id} = a.createDataChannel(`y${i}`);
    b.take(new Uint8Array([id >> 8, id & 255, 2, 0, 0, (i + 1) >> 8, (i + 1) & 255, 120]));
    /** @type {any} */ (b.createDataChannel('z')).close();
    way.length = 0;
  }
  assert.ok(flooded[1] > 0);
});

test('pieces become pictures, and a gap waits for a whole one', () => {
  const pieces = new Pieces();
  const head = (/** @type {number} */ length, ...data) => {
    const content = new Uint8Array(10 + data.length), view = new DataView(content.buffer);
    view.setUint32(0, 5);
    view.setUint32(6, length);
    content.set(data, 10);
    return content;
  };
  assert.equal(pieces.take(kinds.key, head(4, 1, 2), false), null);
  const picture = pieces.take(kinds.piece, bytes(3, 4), false);
  assert.deepEqual([picture?.key, picture?.complete, [...picture?.data ?? []]], [true, true, [1, 2, 3, 4]]);
  assert.equal(pieces.take(kinds.picture, head(2, 1, 2), false)?.complete, true);
  assert.equal(pieces.take(kinds.piece, bytes(1), false), null, 'of no picture');
  assert.equal(pieces.take(kinds.picture, head(1, 1), true)?.complete, false, 'after a gap');
  assert.equal(pieces.take(kinds.picture, head(1, 1), false)?.complete, false, 'still');
  assert.equal(pieces.take(kinds.key, head(1, 1), false)?.complete, true);
  assert.equal(pieces.take(kinds.key, head(2 ** 31, 1), false), null, 'larger than any picture');
  assert.equal(pieces.take(kinds.key, head(1, 1, 2, 3), false), null, 'more than was said');
  const long = Uint8Array.from({length: 50_000}, (_, i) => i * 7);
  let whole = pieces.take(kinds.key, head(long.length, ...long.subarray(0, 600)), false);
  for (let at = 600; at < long.length; at += 600) whole = pieces.take(kinds.piece, long.slice(at, at + 600), false);
  assert.deepEqual(whole?.data, long);
  // One of a megabyte that does not come costs what has come of it.
  const before = process.memoryUsage().arrayBuffers, many = Array.from({length: 300}, () => new Pieces());
  for (const each of many) assert.equal(each.take(kinds.key, head(1 << 20, 1, 2, 3), false), null);
  assert.ok(process.memoryUsage().arrayBuffers - before < 10e6, `${process.memoryUsage().arrayBuffers - before} bytes`);
});

test('a picture that says it is huge is not decoded', () => {
  const vp8 = (/** @type {number} */ width, /** @type {number} */ height, key = true) => bytes(key ? 0x10 : 0x11, 2, 0, 0x9d, 1, 0x2a, width & 255, width >> 8, height & 255, height >> 8, 1, 2);
  assert.deepEqual([oversized('vp8', vp8(640, 360)), oversized('vp8', vp8(1280, 720)), oversized('vp8', vp8(16_383, 16_383)), oversized('vp8', vp8(16_383, 300))], [false, false, true, true]);
  assert.equal(oversized('vp8', vp8(640 | 0x4000, 360 | 0x8000)), false, 'how it is scaled is no size');
  assert.equal(oversized('vp8', vp8(16_383, 16_383, false)), false, 'one that builds on another says none');
  assert.equal(oversized('vp8', bytes(0x10, 2)), false);
});

test('a key comes over signaling in its form alone', async () => {
  const {publicKey: key} = await Exchange.begin();
  assert.deepEqual(received({websocket: {key, pictures: ['vp8', 7, 'x'.repeat(999)], sound: true}}).websocket, {key, pictures: ['vp8'], sound: true});
  const bond = 'ab'.repeat(32), said = {key, pictures: [], sound: false};
  assert.deepEqual(received({websocket: {...said, bond}}).websocket, {...said, bond});
  for (const other of [7, 'AB'.repeat(32), `${bond}0`, null, {}]) assert.deepEqual(received({websocket: {...said, bond: other}}).websocket, said);
  for (const websocket of [null, 7, {}, {key: 'short', pictures: []}, {key, pictures: 'vp8'}, {key: `${key}=`, pictures: []}]) assert.equal(received({websocket}).websocket, undefined);
});

test('a page that was busy does not take its own lateness for the line\'s', () => {
  const clock = new FakeClock(), busy = new Busy(clock, () => true);
  for (let i = 0; i < 20; i++) clock.advance(100);
  assert.equal(busy.excuse(800), 800, 'a page that is in time excuses nothing');
  clock.time += 1200; // nothing runs
  for (const timer of clock.timers.values()) timer.at = clock.time;
  assert.ok(busy.excuse(1100) <= 100, 'before its timers have run too');
  clock.advance(0);
  assert.ok(busy.excuse(1200) <= 100 && busy.excuse(3000) > 1700, `${busy.lately}`);
  for (let i = 0; i < 16; i++) clock.advance(100);
  assert.equal(busy.excuse(1200), 1200, 'that holds for a while');
  busy.close();
  assert.equal(clock.timers.size, 0);
});
