// Sound that is sent twice, between two sides whose browsers take an order of codecs as Chromium does: what comes first in a
// description is what the other side sends, and an answer has the order of the offer unless it was told another.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Sound, knowsRed, prefersRed} from '../call/path/sound.js';
import {Senders} from '../call/path/bitrate.js';
import {eachOfTwo} from '../call/path/redundancy.js';
import {PeerChannel} from '../call/data/channel.js';
import {realClock} from '../base/clock.js';
import {FakeClock} from './fakes.mjs';

const codecs = [['audio/opus', 111], ['audio/red', 63], ['audio/PCMU', 0]].map(([mimeType, id]) => ({mimeType, id, clockRate: 48000}));
globalThis.RTCRtpReceiver = {getCapabilities: (kind) => ({codecs: kind === 'audio' ? codecs : []})};

const sdp = (list) => `v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF ${list.map(({id}) => id).join(' ')}\r\na=mid:0\r\n`
  + `${list.map(({id, mimeType}) => `a=rtpmap:${id} ${mimeType.slice(6)}/48000\r\n`).join('')}m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n`;

class Pc {
  signalingState = 'stable';
  preferred = null;
  constructor(known) { this.known = known; }
  getTransceivers() {
    return [{mid: '0', receiver: {track: {kind: 'audio'}}, setCodecPreferences: (list) => { this.preferred = list; }}];
  }
  describe(theirs) {
    const list = (this.preferred ?? theirs ?? this.known).filter(({id}) => this.known.some((codec) => codec.id === id) && (!theirs || theirs.some((codec) => codec.id === id)));
    this.order = list;
    return (this.localDescription = {type: theirs ? 'answer' : 'offer', sdp: sdp(list)});
  }
}

/** Two sides in a call; `lost` is the share that each hears less of. */
function call({known = [codecs, codecs], takes = () => true} = {}) {
  const clock = new FakeClock(), sides = [];
  const offers = [0, 0];
  const make = (n) => {
    const side = {pc: new Pc(known[n]), online: true, narrow: false, available: 500_000, received: 0, missed: 0, lost: 0, told: []};
    side.negotiation = {pc: side.pc, offer: () => {
      offers[n]++;
      if (!takes()) return;
      const other = sides[1 - n], offer = side.pc.describe(null);
      other.pc.remoteDescription = offer;
      other.sound.prepare(other.pc);
      side.pc.remoteDescription = other.pc.describe(side.pc.order);
    }};
    side.sound = new Sound({clock, current: () => (side.online ? side.negotiation : null), open: () => true, narrow: () => side.narrow,
      tell: (message) => { side.told.push(message); sides[1 - n].channel.receive(message); }});
    side.channel = new PeerChannel();
    side.channel.on('redundant', (possible) => side.sound.hear(possible));
    return side;
  };
  sides.push(make(0), make(1));
  sides[0].negotiation.offer();
  offers[0] = 0;
  const run = (seconds) => {
    for (let i = 0; i < seconds; i++) {
      clock.advance(1000);
      for (const side of sides) {
        const missed = Math.round(50 * side.lost);
        side.missed += missed;
        side.received += 50 - missed;
        side.sound.tick(new Map([['in', {type: 'inbound-rtp', kind: 'audio', mid: '0', packetsReceived: side.received, packetsLost: side.missed}],
          ['screen', {type: 'inbound-rtp', kind: 'audio', mid: '3', packetsReceived: 0, packetsLost: 0}]]), {available: side.available, rtt: 0.02});
      }
    }
  };
  return {sides, offers, run};
}

const twice = ({sides}) => sides.map(({pc}) => prefersRed(pc.localDescription));

