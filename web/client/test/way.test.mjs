// What a suspicion may change, and what a loss changes: two people by their connection, and by the server's WebSocket beside it.
// SEED=n repeats one schedule, SCHEDULES=n makes more.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Way} from '../call/way.js';
import {PeerChannel} from '../call/data/channel.js';
import {Exchange} from '../call/websocket/seal.js';
import {received} from '../call/path/received.js';
import {lastDoorTimes, sasTimes, standstillTimes} from '../base/times.js';
import {FakeClock} from './fakes.mjs';
import {random} from './model/doorend.mjs';

/** Hashes and keys that are being made, which takes no time by the clock of a test. */
let making = 0;
for (const name of /** @type {const} */ (['digest', 'deriveBits', 'deriveKey', 'importKey', 'exportKey', 'generateKey'])) {
  const make = /** @type {any} */ (crypto.subtle[name]).bind(crypto.subtle);
  Object.defineProperty(crypto.subtle, name, {value: async (/** @type {any[]} */ ...about) => {
    making++;
    try {
      return await make(...about);
    } finally {
      making--;
    }
  }});
}
const settled = async () => {
  do await new Promise((resolve) => { setImmediate(resolve); });
  while (making);
};

/** Two people in a call, on whose connection packets come as `comes` says, to each of them. @param {boolean} [bound] what they say of bonds is heard */
async function people(bound = true) {
  const clock = new FakeClock();
  /** @type {any[]} */ const ends = [];
  const between = {comes: [true, true], signals: true, sockets: 0};
  /** @type {{to: any, said: any}[]} */ const signals = [];
  class Path {
    open = false; used = false; asked = false; bound = false; agreement = ''; publicKey = ''; sounds = false; stats = {frames: 0}; fits = {ours: true, theirs: true};
    audio = {kind: 'audio', way: 'websocket'}; video = {kind: 'video', way: 'websocket'}; screen = null;
    channels = {main: {readyState: 'open', send: (/** @type {string} */ text) => this.other?.channels.main.onmessage?.({data: text})}};
    /** @type {Path | null} */ other = null;
    /** @param {any} host */
    constructor(host) { this.host = host; between.sockets++; }
    get wanted() { return this.used || this.asked; }
    get pictured() { return {stream: this.sounds ? this.video : null, screen: null}; }
    async begin() {
      this.exchange = await Exchange.begin();
      this.publicKey = this.exchange.publicKey;
    }
    /** @param {any} theirs @param {any} shared */
    async agree(theirs, shared) {
      this.agreement = (await /** @type {Exchange} */ (this.exchange).agree(theirs.key, shared)).agreement;
      this.theirs = theirs.key;
      this.bound = shared !== null;
      this.secret = String(shared);
    }
    /** Said at once to the other side, as by a report, and sound flows. */
    send() {
      const {other} = this;
      if (!other || !this.open) return;
      const used = this.host.sending(), asked = !used && this.host.standing();
      if (other.used !== used || other.asked !== asked) {
        Object.assign(other, {used, asked});
        other.host.wanted();
        other.send();
      }
      const sounds = this.used || used || (this.bound && (this.asked || asked)), begins = sounds && !other.sounds;
      other.sounds = sounds;
      if (begins && other.host.standing()) other.host.tracks();
    }
    close() {
      if (this.closed) return;
      this.closed = true;
      this.open = false;
      this.host.closed();
    }
    closed = false;
  }
  for (const i of [0, 1]) {
    const end = /** @type {any} */ ({paths: [], said: [], strings: [], streams: 0, told: [], lostAt: NaN, played: 0, came: 0});
    const channel = {readyState: 'open', onopen: null, onmessage: /** @type {any} */ (null), send: (/** @type {string} */ data) => { if (between.comes[1 - i]) ends[1 - i].channel.onmessage?.({data}); }};
    const print = `a=fingerprint:SHA-256 AA:0${i}`, theirs = `a=fingerprint:SHA-256 AA:0${1 - i}`;
    const pc = /** @type {any} */ ({
      connectionState: 'connected', currentLocalDescription: {sdp: print}, currentRemoteDescription: {sdp: theirs},
      getReceivers: () => [{getSynchronizationSources: () => [{timestamp: end.played}]}],
      getStats: async () => new Map([['in', {type: 'inbound-rtp', timestamp: clock.now(), lastPacketReceivedTimestamp: end.came}]]),
    });
    const people = new PeerChannel();
    Object.assign(end, {pc, channel, people, heard: {audio: 'connection', picture: 'connection', all: 'connection'}});
    people.on('chat', ({text}) => end.told.push(text));
    const way = end.way = new Way(/** @type {any} */ ({
      call: () => ({hub: {passesMedia: true, mediaSocket: () => null}, online: true, media: {}}), id: () => 'x', quiet: () => false, orphan: () => false,
      unconnected: () => (Number.isNaN(end.lostAt) ? 0 : clock.now() - end.lostAt + 1), sending: () => pc, connected: () => true, channel: people,
      received: {carry: (/** @type {any} */ tracks, /** @type {any} */ sound, /** @type {any} */ shown) => {
        const now = {audio: tracks || sound ? 'websocket' : 'connection', picture: tracks || shown?.stream ? 'websocket' : 'connection', all: tracks ? 'websocket' : 'connection'}, changed = String(Object.values(now)) !== String(Object.values(end.heard));
        end.heard = now;
        return changed;
      }},
      signal: (/** @type {any} */ said) => { signals.push({to: 1 - i, said}); }, pictures: () => 1e6, string: (/** @type {any} */ numbers) => end.strings.push(numbers),
      line() {}, shown() {}, doorless() { assert.fail('it has a way'); }, said: (/** @type {any} */ state) => end.said.push(state), stream: () => { end.streams++; },
    }), {clock, load: async () => /** @type {any} */ ({WebSocketPath: class extends Path { /** @param {any} host */ constructor(host) { super(host); end.paths.push(this); } }, abilities: async () => ({pictures: ['vp8'], sound: true})})});
    people.on('open', () => way.bind());
    if (bound) people.on('bond', ({word, pc}) => way.bound(pc, word));
    ends.push(end);
  }
  for (const {way, pc, channel} of ends) way.talk(pc, channel);
  for (const {way} of ends) way.bind(); // what was said before the other one listened
  for (const {way} of ends) way.reach('connected');
  const meet = () => {
    const [a, b] = ends.map(({paths}) => paths.at(-1));
    if (!a || !b || a.closed || b.closed || a.theirs !== b.publicKey || b.theirs !== a.publicKey || a.secret !== b.secret || a.open) return;
    [a.other, b.other] = [b, a];
    for (const path of [a, b]) path.open = true;
    for (const path of [a, b]) { path.host.opened(); path.send(); }
  };
  const pass = async (/** @type {number} */ milliseconds) => {
    for (let at = 0; at < milliseconds; at += 40) {
      clock.advance(40);
      for (const [i, end] of ends.entries()) if (between.comes[i]) end.came = end.played = clock.now();
      for (let item = between.signals ? signals.shift() : undefined; item; item = signals.shift()) {
        const {websocket, sas} = received(JSON.parse(JSON.stringify(item.said))), {way} = ends[item.to];
        if (websocket) way.door.hear(websocket);
        if (sas) way.sas.hear(sas);
      }
      await settled();
      meet();
    }
  };
  return {clock, ends, between, pass,
    async compare() {
      const asked = ends.map(({way}) => way.sas.ask());
      await pass(200);
      return Promise.all(asked);
    },
    /** It is known to be lost, by one of them; or there again. */
    reach(/** @type {number} */ i, /** @type {boolean} */ connected) {
      ends[i].lostAt = connected ? NaN : clock.now();
      ends[i].way.reach(connected ? 'connected' : 'reconnecting');
    },
    close() { for (const {way} of ends) way.reach('closed'); }};
}

