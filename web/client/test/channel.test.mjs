// Chat, files and state between two people on one data channel.
import test from 'node:test';
import assert from 'node:assert/strict';
import {PeerChannel} from '../call/data/channel.js';

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
