// Rooms with a host: who waits at the door, what the host does, and that every other page does what the server says of those
// who are muted or out.
import {createHash, webcrypto} from 'node:crypto';
import test from 'node:test';
import assert from 'node:assert/strict';
import {Emitter} from '../base/emitter.js';
import {Hosting} from '../call/hosting.js';
import {Received} from '../call/media/sharing.js';
import {Hub} from '../session/hub.js';
import {hostedRoom, isHosted, opensAsHost, titleOfRoom} from '../session/hosted.js';
import {FakeClock, fakeSockets, welcome} from './fakes.mjs';

globalThis.crypto ??= /** @type {any} */ (webcrypto);

const room = 'fox~host.VwNewMo7_65wtvtpDaSsctJHRsYOls3gY0-Bym0ui7o', secret = 'Vn3pXq0c6TgkQmW1r8YhZA';
const settle = () => new Promise((resolve) => { setImmediate(resolve); });

async function open() {
  const {FakeSocket, sockets} = fakeSockets();
  const clock = new FakeClock();
  const hub = new Hub({url: 'ws://hub.test/ws', WebSocket: FakeSocket, clock});
  const connected = hub.connect();
  sockets[0].open();
  sockets[0].say(welcome());
  await connected;
  let seq = 0;
  /** What the server says next, on the newest socket. */
  const say = async (message) => {
    sockets.at(-1).say({seq: ++seq, ...message});
    await settle();
  };
  /** The server is another one, which knows nobody. */
  const restart = async () => {
    sockets.at(-1).cut();
    clock.advance(500);
    seq = 0;
    sockets.at(-1).open();
    sockets.at(-1).say(welcome({session: 's_new'}));
    await settle();
  };
  const last = (type) => sockets.at(-1).last(type);
  return {hub, say, last, restart, sockets};
}

test('the name of a room with a host is the digest of its secret', async () => {
  for (const [title, options, mark] of [['fox', {}, '~host.'], ['кімната', {follows: false}, '~keep.'], [undefined, {}, '~host.']]) {
    const made = await hostedRoom(title, options);
    const prefix = made.room.slice(0, -43);
    assert.equal(made.room.slice(-43), createHash('sha256').update(prefix + made.secret).digest('base64url'));
    assert.ok(prefix.endsWith(mark) && isHosted(made.room) && made.secret.length === 22);
    if (title) assert.equal(titleOfRoom(made.room), title);
  }
  assert.equal(createHash('sha256').update(`fox~host.${secret}`).digest('base64url'), room.slice(-43), 'the example of protocol.md');
  for (const other of ['fox', 'fox~host.', 'fox~host.short', `${room}x`, room.replace('host', 'most')]) assert.ok(!isHosted(other) && titleOfRoom(other) === other, other);
  assert.equal(titleOfRoom((await hostedRoom('e\u0301')).room), '\u00e9');
  await assert.rejects(hostedRoom('x'.repeat(80)), RangeError);
  await hostedRoom('x'.repeat(79));
});

test('whether a secret is that of a room can be told from its name', async () => {
  assert.equal(await opensAsHost(room, secret), true);
  for (const [other, said] of [[room, secret.slice(0, -1)], [room, ''], [room, `${secret}A`], [room.replace('fox', 'box'), secret], [room.slice(0, -1), secret], ['fox', secret]]) {
    assert.equal(await opensAsHost(other, said), false, `${other} ${said}`);
  }
  const made = await hostedRoom('caf\u00e9', {follows: false});
  assert.equal(await opensAsHost(made.room, made.secret), true);
});

test('who knocks waits until the host lets in, and is in then', async () => {
  const {hub, say, last} = await open();
  const events = [];
  hub.on('knocking', (what) => events.push(what));
  const joined = hub.join(room, {first: {offer: 1}});
  await say({type: 'error', id: last('join').id, code: 'knocking', message: '', retry: false});
  assert.deepEqual(events, [{room}]);
  await say({type: 'admitted', room});
  const again = last('join');
  await say({type: 'joined', id: again.id, room, peers: []});
  assert.deepEqual((await joined).peers, []);
  assert.ok(hub.rooms.has(room));
});

