// The line to one person: which way the queue is, what the other side's words can do, and what comes of it at the senders.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Line} from '../call/path/line.js';
import {PathTiming} from '../call/path/timing.js';
import {Tally} from '../call/path/tally.js';
import {Senders} from '../call/path/bitrate.js';
import {leastAsked} from '../call/path/asking.js';
import {plenty, soundFloor} from '../call/path/narrow.js';
import {isLineState, timed} from '../call/data/bounds.js';
import {PeerChannel} from '../call/data/channel.js';
import {realClock} from '../base/clock.js';
import {lineTimes as times} from '../base/times.js';
import {FakeClock} from './fakes.mjs';

/** Two sides whose clocks differ, and a way each way that takes so long. */
function pair() {
  const clock = new FakeClock(), way = {there: 20, back: 20}, set = {by: 1_000_000};
  const far = {...clock, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, now: () => clock.time + set.by, random: () => 0};
  const a = new PathTiming(clock, (message) => { clock.setTimeout(() => b.hear(timed(message), {got: 90_000, most: Infinity}), way.there); });
  const b = new PathTiming(far, (message) => { clock.setTimeout(() => a.hear(timed(message), {got: 0, most: Infinity}), way.back); });
  const run = (rounds) => {
    for (let i = 0; i < rounds; i++) {
      a.ping(times.ping, 0, Infinity);
      b.ping(times.ping, 0, Infinity);
      clock.advance(times.ping);
    }
  };
  return {clock, way, set, a, b, run};
}

test('the queue is told from the one the other way, whatever the clocks say', () => {
  const {way, a, b, run} = pair();
  run(8);
  assert.deepEqual([a.there, a.here, b.there, b.here], [0, 0, 0, 0]);
  way.there = 120;
  run(8);
  assert.deepEqual([a.there, a.here, b.there, b.here], [100, 0, 0, 100]);
  Object.assign(way, {there: 20, back: 100});
  run(8);
  assert.deepEqual([a.there, a.here, b.there, b.here], [0, 80, 80, 0]);
  assert.equal(a.got, 90_000);
});

test('what is on its way counts before it is answered, on the way that it is on', () => {
  const {way, a, run} = pair();
  run(8);
  way.there = 1500;
  run(4);
  assert.ok(a.waiting() > 300, String(a.waiting()));
  const other = pair();
  other.run(8);
  other.way.back = 1500; // nothing comes any more, so it may all be the way here
  other.run(3);
  assert.ok(other.a.waiting() < 251, String(other.a.waiting()));
});

test('at how much a long message of the other side has passed is known until the next comes', () => {
  const {way, clock, a, b, run} = pair();
  run(8);
  assert.equal(b.brought, 0);
  way.there = 120;
  a.ping(0, 4000, Infinity);
  clock.advance(130);
  assert.ok(b.brought > 150_000 && b.brought < 250_000, `${b.brought}`);
  way.there = 20;
  run(1);
  assert.equal(b.brought, 0);
});

test('a clock that is set, or stood still, is no queue', () => {
  for (const by of [60_000, -60_000]) {
    const {set, a, b, run} = pair();
    run(8);
    set.by += by;
    run(8);
    assert.deepEqual([a.there, a.here, b.there, b.here], [0, 0, 0, 0]);
  }
});

test('pings are answered, and a flood of them is not', () => {
  const told = [], clock = new FakeClock();
  const timing = new PathTiming(clock, (message) => told.push(message));
  for (let n = 0; n < 10_000; n++) timing.hear(timed({type: 'ping', n, at: 5}), {got: 1, most: Infinity});
  assert.ok(told.length <= 10, String(told.length));
  clock.advance(times.ping);
  timing.hear(timed({type: 'ping', n: 1, at: 5}), {got: 1, most: Infinity});
  assert.deepEqual(told.at(-1), {type: 'pong', n: 1, at: clock.now(), got: 1, late: 0});
});

test('what the other side says of the line is held to bounds', () => {
  for (const bad of [{}, {n: 1}, {n: -1, at: 1}, {n: 1.5, at: 1}, {n: 1, at: '1'}, {n: 1, at: null}, {n: '1', at: 1}, {n: 2 ** 60, at: 1}]) assert.equal(timed({type: 'ping', ...bad}), null, JSON.stringify(bad));
  const most = (value) => timed({type: 'pong', n: 1, at: 1, most: value})?.most;
  assert.deepEqual([most(undefined), most(-5), most('9'), most(null), most({}), most(0), most(1), most(60_000)], [Infinity, Infinity, Infinity, Infinity, Infinity, leastAsked, leastAsked, 60_000]);
  assert.equal(timed({type: 'pong', n: 1, at: 1, got: 'x'})?.got, 0);
  for (const bad of ['', 'off', 1, null, {}, ['wide']]) assert.equal(isLineState(bad), false);
});

