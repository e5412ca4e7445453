import test from 'node:test';
import assert from 'node:assert/strict';
import {Hub} from '../session/hub.js';
import {FakeClock, fakeSockets, welcome} from './fakes.mjs';
import {Tries} from '../session/retry.js';

function start(options = {}) {
  const clock = new FakeClock();
  const {FakeSocket, sockets} = fakeSockets();
  const hub = new Hub({url: 'ws://hub.test/ws', name: 'Vasya', WebSocket: FakeSocket, clock, ...options});
  const connected = hub.connect();
  return {hub, clock, sockets, connected};
}

async function open(options) {
  const it = start(options);
  it.sockets[0].open();
  it.sockets[0].say(welcome());
  await it.connected;
  return it;
}

test('hello names the person and welcome opens the hub', async () => {
  const {hub, sockets} = await open({user: 'vasya', userSecret: '12345678', token: 'tkn'});
  assert.equal(sockets[0].protocol, 'turnhub.v1');
  assert.equal(sockets[0].url, 'ws://hub.test/ws?token=tkn');
  assert.deepEqual(sockets[0].sent[0], {type: 'hello', name: 'Vasya', user: 'vasya', userSecret: '12345678'});
  assert.equal(hub.state, 'open');
  assert.equal(hub.id, 's_me');
  assert.deepEqual(hub.config.iceServers, [{urls: 'stun:x'}]);
});

test('what is said before the welcome is sent after it, numbered', () => {
  const {hub, sockets} = start();
  hub.signal('s_a', 1);
  hub.signal('s_a', 2);
  sockets[0].open();
  assert.equal(sockets[0].all('signal').length, 0);
  sockets[0].say(welcome());
  assert.deepEqual(sockets[0].all('signal').map(({seq, data}) => [seq, data]), [[1, 1], [2, 2]]);
});

test('requests are answered by id, errors with their code', async () => {
  const {hub, sockets} = await open();
  const joined = hub.join('blue');
  const {id} = sockets[0].last('join');
  sockets[0].say({type: 'joined', id, seq: 1, room: 'blue', peers: [{peer: 's_a', polite: true}]});
  assert.equal((await joined).peers[0].peer, 's_a');
  assert.ok(hub.rooms.get('blue').peers.has('s_a'));
  const refused = hub.join('full');
  sockets[0].say({type: 'error', id: sockets[0].last('join').id, seq: 2, code: 'room-full', message: 'full', retry: true, after: 7});
  await assert.rejects(refused, {name: 'HubError', code: 'room-full', retry: true, after: 7});
});

test('resume sends again what the server has not handled, and drops what was handled twice', async () => {
  const {hub, clock, sockets} = await open();
  const heard = [];
  hub.on('signal', ({data}) => heard.push(data));
  sockets[0].say({type: 'signal', seq: 1, from: 's_a', data: 'one'});
  hub.signal('s_a', 'a');
  hub.signal('s_a', 'b');
  sockets[0].cut();
  assert.equal(hub.state, 'reconnecting');
  hub.signal('s_a', 'c');
  clock.advance(1000);
  assert.equal(sockets.length, 2);
  sockets[1].open();
  assert.deepEqual(sockets[1].sent[0].resume, {session: 's_me', token: 'secret', seq: 1});
  sockets[1].say(welcome({resumed: true, ack: 1, resume: {token: 'next', window: 60000}}));
  assert.deepEqual(sockets[1].all('signal').map(({seq, data}) => [seq, data]), [[2, 'b'], [3, 'c']]);
  sockets[1].say({type: 'signal', seq: 1, from: 's_a', data: 'one'});
  sockets[1].say({type: 'signal', seq: 2, from: 's_a', data: 'two'});
  assert.deepEqual(heard, ['one', 'two']);
  assert.equal(hub.state, 'open');
});