test('who is turned away is told why', async () => {
  for (const [reason, code] of [['declined', 'declined'], ['locked', 'locked'], ['too-many', 'door-full'], ['ended', 'ended'], ['removed', 'removed']]) {
    const {hub, say, last} = await open();
    const joined = hub.join(room);
    joined.catch(() => {});
    await say({type: 'error', id: last('join').id, code: 'knocking', message: '', retry: false});
    await say({type: 'out', room, reason});
    await assert.rejects(joined, {code});
    assert.equal(hub.rooms.size, 0);
  }
});

test('who leaves, or whose hub is closed, waits no more', async () => {
  for (const end of [(hub) => { hub.leave(room).catch(() => {}); }, (hub) => hub.close(), (_, sockets) => sockets[0].cut(4004)]) {
    const {hub, say, last, sockets} = await open();
    const joined = hub.join(room);
    joined.catch(() => {});
    await say({type: 'error', id: last('join').id, code: 'knocking', message: '', retry: false});
    end(hub, sockets);
    await assert.rejects(joined, {code: 'closed'});
  }
});

test('after a restart of the server, who knocked knocks again, and a lost socket changes nothing', async () => {
  const {hub, say, last, restart, sockets} = await open();
  const joined = hub.join(room);
  await say({type: 'error', id: last('join').id, code: 'knocking', message: '', retry: false});
  await restart();
  assert.equal(sockets.at(-1).all('join').length, 1);
  await say({type: 'error', id: last('join').id, code: 'knocking', message: '', retry: false});
  await say({type: 'admitted', room});
  await say({type: 'joined', id: last('join').id, room, peers: []});
  await joined;
});

test('after a restart the host comes as the host, and a guest by the seat that the server gave last', async () => {
  const {hub, say, last, restart} = await open();
  const joined = hub.join(room, {host: secret});
  assert.equal(last('join').host, secret);
  await say({type: 'joined', id: last('join').id, room, peers: []});
  await joined;
  await say({type: 'hosting', room, locked: false, hosts: ['s_me'], muted: [], seat: 'one'});
  await say({type: 'hosting', room, locked: true, hosts: ['s_me'], muted: [], seat: 'two'});
  await restart();
  const {host, seat} = last('join');
  assert.deepEqual({host, seat}, {host: secret, seat: 'two'});
});

test('whose seat is out of date knocks, and is told when that is in vain', async () => {
  const {hub, say, last, restart} = await open();
  const events = [];
  for (const name of ['knocking', 'rejoined', 'out']) hub.on(name, ({reason = ''}) => events.push(name + reason));
  const joined = hub.join(room);
  await say({type: 'joined', id: last('join').id, room, peers: []});
  await joined;
  await restart();
  await say({type: 'joined', id: last('join').id, room, peers: []});
  await say({type: 'out', room, reason: 'again'});
  assert.deepEqual(events, ['rejoined']);
  await say({type: 'error', id: last('join').id, code: 'knocking', message: '', retry: false});
  assert.deepEqual(events, ['rejoined', 'knocking']);
  await say({type: 'out', room, reason: 'declined'});
  assert.deepEqual(events, ['rejoined', 'knocking', 'outdeclined']);
  assert.equal(hub.rooms.size, 0);
});

test('who is put out is out of the room, and stays so after a restart', async () => {
  const {hub, say, last, restart} = await open();
  const out = [];
  hub.on('out', (what) => out.push(what));
  const joined = hub.join(room);
  await say({type: 'joined', id: last('join').id, room, peers: [{peer: 's_a', polite: true}]});
  await joined;
  await say({type: 'out', room, reason: 'removed'});
  assert.deepEqual(out, [{room, reason: 'removed'}]);
  await restart();
  assert.equal(last('join'), undefined);
});

// ---- the call

class FakePeer {
  orphan = false;
  silenced = false;
  constructor(id) { this.id = id; }
  silence(on) { this.silenced = on; }
}

