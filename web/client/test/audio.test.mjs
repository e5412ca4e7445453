import assert from 'node:assert/strict';
import test from 'node:test';

/** What comes of the next requests for a module. @type {boolean[]} */ const fails = [];
/** @type {any[]} */ const contexts = [];
/** @type {any} */ (globalThis).AudioContext = class {
  state = 'running';
  asked = 0;
  constructor() { contexts.push(this); }
  audioWorklet = {addModule: async () => {
    this.asked++;
    if (fails.shift()) throw new Error('503');
  }};
  async suspend() { this.state = 'suspended'; }
  async close() { this.state = 'closed'; }
};
const {open, close} = await import('../call/websocket/audio.js');
const settle = () => new Promise((resolve) => { setTimeout(resolve, 5); });

test('modules are asked for again until they come, and then for the whole life of the page', async (t) => {
  t.mock.method(console, 'warn', () => {});
  fails.push(true, false, false, true);
  const context = await open();
  assert.equal(contexts.length, 3);
  assert.deepEqual(contexts.map(({state}) => state), ['closed', 'closed', 'running']);
  const other = await open();
  close();
  await settle();
  assert.equal(context.state, 'running', 'somebody uses it still');
  close();
  await settle();
  assert.equal(context.state, 'suspended');
  fails.push(true, true);
  assert.equal(await open(), other);
  assert.equal(/** @type {any} */ (context).asked, 2);
  close();
});
