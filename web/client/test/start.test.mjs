import test from 'node:test';
import assert from 'node:assert/strict';
import {startingFaster} from '../call/path/start.js';

const sdp = ['v=0', 'o=- 1 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10',
  'm=video 9 UDP/TLS/RTP/SAVPF 96 97 102', 'a=rtpmap:96 VP8/90000', 'a=rtcp-fb:96 nack pli', 'a=rtpmap:97 rtx/90000', 'a=fmtp:97 apt=96', 'a=rtpmap:102 H264/90000',
  'a=rtcp-fb:102 nack', 'a=fmtp:102 packetization-mode=1;profile-level-id=42e01f', 'm=video 9 UDP/TLS/RTP/SAVPF 120', 'a=rtpmap:120 VP8/90000', ''];

for (const end of ['\r\n', '\n']) {
  test(`each format of pictures is told the bitrate to begin with, once, and nothing else is touched: ${JSON.stringify(end)}`, () => {
    const {type, sdp: heard} = startingFaster({type: 'offer', sdp: sdp.join(end)});
    assert.equal(type, 'offer');
    const lines = heard.split(/\r?\n/), said = 'x-google-start-bitrate=600';
    const added = lines.filter((line) => !sdp.includes(line));
    assert.deepEqual(added, [`a=fmtp:96 ${said}`, `a=fmtp:102 packetization-mode=1;profile-level-id=42e01f;${said}`, `a=fmtp:120 ${said}`]);
    assert.deepEqual(lines.filter((line) => !added.includes(line)), sdp.filter((line) => !line.startsWith('a=fmtp:102')));
    assert.equal(startingFaster({type: 'offer', sdp: heard}).sdp, heard);
  });
}

test('what is no description of pictures stays as it is', () => {
  for (const each of ['', 'v=0\r\n', 'm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n']) assert.equal(startingFaster({type: 'answer', sdp: each}).sdp, each);
  assert.deepEqual(startingFaster({type: 'rollback'}), {type: 'rollback', sdp: ''});
});
