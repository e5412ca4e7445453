// Somebody in the room whose program says what no call can be made of: nobody but it is harmed, both people read why, and
// nobody tries for ever. Time is simulated; the connections are those of the model.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Emitter} from '../base/emitter.js';
import {Call} from '../call/call.js';
import {LocalMedia} from '../call/media/media.js';
import {leftOut, nothingInCommon, received, troubleOf} from '../call/path/received.js';
import {connectionsOf} from './model/peerconnection.mjs';
import {FakeStream, Time, chance, install, track} from './model/world.mjs';

console.warn = console.error = () => {};
const {clearTimeout: clear, setTimeout: set, Math: {random: luck}} = globalThis, now = performance.now;

/** A description like those of browsers, of which parts can be left out. */
const sdp = ({sections = ['audio', 'video'], without = /^never/, ufrag = 'abcd', group = 'a=group:BUNDLE 0 1\r\n', port = 9} = {}) =>
  `v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n${group}${sections.map((kind, i) => [`m=${kind} ${port} UDP/TLS/RTP/SAVPF 96`, `a=mid:${i}`,
    `a=ice-ufrag:${ufrag}`, 'a=ice-pwd:0123456789012345678901', 'a=fingerprint:sha-256 AA', 'a=setup:active', 'a=rtcp-mux', '']
    .filter((line) => !without.test(line)).join('\r\n')).join('')}`;

test('what came is held to its types and bounds', () => {
  for (const nothing of [null, undefined, 7, 'x', [], {description: null}, {description: {type: 'pranswer', sdp: sdp()}}]) {
    assert.deepEqual(received(nothing), {candidates: []}, JSON.stringify(nothing));
  }
  assert.deepEqual(received({description: {type: 'offer', sdp: sdp(), more: 1}, round: 3, connection: '', browser: 'x/1', instance: 'i', mallory: 1}),
    {description: {type: 'offer', sdp: sdp()}, round: 3, connection: '', browser: 'x/1', instance: 'i', candidates: []});
  for (const wrong of [{round: '1'}, {round: NaN}, {connection: 7}, {connection: 'x'.repeat(257)}, {instance: {}}, {browser: ['x']}, {refused: '1'}, {trouble: '__proto__'}]) {
    assert.deepEqual(received(wrong), {candidates: []}, JSON.stringify(wrong));
  }
  const candidates = (...given) => received({candidates: given}).candidates;
  assert.deepEqual(candidates({candidate: 'candidate:1', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null, x: 1}), [{candidate: 'candidate:1', sdpMid: '0', sdpMLineIndex: 0}]);
  assert.deepEqual(candidates(null, 7, {}, {candidate: 7}, {candidate: 'x'.repeat(1025)}), []);
  assert.equal(candidates(...Array(5000).fill({candidate: ''})).length, 256);
  for (const text of ['theirs-ice', 'ours-ice', 'x', 7]) assert.equal(received({trouble: text}).trouble, undefined);
  assert.equal(received({trouble: 'ice'}).trouble, 'ours-ice');
});

test('what cannot be a description of a call is none, and says why', () => {
  const code = (description) => received({description}).unusable?.code;
  assert.equal(code({type: 'offer', sdp: sdp()}), undefined);
  for (const shape of [7, [], {}, {type: 'offer'}, {type: 'offer', sdp: 7}, {type: 'offer', sdp: ''}, {type: 'offer', sdp: 'v=0\r\n'}, {type: 'rollback', sdp: sdp()}, {type: 'offer', sdp: {toString: 1}}]) {
    assert.equal(code(shape), 'shape', JSON.stringify(shape));
  }
  assert.equal(code({type: 'offer', sdp: sdp({sections: Array(200).fill('audio')})}), 'size');
  assert.equal(code({type: 'answer', sdp: sdp() + 'a=x\r\n'.repeat(200_000)}), 'size');
  assert.equal(code({type: 'answer', sdp: sdp() + 'a=candidate:1 1 udp 1 1.1.1.1 1 typ host\r\n'.repeat(257)}), 'size');
  for (const line of [/^a=ice-ufrag/, /^a=ice-pwd/, /^a=fingerprint/]) assert.equal(code({type: 'answer', sdp: sdp({without: line})}), 'ice', String(line));
  assert.equal(code({type: 'answer', sdp: sdp({without: /^a=(ice|fingerprint)/, port: 0})}), undefined, 'everything is rejected: nothing is to be reached');
  assert.equal(troubleOf(sdp()), 'refused');
  assert.equal(troubleOf(sdp({group: ''})), 'bundle');
  assert.equal(troubleOf(sdp({without: /rtcp-mux/})), 'bundle');
  const left = (...rejected) => leftOut(sdp(), ['audio', 'video'].reduce((text, kind) => (rejected.includes(kind) ? text.replace(`m=${kind} 9`, `m=${kind} 0`) : text), sdp()));
  assert.deepEqual([left(), left('video'), left('audio'), left('audio', 'video')],
    [{what: '', all: false}, {what: 'video', all: false}, {what: 'audio', all: false}, {what: 'codecs', all: true}]);
});

