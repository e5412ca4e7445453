// Which of the server's relays a connection asks for, and what is learned from what it finds.
import test from 'node:test';
import assert from 'node:assert/strict';
import {FakeClock} from './fakes.mjs';
import {Relays, mostRelays} from '../call/path/relays.js';
import {Improving} from '../call/path/improving.js';
import {isOverUDP} from '../base/candidate.js';

const udp = 'turn:h:3478?transport=udp', quic = 'turn:h:443?transport=udp', tcp = 'turn:h:3478?transport=tcp';
const tls = 'turns:h:443?transport=tcp', numbered = 'turns:203.0.113.1:443?transport=tcp';
const usual = [udp, tcp, tls, numbered];

/** A connection that finds a relay by each URL that gets through, on each of its networks. */
class Connection extends EventTarget {
  signalingState = 'stable';
  iceGatheringState = 'new';
  constructor(urls) { super(); this.urls = urls; }
  getConfiguration() { return {iceServers: [{urls: this.urls}]}; }
  say(state) {
    this.iceGatheringState = state;
    this.dispatchEvent(new Event('icegatheringstatechange'));
  }
  find(url, {named = true, networks = 1} = {}) {
    const preference = url.startsWith('turns') ? 0 : url.endsWith('tcp') ? 1 : 3;
    for (let i = 0; i < networks; i++) {
      const candidate = {candidate: `candidate:1 1 udp ${preference * 2 ** 24 + 9} 203.0.113.1 ${50_000 + i} typ relay`, ...(named && {url})};
      this.dispatchEvent(Object.assign(new Event('icecandidate'), {candidate}));
    }
  }
}

/**
 * A network, and connections made in it one after the other until none would ask for anything else.
 * @returns {{chosen: string[], held: number, made: number}} of the last one
 */
function settle(urls, passes, {networks = 1, named = true} = {}) {
  const clock = new FakeClock(), relays = new Relays(clock);
  let chosen = relays.choose(urls), made = 0, held = 0;
  for (;;) {
    const pc = relays.watch(new Connection(chosen));
    made++;
    pc.say('gathering');
    held = 0;
    // What takes more round trips comes later.
    for (const url of chosen.filter(passes)) {
      clock.advance(40);
      held += networks;
      pc.find(url, {named, networks});
    }
    clock.advance(3000);
    const now = relays.choose(urls);
    if (relays.fits(pc, now)) return {chosen, held, made};
    assert.ok(made < 6, `goes from one to the other for ever: ${chosen} ${now}`);
    chosen = now;
  }
}

test('the best that gets through and the surest are asked for, on every network', () => {
  const all = () => true, closed = (url) => !url.endsWith('udp');
  const cases = [
    // urls, what passes, what is asked for in the end, connections made for that, on how many networks (one and two)
    [usual, all, [udp, numbered], 1],
    [usual, closed, [tcp, numbered], 2],
    [usual, (url) => url.startsWith('turns'), [tcp, numbered], 2],
    [usual, (url) => url === tls, usual, 2],
    [usual, (url) => url === tcp, usual, 2],
    [[udp, quic, tls, numbered], all, [udp, numbered], 1],
    // Three on one network are few enough.
    [[udp, quic, tls, numbered], (url) => url !== udp, [quic, tls, numbered], 2, 1],
    [[udp, quic, tls, numbered], (url) => url !== udp, [quic, numbered], 3, 2],
    [[udp, quic, tls, numbered], closed, [quic, tls, numbered], 2],
    [[udp], all, [udp], 1],
    [[tcp], all, [tcp], 1],
    [[tls, numbered], all, [tls, numbered], 1],
    [[], all, [], 1],
  ];
  for (const [urls, passes, wanted, made, only] of cases) {
    for (const networks of only ? [only] : [1, 2]) {
      const found = settle(urls, passes, {networks});
      assert.deepEqual(found.chosen, wanted, `${urls}: ${networks}`);
      assert.equal(found.made, made, `${urls}: ${networks}`);
      assert.ok(found.held <= mostRelays, `${found.held} relays`);
    }
  }
});

