import test from 'node:test';
import assert from 'node:assert/strict';
import {verdict} from '../check/verdict.js';
import {kindOf, single} from '../check/nat.js';

const url = (url, works, more = {}) => ({url, kind: kindOf(url), works, time: 20, ...(works ? {} : {errorCode: 701, errorText: 'timed out'}), ...more});
const all = ['stun:h:3478', 'turn:h:3478?transport=udp', 'turn:h:3478?transport=tcp', 'turns:h:443?transport=tcp'];
const good = {
  urls: all.map((each) => url(each, true)), nat: 'cone', socket: true, devices: {audio: null, video: null},
  loop: {works: true, time: 300, latency: 30, jitter: 2, loss: 0, throughput: 2e7},
};

test('everything works', () => {
  const {level, ask} = verdict(good);
  assert.equal(level, 'good');
  assert.deepEqual(ask, []);
});

test('only TLS gets out: calls work, and the admin is asked for UDP', () => {
  const {level, text, ask} = verdict({...good, nat: 'blocked', urls: [url(all[0], false), url(all[1], false), url(all[2], false), url(all[3], true)]});
  assert.equal(level, 'fair');
  assert.equal(text[0].code, 'web-only');
  assert.deepEqual(ask, [{code: 'ask-udp', values: {host: 'h', port: 3478}}, {code: 'ask-tcp', values: {host: 'h', port: 3478}}]);
});

test('nobody is asked for a way whose like works', () => {
  const urls = [...all.map((each) => url(each, true)), url('turns:203.0.113.10:443?transport=tcp', false)];
  assert.deepEqual(verdict({...good, urls}).ask, []);
});

test('nothing gets out', () => {
  const {level, ask} = verdict({...good, nat: 'blocked', loop: null, urls: all.map((each) => url(each, false))});
  assert.equal(level, 'bad');
  assert.deepEqual(ask.at(-1), {code: 'ask-tls', values: {host: 'h', port: 443}});
});

test('a proxy that reads HTTPS: calls work, and it is asked to leave this host alone', () => {
  const inspected = {...good, nat: 'blocked', loop: null, urls: all.map((each) => url(each, false)), media: true};
  const {level, text, ask} = verdict(inspected);
  assert.deepEqual([level, text[0].code, ask[0].code], ['fair', 'websocket', 'ask-exempt']);
  assert.equal(verdict({...inspected, socket: false}).level, 'bad');
});

test('no signaling socket', () => assert.equal(verdict({...good, socket: false}).level, 'bad'));
test('no relay offered is the operator\'s to mend', () => assert.equal(verdict({...good, urls: []}).text[0].code, 'no-relay-offered'));
test('a browser without WebRTC is blamed, and nobody else', () => {
  assert.deepEqual(verdict({...good, urls: [], socket: false, webrtc: false}), {level: 'bad', text: [{code: 'no-webrtc'}], ask: []});
});

test('a lossy line', () => assert.deepEqual(verdict({...good, loop: {...good.loop, loss: 0.12}}).text.at(-1), {code: 'loss', values: {loss: 0.12}}));
test('devices are named', () => assert.deepEqual(verdict({...good, devices: {audio: null, video: 'missing'}}).text.at(-1), {code: 'device', values: {kind: 'video', problem: 'missing'}}));

test('URLs are tried one by one', () => {
  assert.deepEqual(single({iceServers: [{urls: ['stun:a', 'turn:b'], username: 'u', credential: 'c'}]}),
    [{urls: ['stun:a'], username: 'u', credential: 'c'}, {urls: ['turn:b'], username: 'u', credential: 'c'}]);
});
test('a relay on the local network, from which the browser keeps pages', () => {
  const fails = {...good, loop: {...good.loop, works: false, error: 'unreachable'}};
  assert.equal(verdict({...fails, local: true}).text.at(-1).code, 'local-network');
  for (const other of [fails, {...good, local: true}, {...good, urls: [], local: true}]) assert.ok(!verdict(other).text.some(({code}) => code === 'local-network'));
});
