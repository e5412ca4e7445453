// The string by which two people compare the keys between their browsers: through a hub that is honest, loses words, or
// sits between. SEED=n repeats one schedule, SCHEDULES=n makes more.
import test from 'node:test';
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {readFileSync, readdirSync} from 'node:fs';
import {ShortAuthenticationString, keysOf, sasLength, sasSymbols} from '../call/sas.js';
import {Connections} from '../call/connections.js';
import {received} from '../call/path/received.js';
import {sasTimes} from '../base/times.js';
import {FakeClock} from './fakes.mjs';
import {chance} from './model/world.mjs';

/** Waits until what these sides have heard and were asked is handled: each handles one word after the other. */
const settle = (...sides) => Promise.all(sides.map(({sas}) => sas.hear({})));

/** One side. What it says goes to `out`. */
function side(binding, clock = new FakeClock()) {
  const one = {binding, clock, out: [], said: []};
  one.sas = new ShortAuthenticationString({clock, binding: () => one.binding, say: (sas) => one.out.push(sas), changed: (numbers) => one.said.push(numbers)});
  return one;
}

/** Passes on what was said until nothing is, each word through `through`, which may alter it or keep it back. */
async function talk(a, b, through = (said) => said) {
  for (let round = 0; round < 20; round++) {
    await settle(a, b);
    const words = [...a.out.splice(0).map((said) => [b, said]), ...b.out.splice(0).map((said) => [a, said])];
    if (!words.length) return;
    for (const [to, said] of words) {
      const passed = through(said, to);
      if (passed) to.sas.hear(received({sas: passed}).sas);
    }
  }
}

test('both sides have the same string, whoever asks, or both', async () => {
  for (const who of ['a', 'b', 'both']) {
    const a = side('keys'), b = side('keys');
    const asked = [who !== 'b' && a.sas.ask(), who !== 'a' && b.sas.ask()].filter(Boolean);
    await talk(a, b);
    assert.equal(a.sas.numbers?.length, sasLength, who);
    assert.deepEqual(a.sas.numbers, b.sas.numbers, who);
    assert.ok(a.sas.numbers.every((number) => Number.isInteger(number) && number >= 0 && number < sasSymbols));
    for (const each of asked) assert.deepEqual(await each, a.sas.numbers);
    // Asked again there is nothing to say.
    assert.deepEqual(await a.sas.ask(), a.sas.numbers);
    await settle(a);
    assert.deepEqual(a.out, []);
  }
});

test('other keys, another string; and it is another each time', async () => {
  const seen = new Set();
  for (let i = 0; i < 20; i++) {
    const a = side('keys of a and the hub'), b = side('keys of the hub and b');
    a.sas.ask();
    await talk(a, b);
    assert.ok(a.sas.numbers && b.sas.numbers);
    assert.notDeepEqual(a.sas.numbers, b.sas.numbers);
    seen.add(String(a.sas.numbers));
  }
  assert.equal(seen.size, 20);
});

test('when the keys are others, the string goes, and a new one can be had', async () => {
  const a = side('first'), b = side('first');
  a.sas.ask();
  await talk(a, b);
  const before = a.sas.numbers;
  a.binding = b.binding = 'second';
  a.sas.moved();
  b.sas.moved();
  assert.deepEqual([a.sas.numbers, b.sas.numbers], [null, null]);
  assert.deepEqual(a.said, [before, null]);
  b.sas.ask();
  await talk(a, b);
  assert.deepEqual(a.sas.numbers, b.sas.numbers);
  assert.notDeepEqual(a.sas.numbers, before);
});

test('who does not know of it, or has no keys yet, is not waited for', async () => {
  const a = side('keys'), asked = a.sas.ask();
  await settle(a);
  a.clock.advance(sasTimes.answer);
  assert.equal(await asked, null);
  const none = side(''), nothing = none.sas.ask();
  await settle(none);
  none.clock.advance(sasTimes.answer);
  assert.equal(await nothing, null);
  assert.deepEqual(none.out, []);
});

// ---- a hub that sits between: it has other keys with each, and looks for nonces with which the strings are equal all the same