test('what it asks for holds for as long as it is said', () => {
  const clock = new FakeClock(), timing = new PathTiming(clock, () => {});
  timing.hear(timed({type: 'ping', n: 1, at: 1, most: 50_000}), {got: 0, most: Infinity});
  assert.equal(timing.asked, 50_000);
  clock.advance(times.asked);
  assert.equal(timing.asked, Infinity);
});

test('messages of the line reach who asks for them, and others are kept out', () => {
  const channel = new PeerChannel(), heard = [];
  channel.on('timed', (message) => heard.push(message.n));
  channel.on('line', (state) => heard.push(state));
  for (const message of [{type: 'ping', n: 1, at: 1}, {type: 'ping', n: 'x', at: 1}, {type: 'pong', n: 2, at: 2}, {type: 'line', state: 'no-picture'}, {type: 'line', state: 'dark'}]) channel.receive(message);
  assert.deepEqual(heard, [1, 2, 'no-picture']);
});

test('what the other side says of its line by another way than the connection in use is of another line', () => {
  const channel = new PeerChannel(), heard = [], way = () => ({readyState: 'open', send() {}});
  const [ours, theirs] = [way(), way()], say = (to, message) => to.onmessage({data: JSON.stringify(message)});
  channel.on('timed', ({n}) => heard.push(n));
  channel.on('line', (state) => heard.push(state));
  channel.use(/** @type {any} */ ({}), /** @type {any} */ (ours));
  channel.hear(/** @type {any} */ ({}), /** @type {any} */ (theirs)); // it has gone over first
  for (const message of [{type: 'line', state: 'no-picture'}, {type: 'ping', n: 1, at: 1}]) say(theirs, message);
  assert.deepEqual(heard, []);
  for (const message of [{type: 'line', state: 'narrow'}, {type: 'ping', n: 2, at: 1}]) say(ours, message);
  assert.deepEqual(heard, ['narrow', 2]);
});

test('a line that has been narrow is told anew on each way, as the other side may not have heard it', () => {
  const clock = new FakeClock(), told = [];
  const line = new Line(/** @type {any} */ ({clock, tell: ({state}) => told.push(state), open: () => true, changed() {}, said() {}, wants: () => 1e6, pc: () => null}));
  for (const [path, is] of [['', 'wide'], ['', 'wide']]) { line.tick(/** @type {any} */ (path)); line.moved(); assert.equal(line.ours, is); }
  assert.deepEqual(told, [], 'one that never was is not spoken of');
  line.expect(60_000);
  line.tick('');
  assert.equal(told.length, 1);
  line.moved();
  line.tick('');
  assert.deepEqual(told, [line.ours, line.ours]);
  line.tick('direct');
  assert.deepEqual([line.ours, told.at(-1), told.length], ['wide', 'wide', 3]);
  line.tick('direct');
  line.moved();
  line.tick('direct');
  assert.deepEqual([told.at(-1), told.length], ['wide', 4]);
});

/** A connection that sends sound and a picture. */
function connection() {
  const made = (kind) => {
    let set = {encodings: [{active: true, ...(kind === 'audio' ? {adaptivePtime: false} : {})}], codecs: []};
    const sender = {track: {kind, enabled: false}, writes: 0, getParameters: () => structuredClone(set), setParameters: async (parameters) => { sender.writes++; set = structuredClone(parameters); }};
    return {mid: kind, sender, receiver: {track: {kind}}};
  };
  const transceivers = [made('audio'), made('video')];
  return {signalingState: 'stable', getTransceivers: () => transceivers, getSenders: () => transceivers.map(({sender}) => sender),
    encoding: (i) => transceivers[i].sender.getParameters().encodings[0], transceivers};
}

