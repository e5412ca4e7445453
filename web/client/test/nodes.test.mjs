import test from 'node:test';
import assert from 'node:assert/strict';
import {Hub} from '../session/hub.js';
import {FakeClock, fakeSockets, welcome} from './fakes.mjs';

const all = ['wss://a.test/ws', 'wss://b.test/ws', 'wss://c.test/ws'];
const config = {iceServers: [], signalings: all};

async function open(url = all[0], signalings = all, token = undefined) {
  const clock = new FakeClock();
  const {FakeSocket, sockets} = fakeSockets();
  const hub = new Hub({url, token, WebSocket: FakeSocket, clock});
  const connected = hub.connect();
  sockets[0].open();
  sockets[0].say(welcome({config: {...config, signalings}}));
  await connected;
  return {hub, clock, sockets};
}

/** Lets the attempts of a node that is gone fail until another address is tried, and says which. */
function next({clock, sockets}) {
  const before = sockets.at(-1).url;
  for (let i = 0; i < 10 && sockets.at(-1).url === before; i++) {
    sockets.at(-1).cut();
    clock.advance(2000);
  }
  return sockets.at(-1).url;
}

test('a node that is lost is tried once more, and then the next ones in their order', async () => {
  const it = await open();
  const joined = it.hub.join('blue');
  it.sockets[0].say({type: 'joined', id: it.sockets[0].last('join').id, seq: 1, room: 'blue', peers: []});
  await joined;
  it.sockets[0].cut();
  it.clock.advance(1000);
  assert.equal(it.sockets[1].url, all[0], 'it may be a restart');
  assert.equal(next(it), all[1]);
  assert.equal(next(it), all[2]);
  assert.equal(next(it), all[0]);
  assert.equal(next(it), all[1]);
  it.sockets.at(-1).open();
  it.sockets.at(-1).say(welcome({session: 's_new', config}));
  assert.equal(it.sockets.at(-1).last('join').room, 'blue', 'the room is joined again there');
});

test('the token goes along', async () => {
  const it = await open(all[0], all, 'tkn');
  it.sockets[0].cut();
  it.clock.advance(1000);
  assert.equal(next(it), `${all[1]}?token=tkn`);
});

test('a socket for media that was opened at a node which was tried on the way is known from those of the node that has the session', async () => {
  const {hub, sockets, clock} = await open();
  const media = {path: 'media', frame: 1000}, own = () => sockets.findLast(({protocol}) => protocol === 'turnhub.v1');
  sockets[0].say(welcome({config, media}));
  assert.ok(hub.mediaNear(hub.mediaSocket('s_a')));
  for (let i = 0; own().url !== all[1]; i++) {
    assert.ok(i < 10);
    own().cut();
    clock.advance(2000);
  }
  const there = hub.mediaSocket('s_a');
  assert.equal(there.url, 'wss://b.test/media');
  own().cut();
  clock.advance(2000);
  own().open();
  own().say(welcome({config, media, resumed: true}));
  assert.deepEqual([own().url, hub.mediaNear(there), hub.mediaNear(hub.mediaSocket('s_a'))], [all[2], false, true]);
});

test('a name that leads to all nodes comes first again', async () => {
  const it = await open('wss://calls.test/ws');
  it.sockets[0].cut();
  it.clock.advance(1000);
  assert.equal(it.sockets[1].url, 'wss://calls.test/ws');
  assert.equal(next(it), all[0]);
});

test('one server, and one that names nonsense, is what it was', async () => {
  for (const signalings of [null, [], [all[0]], 'x', [1, null, 'ftp://a', 'ws://b.test/ws', '::']]) {
    const it = await open(all[0], signalings);
    it.sockets[0].cut();
    it.clock.advance(1000);
    assert.equal(next(it), all[0], JSON.stringify(signalings));
  }
});

test('elsewhere: to the node that has the room, as somebody new, with the rooms', async () => {
  const it = await open();
  const joined = it.hub.join('blue');
  it.sockets[0].say({type: 'joined', id: it.sockets[0].last('join').id, seq: 1, room: 'blue', peers: []});
  await joined;
  it.sockets[0].say({type: 'elsewhere', seq: 2, room: 'blue', signalings: [all[1], all[0]]});
  assert.equal(it.sockets[0].last('bye').type, 'bye');
  const heard = [];
  it.hub.on('message', ({data}) => heard.push(data));
  it.sockets[0].say({type: 'message', seq: 3, from: 's_x', room: 'blue', data: 'said before'});
  assert.deepEqual(heard, ['said before']);
  const left = [];
  it.hub.on('peer-left', ({reason}) => left.push(reason));
  it.sockets[0].say({type: 'peer-left', seq: 4, room: 'blue', peer: 's_x', reason: 'leave'});
  assert.deepEqual(left, ['lost'], 'who goes with us says goodbye there as well');
  it.sockets[0].say({type: 'peer-left', seq: 5, room: 'blue', peer: 's_z', reason: 'removed'});
  assert.deepEqual(left.splice(1), ['removed'], 'who is put out goes nowhere');
  assert.equal(it.sockets.length, 1, 'it hears what is still on its way');
  it.sockets[0].cut(1000);
  it.clock.advance(1);
  assert.equal(it.sockets[1].url, all[1]);
  it.sockets[1].open();
  assert.equal(it.sockets[1].sent[0].resume, undefined);
  it.sockets[1].say(welcome({session: 's_new', config}));
  assert.equal(it.sockets[1].last('join').room, 'blue');
  it.sockets[1].say({type: 'peer-left', room: 'blue', peer: 's_y', reason: 'leave'});
  assert.deepEqual(left, ['lost', 'leave']);
  // The same once more, from the node itself, moves nobody.
  it.sockets[1].say({type: 'elsewhere', seq: 1, room: 'blue', signalings: [all[1], all[0]]});
  assert.equal(it.sockets.length, 2);
});

test('restart: to the node that is named, and where none is to the same', async () => {
  for (const [signalings, to] of [[[all[2], all[1]], all[2]], [undefined, all[0]]]) {
    const it = await open();
    it.sockets[0].say({type: 'restart', seq: 1, after: 20, signalings});
    assert.equal(it.sockets.length, 1);
    it.sockets[0].cut(4005);
    it.clock.advance(19);
    assert.equal(it.sockets.length, 1);
    it.clock.advance(1);
    assert.equal(it.sockets[1].url, to);
  }
});

test('elsewhere: where nobody answers there, we stay with whom we can reach', async () => {
  const it = await open();
  it.sockets[0].say({type: 'elsewhere', seq: 1, room: 'blue', signalings: [all[1], all[0]]});
  it.sockets[0].cut(1000);
  it.clock.advance(1);
  assert.equal(next(it), all[0]);
  it.sockets.at(-1).open();
  it.sockets.at(-1).say(welcome({session: 's_new', config}));
  const {length} = it.sockets;
  it.sockets.at(-1).say({type: 'elsewhere', seq: 1, room: 'blue', signalings: [all[1], all[0]]});
  assert.equal(it.sockets.length, length);
  for (let second = 0; second < 61; second++) {
    it.clock.advance(1000);
    it.sockets.at(-1).say({type: 'pong'}); // or the session would go on to the next node meanwhile
  }
  assert.equal(it.sockets.length, length);
  it.sockets.at(-1).say({type: 'elsewhere', seq: 2, room: 'blue', signalings: [all[1], all[0]]});
  it.sockets.at(-1).cut(1000);
  it.clock.advance(1);
  assert.equal(it.sockets.at(-1).url, all[1], 'after a minute it is tried again');
});