const commitment = (nonce) => createHash('sha256').update(`turnhub sas 1 commit ${nonce}`).digest('hex');
const stringOf = (binding, nonces) => {
  const hash = createHash('sha256').update(['turnhub sas 1', binding, ...[...nonces].sort()].join('\n')).digest(), bits = (hash[0] << 16) | (hash[1] << 8) | hash[2];
  return [18, 12, 6, 0].map((shift) => (bits >> shift) & 63);
};
const nonceNumber = (i) => i.toString(16).padStart(64, '0');
/** A nonce with which the first symbol is the one wanted: so much of the search is enough to see that nothing is left to search for. */
const search = (binding, theirs, wanted) => {
  for (let i = 100; ; i++) if (stringOf(binding, [theirs, nonceNumber(i)])[0] === wanted) return nonceNumber(i);
};

test('the string is what protocol.md says', async () => {
  const a = side('DTLS\nx\ny'), mine = nonceNumber(7);
  a.sas.ask();
  await settle(a);
  const {commit} = a.out.shift();
  a.sas.hear({commit: commitment(mine)});
  await settle(a);
  const {nonce, to} = a.out.shift();
  assert.deepEqual([to, commitment(nonce)], [commitment(mine), commit]);
  a.sas.hear({nonce: mine, to: commit});
  await settle(a);
  assert.deepEqual(a.sas.numbers, stringOf(a.binding, [nonce, mine]));
});

test('a searching hub: no nonce is said before the hub is bound to its own, and another than that is not taken', async () => {
  const a = side('keys of a and the hub');
  a.sas.ask();
  await settle(a);
  const asked = a.out.splice(0);
  assert.deepEqual(asked.map(({nonce}) => nonce), [undefined], 'nothing to search with');
  // A nonce without a hash before it, and words that are no hash, get nothing.
  for (const sas of [{nonce: nonceNumber(1), to: asked[0].commit}, {commit: 'x'}, {}, {commit: asked[0].commit}, {nonce: 5}]) {
    a.sas.hear(received({sas}).sas);
    await settle(a);
    assert.deepEqual(a.out, [], JSON.stringify(sas));
  }
  a.sas.hear({commit: commitment(nonceNumber(1))});
  await settle(a);
  const [{nonce, commit}] = a.out.splice(0);
  const wanted = 42, found = search(a.binding, nonce, wanted);
  a.sas.hear({nonce: found, to: commit});
  await settle(a);
  assert.equal(a.sas.numbers, null, 'it is bound to the other');
  // Bound to what it has found, after all: the nonce that it was found for is worth nothing any more.
  a.sas.hear({commit: commitment(found)});
  await settle(a);
  const again = a.out.splice(0).find((said) => said.nonce);
  assert.notEqual(again.nonce, nonce);
  a.sas.hear({nonce: found, to: again.commit});
  await settle(a);
  assert.deepEqual(a.sas.numbers, stringOf(a.binding, [again.nonce, found]), 'left to chance');
});

test('without the hashes that search would succeed', () => {
  const theirs = nonceNumber(99);
  assert.equal(stringOf('keys of the hub and b', [theirs, search('keys of the hub and b', theirs, 42)])[0], 42);
});

test('a hub that tries again and again is held up', async () => {
  const a = side('keys');
  let nonces = 0;
  for (let i = 1; i <= 500; i++) {
    a.sas.hear({commit: commitment(nonceNumber(i))});
    await settle(a);
    nonces += new Set(a.out.splice(0).filter(({nonce}) => nonce).map(({nonce}) => nonce)).size;
  }
  assert.ok(nonces <= 5, `${nonces} tries`);
  a.clock.advance(10 * sasTimes.again);
  a.sas.hear({commit: commitment(nonceNumber(1000))});
  await settle(a);
  assert.ok(a.out.some(({nonce}) => nonce), 'and later heard again');
});