test('an answer that names no format of its offer is told from one that is refused for another reason', () => {
  const media = (...sections) => ['v=0', ...sections.flatMap(([kind, types, ...maps]) => [`m=${kind} 9 UDP/TLS/RTP/SAVPF ${types}`, ...maps.map((map) => `a=rtpmap:${map}`)])].join('\r\n') + '\r\n';
  const offer = media(['audio', '111 63 0', '111 opus/48000/2', '63 red/48000/2'], ['video', '96 97', '96 VP8/90000', '97 rtx/90000']);
  for (const [answer, nothing] of [
    [media(['audio', '111', '111 OPUS/48000/2']), false],
    [media(['audio', '5', '5 unheard/8000'], ['video', '98', '98 VP8/90000']), false],
    [media(['audio', '0']), false], // known by its number
    [media(['audio', '0', '0 unheard/8000']), true],
    [media(['audio', '63', '63 red/48000/2'], ['video', '97', '97 rtx/90000']), true], // around nothing
    [media(['audio', '8'], ['video', '']), true],
    [media(['audio', '111']), true], // a number that nobody explains
    ['v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n', false],
    ['v=0\r\nm=audio 0 UDP/TLS/RTP/SAVPF 7\r\n', false], // rejected
  ]) assert.equal(nothingInCommon(offer, answer), nothing, answer);
});

/** Joins a room with somebody hostile in it, who answers as told; runs so many simulated minutes, and tells what it came to. */
async function meet(hostile, {polite = true, minutes = 20} = {}) {
  const random = chance(1), time = new Time(), names = {pc: 0, u: 0};
  const world = {time, random, direct: true, networks: 0, connections: new Set(), clients: {}, name: (kind) => `${kind}${++names[kind]}`,
    wait: (milliseconds) => new Promise((resolve) => { time.set(resolve, milliseconds); }), reachable: () => true, odd: () => false};
  install(time, random.next, {RTCPeerConnection: connectionsOf(world)});
  const said = [], troubles = [];
  const mallory = {peer: 'mallory', polite};
  class Hub extends Emitter {
    config = {iceServers: [{urls: 'turn:a:1', username: 'u', credential: 'c'}]}; state = 'open'; calls = new Map(); rooms = new Map([['r', {peers: new Map([['mallory', mallory]])}]]);
    async join() { return {peers: [mallory], first: ''}; }
    async leave() {}
    setNarrow() {}
    report() {}
    signal(to, data) {
      said.push({at: time.now, ...JSON.parse(JSON.stringify(data))});
      time.set(() => hostile(data, (back) => this.emit('signal', {from: 'mallory', data: back}), time), 20);
    }
  }
  const hub = new Hub();
  const call = new Call(hub, {media: LocalMedia.from(new FakeStream([track('audio'), track('video')]))});
  call.on('peer', (peer) => peer.on('trouble', (trouble) => troubles.push(trouble)));
  const joined = call.join('r');
  await time.until(100);
  await joined;
  time.set(() => hostile(null, (back) => hub.emit('signal', {from: 'mallory', data: back}), time), 0);
  await time.until(minutes * 30_000);
  const half = names.pc, saidHalf = said.length;
  await time.until(minutes * 60_000);
  const [peer] = call.peers;
  const result = {said, trouble: peer?.trouble, troubles, made: names.pc, madeLater: names.pc - half, saidLater: said.length - saidHalf, open: world.connections.size};
  call.leave();
  time.clearAll();
  Object.assign(globalThis, {setTimeout: set, clearTimeout: clear});
  Math.random = luck;
  performance.now = now;
  return result;
}

