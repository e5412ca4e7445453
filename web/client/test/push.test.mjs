// Being rung while no page is open: what the browser is asked, and what the server is told.
import {webcrypto} from 'node:crypto';
import test from 'node:test';
import assert from 'node:assert/strict';
import {Hub} from '../session/hub.js';
import {FakeClock, fakeSockets, welcome} from './fakes.mjs';

// Node 18 has it, but not where browsers do.
globalThis.crypto ??= /** @type {any} */ (webcrypto);

const key = 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4';

async function open(push = {key}) {
  const {FakeSocket, sockets} = fakeSockets();
  const hub = new Hub({url: 'ws://hub.test/ws', user: 'petya', userSecret: 'a secret', WebSocket: FakeSocket, clock: new FakeClock()});
  const connected = hub.connect();
  sockets[0].open();
  sockets[0].say({...welcome(), push});
  await connected;
  return {hub, socket: sockets[0], answer: async (type, answer) => {
    for (let i = 0; i < 50 && !socket(sockets, type); i++) await new Promise(setImmediate);
    const sent = socket(sockets, type);
    sockets[0].say({seq: sent.id, id: sent.id, ...answer});
    return sent;
  }};
}
const socket = (sockets, type) => { try { return sockets[0].last(type); } catch { return undefined; } };

/** A registration whose PushManager does as browsers do. @param {any} [had] */
function registered(had = null) {
  const asked = [];
  const manager = {
    subscription: had,
    getSubscription: async () => manager.subscription,
    subscribe: async (options) => {
      asked.push(options);
      manager.subscription = subscriptionOf('https://push.example.org/new', options.applicationServerKey);
      return manager.subscription;
    },
  };
  const subscriptionOf = (endpoint, bound) => ({
    endpoint, options: {applicationServerKey: bound?.buffer ?? bound ?? null},
    toJSON: () => ({endpoint, expirationTime: null, keys: {p256dh: 'p', auth: 'a'}}),
    unsubscribe: async () => { asked.push(`unsubscribe ${endpoint}`); manager.subscription = null; return true; },
  });
  if (had) manager.subscription = subscriptionOf(had.endpoint, had.bound);
  return {registration: /** @type {any} */ ({pushManager: manager}), manager, asked};
}

test('the browser is asked by the key of the server, and the server is told', async () => {
  const {hub, answer} = await open();
  const {registration, asked} = registered();
  const done = hub.ringWhenAway(registration);
  const sent = await answer('push-subscribe', {type: 'ok'});
  assert.deepEqual(sent.subscription, {endpoint: 'https://push.example.org/new', expirationTime: null, keys: {p256dh: 'p', auth: 'a'}});
  assert.equal((await done).endpoint, 'https://push.example.org/new');
  assert.equal(asked.length, 1);
  assert.equal(asked[0].userVisibleOnly, true);
  assert.equal(Buffer.from(asked[0].applicationServerKey).toString('base64url'), key);
});

test('a subscription that is there is told again; one for another key is made anew', async () => {
  const bytes = new Uint8Array(Buffer.from(key, 'base64url'));
  const other = bytes.map((byte) => byte ^ 1);
  for (const [bound, expected] of [[bytes, 'https://push.example.org/old'], [null, 'https://push.example.org/old'], [other, 'https://push.example.org/new']]) {
    const {hub, answer} = await open();
    const {registration, asked} = registered({endpoint: 'https://push.example.org/old', bound});
    const done = hub.ringWhenAway(registration);
    const sent = await answer('push-subscribe', {type: 'ok'});
    await done;
    assert.equal(sent.subscription.endpoint, expected);
    assert.equal(asked.includes('unsubscribe https://push.example.org/old'), bound === other);
  }
});

test('where the server rings nobody the browser is not asked', async () => {
  const {hub} = await open(null);
  const {registration, asked} = registered();
  assert.equal(hub.pushKey, '');
  await assert.rejects(hub.ringWhenAway(registration), {code: 'forbidden'});
  assert.deepEqual(asked, []);
});

test('what the server or the browser refuses is said', async () => {
  const {hub, answer} = await open();
  const done = hub.ringWhenAway(registered().registration);
  done.catch(() => {});
  await answer('push-subscribe', {type: 'error', code: 'too-many', message: 'as many as it keeps', retry: false});
  await assert.rejects(done, {code: 'too-many'});
  const {registration, manager} = registered();
  manager.subscribe = async () => { throw new DOMException('no', 'NotAllowedError'); };
  await assert.rejects(hub.ringWhenAway(registration), {name: 'NotAllowedError'});
});

test('it ends in the browser and at the server, whatever the server says', async () => {
  for (const said of [{type: 'ok'}, {type: 'error', code: 'rate', message: 'later', retry: true}]) {
    const {hub, answer} = await open();
    const {registration, asked} = registered({endpoint: 'https://push.example.org/old'});
    const done = hub.ringNoMore(registration);
    assert.equal((await answer('push-unsubscribe', said)).endpoint, 'https://push.example.org/old');
    await done;
    assert.deepEqual(asked, ['unsubscribe https://push.example.org/old']);
    await hub.ringNoMore(registration); // nothing is left to end
  }
});

test('calls that were missed while nobody was here are told until they are seen', async () => {
  const {hub, socket, answer} = await open();
  const missed = [];
  hub.on('missed', ({call, ago}) => missed.push([call, ago]));
  socket.say({type: 'missed', seq: 1, call: 'c_1', user: 'vasya', name: 'Vasya', reason: 'timeout', ago: 5000});
  const seen = hub.seen('c_1');
  assert.deepEqual((await answer('seen', {type: 'ok', seq: 2})).calls, ['c_1']);
  await seen;
  assert.deepEqual(missed, [['c_1', 5000]]);
});
