// The model test: hundreds of schedules of what networks, servers and browsers do to a call of two, each with a seed. A seed
// that fails is played again, with everything told, by `MODEL_SEED=… node --test test/model.test.mjs`.
import test from 'node:test';
import assert from 'node:assert/strict';

const {MODEL_SEED, MODEL_ROUNDS, E2E_LONG} = process.env;
// The same ones each time in `make test`, others in `make soak`.
const base = Number(MODEL_SEED ?? (E2E_LONG ? Math.floor(Math.random() * 2 ** 31) : 1));
const rounds = MODEL_SEED ? 1 : Number(MODEL_ROUNDS ?? (E2E_LONG ? 200_000 : 3000));
/** On a slow or busy machine fewer: at most so long, in milliseconds, unless a number was asked for. */
const most = MODEL_SEED || MODEL_ROUNDS ? Infinity : E2E_LONG ? 30 * 60_000 : 8000;

test(`two clients are connected in the end, whatever happens: schedules from seed ${base}`, async (t) => {
  const say = console.log, began = process.hrtime.bigint();
  const {play} = await import('./model/model.mjs');
  let played = 0;
  while (played < rounds && Number(process.hrtime.bigint() - began) / 1e6 < most) {
    const seed = (base + played++) >>> 0;
    const wrong = await play(seed, MODEL_SEED ? {log: say} : {});
    assert.deepEqual(wrong, [], `MODEL_SEED=${seed}`);
  }
  t.diagnostic(`${played} schedules`);
});
