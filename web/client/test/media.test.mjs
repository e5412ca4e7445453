import test from 'node:test';
import assert from 'node:assert/strict';
import {budget, meshLimit} from '../call/path/bitrate.js';
import {configuration, withoutCandidates} from '../call/path/connection.js';
import {Meter, describePath} from '../call/path/stats.js';
import {natKind} from '../check/nat.js';

test('bitrates fall as the room grows', () => {
  assert.equal(meshLimit, 6);
  for (let others = 2; others < meshLimit; others++) {
    assert.ok(budget(others).video < budget(others - 1).video);
    assert.ok(others * (budget(others).video + budget(others).audio) < 3_000_000, `uplink with ${others} others`);
  }
  assert.equal(budget(5, true).scale, 1, 'a screen keeps its pixels');
});

test('the configuration can be held to one transport, and to some relays', () => {
  const base = {iceServers: [
    {urls: ['stun:h:3478']},
    {urls: ['turn:h:3478?transport=udp', 'turn:h:3478?transport=tcp', 'turns:h:443?transport=tcp'], username: 'u', credential: 'c'},
  ]};
  assert.deepEqual(configuration(base, {transport: 'tls'}).iceServers, [{urls: ['turns:h:443?transport=tcp'], username: 'u', credential: 'c'}]);
  assert.deepEqual(configuration(base, {choose: (urls) => [urls[0], urls[2]]}).iceServers.flatMap(({urls}) => urls),
    ['stun:h:3478', 'turn:h:3478?transport=udp', 'turns:h:443?transport=tcp']);
  assert.equal(configuration(base, {iceTransportPolicy: 'relay'}).iceTransportPolicy, 'relay');
});

test('which path a pair of candidates is', () => {
  const cases = [
    [{candidateType: 'host'}, {candidateType: 'srflx'}, '', 'direct', 0, 'no'],
    [{candidateType: 'relay', relayProtocol: 'udp', url: 'turn:h:3478?transport=udp'}, {candidateType: 'host'}, '', 'relay-udp', 0, 'no'],
    [{candidateType: 'relay', relayProtocol: 'tcp', url: 'turn:h:3478?transport=tcp'}, {candidateType: 'host'}, '', 'relay-tcp', 0, 'no'],
    [{candidateType: 'relay', relayProtocol: 'tls', url: 'turns:h:443?transport=tcp'}, {candidateType: 'relay'}, '', 'relay-tls', 443, 'no'],
    [{candidateType: 'relay', relayProtocol: 'tls', url: 'turns:h'}, {candidateType: 'relay'}, '', 'relay-tls', 5349, 'no'],
    [{candidateType: 'srflx'}, {candidateType: 'relay'}, '', 'relay-udp', 0, 'unknown'],
    [{candidateType: 'srflx'}, {candidateType: 'relay'}, 'relay-tls', 'relay-tls', 0, 'yes'],
  ];
  for (const [local, remote, told, path, port, far] of cases) assert.deepEqual(describePath(local, remote, told), {path, port, far});
});

test('the meter makes rates of counters, and starts anew when ICE changes the pair', () => {
  const report = (timestamp, bytes, packets, lost, id = 'P') => new Map([
    ['T', {type: 'transport', selectedCandidatePairId: id}],
    [id, {type: 'candidate-pair', timestamp, bytesReceived: bytes, bytesSent: bytes, currentRoundTripTime: 0.04, localCandidateId: 'L', remoteCandidateId: 'R', lastPacketReceivedTimestamp: timestamp - 20}],
    ['L', {type: 'local-candidate', candidateType: 'host'}], ['R', {type: 'remote-candidate', candidateType: 'host'}],
    ['I', {type: 'inbound-rtp', kind: 'video', packetsReceived: packets, packetsLost: lost, framesDecoded: timestamp / 40, frameWidth: 640, frameHeight: 360}],
  ]);
  const meter = new Meter();
  assert.equal(meter.read(report(1000, 1000, 100, 0)).received, 0);
  const second = meter.read(report(2000, 126000, 190, 10));
  assert.equal(second.received, 1_000_000);
  assert.equal(second.loss, 0.1);
  assert.equal(second.frameRate, 25);
  assert.equal(second.silence, 20);
  assert.equal(meter.read(report(3000, 500, 200, 10, 'Q')).received, 0);
  assert.equal(new Meter().read(new Map()).path, '');
});

test('candidates are taken out of a description', () => {
  const sdp = ['v=0', 'm=audio 9 X', 'a=candidate:1 1 udp 1 1.2.3.4 5 typ host', 'a=ice-ufrag:uf', 'a=mid:0', 'a=end-of-candidates', 'm=video 9 X', 'a=mid:1', ''].join('\r\n');
  const {description, candidates} = withoutCandidates({type: 'offer', sdp});
  assert.equal(description.sdp, ['v=0', 'm=audio 9 X', 'a=ice-ufrag:uf', 'a=mid:0', 'm=video 9 X', 'a=mid:1', ''].join('\r\n'));
  assert.deepEqual(candidates, [{candidate: 'candidate:1 1 udp 1 1.2.3.4 5 typ host', sdpMLineIndex: 0, sdpMid: '0', usernameFragment: 'uf'}]);
});

test('the kind of NAT from two mappings, and unknown where they do not tell', () => {
  const mapped = [{address: '1.2.3.4', port: 6000}];
  const seen = {answered: true, mapped, hosts: [], secondPort: null};
  assert.equal(natKind({...seen, answered: false}), 'blocked');
  assert.equal(natKind({...seen, mapped: []}), 'open');
  assert.equal(natKind({...seen, hosts: ['1.2.3.4']}), 'open');
  assert.equal(natKind(seen), 'unknown');
  assert.equal(natKind({...seen, secondPort: 6000}), 'cone');
  assert.equal(natKind({...seen, secondPort: 6001}), 'symmetric');
});
