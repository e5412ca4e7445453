// Chat, files and state between two people on one data channel.
import test from 'node:test';
import assert from 'node:assert/strict';
import {PeerChannel} from '../call/data/channel.js';
import {random} from './model/doorend.mjs';

/** Two ends of a channel; what each says comes to the other when it is carried. */
function two() {
  const ends = [new PeerChannel(), new PeerChannel()], /** @type {{to: number, data: string}[]} */ wire = [];
  const channels = ends.map((_, i) => /** @type {any} */ ({readyState: 'open', send: (/** @type {string} */ data) => wire.push({to: 1 - i, data})}));
  ends.forEach((end, i) => end.use(/** @type {any} */ ({}), channels[i]));
  /** Carries what is on its way, and what is said to that, at most so many messages. @param {number} most */
  const carry = (most) => {
    const said = [];
    for (let next; said.length < most && (next = wire.shift());) {
      said.push(JSON.parse(next.data).type);
      channels[next.to].onmessage({data: next.data});
    }
    return said;
  };
  return {ends, carry};
}

test('what is said is acknowledged once, and nothing else goes to and fro', () => {
  const {ends: [ours, theirs], carry} = two(), /** @type {string[]} */ heard = [];
  theirs.on('chat', ({text}) => heard.push(text));
  theirs.on('signal', ({description}) => heard.push(description));
  ours.tell({type: 'chat', text: 'hello'});
  ours.tell({type: 'signal', data: {description: 'offer'}});
  ours.sendFile(new File(['x'], 'plan.txt'));
  assert.deepEqual(carry(100), ['chat', 'signal', 'file', 'had', 'had', 'had']);
  assert.deepEqual(heard, ['hello', 'offer']);
});

test('one who acknowledges acknowledgements, as clients before this did, is not answered', () => {
  const {ends: [ours], carry} = two();
  ours.receive({type: 'had', key: 'k'});
  assert.deepEqual(carry(100), []);
});

/** Two ends between which there are several connections; each hears all of them, and goes from one to another by itself. @param {number} count */
function ways(count) {
  const ends = [new PeerChannel(), new PeerChannel()], /** @type {(() => void)[][]} of each connection, in order */ wires = Array.from({length: count}, () => []);
  /** @type {any[][]} */ const pcs = [[], []], /** @type {any[][]} */ mains = [[], []];
  /** One end of a channel. @param {number} way */
  const half = (way) => {
    const end = Object.assign(new EventTarget(), /** @type {any} */ ({readyState: 'open', bufferedAmount: 0, onmessage: null, onclose: null, other: null}));
    end.send = (/** @type {any} */ data) => wires[way].push(() => { if (end.other.readyState === 'open') end.other.onmessage?.({data}); });
    end.close = () => {
      end.readyState = 'closed';
      wires[way].push(() => { end.other.readyState = 'closed'; end.other.onclose?.(); end.other.dispatchEvent(new Event('close')); });
    };
    return end;
  };
  for (let way = 0; way < count; way++) {
    for (const side of [0, 1]) {
      mains[side][way] = half(way);
      pcs[side][way] = {createDataChannel: (/** @type {string} */ label) => {
        const [ours, theirs] = [half(way), half(way)];
        Object.assign(ours, {other: theirs, label});
        Object.assign(theirs, {other: ours, label});
        wires[way].push(() => ends[1 - side].accept(theirs, pcs[1 - side][way]));
        return ours;
      }};
    }
    [mains[0][way].other, mains[1][way].other] = [mains[1][way], mains[0][way]];
    for (const side of [0, 1]) ends[side].hear(pcs[side][way], mains[side][way]);
  }
  return {ends, wires, move: (/** @type {number} */ side, /** @type {number} */ way) => ends[side].use(pcs[side][way], mains[side][way])};
}

test('a file comes whole, whoever of the two goes over to another connection and back, and when', async () => {
  const content = new Uint8Array(1 << 19).map((_, i) => i % 251);
  for (let seed = 1; seed <= 40; seed++) {
    const noise = random(seed), {ends: [ours, theirs], wires, move} = ways(2), at = [0, 0], moved = [0, 0];
    for (const side of [0, 1]) move(side, 0);
    /** @type {any} */ let got = null;
    theirs.on('file', (transfer) => { transfer.on('done', (blob) => { got = blob; }); transfer.accept(); });
    const sent = ours.sendFile(new File([content], 'plan.bin'));
    for (let step = 0; step < 5000 && !(got && sent.state === 'done'); step++) {
      // What is told over one way may be later than what is told over the other.
      const wire = wires[noise(1) < 0.5 ? 0 : 1];
      wire.shift()?.();
      if (step % 5 === 0) await new Promise((resolve) => { setImmediate(resolve); });
      const side = noise(1) < 0.5 ? 0 : 1;
      if (step < 300 && moved[side] < 6 && noise(1) < 0.04) {
        moved[side]++;
        move(side, at[side] = 1 - at[side]);
      }
      if (step === 300) for (const each of [0, 1]) if (at[each] !== 0) move(each, 0);
    }
    assert.equal(sent.state, 'done', `seed ${seed}: ${sent.bytes}`);
    assert.deepEqual(new Uint8Array(await got.arrayBuffer()), content, `seed ${seed}`);
  }
});
