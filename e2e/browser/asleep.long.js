// A page that was frozen, as by a closed laptop or in a pocket: its browser stands still, so that nothing of it answers, and goes
// on later. Meanwhile the other one reads that it is so; then both have a picture, in the same session or in another.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {Awaited<ReturnType<typeof startBrowser>>} Browser */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Browser} */ let watcher;
/** @type {Browser | null} */ let sleeper = null;

before(async () => {
  server = await startServer({ tls: true });
  watcher = await startBrowser({ caFile: server.caFile });
});
afterEach(async () => {
  if (sleeper) signal(sleeper, 'SIGCONT');
  await sleeper?.browser.close();
  sleeper = null;
});
after(cleanup);

/** Every process of a browser: those with its home, and theirs, of which Firefox's hide it. @param {Browser} browser @param {NodeJS.Signals} what */
function signal({ home }, what) {
  /** @type {Map<number, number>} */ const parents = new Map();
  /** @type {Set<number>} */ const found = new Set();
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number)) {
    try {
      parents.set(pid, Number(/\) \S (\d+)/.exec(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]));
      if (fs.readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`HOME=${home}`)) found.add(pid);
    } catch {
      // gone meanwhile
    }
  }
  for (let before = 0; before < found.size;) {
    before = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  assert.ok(found.size > 1 || what === 'SIGCONT', `${found.size} processes`);
  for (const pid of found) {
    try {
      process.kill(pid, what);
    } catch {
      // gone meanwhile
    }
  }
}

/** Within the time that the server keeps a session for who is away, and beyond it. */
for (const seconds of [15, 80]) {
  for (const kind of /** @type {const} */ (['chromium', 'firefox'])) {
    for (const query of ['', '?relay=1']) {
      test(`${kind} sleeps for ${seconds} s${query && ', relayed'}`, async () => {
        sleeper = await startBrowser({ kind, caFile: server.caFile });
        const room = `asleep-${kind}-${seconds}${query.length}`;
        const [there, arriving] = await Promise.all([watcher.newPage(), sleeper.newPage()]);
        await openLobby(there, server.base, { query, room });
        await join(there);
        await openLobby(arriving, server.base, { query, room });
        await join(arriving);
        await Promise.all([there, arriving].flatMap((page) => [connected(page), decodesVideo(page)]));
        signal(sleeper, 'SIGSTOP');
        const slept = Date.now();
        // That nothing comes any more is said, or that who slept has gone.
        await there.waitForSelector('.tile:not(.self)[data-state=reconnecting], body[data-state=waiting]', { timeout: 10_000 });
        await pause(Math.max(0, slept + seconds * 1000 - Date.now()));
        signal(sleeper, 'SIGCONT');
        const woken = Date.now();
        await Promise.all([there, arriving].flatMap((page) => [connected(page), decodesVideo(page, { seconds: 1, deadline: 30_000 })]));
        console.log(`${kind}${query}, ${seconds} s: a picture on both sides ${((Date.now() - woken) / 1000 - 1).toFixed(1)} s after waking`);
        await there.context().close();
      });
    }
  }
}
