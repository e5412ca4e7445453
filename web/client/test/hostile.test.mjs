// A peer whose other side somebody else wrote: nothing that it says or opens puts anything into the tab that the person
// has not accepted.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Emitter} from '../base/emitter.js';
import {Call} from '../call/call.js';
import {LocalMedia} from '../call/media/media.js';
import {PeerChannel} from '../call/data/channel.js';
import {Replacements} from '../call/path/replacement.js';
import {Returning} from '../call/returning.js';
import {most, within} from '../call/wishes.js';
import {plenty} from '../call/path/narrow.js';
import {FakeStream} from './model/world.mjs';

class FakeChannel extends EventTarget {
  readyState = 'open';
  bufferedAmount = 0;
  sent = [];
  constructor(label = 'turnhub') { super(); this.label = label; }
  send(data) { this.sent.push(data); }
  close() { if (this.readyState === 'closed') return; this.readyState = 'closed'; this.onclose?.(); }
  hear(message) { this.onmessage?.({data: typeof message === 'string' ? message : JSON.stringify(message)}); }
  get told() { return this.sent.map((text) => JSON.parse(text)); }
}

/** Our end, and the hostile one's hands on it. */
function meeting() {
  const pc = {opened: [], createDataChannel(label) { const channel = new FakeChannel(label); this.opened.push(channel); return channel; }};
  const control = new FakeChannel();
  const ours = new PeerChannel();
  const shown = {chat: [], file: [], path: [], shown: [], media: [], reaction: []};
  for (const name of Object.keys(shown)) ours.on(name, (what) => shown[name].push(what));
  ours.use(pc, control);
  /** Opens a channel and sends on it, as long as we keep it open. */
  const push = (label, ...chunks) => {
    const channel = new FakeChannel(label);
    ours.accept(channel, pc);
    let taken = 0;
    for (const chunk of chunks) if (channel.readyState === 'open' && channel.onmessage) { channel.onmessage({data: chunk}); taken += chunk?.byteLength ?? 0; }
    return {channel, taken};
  };
  return {pc, control, ours, shown, push, offer: (more = {}) => control.hear({type: 'file', id: 'x', name: 'plan.txt', size: 100, mime: 'text/plain', ...more})};
}

test('of a flood of reactions five are told, and what is no hand, no wish and no reaction is none', () => {
  const {control, shown} = meeting();
  for (const reaction of ['constructor', '<img>', null, {}, 7, 'x'.repeat(60_000)]) control.hear({type: 'reaction', reaction});
  assert.deepEqual(shown.reaction, []);
  for (let i = 0; i < 10_000; i++) control.hear({type: 'reaction', reaction: 'heart'});
  assert.deepEqual(shown.reaction, Array(5).fill('heart'));
  control.hear({type: 'media', audio: true, hand: 'up', wants: 'nothing'});
  control.hear({type: 'media', audio: true, hand: true, wants: 'sound'});
  assert.deepEqual(shown.media.map(({hand, wants}) => [hand, wants]), [[false, 'automatic'], [true, 'sound']]);
});

test('what people wish lowers what a line takes, and never raises it', () => {
  const narrow = {...plenty, narrow: true, picture: false, video: 90_000, scale: 4, frameRate: 5, audio: 12_000};
  for (const ours of ['automatic', 'saver', 'sound']) for (const theirs of ['automatic', 'saver', 'sound']) {
    assert.deepEqual(within(narrow, ours, theirs), narrow, `${ours}, ${theirs}`);
    const wide = within(plenty, ours, theirs), {video, audio} = most(ours, theirs);
    assert.equal(wide.picture, theirs !== 'sound');
    if (wide.picture) assert.equal(wide.video, video);
    assert.equal(wide.audio, audio);
    assert.equal(video < 1e6, ours !== 'automatic' || theirs !== 'automatic');
  }
});

const bytes = (count) => new ArrayBuffer(count);

test('a channel for a file that nobody accepted is closed, and nothing on it is kept', () => {
  const {shown, push, offer} = meeting();
  offer({size: 3 * 2 ** 30});
  const {channel, taken} = push('x', bytes(16384), bytes(16384));
  assert.equal(channel.readyState, 'closed');
  assert.equal(taken, 0);
  const [transfer] = shown.file;
  assert.equal(transfer.state, 'offered');
  assert.equal(transfer.bytes, 0);
  let why = '';
  transfer.on('failed', (text) => { why = text; });
  transfer.accept();
  assert.equal(why, 'too-large', 'also for who clicks');
  assert.equal(push('x', bytes(1)).taken, 0);
  assert.equal(push('never offered', bytes(1)).taken, 0);
});