test('a socket for media is opened while the session is without its own, and for no session that is not', async () => {
  const {hub, clock, sockets, connected} = start();
  assert.equal(hub.mediaSocket('s_a'), null, 'before the welcome');
  sockets[0].open();
  sockets[0].say(welcome({media: {path: 'media', frame: 1000}}));
  await connected;
  sockets[0].cut();
  const media = /** @type {any} */ (hub.mediaSocket('s_a'));
  assert.deepEqual([media.url, media.protocol], ['ws://hub.test/media', 'turnhub.media.v1']);
  media.open();
  assert.deepEqual(media.sent, [{type: 'hello', session: 's_me', token: 'secret', peer: 's_a'}]);
  const opened = Array.from({length: 20}, () => hub.mediaSocket('s_a')).filter(Boolean).length;
  assert.ok(opened > 1 && opened < 13, `${opened} while the server may be away`);
  clock.advance(1000);
  const own = sockets.findLast(({protocol}) => protocol === 'turnhub.v1');
  own.open();
  own.say(welcome({media: {path: 'media', frame: 1000}}));
  assert.ok(hub.mediaSocket('s_a'), 'and as many as are needed once it is back');
  own.cut();
  assert.ok(hub.mediaSocket('s_a'));
  clock.advance(1000);
  const next = sockets.findLast(({protocol}) => protocol === 'turnhub.v1');
  next.open();
  next.say(welcome());
  assert.equal(hub.mediaSocket('s_a'), null, 'a server that has none any more');
  hub.close();
  assert.equal(hub.mediaSocket('s_a'), null, 'closed');
});

test('a request that was on its way when the socket died is answered after resume, once', async () => {
  const {hub, clock, sockets} = await open();
  const joined = hub.join('blue');
  const {id} = sockets[0].last('join');
  sockets[0].cut();
  clock.advance(1000);
  sockets[1].open();
  sockets[1].say(welcome({resumed: true, ack: 1}));
  assert.equal(sockets[1].all('join').length, 0, 'the server had handled it');
  sockets[1].say({type: 'joined', id, seq: 1, room: 'blue', peers: []});
  assert.equal((await joined).room, 'blue');
});

test('a fresh session rejects open requests, joins its rooms again and starts its numbers anew', async () => {
  const {hub, clock, sockets} = await open();
  const joined = hub.join('blue', {first: (again) => (again ? {rejoin: 'x'} : {offer: 1})});
  assert.deepEqual(sockets[0].last('join').first, {offer: 1});
  sockets[0].say({type: 'joined', id: sockets[0].last('join').id, seq: 1, room: 'blue', peers: []});
  await joined;
  hub.subscribe('petya').catch(() => {});
  const lost = hub.message({room: 'blue', data: 'hi'});
  sockets[0].cut();
  clock.advance(1000);
  sockets[1].open();
  const again = new Promise((resolve) => hub.on('rejoined', resolve));
  sockets[1].say(welcome({session: 's_new'}));
  await assert.rejects(lost, {code: 'session-lost', retry: true});
  const join = sockets[1].last('join');
  assert.deepEqual([join.room, join.first], ['blue', {rejoin: 'x'}]);
  assert.deepEqual(sockets[1].last('subscribe').users, ['petya']);
  assert.deepEqual(sockets[1].sent.filter(({seq}) => seq).map(({seq}) => seq), [1, 2]);
  sockets[1].say({type: 'joined', id: join.id, seq: 1, room: 'blue', peers: [{peer: 's_b', polite: true}]});
  assert.equal((await again).peers[0].peer, 's_b');
  assert.equal(hub.id, 's_new');
});

test('acknowledges after 32 messages, or after a while', async () => {
  const {clock, sockets} = await open();
  for (let seq = 1; seq <= 31; seq++) sockets[0].say({type: 'signal', seq, from: 's_a', data: 0});
  assert.equal(sockets[0].all('ack').length, 0);
  sockets[0].say({type: 'signal', seq: 32, from: 's_a', data: 0});
  assert.deepEqual(sockets[0].all('ack'), [{type: 'ack', ack: 32}]);
  sockets[0].say({type: 'signal', seq: 33, from: 's_a', data: 0});
  clock.advance(1000);
  assert.equal(sockets[0].last('ack').ack, 33);
});

test('acknowledges after 256 KiB, so that the server never has to keep 1 MiB', async () => {
  const {sockets} = await open();
  const data = 'x'.repeat(64 * 1024);
  for (let seq = 1; seq <= 3; seq++) sockets[0].say({type: 'signal', seq, from: 's_a', data});
  assert.equal(sockets[0].all('ack').length, 0);
  sockets[0].say({type: 'signal', seq: 4, from: 's_a', data});
  assert.deepEqual(sockets[0].all('ack'), [{type: 'ack', ack: 4}]);
});