test('who misses some of it hears it twice, and the other side does not', () => {
  const running = call(), [a, b] = running.sides;
  running.run(20);
  assert.deepEqual([twice(running), running.offers], [[false, false], [0, 0]], 'nothing on a clean line');
  assert.deepEqual(b.told, [{type: 'redundant', possible: true}]);
  a.lost = 0.1;
  running.run(8);
  assert.deepEqual([twice(running), running.offers], [[true, false], [1, 0]]);
  b.lost = 0.2;
  running.run(8);
  assert.deepEqual([twice(running), running.offers], [[true, true], [1, 1]]);
  a.lost = b.lost = 0;
  running.run(30);
  assert.deepEqual([twice(running), running.offers], [[false, false], [2, 2]]);
});

test('a line that has become narrow carries it once, at once', () => {
  const running = call(), [a, b] = running.sides;
  a.lost = 0.1;
  running.run(20);
  b.narrow = true;
  running.run(2);
  assert.deepEqual(twice(running), [false, false]);
  b.narrow = false;
  b.available = 80_000;
  running.run(60);
  assert.deepEqual(twice(running), [false, false], 'nor one that carries little');
});

test('a browser that knows nothing of it is neither told nor asked', () => {
  const running = call({known: [codecs, codecs.filter(({id}) => id !== 63)]}), [a, b] = running.sides;
  a.lost = b.lost = 0.2;
  running.run(60);
  assert.deepEqual([running.offers, a.told, b.told], [[0, 0], [], []]);
});

test('offers that come to nothing are made ever later, and none while the hub is away', () => {
  let takes = true;
  const running = call({takes: () => takes}), [a] = running.sides;
  a.lost = 0.2;
  takes = false;
  running.run(600);
  assert.ok(running.offers[0] >= 4 && running.offers[0] <= 10, `${running.offers[0]} offers`);
  takes = true;
  running.run(130);
  assert.deepEqual(twice(running), [true, false]);
  const before = running.offers[0];
  a.online = false;
  a.lost = 0;
  running.run(60);
  assert.equal(running.offers[0], before);
});

test('another connection is told anew, and has what is wanted', () => {
  const running = call(), [a, b] = running.sides;
  a.lost = 0.1;
  running.run(20);
  for (const side of running.sides) side.negotiation.pc = side.pc = new Pc(codecs);
  a.negotiation.offer();
  running.run(20);
  assert.deepEqual(twice(running), [true, false]);
  assert.deepEqual(b.told.map(({possible}) => possible), [true, true]);
});

test('a peer that says now this and now that costs few offers', () => {
  const running = call(), [a] = running.sides;
  a.lost = 0.3;
  for (let i = 0; i < 600; i++) {
    a.channel.receive({type: 'redundant', possible: i % 2 === 0});
    running.run(1);
  }
  assert.ok(running.offers[0] <= 20, `${running.offers[0]} offers in ten minutes`);
  for (const possible of [1, 'true', null, undefined, {}, []]) a.channel.receive({type: 'redundant', possible});
});

test('descriptions tell it, of the first sound alone', () => {
  const plain = sdp(codecs), red = sdp([codecs[1], codecs[0]]);
  assert.deepEqual([plain, red, '', 'v=0\r\n', `${sdp([codecs[0]])}${red.slice(5)}`].map((each) => [knowsRed({sdp: each}), prefersRed({sdp: each})]),
    [[true, false], [true, true], [false, false], [false, false], [false, false]]);
  assert.deepEqual([knowsRed(null), prefersRed(null)], [false, false]);
});

test('sound that is sent twice has less, each time', async () => {
  const encoding = {active: true}, parameters = {encodings: [encoding], codecs: [{mimeType: 'audio/red'}, {mimeType: 'audio/opus'}]};
  const sender = {track: null, getParameters: () => parameters, setParameters: async () => {}};
  const pc = {signalingState: 'stable', getTransceivers: () => [{sender, receiver: {track: {kind: 'audio'}}, mid: '0'}]};
  const limit = () => new Senders(realClock).limit(() => ({pc, others: 1, screen: '', lost: false}));
  await limit();
  assert.equal(encoding.maxBitrate, eachOfTwo);
  parameters.codecs.reverse();
  await limit();
  assert.equal(encoding.maxBitrate, 48_000);
});