/** What people see of a call, and of which nothing may change where nothing was lost. @param {any[]} ends */
const seen = (ends) => ends.map(({way, said, strings, heard, people, pc}) => ({state: way.state, said: [...said], strings: [...strings], numbers: String(way.sas.numbers),
  rest: heard.all, path: way.quality({path: 'direct'}).path, line: way.line, prompt: way.prompt, open: people.open, carries: way.door.carries, pc: way.door.path === null && pc.connectionState}));

test('a false alarm changes sound and picture alone, and those back', async () => {
  const {ends, between, pass, compare, close} = await people();
  await pass(3000);
  const [mine, theirs] = await compare();
  assert.ok(mine);
  assert.deepEqual(mine, theirs);
  const before = seen(ends);
  for (const [who, long] of /** @type {[number[], number][]} */ ([[[0], 900], [[0, 1], 1500], [[1], 2400], [[0, 1], 2400]])) {
    for (const i of who) between.comes[i] = false;
    await pass(long);
    assert.deepEqual(seen(ends), before);
    for (const i of who) assert.deepEqual([ends[i].heard.audio, ends[i].heard.picture], ['websocket', 'websocket'], `${who}, after ${long}`);
    for (const i of [0, 1]) if (!who.includes(i)) assert.deepEqual([ends[i].heard.audio, ends[i].heard.picture], ['connection', 'connection'], 'who hears the other stays');
    between.comes = [true, true];
    await pass(standstillTimes.alive + 300);
    assert.deepEqual([seen(ends), ends.map(({heard}) => [heard.audio, heard.picture])], [before, [['connection', 'connection'], ['connection', 'connection']]]);
    await pass(lastDoorTimes.ahead);
  }
  assert.deepEqual(await compare(), [mine, mine], 'asked for again');
  assert.deepEqual(seen(ends), before);
  close();
});

