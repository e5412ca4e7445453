import {webcrypto} from 'node:crypto';
import test from 'node:test';
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {Call} from '../call/call.js';
import {LocalMedia} from '../call/media/media.js';
import {Hub} from '../session/hub.js';
import {randomRoom} from '../session/roomname.js';
import {closeCodes} from '../base/codes.js';
import {FakeClock, fakeSockets, welcome} from './fakes.mjs';
import {FakeStream} from './model/world.mjs';

// Node 18 has it, but not where browsers do.
globalThis.crypto ??= /** @type {any} */ (webcrypto);

async function open() {
  const {FakeSocket, sockets} = fakeSockets();
  const hub = new Hub({url: 'ws://hub.test/ws', WebSocket: FakeSocket, clock: new FakeClock()});
  const connected = hub.connect();
  sockets[0].open();
  sockets[0].say(welcome());
  await connected;
  return {hub, socket: sockets[0]};
}

test('an incoming call is an invitation that can be declined', async () => {
  const {hub, socket} = await open();
  let invitation;
  hub.on('incoming', (event) => { invitation = event; });
  socket.say({type: 'call', seq: 1, call: 'c_1', state: 'incoming', from: 's_p', user: 'petya', name: 'Petya', data: {x: 1}});
  assert.deepEqual([invitation.call, invitation.from, invitation.user, invitation.name, invitation.data], ['c_1', 's_p', 'petya', 'Petya', {x: 1}]);
  const declined = invitation.decline('later');
  const sent = socket.last('decline');
  assert.deepEqual([sent.call, sent.reason], ['c_1', 'later']);
  socket.say({type: 'ok', seq: 2, id: sent.id});
  await declined;
});

test('an invitation knows when another device has answered', async () => {
  const {hub, socket} = await open();
  let invitation;
  hub.on('incoming', (event) => { invitation = event; });
  socket.say({type: 'call', seq: 1, call: 'c_1', state: 'incoming', from: 's_p', user: 'petya'});
  socket.say({type: 'call', seq: 2, call: 'c_1', state: 'ended', reason: 'elsewhere'});
  assert.equal(invitation.ended, 'elsewhere');
  assert.equal(hub.calls.size, 0);
});

test('calls that the server has forgotten end as lost', async () => {
  const {FakeSocket, sockets} = fakeSockets();
  const clock = new FakeClock();
  const hub = new Hub({url: 'ws://hub.test/ws', WebSocket: FakeSocket, clock});
  const connected = hub.connect();
  sockets[0].open();
  sockets[0].say(welcome());
  await connected;
  const states = [];
  hub.on('call', ({state, reason}) => states.push([state, reason]));
  sockets[0].say({type: 'call', seq: 1, call: 'c_1', state: 'accepted', peer: 's_p', polite: true});
  sockets[0].cut();
  clock.advance(500);
  sockets[1].open();
  sockets[1].say(welcome());
  assert.deepEqual(states, [['accepted', undefined], ['ended', 'lost']]);
});

test('fresh credentials replace the old', async () => {
  const {hub, socket} = await open();
  let config;
  hub.on('config', (event) => { config = event; });
  socket.say({type: 'config', seq: 1, config: {iceServers: [{urls: 'stun:y'}]}});
  assert.deepEqual(config, {iceServers: [{urls: 'stun:y'}]});
  assert.equal(hub.config, config);
});

test('room names are unguessable and follow the rules', () => {
  const names = new Set(Array.from({length: 1000}, randomRoom));
  assert.equal(names.size, 1000);
  for (const name of names) assert.match(name, /^[a-z]{4}(-[a-z]{4}){5}$/);
});

test('the close codes are those of protocol.md', () => {
  const text = readFileSync(new URL('../../../signaling/protocol.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| (4\d\d\d) \| ([a-z-]+):[^|]*\| (yes|no)/gm)];
  assert.deepEqual(rows.map(([, code, name, back]) => [Number(code), name, back === 'yes']),
    Object.entries(closeCodes).map(([code, {name, back}]) => [Number(code), name, back !== 'no']));
});

test('joined, left and joined again at once: it is left once, and whoever joined last stays', async (t) => {
  t.mock.method(globalThis, 'setInterval', () => 0);
  globalThis.MediaStream ??= /** @type {any} */ (FakeStream);
  for (const again of [true, false]) {
    const {hub, socket} = await open();
    t.after(() => hub.close());
    const settle = () => new Promise((resolve) => { setImmediate(resolve); });
    const join = () => {
      const call = new Call(hub, {media: LocalMedia.from(new FakeStream()), limit: 1}); // it makes no connection ahead
      return {call, came: call.join('fox').then(() => 'in', ({code}) => code)};
    };
    const first = join();
    await settle();
    first.call.leave();
    const second = again ? join() : null;
    await settle();
    const asked = socket.sent.filter(({type}) => type === 'join' || type === 'leave');
    assert.deepEqual(asked.map(({type}) => type), again ? ['join', 'leave', 'join'] : ['join', 'leave']);
    for (const [i, {id, type}] of asked.entries()) {
      socket.say({seq: i + 1, id, ...(type === 'join' ? {type: 'joined', room: 'fox', peers: []} : {type: 'ok'})});
      await settle();
    }
    assert.equal(await first.came, 'closed');
    assert.equal(socket.all('leave').length, 1, 'it is not left once more');
    assert.deepEqual([...hub.rooms.keys()], again ? ['fox'] : [], 'nor joined by itself after a restart');
    if (second) assert.deepEqual([await second.came, second.call.phase], ['in', 'active']);
    second?.call.leave();
  }
});