test('a browser that does not say by which URL a relay was found gets no more of them', () => {
  for (const networks of [1, 2]) {
    assert.deepEqual(settle(usual, () => true, {networks, named: false}).chosen, [udp, numbered]);
    assert.deepEqual(settle(usual, (url) => url.startsWith('turns'), {networks, named: false}).chosen, [tcp, numbered]);
  }
  assert.deepEqual(settle([udp, quic, tls, numbered], (url) => url !== udp, {networks: 2, named: false}).chosen, [quic, numbered]);
});

test('on many networks one relay of each is enough', () => {
  assert.deepEqual(settle(usual, () => true, {networks: 3}), {chosen: [udp], held: 3, made: 2});
  assert.deepEqual(settle(usual, (url) => url.startsWith('turns'), {networks: 5}).chosen, [numbered]);
});

test('addresses of both families are asked, since a network of one cannot use the other', () => {
  const [four, six] = ['turn:203.0.113.1:3478?transport=udp', 'turn:[2a02:db8::1]:3478?transport=udp'];
  const stream = 'turn:203.0.113.1:3478?transport=tcp';
  const relays = new Relays(new FakeClock());
  assert.deepEqual(relays.choose([four, stream, six]), [four, stream, six]);
});

test('another network is asked anew', () => {
  const clock = new FakeClock(), relays = new Relays(clock);
  const pc = relays.watch(new Connection([udp, numbered]));
  pc.say('gathering');
  pc.find(numbered);
  clock.advance(999);
  assert.deepEqual(relays.choose(usual), [udp, numbered], 'UDP may only have been lost');
  clock.advance(1);
  assert.deepEqual(relays.choose(usual), [tcp, numbered]);
  relays.forget();
  assert.deepEqual(relays.choose(usual), [udp, numbered]);
});

test('no network at all says nothing of relays once there is one', () => {
  const clock = new FakeClock(), relays = new Relays(clock);
  relays.watch(new Connection([udp, numbered])).say('gathering');
  clock.advance(3000);
  assert.deepEqual(relays.choose(usual), usual);
  relays.again();
  assert.deepEqual(relays.choose(usual), [udp, numbered]);
});

test('relays that a restart of ICE has left, or that healing took, are too many', () => {
  const clock = new FakeClock(), relays = new Relays(clock), lean = [udp, numbered];
  const pc = relays.watch(new Connection(lean));
  const gather = (urls) => {
    pc.urls = urls;
    pc.say('gathering');
    for (const url of urls) pc.find(url, {networks: 2});
    pc.say('complete');
  };
  gather(lean);
  assert.equal(relays.tooMany(pc, true, lean), false);
  gather(lean);
  assert.equal(relays.tooMany(pc, false, lean), false, 'on a direct path the browser gives the old ones back');
  assert.equal(relays.tooMany(pc, true, lean), true);
  gather(usual);
  assert.equal(relays.tooMany(pc, false, lean), true);
  assert.equal(relays.tooMany(pc, false, usual), false, 'fewer are not to be had');
});

test('gathering is over when it ends, or half a second after a relay', async () => {
  const clock = new FakeClock(), relays = new Relays(clock);
  for (const end of [(pc) => pc.say('complete'), (pc) => { pc.find(udp); clock.advance(500); }, () => clock.advance(3000)]) {
    const pc = relays.watch(new Connection(usual));
    pc.say('gathering');
    let over = false;
    relays.gathered(pc).then(() => { over = true; });
    clock.advance(499);
    await Promise.resolve();
    assert.equal(over, false);
    end(pc);
    await relays.gathered(pc);
  }
});

test('where there is nothing to gather nobody waits', async () => {
  const clock = new FakeClock(), relays = new Relays(clock), pc = relays.watch(new Connection(usual));
  let over = false;
  relays.gathered(pc).then(() => { over = true; });
  pc.say('complete'); // and not that it begins, as in Firefox
  await Promise.resolve();
  assert.equal(over, true);
  assert.deepEqual(relays.choose(usual), new Relays(clock).choose(usual), 'nothing is learned from that');
});

