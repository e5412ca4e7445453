import test from 'node:test';
import assert from 'node:assert/strict';
import {Senders} from '../call/path/bitrate.js';
import {isFirefox, mayRestart, nameOfBrowser, takesLateCandidates, usable} from '../call/path/browsers.js';
import {udpOf} from '../call/path/probe.js';
import {Replacements} from '../call/path/replacement.js';
import {describePath} from '../call/path/stats.js';
import {realClock} from '../base/clock.js';
import {FakeClock} from './fakes.mjs';

const firefox = {type: 'offer', sdp: 'v=0\r\no=mozilla...THIS_IS_SDPARTA-153.0 1 0 IN IP4 0.0.0.0\r\n'};
const other = {type: 'offer', sdp: 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n'};
const between = (ours, theirs) => ({pc: {localDescription: ours}, mozilla: isFirefox(theirs)});

test('who may restart ICE: not we, where Firefox has offered first', () => {
  assert.ok(isFirefox(firefox) && !isFirefox(other) && !isFirefox(null));
  assert.equal(mayRestart({...between(other, firefox), first: 'theirs'}, 'firefox/153'), false);
  assert.equal(mayRestart({...between(other, firefox), first: 'theirs'}, ''), false, 'of an unknown version');
  for (const [ours, theirs, first] of [[other, firefox, 'ours'], [firefox, other, 'theirs'], [firefox, firefox, 'theirs'], [other, other, 'theirs']]) {
    assert.equal(mayRestart({...between(ours, theirs), first}, ''), true);
  }
  assert.equal(takesLateCandidates(between(other, other)), true);
  assert.equal(takesLateCandidates(between(other, firefox)), false);
});

test('browsers are called by name and major version', () => {
  assert.equal(nameOfBrowser('Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0'), 'firefox/153');
  assert.equal(nameOfBrowser('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36'), 'chrome/156');
  assert.equal(nameOfBrowser('Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15'), 'safari/18');
  assert.equal(nameOfBrowser(''), '');
});

test('Firefox asks no server by its address for a relay over TLS', () => {
  const urls = ['turn:192.0.2.1:3478?transport=udp', 'turn:h:3478?transport=tcp', 'turns:h:443?transport=tcp', 'turns:192.0.2.1:443?transport=tcp', 'turns:[2001:db8::1]:443?transport=tcp'];
  assert.deepEqual(usable(urls, 'Gecko/20100101 Firefox/153.0'), urls.slice(0, 3));
  assert.deepEqual(usable(urls, 'Chrome/156.0.0.0 Safari/537.36'), urls);
  assert.deepEqual(usable(urls.slice(3), 'Gecko/20100101 Firefox/153.0'), urls.slice(3), 'where there is no other, it may be asked in vain');
});

test('no more is sent of a camera than is shown, and a shared screen stays as it is', async () => {
  let parameters = {encodings: [{active: true}], codecs: [{mimeType: 'video/VP8'}]};
  const sender = {track: {kind: 'video', getSettings: () => ({width: 1280, height: 720})}, getParameters: () => structuredClone(parameters),
    setParameters: async (wanted) => { parameters = structuredClone(wanted); }};
  const pc = {signalingState: 'stable', getTransceivers: () => [{sender, mid: '0', receiver: {track: {kind: 'video'}}}], getSenders: () => [sender]};
  const scale = async (shown, screen = '', others = 1) => {
    await new Senders(realClock).limit(() => ({pc, others, screen, lost: false, shown}));
    return parameters.encodings[0].scaleResolutionDownBy;
  };
  assert.equal(await scale(Infinity), 1);
  assert.equal(await scale(1280 * 720), 1);
  assert.equal(await scale(640 * 360), 2);
  assert.equal(await scale(600 * 360), 2.125, 'in steps');
  assert.equal(await scale(1280 * 720, '', 5), 2, 'what the room allows holds as well');
  assert.equal(await scale(160 * 90, 'alone'), 1);
});

test('a port is named only where the browser names the URL', () => {
  const relay = {candidateType: 'relay', relayProtocol: 'tls'};
  assert.equal(describePath(relay, null).port, 0);
  assert.equal(describePath({...relay, url: 'turns:h:443?transport=tcp'}, null).port, 443);
  assert.equal(describePath({...relay, url: 'turns:h'}, null).port, 5349);
});

test('where UDP is asked for', () => {
  assert.equal(udpOf({iceServers: [{urls: ['turns:h:443?transport=tcp']}, {urls: 'turn:h:3478?transport=udp'}]}), 'stun:h:3478');
  assert.equal(udpOf({iceServers: [{urls: 'turn:h?transport=tcp'}]}), '');
});

/** A connection with one sender of pictures whose parameters take a moment to be set, as in Firefox. */
function connection() {
  let inForce = {encodings: [{active: true}], codecs: [{mimeType: 'video/VP8'}]};
  const written = [];
  let fails = 0;
  const sender = {
    track: {kind: 'video'},
    getParameters: () => structuredClone(inForce),
    setParameters: async (parameters) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (fails-- > 0) throw new Error('not now');
      written.push(parameters.encodings[0].active);
      inForce = structuredClone(parameters);
    },
  };
  const transceiver = {sender, mid: '0', receiver: {track: {kind: 'video'}}};
  return {pc: {signalingState: 'stable', getTransceivers: () => [transceiver], getSenders: () => [sender]}, written,
    active: () => inForce.encodings[0].active, fail: (times) => { fails = times; }};
}