test('acknowledgement rides on any message and empties the queue', async () => {
  const {hub, clock, sockets} = await open();
  sockets[0].say({type: 'signal', seq: 1, from: 's_a', data: 0});
  hub.signal('s_a', 'x');
  assert.equal(sockets[0].last('signal').ack, 1);
  sockets[0].say({type: 'ack', ack: 1});
  sockets[0].cut();
  clock.advance(1000);
  sockets[1].open();
  sockets[1].say(welcome({resumed: true, ack: 1}));
  assert.equal(sockets[1].all('signal').length, 0);
});

test('what waits unacknowledged is bounded', async () => {
  const {hub, sockets} = await open();
  sockets[0].cut();
  for (let i = 0; i < 256; i++) hub.signal('s_a', i);
  assert.throws(() => hub.signal('s_a', 'one more'), {code: 'queue-full'});
});

test('heartbeat: each interval, each second in company; a silent socket is given up', async () => {
  const {hub, clock, sockets} = await open();
  assert.equal(sockets[0].all('ping').length, 1);
  sockets[0].say({type: 'pong', ack: 0});
  clock.advance(15000);
  assert.equal(sockets[0].all('ping').length, 2);
  sockets[0].say({type: 'pong', ack: 0});
  const joined = hub.join('blue');
  sockets[0].say({type: 'joined', id: sockets[0].last('join').id, seq: 1, room: 'blue', peers: [{peer: 's_a', polite: true}]});
  await joined;
  const before = sockets[0].all('ping').length;
  for (let i = 0; i < 3; i++) { sockets[0].say({type: 'pong', ack: 1}); clock.advance(1000); }
  assert.equal(sockets[0].all('ping').length, before + 3);
  let how;
  hub.on('welcome', (event) => { how = event; });
  clock.advance(1600); // in a call 1.5 s of silence after a ping are enough
  assert.equal(sockets[0].closed, true);
  assert.equal(sockets.length, 2);
  sockets[1].open();
  sockets[1].say(welcome({resumed: true}));
  assert.deepEqual(how, {first: false, resumed: true, silent: true});
});

test('while a call rings, ours or one for us, a silent socket is seen as quickly as in a call', async () => {
  for (const ours of [false, true]) {
    const {hub, clock, sockets} = await open();
    sockets[0].say({type: 'pong', ack: 0});
    if (ours) {
      const calling = hub.invite('petya');
      sockets[0].say({type: 'calling', id: sockets[0].last('invite').id, seq: 1, call: 'c_1'});
      await calling;
    } else {
      sockets[0].say({type: 'call', seq: 1, call: 'c_1', state: 'incoming', from: 's_a', user: 'petya'});
    }
    clock.advance(2600); // a ping after 1 s at the latest, and 1.5 s of silence
    assert.equal(sockets[0].closed, true);
    sockets[1].open();
    sockets[1].say(welcome({resumed: true}));
    sockets[1].say({type: 'call', seq: 2, call: 'c_1', state: 'ended', reason: 'timeout'});
    sockets[1].say({type: 'pong', ack: 1});
    const before = sockets[1].all('ping').length;
    clock.advance(2600);
    assert.equal(sockets[1].all('ping').length, before, 'and no longer');
  }
});

test('on a narrow line a silent socket waits, mostly: it is given up late, unless something has happened to the network', async () => {
  for (const happened of [false, true]) {
    const {hub, clock, sockets} = await open();
    const joined = hub.join('blue');
    sockets[0].say({type: 'joined', id: sockets[0].last('join').id, seq: 1, room: 'blue', peers: [{peer: 's_a', polite: true}]});
    await joined;
    sockets[0].say({type: 'pong', ack: 1});
    clock.advance(1000); // a ping is on its way when it becomes known
    hub.setNarrow(true);
    clock.advance(4500);
    assert.equal(sockets[0].closed, false, 'the line is busy');
    if (happened) hub.poke();
    clock.advance(2000);
    assert.equal(sockets[0].closed, happened);
    clock.advance(3000);
    assert.equal(sockets[0].closed, true, 'one that is dead is known all the same');
  }
});