test('an accepted file: one channel, its own bytes and no more, of binary messages', () => {
  const {shown, push, offer, control} = meeting();
  offer();
  const [transfer] = shown.file;
  transfer.accept();
  assert.equal(control.told.at(-1).type, 'file-accept');
  const first = push('x', bytes(40));
  assert.equal(first.taken, 40);
  assert.equal(push('x', bytes(10)).channel.readyState, 'closed', 'a second channel');
  first.channel.onmessage({data: bytes(61)});
  assert.equal(transfer.state, 'failed');
  assert.equal(first.channel.readyState, 'closed');
  first.channel.onmessage({data: bytes(1)});
  assert.equal(transfer.bytes, 40);
  for (const bad of ['text', bytes(0), null, {byteLength: 1}]) {
    const other = meeting();
    other.offer();
    other.shown.file[0].accept();
    other.push('x', bad);
    assert.equal(other.shown.file[0].state, 'failed');
  }
});

test('a file comes whole, in however small pieces, and no byte later', async () => {
  const {shown, push, offer} = meeting();
  offer({size: 5000});
  const [transfer] = shown.file;
  transfer.accept();
  const done = new Promise((resolve) => transfer.on('done', resolve));
  const {channel} = push('x', ...Array.from({length: 5000}, (_, i) => new Uint8Array([i % 251]).buffer));
  const got = new Uint8Array(await (await done).arrayBuffer());
  assert.deepEqual(got, Uint8Array.from({length: 5000}, (_, i) => i % 251));
  assert.equal(channel.readyState, 'closed');
  assert.equal(push('x', bytes(1)).taken, 0);
});

test('a file that we offer takes no bytes, and is not done before it is sent', () => {
  const {ours, push, control, offer, shown} = meeting();
  const transfer = ours.sendFile(new File(['hello world'], 'ours.txt'));
  assert.equal(push(transfer.id, bytes(11)).taken, 0);
  control.hear({type: 'file-done', id: transfer.id});
  assert.equal(transfer.state, 'offered');
  offer({id: transfer.id}); // our own id, offered back
  assert.equal(shown.file.length, 0);
  control.hear({type: 'file-accept', id: transfer.id});
  assert.equal(transfer.state, 'running');
  control.hear({type: 'file-done', id: transfer.id});
  assert.equal(transfer.state, 'running', 'not whole yet');
});

test('taking a file over and over opens one channel', () => {
  const {ours, control, pc} = meeting();
  const transfer = ours.sendFile(new File(['x'.repeat(99)], 'ours.txt'));
  for (let i = 0; i < 50; i++) control.hear({type: 'file-accept', id: transfer.id, at: i});
  assert.equal(pc.opened.length, 1);
  for (const at of [-1, 1.5, 1e300, '3', null, 100]) {
    const other = meeting();
    const {id} = other.ours.sendFile(new File(['x'.repeat(99)], 'ours.txt'));
    other.control.hear({type: 'file-accept', id, at});
    assert.equal(other.pc.opened.length, 0, `from byte ${at}`);
  }
});

test('offers: sizes, ids, names and types are held to what they can be', () => {
  for (const wrong of [{size: -1}, {size: 1.5}, {size: '100'}, {size: 2 ** 60}, {size: null}, {size: NaN}, {id: 7}, {id: ''}, {id: 'x'.repeat(81)}, {name: 5}, {name: null}]) {
    const {shown, offer} = meeting();
    offer(wrong);
    assert.equal(shown.file.length, 0, JSON.stringify(wrong));
  }
  const name = (given) => { const {shown, offer} = meeting(); offer({name: given}); return shown.file[0].name; };
  assert.equal(name('a\u0000b\u001b[31mc\n.txt'), 'ab[31mc.txt');
  assert.equal(name('gpj.\u202egnp.exe'), 'gpj.gnp.exe', 'no writing that turns around');
  assert.equal(name('../../etc/passwd'), '.._.._etc_passwd');
  assert.equal(name(' \u0007 '), 'file');
  const long = name(`${'ü'.repeat(5000)}.tar`);
  assert.equal(long.length, 255);
  assert.ok(long.endsWith('.tar'));
  assert.equal(name('Übersicht – 2026 👋.pdf'), 'Übersicht – 2026 👋.pdf', 'and what people write stays');
  const mime = (given) => { const {shown, offer} = meeting(); offer({mime: given}); return shown.file[0].mime; };
  assert.equal(mime('image/png'), 'image/png');
  for (const bad of [{}, 7, 'x', `a/${'b'.repeat(200)}`, 'text/html\r\nx: y', null]) assert.equal(mime(bad), '');
});