test('a narrow line takes from the picture first, and leaves the tracks as the person wants them', async () => {
  const pc = connection(), senders = new Senders(realClock);
  const put = (allowance) => senders.limit(() => ({pc, others: 1, screen: '', lost: false, allowance}));
  await put({...plenty, narrow: true, state: 'narrow', video: 50_000, scale: 3, frameRate: 10, audio: 20_000, long: true});
  assert.deepEqual(pc.encoding(1), {active: true, maxBitrate: 50_000, scaleResolutionDownBy: 3, maxFramerate: 10});
  assert.deepEqual(pc.encoding(0), {active: true, adaptivePtime: true, maxBitrate: 8000});
  await put({...plenty, narrow: true, state: 'no-picture', picture: false, video: 20_000, scale: 4, frameRate: 6, audio: soundFloor, long: true});
  assert.equal(pc.encoding(1).active, false);
  assert.equal(pc.encoding(0).active, true, 'sound goes on');
  await put(plenty);
  assert.deepEqual(pc.encoding(1), {active: true, maxBitrate: 2_500_000, scaleResolutionDownBy: 1, maxFramerate: 30});
  assert.deepEqual(pc.encoding(0), {active: true, adaptivePtime: true, maxBitrate: 48_000}, 'switched off, packets that are long would stay so');
  assert.deepEqual(pc.transceivers.map(({sender}) => sender.track.enabled), [false, false], 'what was switched off stays off');
  await put({...plenty, less: true});
  assert.equal(pc.encoding(1).maxBitrate, 2_475_000, 'a browser that is to look for more is told another number');
  await put({...plenty, afresh: true});
  const size = () => pc.transceivers.map(({sender}) => sender.getParameters().degradationPreference);
  assert.deepEqual(size(), [undefined, 'balanced'], 'and to forget what it made smaller');
  await put(plenty);
  assert.deepEqual(size(), [undefined, undefined]);
  assert.equal(pc.encoding(1).maxBitrate, 2_500_000);
  const writes = pc.transceivers.map(({sender}) => sender.writes);
  await put(plenty);
  assert.deepEqual(pc.transceivers.map(({sender}) => sender.writes), writes, 'what is in force is not set again');
});

test('Firefox is not told of every little change: it makes what it receives anew at each', async () => {
  for (const origin of ['mozilla...THIS_IS_SDPARTA', '-']) {
    const pc = {...connection(), localDescription: {type: 'offer', sdp: `v=0\r\no=${origin} 1 2 IN IP4 0.0.0.0\r\n`}}, senders = new Senders(realClock), mozilla = origin !== '-';
    const put = (allowance) => senders.limit(() => ({pc, others: 1, screen: '', lost: false, allowance: {...plenty, narrow: true, state: 'narrow', scale: 2, frameRate: 15, ...allowance}}));
    const has = async (allowance) => { await put(allowance); return pc.encoding(1).maxBitrate; };
    await put({video: 100_000});
    assert.equal(await has({video: 112_000}), mozilla ? 100_000 : 112_000);
    assert.equal(await has({video: 140_000}), mozilla ? 100_000 : 140_000, 'by what is set, not by what was wished last');
    assert.equal(await has({video: 157_000}), 157_000);
    assert.equal(await has({video: 126_000}), 126_000, 'less is sent where there is less');
    assert.equal(await has({video: 140_000, scale: 1.5}), mozilla ? 126_000 : 140_000);
    await put({video: 1_800_000});
    assert.equal(await has({...plenty}), 2_500_000, 'and all of it where the line is wide');
  }
});

test('a browser that knows no weighing of pictures forgets what it has made of them with the sender, once', async () => {
  const pc = connection(), [, {sender}] = pc.transceivers, senders = new Senders(realClock), codecs = [];
  const put = (allowance) => senders.limit(() => ({pc, others: 1, screen: '', lost: false, allowance: {...plenty, ...allowance}}));
  const {getParameters, setParameters} = sender;
  sender.getParameters = () => ({...getParameters(), codecs: [{mimeType: 'video/VP8'}, {mimeType: 'video/rtx'}, {mimeType: 'video/VP9'}]});
  sender.setParameters = ({degradationPreference, ...known}) => { codecs.push(known.encodings[0].codec?.mimeType ?? ''); return setParameters(known); };
  await put({});
  codecs.length = 0;
  for (const allowance of [{afresh: true}, {afresh: true, files: 5000}, {}, {}]) await put(allowance);
  assert.deepEqual(codecs.filter(Boolean), ['video/VP9']);
  assert.equal(codecs.at(-1), '', 'and goes on with the codec before');
  await put({afresh: true});
  assert.equal(codecs.filter(Boolean).length, 2, 'and again the next time');
});