const answers = (make) => (data, send) => {
  if (data?.description?.type === 'offer') send({connection: data.connection, round: data.round, description: {type: 'answer', sdp: make(data.description.sdp)}});
};
const offers = (make) => (data, send) => {
  if (data) return;
  for (let i = 0; i < 500; i++) send({connection: `c${i}`, replacement: true, round: 1, description: {type: 'offer', sdp: make()}});
};
const answerTo = (offer) => offer.replaceAll(/^a=candidate:.*\r\n/gm, '').replaceAll('actpass', 'active').replaceAll(/ice-ufrag:\S+/g, 'ice-ufrag:mmmm').replaceAll(/sha-256 \S+/g, 'sha-256 M');

for (const [what, hostile, trouble] of [
  ['without ICE', answers((offer) => answerTo(offer).replaceAll(/a=ice-.*\r\n/g, '')), 'theirs-ice'],
  ['with 200 m-lines', answers((offer) => answerTo(offer) + 'm=audio 9 UDP/TLS/RTP/SAVPF 96\r\n'.repeat(200)), 'theirs-size'],
  ['of 1 MB', answers((offer) => answerTo(offer) + 'a=x:y\r\n'.repeat(150_000)), 'theirs-size'],
  ['of no shape', answers(() => 7), 'theirs-shape'],
  ['with no format in common', answers((offer) => answerTo(offer).replaceAll(/^m=(\w+) 9/gm, 'm=$1 0')), 'codecs'],
]) {
  test(`answers ${what} end in a sentence, not in a loop`, async () => {
    const {trouble: read, said, made, madeLater, saidLater, open} = await meet(hostile);
    assert.equal(read, trouble);
    if (trouble.startsWith('theirs-')) assert.ok(said.some((each) => each.trouble === trouble.slice(7)), 'the other side is told');
    assert.ok(made <= 16, `${made} connections`);
    assert.deepEqual([madeLater, saidLater], [0, 0], 'still trying after ten minutes');
    assert.ok(open <= 2, `${open} are kept`);
  });
}

test('who refuses every offer is not offered to for ever, and both read it', async () => {
  const {trouble, made, madeLater, saidLater} = await meet((data, send) => {
    if (data?.description?.type === 'offer') send({connection: data.connection, refused: data.round, trouble: 'bundle'});
  });
  assert.equal(trouble, 'ours-bundle');
  assert.ok(made <= 16, `${made} connections`);
  assert.deepEqual([madeLater, saidLater], [0, 0]);
});

for (const [what, make, trouble, least] of [
  ['without ICE', () => sdp({without: /^a=ice/}), 'ice', 0],
  ['of 1 MB', () => sdp() + 'a=x:y\r\n'.repeat(150_000), 'size', 0],
  ['with another bundle policy', () => sdp({group: ''}), 'bundle', 1],
]) {
  test(`a flood of offers ${what} is answered as seldom as we may speak, and makes no connection that stays`, async () => {
    const {said, made, open} = await meet(offers(make), {minutes: 1});
    const told = said.filter((each) => each.trouble === trouble);
    assert.ok(told.length >= 1 && told.length <= 16, `${told.length} answers`);
    assert.ok(made >= least && made <= 16, `${made} connections`);
    assert.ok(open <= 2, `${open} are kept`);
  });
}

test('candidates of another generation are not given to the browser, and said', async () => {
  const {trouble, said} = await meet((data, send) => {
    answers(answerTo)(data, send);
    if (data?.description?.type === 'offer') send({connection: data.connection, candidates: [{candidate: 'candidate:1 1 udp 1 10.0.0.9 9 typ host', sdpMid: '0', usernameFragment: 'old'}]});
  }, {minutes: 1});
  assert.equal(trouble, 'theirs-candidates');
  assert.equal(said.filter((each) => each.trouble === 'candidates').length, 1);
});