test('offers: at most 64 wait, an id is offered once, and ours have room still', () => {
  const {shown, control, offer, ours} = meeting();
  for (let i = 0; i < 200; i++) offer({id: `f${i}`});
  assert.equal(shown.file.length, 64);
  assert.ok(control.told.some(({type, id}) => type === 'file-decline' && id === 'f199'), 'the other side is told');
  const [first] = shown.file;
  offer({id: 'f0', size: 1, name: 'another'});
  assert.equal(shown.file.length, 64);
  assert.equal(first.name, 'plan.txt');
  assert.equal(ours.sendFile(new File(['x'], 'ours.txt')).state, 'offered');
  first.cancel();
  offer({id: 'g'});
  assert.equal(shown.file.length, 65);
});

test('chat, paths and messages of no shape at all', (t) => {
  t.mock.method(console, 'warn', () => {});
  const {shown, control, ours} = meeting();
  for (const text of ['x'.repeat(16385), 7, null, {}, ['a']]) control.hear({type: 'chat', text});
  for (const path of ['x', 7, {toString: 'x'}, null]) control.hear({type: 'path', path});
  for (const raw of ['7', 'null', '"x"', '[]', '{', '', `"${'x'.repeat(1 << 20)}"`, '{"type":"chat","text":"a","key":7}', `{"type":"chat","text":"a","key":"${'k'.repeat(999)}"}`,
    '{"type":"__proto__"}', '{"type":"had"}', '{"type":"file-accept"}', '{"type":"file-decline"}', '{"type":"file-done","id":{}}', '{"type":"file"}']) control.hear(raw);
  for (const raw of [null, 7, 'x', undefined]) ours.receive(raw); // over signaling
  assert.deepEqual([shown.chat, shown.file, shown.path], [[], [], []]);
  control.onmessage({data: new ArrayBuffer(10)});
  control.hear({type: 'chat', text: 'x'.repeat(16384), key: 'k'});
  control.hear({type: 'chat', text: 'again', key: 'k'});
  assert.deepEqual(shown.chat.map(({text}) => text.length), [16384]);
});

test('how large a picture is shown: never so small that there is none', () => {
  const {shown, control} = meeting();
  for (const pixels of ['1', null, {}, -1, undefined, NaN]) control.hear({type: 'shown', pixels});
  for (const pixels of [0, 1, 640 * 360, 1e300]) control.hear({type: 'shown', pixels});
  assert.deepEqual(shown.shown, [160 * 90, 160 * 90, 640 * 360, 1e8]);
});

test('nobody comes back as somebody who is there', async () => {
  const person = (id, instance) => ({id, instance, orphan: false, away: false, state: 'connected', quality: {path: 'direct'},
    async rekey(info) { this.id = info.peer; }, async measure() {}, restart() {}, recover() {}});
  const ida = person('ida', 'i1'), mallory = person('mallory', 'm1');
  const said = [];
  const room = new Map([['ida', {}], ['mallory', {}], ['ida-again', {}]]);
  const call = {peers: new Set([mallory, ida]), room: 'r', instance: 'ours', limit: 6, phase: 'active', hub: {rooms: new Map([['r', {peers: room}]])},
    signal: (to, data) => said.push({to, ...data})};
  const returning = new Returning({call, add: () => assert.fail('nobody is new'), find: (id) => [...call.peers].find((peer) => peer.id === id)});
  await returning.handle({peer: 'mallory'}, {rejoin: 'i1'});
  await returning.handle({peer: 'mallory'}, {rejoined: 'i1'});
  assert.equal(ida.id, 'ida');
  mallory.instance = 'i1'; // says that it is hers
  room.delete('ida');
  await returning.handle({peer: 'ida-again'}, {rejoin: 'i1'});
  assert.deepEqual([ida.id, mallory.id], ['ida-again', 'mallory']);
  assert.deepEqual(said.map(({to, rejoined}) => [to, rejoined]), [['mallory', null], ['ida-again', 'ours']]);
  // Who is away may come back before the server has given the old session up.
  ida.away = true;
  room.set('ida-again', {}).set('ida-once-more', {});
  await returning.handle({peer: 'ida-once-more'}, {rejoin: 'i1'});
  assert.equal(ida.id, 'ida-once-more');
});

/** Connections in place of one, with a browser that takes nothing, and time that stands. */
function replacing({direct = true} = {}) {
  const made = [], said = [];
  const clock = {now: () => time.now, setTimeout: () => 0, clearTimeout() {}, random: () => 0}, time = {now: 0};
  const takesNothing = async () => { throw new Error('not this'); };
  const create = (straight) => {
    const pc = {straight, signalingState: 'stable', closed: false, createDataChannel: () => ({}), addTransceiver() {}, getTransceivers: () => [],
      setLocalDescription: takesNothing, setRemoteDescription: takesNothing, close() { this.closed = true; }};
    made.push(pc);
    return pc;
  };
  const signal = (data) => said.push(data), none = () => {};
  const replacements = new Replacements({clock, create, direct: () => direct, media: () => ({}), showing: () => 'alone', polite: () => true, pictures: () => true, signal,
    negotiation: {clock, polite: () => true, online: () => true, signal, answering: none, settled: none, failed: none, trouble: none},
    made: none, negotiated: none, ready: none, failed: none});
  return {made, said, replacements, time};
}