test('the line is measured while it leads over TCP or TLS, and let go of after', async () => {
  const clock = new FakeClock(), told = [], said = [];
  let changes = 0;
  const stats = {at: 0};
  const pc = {getStats: async () => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: stats.at += 5000, bytesReceived: stats.at, packetsSent: 1}]])};
  const line = new Line({clock, pc: () => pc, open: () => true, wants: () => 2_000_000, tell: (message) => told.push(message), changed: () => changes++, said: () => said.push(line.ours)});
  const pass = async (milliseconds) => { for (let t = 0; t < milliseconds; t += 50) { clock.advance(50); for (let i = 0; i < 10; i++) await null; } };
  line.tick('relay-udp');
  await pass(1000);
  assert.equal(told.length, 0, 'UDP is the browser\'s own affair');
  line.tick('relay-tls');
  /** Answers the last ping after so long. */
  const answer = async (delay) => {
    const ping = told.filter(({type}) => type === 'ping').at(-1);
    await pass(delay);
    line.hear(timed({type: 'pong', n: ping.n, at: clock.time, got: 60_000}));
    await pass(300);
  };
  await pass(300);
  for (let i = 0; i < 4; i++) await answer(50);
  assert.equal(line.allowance.narrow, false);
  assert.equal(changes, 0, 'nothing is set for that');
  for (let i = 0; i < 4; i++) await answer(900);
  assert.equal(line.ours === 'wide', false);
  assert.ok(changes > 0 && said.length > 0);
  line.tick('relay-tls');
  assert.equal(told.at(-1).type, 'line');
  line.tick('direct');
  assert.equal(line.allowance, plenty);
  assert.equal(line.ours, 'wide');
  await pass(500);
  const before = told.length;
  await pass(2000);
  assert.equal(told.length, before, 'and nothing is timed any more');
});

for (const longer of [false, true]) {
  test(`packets of sound are longer as long as the line is narrow, ${longer ? 'by the browser itself' : 'by what it hears of the other side'}`, async () => {
    const clock = new FakeClock(), packed = [], stats = {at: 0}, way = {takes: 50, got: 1_000_000};
    const pc = {
      getSenders: () => [{track: {kind: 'audio'}, getParameters: () => ({encodings: [longer ? {adaptivePtime: false} : {}]})}],
      getStats: async () => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: stats.at += 5000, bytesReceived: stats.at, packetsSent: 1}]]),
    };
    const tell = ({type, n}) => { if (type === 'ping') clock.setTimeout(() => line.hear(timed({type: 'pong', n, at: clock.time, got: way.got})), way.takes); };
    const line = new Line({clock, pc: () => pc, open: () => true, wants: () => 1_000_000, tell, pack: () => packed.push(line.packs), changed: () => {}, said: () => {}});
    const pass = async (milliseconds, until = () => false) => { for (let t = 0; t < milliseconds && !until(); t += 50) { clock.advance(50); for (let i = 0; i < 10; i++) await null; } };
    const becomesNarrow = async () => {
      Object.assign(way, {takes: 900, got: 60_000});
      await pass(6000);
    };
    line.tick('relay-tls');
    await pass(2000);
    assert.deepEqual([line.allowance.narrow, packed], [false, []]);
    await becomesNarrow();
    assert.deepEqual([line.allowance.narrow, packed], [true, longer ? [] : [true]]);
    Object.assign(way, {takes: 50, got: 1_000_000});
    await pass(60_000, () => !line.allowance.narrow);
    assert.deepEqual([line.allowance.narrow, packed], [false, longer ? [] : [true]], 'a line that is wide again may soon be narrow');
    await pass(times.packs + 1000);
    assert.deepEqual([line.allowance.narrow, packed], [false, longer ? [] : [true, false]]);
    await becomesNarrow();
    line.tick('direct');
    assert.deepEqual([line.allowance.narrow, packed], [false, longer ? [] : [true, false, true, false]]);
    line.tick('relay-tls');
    await becomesNarrow();
    Object.assign(way, {takes: 50, got: 1_000_000});
    await pass(60_000, () => !line.allowance.narrow);
    line.tick('direct');
    assert.deepEqual(packed, longer ? [] : [true, false, true, false, true, false], 'nor on a path that is none of those, wide as the last one was');
  });
}

test('what the other side has seen of its line holds until the path is known, and on one over TCP or TLS until that is measured', () => {
  for (const path of ['relay-tls', 'direct']) {
    const clock = new FakeClock(), said = [];
    let changes = 0;
    const line = new Line({clock, pc: () => null, open: () => false, wants: () => 2_000_000, tell: () => {}, changed: () => changes++, said: () => said.push(line.ours)});
    assert.equal(line.begins, undefined);
    line.expect(118_000);
    assert.deepEqual([line.allowance.narrow, line.allowance.picture, line.allowance.long, changes], [true, true, true, 1]);
    assert.ok(line.begins > 80_000 && line.begins < 118_000, `${line.begins}`);
    line.tick('');
    assert.equal(line.allowance.narrow, true);
    line.tick(path);
    assert.equal(line.allowance.narrow, path === 'relay-tls');
    assert.deepEqual(said, path === 'relay-tls' ? ['narrow'] : ['narrow', 'wide']);
    const {allowance} = line;
    line.expect(70_000);
    assert.equal(line.allowance, allowance, 'said in the middle of a call it says nothing');
    line.close();
  }
});

