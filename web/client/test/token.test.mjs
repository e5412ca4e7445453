import test from 'node:test';
import assert from 'node:assert/strict';
import {Hub} from '../session/hub.js';
import {FakeClock, fakeSockets, welcome} from './fakes.mjs';

/** Lets everything run that waits for promises only. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

function start(token) {
  const clock = new FakeClock();
  const {FakeSocket, sockets} = fakeSockets();
  const hub = new Hub({url: 'ws://hub.test/ws', WebSocket: FakeSocket, clock, token});
  const errors = [];
  hub.on('error', ({code}) => errors.push(code));
  const connected = hub.connect();
  return {hub, clock, sockets, errors, connected};
}

async function open(token) {
  const it = start(token);
  await settled();
  it.sockets[0].open();
  it.sockets[0].say(welcome());
  await it.connected;
  it.sockets[0].say({type: 'pong', ack: 0});
  it.clock.advance(10_000); // the first token is not of this moment
  return it;
}

/** A token function that gives t1, t2, … */
function counting() {
  let count = 0;
  return async () => `t${++count}`;
}

test('a token function is asked again when its token expires, and the session goes on with the new one', async () => {
  const {hub, clock, sockets, errors} = await open(counting());
  assert.equal(sockets[0].url, 'ws://hub.test/ws?token=t1');
  const told = [];
  hub.on('token', ({after}) => told.push(after));
  const socket = sockets.at(-1);
  socket.say({type: 'token', seq: 1, after: 60_000});
  clock.advance(0);
  await settled();
  const {id, token} = socket.last('token');
  assert.equal(token, 't2');
  socket.say({type: 'ok', seq: 2, id});
  await settled();
  assert.deepEqual([told, errors, hub.state], [[60_000], [], 'open']);
  assert.equal(sockets.at(-1), socket, 'on the same socket');
  socket.cut();
  clock.advance(1000);
  assert.equal(sockets.at(-1).url, 'ws://hub.test/ws?token=t2', 'and comes back with it');
});

test('a program that gave a string is told, and hands in another', async () => {
  const {hub, clock, sockets} = await open('t1');
  const renewed = [];
  hub.on('token', () => renewed.push(hub.renew('t2')));
  const socket = sockets.at(-1);
  socket.say({type: 'token', seq: 1, after: 60_000});
  socket.say({type: 'ok', seq: 2, id: socket.last('token').id});
  await Promise.all(renewed);
  assert.equal(renewed.length, 1);
  const refused = hub.renew('nonsense');
  socket.say({type: 'error', seq: 3, id: socket.last('token').id, code: 'forbidden', message: 'no', retry: false});
  await assert.rejects(refused, {code: 'forbidden'});
  socket.cut();
  clock.advance(1000);
  assert.equal(sockets.at(-1).url, 'ws://hub.test/ws?token=t2', 'the one that was not taken is forgotten');
});

test('a token function that fails, or gives the old token, is asked again after a pause', async () => {
  let asked = 0;
  const answers = ['t1', new Error('offline'), 't1', 't2'];
  const {hub, clock, sockets, errors} = await open(async () => {
    const answer = answers[asked++];
    if (answer instanceof Error) throw answer;
    return answer;
  });
  const socket = sockets.at(-1);
  socket.say({type: 'token', seq: 1, after: 60_000});
  clock.advance(0);
  await settled();
  assert.deepEqual([asked, errors], [2, ['no-token']]);
  clock.advance(4000);
  await settled();
  assert.equal(asked, 2, 'not at once');
  for (let i = 0; i < 10; i++) {
    socket.say({type: 'pong', ack: 0});
    clock.advance(1000);
    await settled();
  }
  assert.deepEqual([asked, errors], [4, ['no-token', 'no-token']]);
  assert.equal(socket.last('token').token, 't2');
  hub.close();
});

test('tokens that live for less than the notice are not renewed all the time', async () => {
  const {hub, clock, sockets} = start(counting());
  await settled();
  sockets[0].open();
  sockets[0].say(welcome());
  sockets[0].say({type: 'pong'});
  sockets[0].say({type: 'token', seq: 1, after: 14_000}); // it had no more from the beginning
  clock.advance(6999);
  await settled();
  assert.equal(sockets[0].all('token').length, 0);
  clock.advance(1);
  await settled();
  assert.equal(sockets[0].last('token').token, 't2');
  hub.close();
});

test('a token function that throws before the first socket is asked again; an empty token ends it', async () => {
  let answer;
  const {clock, sockets, errors, hub, connected} = start(() => {
    if (answer === undefined) throw new Error('offline');
    return answer;
  });
  await settled();
  assert.deepEqual([sockets.length, errors, hub.state], [0, ['no-token'], 'connecting']);
  answer = '';
  clock.advance(1000);
  await assert.rejects(connected, {code: 'closed'});
  assert.deepEqual([sockets.length, hub.state], [0, 'closed']);
});

test('a token that is refused is replaced once, and then the visitor is refused', async () => {
  const {hub, clock, sockets} = await open(counting());
  const ended = [];
  hub.on('closed', ({code}) => ended.push(code));
  sockets.at(-1).cut(4003, 'expired');
  clock.advance(1000);
  await settled();
  assert.equal(sockets.at(-1).url, 'ws://hub.test/ws?token=t2');
  assert.deepEqual(ended, []);
  sockets.at(-1).open();
  sockets.at(-1).cut(4003, 'wrong');
  assert.deepEqual(ended, [4003]);
});

test('a hub that is closed while its token is fetched stays closed', async () => {
  let give;
  const {hub, sockets, connected} = start(() => new Promise((resolve) => { give = resolve; }));
  await settled();
  hub.close();
  give('t1');
  await assert.rejects(connected, {code: 'closed'});
  await settled();
  assert.equal(sockets.length, 0);
});
