import test from 'node:test';
import assert from 'node:assert/strict';
import {reportText, verdict} from '../check/verdict.js';
import {kindOf, single} from '../check/nat.js';

const url = (url, works, more = {}) => ({url, kind: kindOf(url), works, time: 20, ...(works ? {} : {errorCode: 701, errorText: 'timed out'}), ...more});
const all = ['stun:h:3478', 'turn:h:3478?transport=udp', 'turn:h:3478?transport=tcp', 'turns:h:443?transport=tcp'];
const good = {
  urls: all.map((each) => url(each, true)), nat: 'cone', socket: true, devices: {audio: '', video: ''},
  loop: {works: true, words: '', time: 300, latency: 30, jitter: 2, loss: 0, throughput: 2e7},
};

test('everything works', () => {
  const {level, ask} = verdict(good);
  assert.equal(level, 'good');
  assert.deepEqual(ask, []);
});

test('only TLS gets out: calls work, and the admin is asked for UDP', () => {
  const {level, text, ask} = verdict({...good, nat: 'blocked', urls: [url(all[0], false), url(all[1], false), url(all[2], false), url(all[3], true)]});
  assert.equal(level, 'fair');
  assert.match(text[0], /only web traffic/);
  assert.deepEqual(ask, ['Allow outgoing traffic to UDP port 3478 of h (best quality).', 'Allow outgoing traffic to TCP port 3478 of h.']);
});

test('nobody is asked for a way whose like works', () => {
  const urls = [...all.map((each) => url(each, true)), url('turns:203.0.113.10:443?transport=tcp', false)];
  assert.deepEqual(verdict({...good, urls}).ask, []);
});

test('nothing gets out', () => {
  const {level, ask} = verdict({...good, nat: 'blocked', loop: null, urls: all.map((each) => url(each, false))});
  assert.equal(level, 'bad');
  assert.ok(ask.some((line) => line === 'Allow TLS connections on TCP port 443 of h.'));
});

test('no signaling socket', () => assert.equal(verdict({...good, socket: false}).level, 'bad'));
test('no relay offered is the operator\'s to mend', () => assert.match(verdict({...good, urls: []}).text[0], /operator/));
test('a lossy line', () => assert.match(verdict({...good, loop: {...good.loop, loss: 0.12}}).text.join(), /12 %/));
test('devices are named', () => assert.ok(verdict({...good, devices: {audio: '', video: 'No camera was found.'}}).text.includes('No camera was found.')));

test('the report says everything in text', () => {
  const text = reportText({...good, urls: [url(all[1], false)]}, 'https://h/check', 'Browser 1');
  for (const part of ['https://h/check', 'Browser 1', 'turn:h:3478?transport=udp: FAILS after 20 ms, error 701 timed out', '20.0 Mbit/s', 'camera: works']) {
    assert.ok(text.includes(part), part);
  }
});

test('URLs are tried one by one', () => {
  assert.deepEqual(single({iceServers: [{urls: ['stun:a', 'turn:b'], username: 'u', credential: 'c'}]}),
    [{urls: ['stun:a'], username: 'u', credential: 'c'}, {urls: ['turn:b'], username: 'u', credential: 'c'}]);
});
