// A path through the server's WebSocket outlives its sockets: schedules at random against a server that loses, freezes and
// refuses them, is killed, or hands over to another process. SEED=N plays one, SCHEDULES=N so many.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Link} from '../call/websocket/link.js';
import {Channels} from '../call/websocket/channels.js';
import {FakeClock} from './fakes.mjs';

const schedules = Number(process.env.SCHEDULES ?? 400);

/** Numbers that look random, and are the same with the same seed. @param {number} seed */
function random(seed) {
  let state = (seed * 2654435761) >>> 0;
  return (/** @type {number} */ most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * most);
  };
}

/** A server as signaling/media is: processes one after the other, in each of which two ends meet. */
class Server {
  process = {ends: /** @type {(any | null)[]} */ ([null, null])};
  /** Where the sessions of the two are. */
  at = [this.process, this.process];
  down = false;
  /** @type {any[]} */ all = [];

  constructor(clock, pick) {
    this.clock = clock;
    this.pick = pick;
  }

  socket(side, opens) {
    if (this.down) return null;
    const at = this.at[side];
    const socket = {readyState: 0, bufferedAmount: 0, side, at, frozen: this.pick(12) === 0, far: this.pick(4) === 0, onmessage: null, onclose: null,
      send: (frame) => { if (typeof frame === 'string') this.tell(socket, '{"type":"pong"}'); else this.pass(socket, frame); },
      close: () => this.end(socket, 1000)};
    this.all.push(socket);
    this.later(() => {
      if (socket.readyState !== 0) return;
      if (this.down || !this.at.includes(at)) return this.end(socket, 1006);
      if (socket.frozen) return; // a proxy has sent it over a connection that is dead
      socket.readyState = 1;
      if (opens()) this.later(() => this.hello(socket));
      else socket.close();
    });
    return socket;
  }

  later(run) { this.clock.setTimeout(run, 5 + this.pick(60)); }

  /** In order, as TCP is. */
  tell(socket, data) {
    socket.due = Math.max(socket.due ?? 0, this.clock.now() + 5 + this.pick(60));
    this.clock.setTimeout(() => { if (socket.readyState === 1 && !socket.frozen) socket.onmessage?.({data}); }, socket.due - this.clock.now());
  }

  hello(socket) {
    if (socket.readyState !== 1 || socket.frozen) return;
    if (this.pick(10) === 0) return this.end(socket, 4003); // the session is not here yet
    const {ends} = socket.at, old = ends[socket.side], other = ends[1 - socket.side];
    ends[socket.side] = socket;
    this.tell(socket, JSON.stringify({type: 'ready', here: !!other}));
    if (old) this.end(old, 4001);
    else if (other) this.tell(other, JSON.stringify({type: 'peer', here: true}));
  }

  pass(socket, frame) {
    const other = socket.at.ends[1 - socket.side];
    if (socket.frozen || socket.at.ends[socket.side] !== socket || !other) return;
    this.tell(other, frame.slice().buffer);
  }

  end(socket, code) {
    if (socket.readyState === 3) return;
    const {ends} = socket.at, was = ends[socket.side] === socket;
    socket.readyState = 3;
    if (was) {
      ends[socket.side] = null;
      if (ends[1 - socket.side]) this.tell(ends[1 - socket.side], JSON.stringify({type: 'peer', here: false}));
    }
    if (code !== 1000 && !socket.frozen) this.later(() => socket.onclose?.({code}));
  }

  kill() {
    for (const socket of this.all) this.end(socket, 1006);
    this.begin();
    this.down = true;
    this.clock.setTimeout(() => { this.down = false; }, 200 + this.pick(1500));
  }

  handOver() {
    const old = this.process;
    for (const socket of old.ends) if (socket) this.tell(socket, JSON.stringify({type: 'restart', after: 250 + this.pick(2000)}));
    this.begin();
    this.clock.setTimeout(() => { for (const socket of this.all) if (socket.at === old) this.end(socket, 4005); }, 10_000);
  }

  begin() {
    this.process = {ends: [null, null]};
    this.at = [this.process, this.process];
  }