test('a key frame that is asked for while the picture is switched on again does not switch it off', async () => {
  const {pc, active} = connection();
  const senders = new Senders(realClock);
  const limit = (lost) => senders.limit(() => ({pc, others: 1, screen: '', lost}));
  await limit(true);
  assert.equal(active(), false);
  // As on a path that heals: two events in one moment.
  await Promise.all([limit(false), senders.keyFrame(() => pc)]);
  assert.equal(active(), true);
  await Promise.all([senders.keyFrame(() => pc), limit(false), senders.keyFrame(() => pc)]);
  assert.equal(active(), true);
});

test('what a browser did not take is put in force the next time', async () => {
  const {pc, active, fail} = connection();
  const senders = new Senders(realClock);
  const limit = (lost) => senders.limit(() => ({pc, others: 1, screen: '', lost}));
  await limit(true);
  fail(1);
  await limit(false);
  assert.equal(active(), false);
  await limit(false);
  assert.equal(active(), true);
});

test('however often something changes while a browser is slow, one more is set, and what is wanted then', async () => {
  const {pc, active, written} = connection();
  const senders = new Senders(realClock);
  let lost = true, asked = 0;
  const limit = () => senders.limit(() => { asked++; return {pc, others: 1, screen: '', lost}; });
  const first = limit();
  await Promise.resolve(); // its turn has come
  for (let i = 0; i < 1000; i++) { lost = !lost; limit(); }
  lost = false;
  await Promise.all([first, limit()]);
  assert.equal(asked, 2);
  assert.equal(active(), true);
  assert.deepEqual(written, [false, true]);
  await limit();
  assert.equal(asked, 3, 'and the next time again');
});

for (const [how, getStats] of [['never answers', () => new Promise(() => {})], ['answers with an error', async () => { throw new Error('not now'); }]]) {
  test(`a new connection comes into use also where the browser, asked for its picture, ${how}`, async () => {
    const clock = new FakeClock(), none = () => {};
    const pc = {signalingState: 'stable', connectionState: 'new', getStats, createDataChannel: () => ({}), addTransceiver: none, getTransceivers: () => [],
      setLocalDescription: async () => {}, close: () => assert.fail('is in use')};
    const used = [];
    const replacements = new Replacements({clock, create: () => pc, direct: () => true, media: () => ({}), showing: () => 'alone', polite: () => true, pictures: () => true, signal: none,
      negotiation: {clock, polite: () => true, online: () => true, signal: none, answering: none, settled: none, failed: none},
      made: none, negotiated: none, ready: (negotiation) => used.push(negotiation.pc), failed: none});
    replacements.understood = true;
    replacements.begin();
    pc.connectionState = 'connected';
    pc.onconnectionstatechange();
    for (let i = 0; i < 100; i++) {
      await new Promise(setImmediate);
      clock.advance(20);
    }
    assert.deepEqual(used, [pc]);
    assert.equal(replacements.coming, null);
  });
}