test('who asks for one new connection after the other gets few, and each is closed', async (t) => {
  t.mock.method(console, 'warn', () => {});
  const {made, said, replacements, time} = replacing();
  const ask = async (count) => {
    for (let i = 0; i < count; i++) await replacements.handle({connection: `c${i}`, replacement: true, round: 1, description: {type: 'offer', sdp: ''}, candidates: []});
  };
  await ask(500);
  assert.equal(made.length, 8);
  assert.deepEqual(said.at(-1), {connection: 'c499', refused: 1}, 'and is told');
  time.now += 10_000;
  await ask(500);
  assert.equal(made.length, 13);
  assert.ok(made.every(({closed}) => closed));
});

test('who refuses every new connection does not have us make them for ever', (t) => {
  t.mock.method(console, 'warn', () => {});
  const {made, replacements, time} = replacing();
  replacements.understood = true;
  for (let i = 0; i < 200; i++, time.now += 500) replacements.begin(true);
  assert.ok(made.length <= 8 + 50, `${made.length} in 100 s`);
  assert.ok(made.slice(0, -1).every(({closed}) => closed));
});

test('who asks for nothing but direct connections gets as few, and is told no where none is allowed', async (t) => {
  t.mock.method(console, 'warn', () => {});
  const ask = async ({replacements}, count) => {
    for (let i = 0; i < count; i++) await replacements.handle({connection: `c${i}`, replacement: true, direct: true, round: 1, description: {type: 'offer', sdp: ''}, candidates: []});
  };
  const free = replacing();
  await ask(free, 500);
  assert.deepEqual(free.made.map(({straight}) => straight), Array(8).fill(true));
  assert.ok(free.made.every(({closed}) => closed));
  assert.equal(free.replacements.hopeful, true, 'and the next to mend is still another connection');
  const hidden = replacing({direct: false});
  await ask(hidden, 3);
  assert.equal(hidden.made.length, 0);
  assert.deepEqual(hidden.said.at(-1), {connection: 'c2', refused: 1});
});

test('a direct connection on its way keeps nobody from mending', (t) => {
  t.mock.method(console, 'warn', () => {});
  const {made, replacements} = replacing();
  replacements.understood = true;
  assert.ok(replacements.begin(true, 'direct'));
  assert.deepEqual([replacements.mending, replacements.coming !== null, replacements.hopeful], [false, true, true]);
  assert.ok(replacements.begin());
  assert.deepEqual(made.map(({straight, closed}) => [straight, closed]), [[true, true], [false, false]]);
  assert.equal(replacements.mending, true);
});

test('what looks for a better path is given up where the line has become narrow, and what mends is not', (t) => {
  t.mock.method(console, 'warn', () => {});
  for (const [only, given] of [['direct', true], ['single', true], ['', false]]) {
    const {made, replacements} = replacing();
    replacements.understood = true;
    assert.ok(replacements.begin(true, only));
    replacements.spare();
    assert.deepEqual([made[0].closed, replacements.coming === null], [given, given], only);
  }
});

test('who asks to be connected with anew, and has not come from the lobby, is not', async (t) => {
  const made = [];
  class Connection extends EventTarget {
    signalingState = 'stable'; connectionState = 'new'; iceGatheringState = 'new'; localDescription = null;
    constructor() { super(); made.push(this); }
    createDataChannel() { return new FakeChannel(); }
    addTransceiver() {}
    getTransceivers() { return []; }
    getSenders() { return []; }
    setLocalDescription() { return new Promise(() => {}); }
    close() { this.signalingState = 'closed'; }
  }
  const before = {RTCPeerConnection: globalThis.RTCPeerConnection, MediaStream: globalThis.MediaStream};
  t.after(() => Object.assign(globalThis, before));
  Object.assign(globalThis, {RTCPeerConnection: Connection, MediaStream: FakeStream});
  class FakeHub extends Emitter {
    config = {iceServers: []}; state = 'open'; calls = new Map(); rooms = new Map([['r', {peers: new Map([['mallory', {peer: 'mallory', polite: true}]])}]]);
    async join() { return {peers: [...this.rooms.get('r').peers.values()], first: ''}; }
    async leave() {}
    setNarrow() {}
    signal() {}
  }
  const hub = new FakeHub();
  const call = new Call(hub, {media: LocalMedia.from(new FakeStream())});
  t.after(() => call.leave());
  await call.join('r');
  const [peer] = call.peers, connections = made.length;
  for (let i = 0; i < 100; i++) hub.emit('signal', {from: 'mallory', data: {anew: true}});
  assert.equal(made.length, connections);
  assert.deepEqual([...call.peers], [peer]);
});