  /** The sessions of the two are others, and each hears it when it does. @param {{link: Link}[]} ends */
  others(ends) {
    const old = this.process, next = this.process = {ends: [null, null]};
    for (const side of [0, 1]) {
      this.clock.setTimeout(() => {
        if (this.process === next) this.at[side] = next;
        ends[side].link.again();
      }, this.pick(800));
    }
    this.clock.setTimeout(() => { for (const socket of this.all) if (socket.at === old) this.end(socket, 4003); }, 10_000);
  }
}

function play(seed) {
  const pick = random(seed), clock = new FakeClock(), server = new Server(clock, pick);
  const heard = [[], []], said = [0, 0], heardAt = [0, 0];
  let ended = 0;
  const several = [pick(2) === 0, pick(2) === 0];
  const ends = [0, 1].map((side) => {
    const link = new Link({clock, near: (/** @type {any} */ socket) => !socket.far, socket: (opens) => server.socket(side, opens), wide: () => several[side], ended: () => { ended++; }, key: () => {},
      came: (frame) => { heardAt[side] = clock.now(); if (frame.length > 1) channels.take(frame); }, met: () => channels.met()});
    const channels = new Channels(side === 0, () => 1 << 14, (content) => link.send(content), () => {}, () => assert.fail('a flood'));
    channels.main.onmessage = ({data}) => heard[side].push(Number(data));
    link.begin();
    return {link, channels};
  });
  const tick = () => {
    for (const [side, {link, channels}] of ends.entries()) {
      link.send(new Uint8Array(1)); // a report
      channels.say();
      const quiet = clock.now() - heardAt[side];
      if (quiet > 1000) link.ask();
      if (quiet > 3000) link.renew(true);
      else if (quiet > 1500 && link.silence > 500) link.renew();
    }
    for (const side of [0, 1]) {
      const open = server.all.filter((socket) => socket.side === side && socket.readyState < 2).length;
      assert.ok(open <= (several[side] ? 5 : 3), `schedule ${seed}: ${open} at once`);
    }
    clock.setTimeout(tick, 500);
  };
  tick();
  const speak = (times) => {
    for (let i = 0; i < times; i++) {
      const side = pick(2);
      ends[side].channels.main.send(String(++said[side]));
    }
  };
  for (let step = 0; step < 40; step++) {
    const open = server.all.filter(({readyState}) => readyState === 1);
    const what = pick(12), one = open[pick(open.length)];
    if (what < 2 && one) server.end(one, 1006);
    else if (what === 2 && one) one.frozen = true;
    else if (what === 3 && one) server.end(one, 4008);
    else if (what === 4) server.kill();
    else if (what === 5) server.handOver();
    else if (what === 6) server.others(ends);
    else if (what === 7) ends[pick(2)].link.settle();
    speak(pick(12));
    clock.advance(pick(900));
  }
  speak(2);
  clock.advance(30_000);
  const wanted = said.map((n) => Array.from({length: n}, (_, i) => i + 1));
  assert.deepEqual(heard, [wanted[1], wanted[0]], `schedule ${seed}: what was said is heard once and in order`);
  assert.equal(ended, 0, `schedule ${seed}`);
  for (const {link} of ends) assert.ok(link.open && link.here, `schedule ${seed}: they are together`);
  assert.equal(server.all.filter(({readyState}) => readyState < 2).length, 2, `schedule ${seed}: one socket for each`);
  for (const {link} of ends) link.close();
  assert.equal(server.all.filter(({readyState}) => readyState < 2).length, 0, `schedule ${seed}: none is left`);
}

test('what is said through sockets that come and go is heard once and in order', () => {
  if (process.env.SEED) return play(Number(process.env.SEED));
  const first = Math.floor(Math.random() * 1e9);
  for (let i = 0; i < schedules; i++) play(first + i);
});

test('who is sent away for good does not come again', () => {
  for (const code of [4000, 4004, 4006, 4007, 4009]) {
    const clock = new FakeClock();
    let ended = 0, made = 0, socket = /** @type {any} */ (null);
    const link = new Link({clock, near: () => true, wide: () => false, came: () => {}, met: () => {}, key: () => {}, ended: () => { ended++; },
      socket: () => { made++; return socket = /** @type {any} */ ({readyState: 1, bufferedAmount: 0, send() {}, close() {}}); }});
    link.begin();
    socket.onmessage({data: '{"type":"ready","here":true}'});
    socket.onmessage({data: 'no JSON'});
    socket.onmessage({data: '{"type":"restart","after":"soon"}'});
    socket.onclose({code});
    clock.advance(60_000);
    assert.deepEqual([ended, made], [1, 1], String(code));
  }
});