for (const bound of [true, false]) test(`where it is known to be lost all goes the other way, on both sides, and the symbols ${bound ? 'stay: its keys are bound' : 'are those of its keys'}`, async () => {
  const {ends, between, pass, compare, reach, close} = await people(bound);
  await pass(3000);
  const [before] = await compare();
  between.comes = [false, false];
  await pass(1000);
  const sound = bound ? 'websocket' : 'connection';
  assert.deepEqual(ends.map(({heard, way}) => [heard.audio, heard.all, way.state]), [[sound, 'connection', 'connected'], [sound, 'connection', 'connected']]);
  ends[0].people.tell({type: 'chat', text: 'said meanwhile'});
  await pass(1000);
  reach(0, false);
  await pass(100);
  assert.deepEqual(ends.map(({way}) => way.door.carries), [true, false]);
  assert.deepEqual(ends.map(({way}) => way.sas.numbers), bound ? [before, before] : [null, null], 'at both ends, although only one of them knows it');
  const [now, theirs] = await compare();
  assert.ok(now);
  assert.deepEqual(now, theirs);
  assert.equal(String(now) === String(before), bound);
  reach(1, false);
  await pass(100);
  assert.deepEqual(ends.map(({way}) => String(way.sas.numbers)), [String(now), String(now)]);
  assert.deepEqual(ends[1].told, ['said meanwhile']);
  between.comes = [true, true];
  for (const i of [0, 1]) reach(i, true);
  if (bound) assert.deepEqual(ends.map(({way}) => way.sas.numbers), [before, before]);
  await pass(sasTimes.again);
  const [last, other] = await compare();
  assert.ok(last);
  assert.deepEqual(last, other);
  close();
});

test('whatever comes and goes: nothing that was not lost has been seen to be, and both see the same', {timeout: 120_000}, async () => {
  const first = Number(process.env.SEED ?? 1), schedules = process.env.SEED ? 1 : Number(process.env.SCHEDULES ?? 3);
  for (let seed = first; seed < first + schedules; seed++) {
    const noise = random(seed), {ends, between, pass, compare, reach, close} = await people();
    await pass(2000);
    const [numbers] = await compare();
    const before = seen(ends);
    for (let step = 0; step < 12; step++) {
      between.comes = [noise(1) < 0.5, noise(1) < 0.5];
      between.signals = noise(1) < 0.8; // they may come late
      await pass(100 + noise(3000));
      between.signals = true;
      if (noise(1) < 0.6) between.comes = [true, true];
      await pass(noise(2000));
      assert.deepEqual(seen(ends), before, `SEED=${seed}`);
    }
    between.comes = [false, false];
    await pass(noise(1500));
    for (const i of noise(1) < 0.5 ? [0, 1] : [1, 0]) {
      reach(i, false);
      await pass(noise(3000));
    }
    await pass(lastDoorTimes.againMost);
    assert.deepEqual(ends.map(({way}) => way.door.carries), [true, true], `SEED=${seed}`);
    const [now, theirs] = await compare();
    assert.ok(now && String(now) === String(theirs) && String(now) === String(numbers), `SEED=${seed}: ${now}, ${theirs}`);
    close();
  }
});
