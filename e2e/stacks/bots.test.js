// The bots of examples/, which know nothing of turnhub but signaling/protocol.md, in a call with the real page: picture and
// sound both ways, whoever was there first, directly and over the relay alone, and again after the server was killed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startBrowser } from '../harness/browser.js';
import { openLobby } from '../harness/callpage.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { decodesVideo, hearsSound } from '../harness/media.js';
import { startServer } from '../harness/server.js';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));
/** How each bot is started, what ends its recordings, and how these begin. */
const bots = {
  pion: { command: ['./bot-pion'], built: ['go', 'build', '-o', 'bot-pion', '.'], files: { '.ivf': /^DKIF/, '.ogg': /^OggS/ } },
  aiortc: { command: ['/usr/bin/python3', 'bot.py'], built: null, files: { '.mp4': /^....ftyp/s } },
};
/** @typedef {keyof typeof bots} Bot */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
before(async () => { if (process.env.E2E_LONG) server = await startServer(); });
after(cleanup);

/** @param {string[]} command @param {string} cwd */
async function run([program, ...args], cwd) {
  const child = spawn(program, args, { cwd, stdio: 'inherit' });
  assert.equal(await new Promise((resolve) => child.once('exit', resolve)), 0, `${program} ${args.join(' ')}`);
}

/** @param {Bot} name @param {string} room @param {boolean} relay */
async function startBot(name, room, relay) {
  const folder = await mkdtemp(path.join(tmpdir(), 'turnhub-bot-'));
  onCleanup(() => rm(folder, { recursive: true, force: true }));
  const [program, ...args] = bots[name].command;
  const child = spawn(program, [...args, '--server', server.base, '--room', room, '--record', folder, ...(relay ? ['--relay'] : [])],
    { cwd: path.join(examples, `bot-${name}`), stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { log += text; if (process.env.E2E_LOG) process.stderr.write(text); });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = onCleanup(async () => { child.kill('SIGINT'); await ended; });
  return { folder, stop, log: () => log };
}

for (const name of /** @type {Bot[]} */ (Object.keys(bots))) {
  for (const kind of /** @type {const} */ (['chromium', 'firefox'])) {
    test(`${name} and ${kind}`, { skip: !process.env.E2E_LONG }, async () => {
      const { built, files } = bots[name];
      if (built) await run(built, path.join(examples, `bot-${name}`));
      const browser = await startBrowser({ kind });
      for (const { first, relay } of [{ first: 'page', relay: false }, { first: 'bot', relay: true }]) {
        const room = `${name}-${kind}-${first}`;
        const page = await browser.newPage();
        const early = first === 'bot' ? await startBot(name, room, relay) : null;
        if (early) await inRoom(room);
        await openLobby(page, server.base, room);
        await page.click('#join');
        await page.waitForSelector('body[data-view=call]:not([data-state=joining])');
        const bot = early ?? await startBot(name, room, relay);
        try {
          await decodesVideo(page, { seconds: 2, deadline: 30_000 });
          await hearsSound(page);
          await server.kill('SIGKILL');
          await server.start();
          await page.waitForSelector('body[data-hub=open]', { timeout: 60_000 });
          await decodesVideo(page, { seconds: 2, deadline: 60_000 });
          await hearsSound(page);
        } catch (error) {
          throw new Error(`${room}: ${error}\n${bot.log()}`, { cause: error });
        }
        await page.context().close();
        await bot.stop();
        await recorded(bot.folder, files);
      }
      await browser.close();
    });
  }
}

/** Somebody is in the room. @param {string} room */
async function inRoom(room) {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline;) {
    const state = await (await fetch(`${server.admin}/metrics`)).text();
    if (/^turnhub_hub_rooms(?:{[^}]*})? [1-9]/m.test(state)) return;
    await new Promise((resolve) => setTimeout(resolve, 100)); // the pause of a poll
  }
  throw new Error(`nobody came into ${room}`);
}

/** What the bot received is in files that begin as they should and have something in them. @param {string} folder @param {Record<string, RegExp>} files */
async function recorded(folder, files) {
  const names = await readdir(folder);
  for (const [ending, begin] of Object.entries(files)) {
    const contents = await Promise.all(names.filter((name) => name.endsWith(ending)).map((name) => readFile(path.join(folder, name), 'latin1')));
    assert.ok(contents.some((content) => begin.test(content) && content.length > 4000), `${ending}: ${names.map((each, i) => `${each} ${contents[i]?.length}`)}`);
  }
}
