import test from 'node:test';
import assert from 'node:assert/strict';
import {Negotiation} from '../call/path/negotiation.js';
import {inPackets, longPacket} from '../call/path/packets.js';
import {startingAnew, startingFaster} from '../call/path/start.js';
import {FakeClock} from './fakes.mjs';

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

test('one that was heard is heard with another bitrate, and is else the same', () => {
  const heard = startingFaster({type: 'answer', sdp: sdp.join('\r\n')});
  assert.deepEqual(startingAnew(heard, 450_000), {type: 'answer', sdp: heard.sdp.replaceAll('=600', '=450')});
  assert.equal(startingAnew({type: 'offer', sdp: sdp.join('\n')}, 600_000).sdp, startingFaster({type: 'offer', sdp: sdp.join('\n')}).sdp);
});

test('sound is in longer packets by a line of its section, which goes again; whoever says one of his own keeps it', () => {
  for (const end of ['\r\n', '\n']) {
    const heard = {type: /** @type {const} */ ('answer'), sdp: sdp.join(end)}, long = inPackets(heard, true), at = sdp.findIndex((each) => each.startsWith('m=video'));
    assert.deepEqual(long, {type: 'answer', sdp: [...sdp.slice(0, at), `a=ptime:${longPacket}`, ...sdp.slice(at)].join(end)});
    assert.deepEqual([inPackets(long, true), inPackets(long, false), inPackets(heard, false)], [long, heard, heard]);
  }
  const own = {type: /** @type {const} */ ('offer'), sdp: sdp.join('\r\n').replace('minptime=10', 'minptime=10\r\na=ptime:40')};
  assert.deepEqual([inPackets(own, true), inPackets(own, false), inPackets({type: 'rollback'}, true)], [own, own, {type: 'rollback', sdp: ''}]);
});

test('what is no description of pictures stays as it is', () => {
  for (const each of ['', 'v=0\r\n', 'm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n']) assert.equal(startingFaster({type: 'answer', sdp: each}).sdp, each);
  assert.deepEqual(startingFaster({type: 'rollback'}), {type: 'rollback', sdp: ''});
});

/** As browsers give it: what it has are no members of its own. */
class Described {
  #it;
  constructor(it) { this.#it = it; }
  get type() { return this.#it.type; }
  get sdp() { return this.#it.sdp; }
}

/** A connection that both have described, and what was set of it since. @param {RTCSdpType} type of what was heard @param {(what: string) => void} [refuse] */
function described(type, refuse = () => {}, heard = startingFaster({type, sdp: sdp.join('\r\n')})) {
  const set = [];
  const pc = {signalingState: 'stable', iceConnectionState: 'connected', localDescription: {type: 'offer', sdp: 'ours'}, remoteDescription: new Described(heard),
    async setLocalDescription(description) {
      set.push(description?.type ?? 'ours');
      pc.signalingState = pc.signalingState === 'stable' ? 'have-local-offer' : 'stable';
    },
    async setRemoteDescription(description) {
      set.push(description);
      refuse(description.type);
      pc.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
      pc.remoteDescription = new Described(description);
    }};
  return {pc, set, heard};
}

for (const type of /** @type {const} */ (['offer', 'answer'])) {
  test(`a browser begins anew by what both have said already, and the other side is told nothing: theirs was the ${type}`, async () => {
    const {pc, set, heard} = described(type), told = [];
    const negotiation = new Negotiation(/** @type {any} */ (pc), '', /** @type {any} */ ({clock: new FakeClock(), signal: (data) => told.push(data)}));
    negotiation.begin(450_000);
    negotiation.begin(450_000);
    await negotiation.handle({candidates: []});
    const again = (rate) => (type === 'offer' ? [startingAnew(heard, rate), 'ours'] : ['ours', startingAnew(heard, rate)]);
    assert.deepEqual(set, [...again(450_000), ...again(449_000)], 'the same number would change nothing');
    assert.deepEqual([told, pc.signalingState], [[], 'stable']);
    negotiation.close();
  });
}

test('what a browser does not take of that is taken back, and where something is being negotiated nothing is done', async () => {
  const {pc, set} = described('answer', () => { throw new Error('other sections'); });
  const negotiation = new Negotiation(/** @type {any} */ (pc), '', /** @type {any} */ ({clock: new FakeClock(), signal: () => {}}));
  negotiation.begin(450_000);
  await negotiation.handle({candidates: []});
  assert.deepEqual([set.at(-1), pc.signalingState], ['rollback', 'stable']);
  const before = set.length;
  pc.signalingState = 'have-local-offer';
  negotiation.begin(450_000);
  await negotiation.handle({candidates: []});
  assert.equal(set.length, before);
  negotiation.close();
});

test('a browser is told of longer packets of sound once, and of others again, and the other side of nothing', async () => {
  // Firefox leaves out of what it has heard what it does not know.
  const {pc, set, heard} = described('answer', undefined, {type: 'answer', sdp: sdp.join('\r\n')}), told = [];
  let packs = false;
  const negotiation = new Negotiation(/** @type {any} */ (pc), '', /** @type {any} */ ({clock: new FakeClock(), signal: (data) => told.push(data), packs: () => packs}));
  for (const state of ['checking', 'connected']) {
    pc.iceConnectionState = state;
    for (packs of [false, true, true]) {
      negotiation.pack();
      await negotiation.handle({candidates: []});
    }
    if (state === 'checking') assert.deepEqual(set, [], 'while ICE looks for a path nothing comes between');
  }
  assert.deepEqual(set, ['ours', inPackets(startingFaster(heard), true)]);
  negotiation.begin(450_000);
  packs = false;
  negotiation.pack();
  await negotiation.handle({candidates: []});
  assert.deepEqual(set.slice(2), ['ours', inPackets(startingAnew(heard, 450_000), true), 'ours', startingAnew(heard, 450_000)]);
  assert.deepEqual([told, pc.signalingState], [[], 'stable']);
});

for (const type of /** @type {const} */ (['offer', 'answer'])) {
  test(`a picture more begins with what the line takes by now, and what is said without one changes nothing: theirs is the ${type}`, async () => {
    const {pc, set} = described('answer'), one = sdp.slice(0, -3).join('\r\n'), two = sdp.join('\r\n');
    Object.assign(pc, {remoteDescription: null, createAnswer: async () => ({type: 'answer', sdp: 'ours'}), getConfiguration: () => ({})});
    /** @type {number | undefined} */ let takes;
    const negotiation = new Negotiation(/** @type {any} */ (pc), '', /** @type {any} */ ({clock: new FakeClock(), signal: () => {}, polite: () => true, answering: () => {}, settled: () => {}, trouble: () => {}, startBitrate: () => takes}));
    let round = 0;
    const hear = async (said) => {
      if (type === 'answer') negotiation.offer();
      await negotiation.handle({description: {type, sdp: said}, round: ++round, candidates: []});
      return /x-google-start-bitrate=(\d+)/.exec(set.findLast((each) => each.sdp).sdp)?.[1];
    };
    const begun = [await hear(one)];
    takes = 90_000;
    begun.push(await hear(one), await hear(two));
    takes = undefined;
    begun.push(await hear(two), await hear(`${two}${sdp.slice(-3).join('\r\n')}`));
    assert.deepEqual(begun, ['600', '600', '90', '90', '600']);
    negotiation.close();
  });
}