test('on a narrow line the socket is looked at less often', async () => {
  const {hub, clock, sockets} = await open();
  const joined = hub.join('blue');
  sockets[0].say({type: 'joined', id: sockets[0].last('join').id, seq: 1, room: 'blue', peers: [{peer: 's_a', polite: true}]});
  await joined;
  hub.setNarrow(true);
  const pings = (seconds) => {
    const before = sockets[0].all('ping').length;
    for (let i = 0; i < seconds; i++) { sockets[0].say({type: 'pong', ack: 1}); clock.advance(1000); }
    return sockets[0].all('ping').length - before;
  };
  pings(3);
  assert.equal(pings(9), 3);
  hub.setNarrow(false);
  pings(3);
  assert.equal(pings(9), 9);
});

test('a frozen socket is noticed by what is sent, and the next one within 5 s by itself', async () => {
  const {hub, clock, sockets} = await open();
  const answer = (/** @type {any} */ socket) => socket.say({type: 'pong', ack: 0});
  answer(sockets[0]);
  clock.advance(14_000);
  hub.join('blue').catch(() => {});
  clock.advance(3900);
  assert.equal(sockets[0].closed, false);
  clock.advance(200);
  assert.equal(sockets[0].closed, true, 'a numbered message is acknowledged within a second');
  clock.advance(500);
  assert.equal(sockets.length, 2);
  sockets[1].open();
  sockets[1].say(welcome({resumed: true, ack: 1}));
  answer(sockets[1]);
  clock.advance(5000); // alone, with nothing to say
  assert.equal(sockets[1].closed, true);
  clock.advance(500);
  sockets[2].open();
  sockets[2].say(welcome({resumed: true, ack: 1}));
  for (let i = 0; i < 1300; i++) { answer(sockets[2]); clock.advance(500); }
  const before = sockets[2].all('ping').length;
  for (let i = 0; i < 60; i++) { answer(sockets[2]); clock.advance(500); }
  assert.equal(sockets[2].all('ping').length - before, 2, 'ten minutes later all is as before');
});

test('a socket that has carried what lets others freeze is looked at in time, and one that has carried more is not', async () => {
  const {hub, clock, sockets} = await open();
  let seq = 0;
  const answer = () => sockets[0].say({type: 'pong', ack: 100});
  const pings = (/** @type {number} */ times) => {
    const before = sockets[0].all('ping').length;
    for (let i = 0; i < times; i++) { answer(); clock.advance(500); }
    return sockets[0].all('ping').length - before;
  };
  answer();
  assert.ok(pings(120) <= 4, 'what has carried little is left alone');
  sockets[0].say({type: 'lobby-peer', seq: ++seq, room: 'blue', peer: 's_a', data: 'x'.repeat(7000)});
  assert.ok(pings(120) >= 20, 'from then on it is looked at');
  for (let i = 0; i < 40; i++) sockets[0].say({type: 'signal', seq: ++seq, from: 's_a', data: 'x'.repeat(7000)});
  assert.ok(pings(120) <= 5, 'no network of that kind');
  // Another socket begins anew; what is said to somebody who waits there is lost.
  sockets[0].cut();
  clock.advance(500);
  sockets[1].open();
  sockets[1].say(welcome({resumed: true, ack: 100}));
  sockets[1].say({type: 'pong', ack: 100});
  sockets[1].say({type: 'signal', seq: ++seq, from: 's_a', data: 'x'.repeat(7000)});
  clock.advance(4900);
  assert.equal(sockets[1].closed, true, 'within 5 s');
  // Where that has happened, attempts that hang are given up early too.
  clock.advance(500);
  assert.equal(sockets.length, 3);
  clock.advance(5000);
  assert.ok(sockets.length > 3, 'another attempt');
});

test('a long message on a slow line is no frozen socket', async () => {
  const {hub, clock, sockets} = await open();
  sockets[0].say({type: 'pong', ack: 0});
  hub.signal('s_a', 'x'.repeat(100_000));
  hub.signal('s_a', 'short');
  clock.advance(10_000);
  assert.equal(sockets[0].closed, false);
});