function hosting(...peers) {
  const hub = Object.assign(new Emitter(), {id: 's_me', asked: [], async host(...what) { this.asked.push(what); }});
  const call = {hub, room, online: true, peers: new Set(peers), said: [], signal(to, data) { this.said.push([to, data]); }};
  const lost = [];
  const ours = new Hosting({call, lost: (peer) => { lost.push(peer.id); call.peers.delete(peer); }});
  ours.hear(hub);
  const events = [];
  for (const name of ['change', 'knock', 'knock-left', 'muted', 'ask']) ours.on(name, (what) => events.push([name, what?.peer ?? what?.id ?? what]));
  const stands = (more = {}) => hub.emit('hosting', {room, locked: false, hosts: ['s_h'], muted: [], ...more});
  return {hub, call, ours, lost, events, stands};
}

test('who is muted is silent here by the word of the server alone, and the others are not', () => {
  const [a, b] = [new FakePeer('s_a'), new FakePeer('s_b')];
  const {stands, hub, ours} = hosting(a, b);
  stands({muted: ['s_a']});
  assert.deepEqual([a.silenced, b.silenced], [true, false]);
  hub.emit('hosting', {room: 'another', locked: false, hosts: [], muted: ['s_b']});
  assert.deepEqual([a.silenced, b.silenced], [true, false]);
  // The session is another one after a restart, and until it is known stays as it was.
  a.orphan = true;
  stands({muted: ['s_a2']});
  assert.equal(a.silenced, true);
  Object.assign(a, {id: 's_a2', orphan: false});
  ours.apply();
  assert.equal(a.silenced, true);
  stands();
  assert.equal(a.silenced, false);
});

test('a room without a host has none', () => {
  const a = Object.assign(new FakePeer('s_a'), {orphan: true});
  const {ours, lost} = hosting(a);
  for (let i = 0; i < 100; i++) ours.beat();
  assert.deepEqual([ours.known, ours.mine, ours.silenced, lost.length], [false, false, false, 0]);
});

test('with whom the server does not know any more, nothing goes on for long', (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const [a, b] = [Object.assign(new FakePeer('s_a'), {orphan: true}), Object.assign(new FakePeer('s_b'), {orphan: true})];
  const {ours, stands, lost, call} = hosting(a, b);
  stands();
  for (; now <= 29_000; now += 1000) ours.beat();
  assert.deepEqual(lost, []);
  b.orphan = false;
  call.online = false;
  now += 10_000;
  ours.beat();
  assert.deepEqual(lost, [], 'without the server nobody knows');
  call.online = true;
  ours.beat();
  assert.deepEqual(lost, ['s_a']);
  b.orphan = true;
  ours.beat();
  assert.deepEqual(lost, ['s_a'], 'the time begins anew');
});

test('what a host is told and does', async () => {
  const {ours, hub, stands, events} = hosting();
  const knock = (peer) => hub.emit('knock', {room, peer, name: 'Vasya', again: false});
  knock('s_a'); // before the room stands
  stands({hosts: ['s_me']});
  knock('s_b');
  hub.emit('knock', {room: 'another', peer: 's_c', again: false});
  assert.ok(ours.mine);
  assert.deepEqual([...ours.knocks.keys()], ['s_a', 's_b']);
  hub.emit('knock-left', {room, peer: 's_a'});
  knock('s_d');
  await ours.admitAll();
  await ours.remove('s_x');
  await ours.mute('s_x');
  await ours.mute('s_x', false);
  await ours.lock();
  await ours.lock(false);
  await ours.end();
  assert.deepEqual(hub.asked, [[room, 'admit', 's_b'], [room, 'admit', 's_d'], [room, 'remove', 's_x'], [room, 'mute', 's_x'], [room, 'unmute', 's_x'],
    [room, 'lock', undefined], [room, 'unlock', undefined], [room, 'end', undefined]]);
  assert.deepEqual(events.filter(([name]) => name !== 'change'), [['knock', 's_a'], ['knock', 's_b'], ['knock-left', 's_a'], ['knock', 's_d']]);
  stands(); // another one is
  assert.deepEqual([ours.mine, ours.knocks.size], [false, 0]);
  hub.host = async () => { throw Object.assign(new Error('gone'), {code: 'not-in-room'}); };
  knock('s_e');
  await ours.declineAll();
  hub.host = async () => { throw Object.assign(new Error('no host'), {code: 'forbidden'}); };
  await assert.rejects(ours.admitAll(), {code: 'forbidden'});
  hub.emit('welcome', {resumed: true});
  assert.equal(ours.knocks.size, 1);
  hub.emit('welcome', {resumed: false});
  assert.equal(ours.knocks.size, 0);
});