test('a path over TCP or TLS is looked after as a narrow one at first, where our own line was seen to be', () => {
  const clock = new FakeClock(), pc = {getStats: async () => new Map()};
  const line = new Line({clock, pc: () => pc, open: () => false, wants: () => 2_000_000, tell: () => {}, expected: () => true, changed: () => {}, said: () => {}});
  assert.equal(line.narrow, false);
  line.tick('relay-tls');
  assert.equal(line.narrow, true);
  clock.advance(times.first + 1000);
  assert.equal(line.narrow, false, 'later it is known what it is');
  line.close();
});

test('who sends no pictures because the other side wants none does not ask it for less in turn', async () => {
  const clock = new FakeClock(), told = [];
  let bytes = 0;
  const pc = {getStats: async () => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: bytes += 5000, bytesReceived: bytes, packetsSent: 1}]])};
  const line = new Line({clock, pc: () => pc, open: () => true, wants: () => 2_000_000, tell: (message) => told.push(message), changed: () => {}, said: () => {}});
  const waits = async (milliseconds, delay) => {
    const answered = new Set(), sent = new Map();
    for (let t = 0; t < milliseconds; t += 50) {
      clock.advance(50);
      for (let i = 0; i < 10; i++) await null;
      for (const {type, n} of told) if (type === 'ping' && !sent.has(n)) sent.set(n, clock.time);
      for (const [n, at] of sent) {
        if (answered.has(n) || clock.time - at < delay) continue;
        answered.add(n);
        line.hear(timed({type: 'pong', n, at: clock.time, got: 1e6, most: leastAsked}));
      }
    }
  };
  line.tick('relay-tls');
  await waits(2000, 50);
  await waits(8000, 350);
  assert.equal(line.allowance.picture, false);
  assert.ok(told.every(({most}) => most === undefined), 'it asks for less');
});

for (const files of [false, true]) {
  test(`what waits on the own line where sound goes ${files ? 'with a file is the file\'s: the other side is not asked for less' : 'alone is what answers the other side: it is asked for less'}`, async () => {
    const clock = new FakeClock(), asked = [], stats = {at: 0};
    const pc = {getStats: async () => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: stats.at += 5000, bytesReceived: stats.at, packetsSent: 1}]])};
    let delay = 50;
    const line = new Line({clock, pc: () => pc, open: () => true, wants: () => 2_000_000, changed: () => {}, said: () => {}, tell: ({type, n, most}) => {
      if (type !== 'ping') return;
      if (most) asked.push(most);
      clock.setTimeout(() => line.hear(timed({type: 'pong', n, at: clock.time, got: delay < 100 ? 100_000 : 20_000})), delay);
    }});
    const pass = async (milliseconds) => {
      for (let t = 0; t < milliseconds; t += 50) {
        clock.advance(50);
        for (let i = 0; i < 10; i++) await null;
        if (files && t % 1000 === 0) line.pace.sent(1100);
      }
    };
    line.tick('relay-tls');
    await pass(2000);
    delay = 400;
    await pass(10_000);
    assert.deepEqual([line.allowance.picture, asked.length > 0], [false, !files]);
  });
}

test('where nothing comes any more, one way on which nothing passes looks like both: less is sent', async () => {
  const clock = new FakeClock(), told = [], heard = new Set();
  let bytes = 0;
  const pc = {getStats: async () => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: bytes += 5000, bytesReceived: 1, packetsSent: 1}]])};
  const line = new Line({clock, pc: () => pc, open: () => true, wants: () => 2_000_000, tell: (message) => told.push(message), changed: () => {}, said: () => {}});
  // Its answers, and its own pings, which come late: what acknowledges them is what does not get through.
  const pass = async (milliseconds, answers, late) => {
    for (let t = 0; t < milliseconds; t += 50) {
      clock.advance(50);
      for (let i = 0; i < 10; i++) await null;
      if (t % 500 === 0 && late < Infinity) line.hear(timed({type: 'ping', n: clock.time, at: clock.time - late}));
      for (const {type, n} of answers ? told : []) {
        if (type !== 'ping' || heard.has(n)) continue;
        heard.add(n);
        line.hear(timed({type: 'pong', n, at: clock.time, got: 80_000}));
      }
    }
  };
  line.tick('relay-tls');
  await pass(5000, true, 0);
  assert.equal(line.allowance.narrow, false);
  await pass(700, false, 600);
  assert.equal(line.allowance.narrow, false, 'a moment says nothing');
  await pass(2500, false, 2000);
  assert.equal(line.allowance.narrow, true);
  assert.ok(line.allowance.video < 60_000, `${line.allowance.video}`);
});