const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({length: Number(process.env.SCHEDULES ?? 200)}, (_, i) => i + 1);
test('random hubs: what is lost, doubled or late never makes two strings of the same keys differ for long, nor equal ones of others', async () => {
  for (const seed of seeds) {
    const random = chance(seed), swapped = random.happens(0.3);
    const a = side(swapped ? 'keys of a' : 'keys'), b = side(swapped ? 'keys of b' : 'keys');
    const late = [];
    const through = (said, to) => {
      if (random.happens(0.25)) return null;
      if (random.happens(0.2)) late.push([to, said]);
      return random.happens(0.9) ? said : null;
    };
    for (let step = 0; step < 6; step++) {
      if (random.happens(0.6)) (random.happens(0.5) ? a : b).sas.ask();
      await talk(a, b, through);
      for (const [to, said] of late.splice(0)) to.sas.hear(received({sas: said}).sas);
      if (random.happens(0.2)) { a.clock.advance(sasTimes.again); b.clock.advance(sasTimes.again); }
    }
    // Once nothing is lost any more: what one side lacks it asks for.
    a.clock.advance(20 * sasTimes.again);
    b.clock.advance(20 * sasTimes.again);
    a.sas.moved();
    for (const each of [a, b]) {
      if (!each.sas.numbers) each.sas.ask();
      await talk(a, b);
    }
    const told = `SEED=${seed}`;
    assert.ok(a.sas.numbers && b.sas.numbers, `${told}: no string`);
    if (swapped) assert.notDeepEqual(a.sas.numbers, b.sas.numbers, told);
    else assert.deepEqual(a.sas.numbers, b.sas.numbers, told);
  }
});

test('the keys of a connection are the fingerprints of both, whichever side looks', () => {
  const sdp = (...prints) => ({sdp: `v=0\r\n${prints.map((print) => `a=fingerprint:${print}\r\n`).join('')}m=audio 9\r\n`});
  const pc = (ours, theirs, connectionState = 'connected') => ({connectionState, currentLocalDescription: ours, currentRemoteDescription: theirs});
  const [x, y] = [sdp('sha-256 AA:BB', 'sha-256 aa:bb'), sdp('sha-256 CC:DD')];
  assert.equal(keysOf(pc(x, y)), keysOf(pc(y, x)));
  assert.equal(keysOf(pc(x, y)), 'DTLS\nSHA-256 AA:BB\nSHA-256 CC:DD');
  assert.notEqual(keysOf(pc(x, y)), keysOf(pc(x, sdp('sha-256 CC:DD', 'sha-256 EE:FF'))));
  assert.equal(keysOf(pc(x, y, 'connecting')), '');
  assert.equal(keysOf(pc(x, null)), '');
  assert.equal(keysOf(null), '');
});

test('a browser that makes no certificate, at once or later, makes connections all the same', async () => {
  const before = globalThis.RTCPeerConnection;
  try {
    for (const generateCertificate of [undefined, () => { throw new TypeError('no such curve'); }, () => Promise.reject(new Error('not now'))]) {
      globalThis.RTCPeerConnection = Object.assign(class { addEventListener() {} getConfiguration() { return {}; } constructor(made) { this.made = made; } }, {generateCertificate});
      const connections = new Connections({config: {iceServers: []}}, {});
      await connections.ready;
      assert.equal('certificates' in connections.make().made, false);
    }
    globalThis.RTCPeerConnection.generateCertificate = async () => 'the certificate';
    const connections = new Connections({config: {iceServers: []}}, {});
    await connections.ready;
    assert.deepEqual([connections.make(), connections.make('all')].map(({made}) => made.certificates), [['the certificate'], ['the certificate']], 'one for all');
  } finally {
    globalThis.RTCPeerConnection = before;
  }
});

test('each language of the pages has a word of its own for each symbol', async () => {
  const {symbols, names} = await import('../../static/vendor/matrix/symbols.js');
  assert.equal(new Set(symbols).size, sasSymbols);
  for (const file of readdirSync(new URL('../../static/words/', import.meta.url))) {
    const words = names[file.replace('.json', '')] ?? [];
    assert.equal(new Set(words.map((word) => word.toLowerCase())).size, sasSymbols, file);
    assert.ok(words.every((word) => word.trim() && word.length <= 30), file);
  }
  assert.ok(readFileSync(new URL('../../static/vendor/matrix/LICENSE', import.meta.url), 'utf8').includes('Apache License'));
});