test('who is muted hears it, and may ask: a host is told of it, seldom, and nobody else', () => {
  const peer = new FakePeer('s_a');
  const {ours, stands, events, call} = hosting(peer);
  stands({muted: ['s_me']});
  stands({muted: ['s_me']});
  ours.ask();
  assert.deepEqual(call.said, [['s_h', {ask: 'unmute'}]]);
  stands();
  assert.deepEqual(events.filter(([name]) => name === 'muted'), [['muted', true], ['muted', false]]);
  ours.asked('s_a', 'unmute');
  stands({hosts: ['s_me']});
  for (const [from, what] of [['s_a', 'unmute'], ['s_x', 'unmute']]) ours.asked(from, what);
  stands({hosts: ['s_me'], muted: ['s_a']});
  ours.asked('s_a', {});
  for (let i = 0; i < 100; i++) ours.asked('s_a', 'unmute');
  assert.equal(events.filter(([name]) => name === 'ask').length, 3);
});

test('nothing is heard of who is silenced, over whichever way it comes', (t) => {
  class Stream {
    tracks = [];
    getTracks() { return this.tracks; }
    addTrack(track) { this.tracks.push(track); }
    removeTrack(track) { this.tracks = this.tracks.filter((each) => each !== track); }
  }
  const before = globalThis.MediaStream;
  globalThis.MediaStream = /** @type {any} */ (Stream);
  t.after(() => { globalThis.MediaStream = before; });
  const received = new Received();
  const tracks = (way) => ({stream: {audio: `${way} sound`, video: `${way} picture`}, screen: {audio: `${way} screen's sound`, video: `${way} screen`}});
  received.silence(true);
  received.carry(/** @type {any} */ (tracks('socket')));
  assert.deepEqual([received.stream.tracks, received.screen.tracks], [['socket picture'], ['socket screen']]);
  received.carry(/** @type {any} */ (tracks('other')));
  assert.deepEqual(received.stream.tracks, ['other picture']);
  received.silence(false);
  assert.deepEqual([received.stream.tracks.sort(), received.screen.tracks.length], [['other picture', 'other sound'], 2]);
  received.silence(true);
  assert.deepEqual(received.stream.tracks, ['other picture']);
});

test('what stands in for a connection takes the place of its own tracks, and of none that it has not', (t) => {
  class Stream {
    tracks = [];
    getTracks() { return this.tracks; }
    getVideoTracks() { return this.tracks; }
    addTrack(track) { this.tracks.push(track); }
    removeTrack(track) { this.tracks = this.tracks.filter((each) => each !== track); }
  }
  const before = globalThis.MediaStream;
  globalThis.MediaStream = /** @type {any} */ (Stream);
  t.after(() => { globalThis.MediaStream = before; });
  const received = new Received();
  const come = (kind) => received.show(/** @type {any} */ ({getTransceivers: () => []}), /** @type {any} */ ({receiver: {track: {kind, toString: () => `its ${kind}`}}}));
  const shows = () => received.stream.tracks.map(String).sort();
  come('audio');
  const standIn = /** @type {any} */ ({stream: 'picture', screen: 'screen'});
  received.carry(null, /** @type {any} */ ('sound'), standIn);
  assert.deepEqual([shows(), received.screen.tracks], [['sound'], []]);
  come('video');
  assert.deepEqual(shows(), ['picture', 'sound']);
  received.pictures(false);
  assert.deepEqual(shows(), ['sound']);
  received.pictures(true);
  received.carry(null);
  assert.deepEqual(shows(), ['its audio', 'its video']);
});