test('what is around packets counts where a browser does not count those of a pair, as Firefox does not', async () => {
  for (const counts of [true, false]) {
    const clock = new FakeClock(), told = [];
    const report = (seconds) => new Map([
      ['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: 10_000 * seconds, bytesReceived: 10_000 * seconds, ...(counts ? {packetsSent: 50 * seconds, packetsReceived: 50 * seconds} : {})}],
      ['o', {type: 'outbound-rtp', kind: 'audio', bytesSent: 4000 * seconds, packetsSent: 50 * seconds}],
      ['i', {type: 'inbound-rtp', kind: 'audio', packetsReceived: 30 * seconds}],
      ['j', {type: 'inbound-rtp', kind: 'video', packetsReceived: 20 * seconds}],
    ]);
    const pc = {getStats: async () => report(clock.time / 1000)};
    const line = new Line({clock, pc: () => pc, open: () => true, wants: () => 2_000_000, tell: (message) => told.push(message), changed: () => {}, said: () => {}});
    line.tick('relay-tls');
    for (let t = 0; t < 3000; t += 50) {
      clock.advance(50);
      for (let i = 0; i < 10; i++) await null;
      if (t === 2900) line.hear(timed({type: 'ping', n: 1, at: 0}));
    }
    const {got} = told.find(({type}) => type === 'pong');
    assert.ok(Math.abs(got - (10_000 + 50 * 94) * 8) < 1000, `${got} bits per second`);
  }
});

test('a stream that a browser counts anew has carried what it had before', () => {
  const tally = new Tally(), video = (packetsSent, bytesSent) => ({type: 'outbound-rtp', kind: 'video', packetsSent, bytesSent}), heard = (packetsReceived) => ({type: 'inbound-rtp', kind: 'video', packetsReceived});
  const sums = (entries) => Object.fromEntries([...tally.take(new Map(Object.entries(entries)))].map(({type, packetsSent, bytesSent, packetsReceived}) => [type, type === 'inbound-rtp' ? packetsReceived : [packetsSent, bytesSent]]));
  assert.deepEqual(sums({a: video(300, 300_000), b: heard(500)}), {'outbound-rtp': [300, 300_000], 'inbound-rtp': 500});
  assert.deepEqual(sums({a: video(310, 310_000), b: heard(3)}), {'outbound-rtp': [310, 310_000], 'inbound-rtp': 503}, 'the other side sends with another codec');
  assert.deepEqual(sums({a: video(4, 320_000), b: heard(9)}), {'outbound-rtp': [314, 630_000], 'inbound-rtp': 509}, 'and so do we');
  assert.deepEqual(sums({}), {'outbound-rtp': [314, 630_000], 'inbound-rtp': 509}, 'one is gone');
  assert.deepEqual(sums({c: video(6, 6000), d: heard(1)}), {'outbound-rtp': [320, 636_000], 'inbound-rtp': 510}, 'and another takes its place');
});

test('a much smaller picture of a narrow line waits for none of those before it, and nothing else makes a sender anew', async () => {
  const pc = connection(), senders = new Senders(realClock), {sender} = pc.transceivers[1], {getParameters, setParameters} = sender, codecs = [{mimeType: 'video/VP8'}, {mimeType: 'video/rtx'}, {mimeType: 'video/VP9'}];
  const written = [];
  sender.getParameters = () => ({...getParameters(), codecs});
  sender.setParameters = (parameters) => { const [{codec, scaleResolutionDownBy}] = parameters.encodings; written.push([codec?.mimeType, scaleResolutionDownBy]); return setParameters(parameters); };
  const put = async (allowance, screen = '') => { written.length = 0; await senders.limit(() => ({pc, others: 1, screen, lost: false, allowance: {...plenty, ...allowance}})); return [...written]; };
  const narrow = {narrow: true, state: 'narrow', video: 50_000, frameRate: 10, audio: 20_000, long: true};
  assert.deepEqual(await put({}), [[undefined, 1]]);
  assert.deepEqual(await put({...narrow, scale: 4}), [['video/VP9', 4], [undefined, 4]]);
  assert.deepEqual(await put({...narrow, scale: 4}), []);
  assert.deepEqual(await put({...narrow, scale: 2}), [[undefined, 2]]);
  assert.deepEqual(await put({...narrow, scale: 3}), [[undefined, 3]]);
  assert.deepEqual(await put({}), [[undefined, 1]]);
  assert.deepEqual(await put({...narrow, picture: false, scale: 4}), [[undefined, 4]], 'one that is left out waits for nothing');
  assert.deepEqual(await put({}), [[undefined, 1]]);
  assert.deepEqual(await put({picture: false}), [[undefined, 1]]);
  assert.deepEqual(await put({...narrow, scale: 4}), [['video/VP9', 4], [undefined, 4]], 'nor does the one after a moment without any');
  await put({});
  for (let i = 0; i < 2; i++) assert.ok((await put({...narrow, scale: 4}, 'alone')).every(([codec]) => codec === undefined), 'a screen keeps most of its pixels');
});

test('sound keeps its floor where the browser does not know what is around its packets', async () => {
  for (const [uri, most] of [['http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01', 8000], ['urn:ietf:params:rtp-hdrext:sdes:mid', soundFloor]]) {
    const pc = connection(), senders = new Senders(realClock), {sender} = pc.transceivers[0], parameters = sender.getParameters;
    sender.getParameters = () => ({...parameters(), headerExtensions: [{uri, id: 3}]});
    await senders.limit(() => ({pc, others: 1, screen: '', lost: false, allowance: {...plenty, narrow: true, audio: soundFloor, long: true}}));
    assert.deepEqual(pc.encoding(0), {active: true, adaptivePtime: true, maxBitrate: most});
  }
});

test('where nothing is heard any more and the browser has cut what it thinks of the line, less is sent at once', async () => {
  for (const cuts of [true, false]) {
    const clock = new FakeClock(), told = [], heard = new Set(), thinks = {bits: 1_000_000};
    let bytes = 0;
    const pc = {getStats: async () => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: bytes += 10_000, bytesReceived: 1, packetsSent: 1, availableOutgoingBitrate: thinks.bits}]])};
    const line = new Line({clock, pc: () => pc, open: () => true, wants: () => 2_000_000, tell: (message) => told.push(message), changed: () => {}, said: () => {}});
    const pass = async (milliseconds, answers) => {
      for (let t = 0; t < milliseconds; t += 50) {
        clock.advance(50);
        for (let i = 0; i < 10; i++) await null;
        for (const {type, n} of answers ? told : []) {
          if (type !== 'ping' || heard.has(n)) continue;
          heard.add(n);
          line.hear(timed({type: 'pong', n, at: clock.time, got: 200_000}));
        }
      }
    };
    line.tick('relay-tls');
    await pass(5000, true);
    if (cuts) thinks.bits = 140_000;
    await pass(1000, false);
    assert.equal(line.allowance.narrow, cuts);
  }
});

