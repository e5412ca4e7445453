import assert from 'node:assert/strict';
import test from 'node:test';
import {isRelayed, relayed, withoutAddresses} from '../call/path/sanitize.js';
import {withoutCandidates} from '../call/path/connection.js';

const sdp = [
  'v=0', 'o=- 1 2 IN IP4 127.0.0.1', 's=-', 't=0 0',
  'm=audio 40001 UDP/TLS/RTP/SAVPF 111', 'c=IN IP4 198.51.100.7', 'a=rtcp:40002 IN IP4 198.51.100.7',
  'a=candidate:1 1 udp 2113937151 192.168.1.5 50000 typ host generation 0',
  'a=candidate:2 1 udp 1677729535 198.51.100.7 50000 typ srflx raddr 192.168.1.5 rport 50000 generation 0',
  'a=candidate:3 1 udp 33562367 203.0.113.1 40001 typ relay raddr 198.51.100.7 rport 50000 generation 0',
  'a=candidate:4 1 udp 33562367 2001:db8::1 40001 typ relay raddr 2001:db8:1::7 rport 50000 generation 0',
  'a=mid:0', 'a=ice-ufrag:abcd',
  'm=video 0 UDP/TLS/RTP/SAVPF 96', 'c=IN IP6 2001:db8:1::7', 'a=mid:1', '',
].join('\r\n');

test('what the lobby is told holds the relay\'s addresses and no other', () => {
  const {description, candidates} = withoutCandidates({type: 'offer', sdp});
  const told = {description: withoutAddresses(description), candidates: relayed(candidates)};
  assert.doesNotMatch(JSON.stringify(told), /198\.51|192\.168|db8:1|5000[01]|4000[02]/);
  assert.match(told.description.sdp, /^m=audio 9 UDP/m);
  assert.match(told.description.sdp, /^m=video 0 UDP/m); // refused stays refused
  assert.match(told.description.sdp, /^c=IN IP4 0\.0\.0\.0\r$/m);
  assert.match(told.description.sdp, /^a=rtcp:9 IN IP4 0\.0\.0\.0\r$/m);
  assert.deepEqual(told.candidates.map(({candidate}) => candidate), [
    'candidate:3 1 udp 33562367 203.0.113.1 40001 typ relay raddr 0.0.0.0 rport 0 generation 0',
    'candidate:4 1 udp 33562367 2001:db8::1 40001 typ relay raddr 0.0.0.0 rport 0 generation 0',
  ]);
  assert.equal(told.candidates[0].usernameFragment, 'abcd');
  assert.equal(candidates.filter(isRelayed).length, 2);
});