test('in a call dead attempts are given up early, and later ones are patient', async () => {
  const {hub, clock, sockets} = await open();
  const joined = hub.join('blue');
  sockets[0].say({type: 'joined', id: sockets[0].last('join').id, seq: 1, room: 'blue', peers: [{peer: 's_a', polite: true}]});
  await joined;
  sockets[0].cut();
  const begun = [];
  for (let i = 1; i <= 12; i++) {
    while (sockets.length === i) clock.advance(10);
    begun.push(clock.time); // and no answer comes
  }
  const gaps = begun.slice(1).map((time, i) => time - begun[i]);
  assert.ok(gaps.slice(0, 7).every((gap) => gap <= 1700), String(gaps));
  assert.ok(gaps.at(-1) > 30_000 && gaps.at(-1) <= 31_000, String(gaps));
});

test('a lone visitor gives the server its full timeout', async () => {
  const {clock, sockets} = await open();
  clock.advance(3900);
  assert.equal(sockets[0].closed, false);
  clock.advance(200);
  assert.equal(sockets[0].closed, true);
});

test('restart: comes back after the time that the server gave', async () => {
  const {hub, clock, sockets} = await open();
  let told;
  hub.on('restart', ({after}) => { told = after; });
  sockets[0].say({type: 'restart', seq: 1, after: 1730});
  sockets[0].cut(4005);
  assert.equal(told, 1730);
  clock.advance(1729);
  assert.equal(sockets.length, 1);
  clock.advance(1);
  assert.equal(sockets.length, 2);
});

for (const [code, back] of [[4000, false], [4001, false], [4002, true], [4003, false], [4004, false], [4006, true], [4007, false], [4009, false], [1006, true], [1001, true]]) {
  test(`close ${code}: ${back ? 'comes back' : 'stays away and says why'}`, async () => {
    const {hub, clock, sockets} = await open();
    let closed;
    hub.on('closed', (event) => { closed = event; });
    sockets[0].cut(code);
    if (code === 4006) {
      clock.advance(4999);
      assert.equal(sockets.length, 1, 'not before 5 s');
    }
    clock.advance(60000);
    assert.equal(sockets.length > 1, back);
    assert.equal(hub.state === 'closed', !back);
    if (!back) assert.equal(closed.code, code);
  });
}

test('close 4008 comes back with a fresh session', async () => {
  const {clock, sockets} = await open();
  sockets[0].cut(4008);
  clock.advance(5000);
  sockets[1].open();
  assert.equal(sockets[1].sent[0].resume, undefined);
});

test('attempts back off with jitter and end at close()', async () => {
  const {hub, clock, sockets} = await open();
  const times = [];
  sockets[0].cut();
  for (let i = 1; i <= 9; i++) {
    while (sockets.length === i) clock.advance(1);
    times.push(clock.time);
    sockets[i].cut();
  }
  const gaps = times.slice(1).map((time, i) => time - times[i]);
  assert.ok(gaps.every((gap, i) => i === 0 || gap >= gaps[i - 1]), String(gaps));
  assert.ok(gaps.at(-1) <= 15000);
  hub.close();
  const count = sockets.length;
  clock.advance(120000);
  assert.equal(sockets.length, count);
});

test('a refused opening rejects connect()', async () => {
  const {sockets, connected} = start();
  sockets[0].open();
  sockets[0].cut(4003, 'the token has expired');
  await assert.rejects(connected, /expired/);
});

test('close() says bye', async () => {
  const {hub, sockets} = await open();
  hub.close();
  assert.equal(sockets[0].last('bye').type, 'bye');
  assert.equal(hub.state, 'closed');
});

test('a browser that holds back tries at a path which has refused some gets a path of its own for each, where the server takes it', async () => {
  const url = new URL('wss://calls.test/below/ws?token=t'), firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0';
  const tries = new Tries(firefox);
  assert.equal(tries.next(url).href, url.href, 'before the server has said so');
  tries.begin('ws/');
  const made = Array.from({length: 6}, () => tries.next(url));
  assert.equal(new Set(made.map(({pathname}) => pathname)).size, 5, 'and each third where it always is');
  for (const [i, {pathname, search}] of made.entries()) {
    assert.match(pathname, (i + 1) % 3 ? /^\/below\/ws\/\w{1,6}$/ : /^\/below\/ws$/);
    assert.equal(search, '?token=t');
  }
  for (const path of [undefined, null, 7, '/elsewhere/', 'https://evil.test/', '../', 'ws']) {
    tries.begin(path);
    assert.equal(tries.next(url).href, url.href, String(path));
  }
  const other = new Tries('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36');
  other.begin('ws/');
  assert.equal(other.next(url).href, url.href);
});