test('whose session is not in the new process yet goes on in the old one, and tries again until it is', () => {
  const clock = new FakeClock();
  /** @type {any[]} */ const sockets = [];
  const link = new Link({clock, near: () => true, wide: () => false, came: () => {}, met: () => {}, key: () => {}, ended: () => assert.fail('ended'), socket: () => {
    const socket = /** @type {any} */ ({readyState: 1, bufferedAmount: 0, send() {}, close() { socket.readyState = 3; }});
    sockets.push(socket);
    return socket;
  }});
  link.begin();
  sockets[0].onmessage({data: '{"type":"ready","here":true}'});
  sockets[0].onmessage({data: '{"type":"restart","after":300}'});
  clock.advance(350);
  for (let n = 1; n < 4; n++) {
    assert.equal(sockets.length, n + 1);
    sockets[n].readyState = 3;
    sockets[n].onclose({code: 4003});
    assert.ok(link.open && link.here);
    clock.advance(600);
  }
  sockets[4].onmessage({data: '{"type":"ready","here":true}'});
  clock.advance(20_000);
  assert.deepEqual([sockets.length, sockets[0].readyState, link.open], [5, 3, true]);
});

test('of whom the session is another the socket in use goes on until the two have met as these, also where one in between was lost', () => {
  const {clock, link, sockets, living} = held();
  link.again();
  assert.deepEqual([sockets.length, living()], [2, 2], 'at once');
  sockets[1].readyState = 1;
  sockets[1].onmessage({data: '{"type":"ready","here":false}'});
  assert.ok(link.open && link.here && sockets[0].readyState < 2);
  link.again();
  assert.deepEqual([sockets[1].readyState, living()], [3, 2], 'one of the sessions between is left');
  sockets[2].readyState = 1;
  sockets[2].onmessage({data: '{"type":"ready","here":false}'});
  sockets[2].readyState = 3;
  sockets[2].onclose({code: 1006});
  clock.advance(100);
  assert.deepEqual([sockets.length, link.open, link.here], [4, true, true]);
  sockets[3].readyState = 1;
  sockets[3].onmessage({data: '{"type":"ready","here":false}'});
  sockets[3].onmessage({data: '{"type":"peer","here":true}'});
  assert.deepEqual([sockets[0].readyState, living(), link.here], [3, 1, true]);
  clock.advance(60_000);
  assert.equal(sockets.length, 4);
});

test('a socket that is not taken is left sooner where the last one was taken soon, and not where the server is far', () => {
  for (const [took, most] of [[100, 800], [300, 1000], [900, 2100]]) {
    const clock = new FakeClock();
    /** @type {any[]} */ const sockets = [];
    const link = new Link({clock, near: () => true, wide: () => false, came: () => {}, met: () => {}, key: () => {}, ended: () => assert.fail('ended'), socket: () => {
      const socket = /** @type {any} */ ({readyState: 1, bufferedAmount: 0, send() {}, close() { socket.readyState = 3; }});
      sockets.push(socket);
      return socket;
    }});
    link.begin();
    clock.advance(took);
    sockets[0].onmessage({data: '{"type":"ready","here":true}'});
    link.renew();
    clock.advance(Math.max(600, 2 * took));
    assert.equal(sockets.length, 2, 'it is waited for');
    clock.advance(most - Math.max(600, 2 * took));
    assert.equal(sockets.length, 3, `${took} ms, then another within ${most}`);
    clock.advance(60_000);
    assert.ok(sockets.length < 35, `${sockets.length} in a minute`);
    link.close();
    assert.ok(sockets.slice(1).every(({readyState}) => readyState === 3));
  }
});

test('whose session goes on at another node than that of a socket opens one there, and the one in use goes on until the two have met by it', () => {
  const {clock, link, sockets, living} = held();
  link.settle();
  assert.equal(sockets.length, 1, 'it is there');
  sockets[0].far = true;
  link.settle();
  assert.deepEqual([sockets.length, living(), link.open, link.here], [2, 2, true, true]);
  sockets[1].far = true;
  link.settle();
  assert.deepEqual([sockets.length, sockets[1].readyState], [3, 3], 'one on its way to yet another is left');
  clock.advance(60);
  sockets[2].opens();
  assert.deepEqual([sockets[0].readyState, living(), link.here], [3, 1, true]);
  link.settle();
  clock.advance(60_000);
  assert.equal(sockets.length, 3);
});