test('what stands on a line that was full before the first message is seen by its round trip, by who fills it', async () => {
  // The last one begins on a short path, and goes on over a long one.
  for (const [thinks, roundTrip, narrow, first = roundTrip] of [[300_000, 0.05, true], [2_400_000, 0.05, false], [300_000, 0.6, false], [300_000, 0, false], [300_000, 0.6, false, 0.05]]) {
    const clock = new FakeClock(), told = [], heard = new Set(), begun = clock.time;
    const bytes = () => (clock.time - begun < 1500 && first !== roundTrip ? 1_000_000 : 0) + clock.time * 25;
    const trip = () => (clock.time - begun < 1500 ? first : roundTrip);
    const pc = {getStats: async () => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: bytes(), bytesReceived: 1, packetsSent: clock.time / 20, availableOutgoingBitrate: thinks, currentRoundTripTime: trip()}]])};
    const line = new Line({clock, pc: () => pc, open: () => true, wants: () => 2_000_000, tell: (message) => told.push({...message, sent: clock.time}), changed: () => {}, said: () => {}});
    line.tick('relay-tls');
    for (let t = 0; t < 6000; t += 50) {
      clock.advance(50);
      for (let i = 0; i < 10; i++) await null;
      for (const {type, n, sent} of told) {
        if (type !== 'ping' || heard.has(n) || clock.time - sent < 700) continue;
        heard.add(n);
        line.hear(timed({type: 'pong', n, at: clock.time, got: 130_000}));
      }
    }
    assert.equal(line.allowance.narrow, narrow, `${thinks} bits per second, ${roundTrip} s, ${first} s at first`);
  }
});