test('a relay over UDP is known by its candidate in every browser', () => {
  // As seen in Chromium 1xx and before, and in Firefox: over UDP, TCP, TLS.
  assert.deepEqual([58598143, 41820927, 25043455, 8265983, 92151807, 8265727].map(isOverUDP), [true, true, false, false, true, false]);
});

/** A path beside a Firefox, and when another that leads straight is looked for, in seconds. */
function straight(paths, {polite = true, direct = true, remote = 'host', mozilla = true} = {}) {
  const clock = new FakeClock(), done = [];
  const improving = new Improving({
    clock, probe: async () => false, direct: () => direct, polite: () => polite, fits: () => true, tooMany: () => false, better: () => done.push('better'), fit: () => {},
    only: (which) => done.push(which === 'direct' ? clock.time / 1000 : which),
  });
  const pc = {localDescription: {sdp: 'v=0\r\no=- 1'}};
  let before = '';
  for (const path of paths) {
    if (before && path !== before) improving.settle();
    before = path;
    clock.advance(1000);
    improving.tick({path, local: path === 'direct' ? 'host' : 'relay', remote}, {pc, mozilla});
  }
  return done;
}

test('a direct path is looked for by itself beside a Firefox, three times, by one of the two', () => {
  const relayed = Array(600).fill('relay-udp');
  assert.deepEqual(straight(relayed), [2, 22, 82]);
  assert.deepEqual(straight(relayed, {remote: 'relay'}), [2, 'single', 22, 'single', 82, 'single']);
  assert.deepEqual(straight(relayed, {polite: false}), []);
  assert.deepEqual(straight(relayed, {direct: false}), []);
  assert.deepEqual(straight(relayed, {mozilla: false}), [], 'Chromium goes over by itself');
  assert.deepEqual(straight(Array(600).fill('direct')), []);
});

test('a direct path that breaks again and again is looked for ever more seldom, one that has lasted at once', () => {
  const breaking = Array.from({length: 40}, () => [...Array(3).fill('relay-udp'), ...Array(7).fill('direct')]).flat();
  assert.ok(straight(breaking).length <= 3, String(straight(breaking)));
  const lasting = [...Array(3).fill('relay-udp'), ...Array(70).fill('direct'), ...Array(5).fill('relay-udp')];
  assert.deepEqual(straight(lasting), [2, 75]);
});

/** A settled path, and what is done about it in so many seconds. */
function improve(path, {fits = true, tooMany = () => false, seconds = 60} = {}) {
  const clock = new FakeClock(), done = [];
  const improving = new Improving({
    clock, probe: async () => false, direct: () => false, polite: () => false, only: () => {}, fits: () => fits, tooMany: (_, relayed) => tooMany(relayed),
    better: () => { done.push(['better', clock.time]); fits = true; },
    fit: (relayed) => { done.push([relayed ? 'another connection' : 'restart', clock.time]); improving.settle(); },
  });
  for (let i = 0; i < seconds; i++) {
    clock.advance(1000);
    improving.tick({path, local: path === 'direct' ? 'host' : 'relay'}, {pc: {}, first: 'theirs'});
  }
  return done;
}

test('a call that needs no more than it has is left alone', () => {
  for (const path of ['direct', 'relay-udp', 'relay-tcp', 'relay-tls']) assert.deepEqual(improve(path), []);
});

test('what a connection has found over TLS alone may be better over TCP, and is looked for once', () => {
  assert.deepEqual(improve('relay-tls', {fits: false}), [['better', 2000]]);
  assert.deepEqual(improve('relay-udp', {fits: false}), []);
  assert.deepEqual(improve('direct', {fits: false}), []);
});

test('relays that are too many are given back, and ever more seldom where that does not help', () => {
  let left = 1;
  assert.deepEqual(improve('relay-udp', {tooMany: () => left-- > 0}), [['another connection', 10_000]]);
  left = 1;
  assert.deepEqual(improve('direct', {tooMany: () => left-- > 0}), [['restart', 10_000]]);
  assert.deepEqual(improve('relay-tls', {tooMany: () => true, seconds: 200}).map(([, at]) => at), [10_000, 30_000, 70_000, 150_000]);
});