/** A link whose sockets do as they are told. */
function held(wide = true, agent = '') {
  const clock = new FakeClock();
  /** @type {any[]} */ const sockets = [];
  let met = 0;
  const link = new Link({clock, near: (/** @type {any} */ socket) => !socket.far, wide: () => wide, came: () => {}, met: () => { met++; }, key: () => {}, ended: () => assert.fail('ended'), socket: (opens) => {
    const socket = /** @type {any} */ ({readyState: 0, bufferedAmount: 0, sent: [], at: clock.now(), send: (said) => socket.sent.push(said), close() { socket.readyState = 3; },
      /** It has got through, and the server takes it if something is said. */
      opens() {
        socket.readyState = 1;
        if (opens()) socket.onmessage({data: '{"type":"ready","here":true}'});
        else socket.close();
      }});
    sockets.push(socket);
    return socket;
  }}, agent);
  const living = () => sockets.filter(({readyState}) => readyState < 2).length;
  link.begin();
  clock.advance(60);
  sockets[0].opens();
  clock.advance(5000);
  return {clock, link, sockets, living, get met() { return met; }};
}

test('where a proxy sends what is new over connections that are dead, several are tried beside the silent one, and the first that opens is used', () => {
  const {clock, link, sockets, living} = held(), from = clock.now();
  link.renew();
  while (sockets.length < 5 && clock.now() < from + 5000) clock.advance(10); // three are dead
  assert.ok(clock.now() - from <= 400, `the fourth after ${clock.now() - from} ms`);
  assert.equal(living(), 5, 'the silent one is kept meanwhile');
  sockets[4].opens();
  assert.deepEqual([living(), link.open, link.here, sockets[4].readyState], [1, true, true, 1]);
  clock.advance(60_000);
  assert.equal(sockets.length, 5);
});

test('one that was silent for a moment goes on, and the server hears nothing of those that were opened beside it', () => {
  const {clock, link, sockets, living} = held();
  link.ask();
  link.ask();
  assert.deepEqual(sockets[0].sent, ['{"type":"ping"}'], 'asked now and then');
  link.renew();
  clock.advance(20);
  sockets[0].onmessage({data: '{"type":"pong"}'});
  assert.ok(link.silence < 20);
  clock.advance(150);
  assert.equal(sockets.length, 2, 'no other is begun');
  sockets[1].opens();
  assert.deepEqual([living(), sockets[1].sent, sockets[0].readyState], [1, [], 1]);
  clock.advance(60_000);
  assert.equal(sockets.length, 2);
});

test('one that answers and carries nothing is changed all the same', () => {
  const {clock, link, sockets, living} = held();
  link.renew(true);
  sockets[0].onmessage({data: '{"type":"pong"}'});
  clock.advance(50);
  sockets[1].opens();
  assert.deepEqual([living(), sockets[0].readyState], [1, 3]);
});

const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0';

test('where the browser opens one after the other, each has less time', () => {
  const {clock, link, sockets, living} = held(true, firefox), from = clock.now();
  link.renew();
  while (sockets.length < 4 && clock.now() < from + 5000) { // two are dead
    clock.advance(10);
    assert.ok(living() <= 2);
  }
  assert.ok(clock.now() - from <= 1200, `the third after ${clock.now() - from} ms`);
});

for (const [wide, agent] of /** @type {[boolean, string][]} */ ([[true, ''], [false, ''], [true, firefox]])) {
  test(`a line that is gone for a minute costs few sockets${wide ? '' : ', and one at a time where the line is narrow'}${agent && ', in Firefox too'}`, () => {
    const {clock, link, sockets, living} = held(wide, agent), before = sockets.length;
    for (let at = 0, most = wide && !agent ? 5 : 2; at < 60_000; at += 50) {
      link.renew();
      clock.advance(50);
      assert.ok(living() <= most, `${living()} at once after ${at} ms`);
    }
    assert.ok(sockets.length - before < 45, `${sockets.length - before} in a minute`);
    link.close();
    assert.equal(living(), 0);
    assert.equal(clock.timers.size, 0);
  });
}