test('a browser that comes to think little of a new path shows it as narrow before any message is answered', async () => {
  // It thinks as much from the first, in the second case for a moment alone, in the third of a path that is in use for long.
  for (const [thinks, narrow] of [[() => 100_000, true], [(since) => (since < 500 ? 100_000 : 600_000), false], [(since) => (since < 15_000 ? 2_000_000 : 200_000), false]]) {
    const clock = new FakeClock(), begun = clock.time;
    let bytes = 0;
    const pc = {getStats: async () => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: bytes += 8000, bytesReceived: 1, packetsSent: clock.time / 20, availableOutgoingBitrate: thinks(clock.time - begun)}]])};
    const line = new Line({clock, pc: () => pc, open: () => false, wants: () => 2_000_000, tell: () => {}, changed: () => {}, said: () => {}});
    line.tick('relay-tls');
    for (let t = 0; t < (narrow ? 1000 : 18_000); t += 50) {
      clock.advance(50);
      for (let i = 0; i < 10; i++) await null;
    }
    assert.equal(line.allowance.narrow, narrow);
    if (narrow) assert.equal(line.allowance.picture, true);
  }
});

/** A line that is measured, to somebody who answers after so long, or does not: `comes` says whether anything else comes. */
function talk() {
  const clock = new FakeClock(), told = [], answered = new Set(), state = {after: 20, comes: true};
  let sent = 0, received = 0;
  const pc = {getStats: async () => new Map([['p', {type: 'candidate-pair', nominated: true, state: 'succeeded', timestamp: clock.time, bytesSent: sent += 10_000, bytesReceived: received += state.comes ? 5000 : 0, packetsSent: 1}]])};
  const line = new Line({clock, pc: () => pc, open: () => true, wants: () => 2_000_000, tell: (message) => told.push({...message, toldAt: clock.time}), changed: () => {}, said: () => {}});
  const pass = async (milliseconds) => {
    for (let t = 0; t < milliseconds; t += 10) {
      clock.advance(10);
      for (let i = 0; i < 10; i++) await null;
      for (const {type, n, toldAt} of told) {
        if (type !== 'ping' || answered.has(n) || clock.time - toldAt < state.after) continue;
        answered.add(n);
        line.hear(timed({type: 'pong', n, at: clock.time, got: 200_000}));
      }
    }
  };
  line.tick('relay-tls');
  return {line, state, pass};
}

test('no pictures go where answers are late, until they come, and for a moment at the most', async () => {
  const {line, state, pass} = talk(), goes = () => [line.allowance.picture, line.allowance.long];
  await pass(3000);
  assert.deepEqual(goes(), [true, false]);
  state.after = Infinity;
  await pass(times.held + times.ping + 2 * times.look);
  assert.deepEqual([line.allowance.picture, line.allowance.narrow, line.allowance.long, line.ours], [false, false, true, 'wide'], 'people are told nothing of it');
  state.after = 20;
  await pass(2 * times.look + 50);
  assert.equal(line.allowance.picture, true, 'a single moment');
  await pass(3000);
  state.after = 100;
  await pass(3000);
  assert.deepEqual(goes(), [true, false], 'a little late is not late');
  state.after = 400; // another way, which is longer
  await pass(times.held + times.ping + 2 * times.look);
  assert.deepEqual(goes(), [false, true]);
  await pass(times.heldMost);
  assert.deepEqual([...goes(), line.ours], [true, false, 'wide'], 'then it is known that all of it arrives');
  state.after = Infinity;
  await pass(times.held + times.ping + 2 * times.look);
  line.tick('direct');
  assert.equal(line.allowance, plenty);
});

test('answers are not late by what waits on the way here', async () => {
  const {way, a, run} = pair();
  run(8);
  Object.assign(way, {there: 20, back: 700});
  run(8);
  assert.ok(a.waiting() < times.held && a.overdue < times.held, `${a.overdue}`);
  const other = pair();
  other.run(8);
  Object.assign(other.way, {there: 700, back: 20});
  other.run(3);
  assert.ok(other.a.overdue > times.held, `${other.a.overdue}`);
});

test('a line is narrow where something comes late, and may be dead where nothing comes', async () => {
  for (const comes of [true, false]) {
    const {line, state, pass} = talk();
    await pass(3000);
    assert.equal(line.narrow, false);
    Object.assign(state, {after: Infinity, comes});
    await pass(1500);
    assert.equal(line.narrow, comes);
    await pass(4000);
    assert.deepEqual([line.narrow, line.allowance.narrow], [comes, true], 'less is sent, whatever it is');
    Object.assign(state, {after: 900, comes: true});
    await pass(3000);
    assert.equal(line.narrow, true, 'it lives');
  }
});
