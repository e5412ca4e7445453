// What the way through the server's WebSocket keeps from the server, and what a hostile other side does to it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { after, before } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { hears, moves, told } from '../harness/people.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';
import { chat, keepBlobs, sendFile } from './deeds.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;
/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;

before(async () => {
  if (!process.env.E2E_LONG) return;
  browser = await startBrowser({ fps: 15 });
  server = await startServer();
});
after(cleanup);

/** Two people who have nothing but this way. @param {string} base @param {string} room @param {() => void} script runs in the second one's page before its own */
async function meet(base, room, script) {
  const pages = [];
  for (const i of [0, 1]) {
    const page = await browser.newPage({ only: 'nothing', clean: true });
    pages.push(page);
    await page.addInitScript(keepBlobs);
    if (i) await page.addInitScript(script);
    await openLobby(page, base, { name: i ? 'Petya' : 'Vasya', room });
    await join(page);
  }
  await Promise.all(pages.map(async (page) => { await connected(page); await moves(page, 20); await hears(page); await told(page, 'through HTTPS'); }));
  return pages;
}

/** A way to the server that keeps what the server says on it. @param {number} port */
async function listenIn(port) {
  /** @type {Buffer[]} */ const said = [];
  const wire = net.createServer((client) => {
    const there = net.connect(port, 'localhost');
    client.pipe(there);
    there.pipe(client);
    there.on('data', (data) => said.push(data));
    for (const [one, other] of [[client, there], [there, client]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
      onCleanup(() => one.destroy());
    }
  });
  await new Promise((resolve) => wire.listen(0, () => resolve(undefined)));
  onCleanup(() => new Promise((resolve) => wire.close(resolve)));
  return { base: `http://localhost:${/** @type {net.AddressInfo} */ (wire.address()).port}`, said: () => Buffer.concat(said) };
}

/** What a process may have written to its memory, a piece after the other. @param {number} pid */
function* memoryOf(pid) {
  const mem = fs.openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const [, from, to] of fs.readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm)) {
      const most = 1 << 24;
      for (let at = BigInt(`0x${from}`), end = BigInt(`0x${to}`); at < end; at += BigInt(most)) {
        const piece = Buffer.alloc(Number(end - at > most ? BigInt(most) : end - at));
        try {
          yield piece.subarray(0, fs.readSync(mem, piece, 0, piece.length, at));
        } catch { /* reserved, and not there */ }
      }
    }
  } finally {
    fs.closeSync(mem);
  }
}

/** Keeps what the page seals, and what comes of it. */
function keepSealed() {
  const kept = /** @type {any} */ (window).sealed = /** @type {{kind: number, plain: string, sealed: string}[]} */ ([]), seal = SubtleCrypto.prototype.encrypt;
  // Of the middle, where no two are alike; but for what is sent to look for room, which is nothing but zeros.
  const part = (/** @type {Uint8Array} */ bytes) => btoa(String.fromCharCode(...bytes.slice(bytes.length >> 1).slice(0, 20)));
  SubtleCrypto.prototype.encrypt = async function (algorithm, key, data) {
    const plain = new Uint8Array(/** @type {any} */ (data)).slice(), out = await seal.call(this, algorithm, key, data);
    const [kind] = /** @type {any} */ (algorithm).additionalData ?? [];
    if (plain.length >= 48 && plain.slice(plain.length >> 1).some(Boolean)) kept.push({ kind, plain: part(plain), sealed: part(new Uint8Array(out)) });
    if (kept.length > 3000) kept.shift();
    return out;
  };
}

long('neither the server’s memory nor the wire has anything of what is said', { timeout: 180_000 }, async () => {
  const wire = await listenIn(server.ports.http), [first, second] = await meet(wire.base, 'sealed', keepSealed);
  const words = 'the words that nobody else is to read: zobristhash';
  await chat(second, first, words);
  await sendFile(second, first);
  await moves(first, 30);
  const all = /** @type {{kind: number, plain: string, sealed: string}[]} */ (await second.evaluate(() => /** @type {any} */ (window).sealed));
  const kinds = [1, 2, 3, 4, 6].map((kind) => all.filter((frame) => frame.kind === kind).slice(-12));
  // A picture comes in pieces where it is large for what the line has shown to take, which on a quick machine it may never be.
  assert.ok(kinds.slice(0, 4).every((frames) => frames.length > 0), `sound, pictures, keys, messages, pieces: ${kinds.map((frames) => frames.length)}`);
  const plain = kinds.flat().map((frame) => Buffer.from(frame.plain, 'base64')), sealed = kinds.flat().map((frame) => Buffer.from(frame.sealed, 'base64'));
  const secret = [Buffer.from(words), Buffer.from(words, 'utf16le'), ...plain];
  const said = wire.said();
  assert.ok(sealed.filter((bytes) => said.includes(bytes)).length > sealed.length / 2, 'the sealed frames are on this wire');
  assert.equal(secret.findIndex((bytes) => said.includes(bytes)), -1, 'and not what they hold');
  let bytes = 0, seen = false, frames = 0;
  for (const piece of memoryOf(server.pid ?? 0)) {
    bytes += piece.length;
    seen ||= piece.includes('Petya');
    frames += sealed.filter((frame) => piece.includes(frame)).length;
    const found = secret.findIndex((each) => piece.includes(each));
    assert.equal(found, -1, `${found} of ${secret.length}: in the server's memory`);
  }
  assert.ok(seen, `the memory that was looked through (${bytes} bytes) is the server's`);
  console.log(`${said.length} bytes of the wire, ${(bytes / 1e6).toFixed(0)} MB of memory, in which ${frames} sealed frames of ${sealed.length} lay: none of ${secret.length} secrets`);
  for (const page of [first, second]) await page.context().close();
});

/** What the page seals lies, while `window.lies` says how. */
function lie() {
  const seal = SubtleCrypto.prototype.encrypt;
  SubtleCrypto.prototype.encrypt = function (algorithm, key, data) {
    const here = /** @type {any} */ (window), [kind] = /** @type {any} */ (algorithm).additionalData ?? [], bytes = new Uint8Array(/** @type {any} */ (data)).slice();
    if ((kind === 2 || kind === 3) && bytes.length > 20) {
      if (here.lies === 'codec') bytes[5] ^= 1; // VP8 for H.264, and the other way round
      if (here.lies === 'length') bytes[9] ^= 0x1f;
      if (here.lies === 'size' && kind === 3) bytes.set([0xff, 0x3f, 0xff, 0x3f], 16); // of a picture that would take 400 MB
      if (here.lies === 'content') for (let at = 10; at < bytes.length; at++) bytes[at] = Math.random() * 256;
    }
    return seal.call(this, algorithm, key, bytes);
  };
}

long('who lies about codecs, lengths and contents is seen again when he no longer does', { timeout: 180_000 }, async () => {
  const [first, second] = await meet(server.base, 'liar', lie);
  /** @type {string[]} */ const errors = [];
  for (const page of [first, second]) page.on('pageerror', (error) => errors.push(String(error)));
  for (const lies of ['codec', 'length', 'size', 'content']) {
    await second.evaluate((lies) => { /** @type {any} */ (window).lies = lies; }, lies);
    await new Promise((resolve) => { setTimeout(resolve, 3000); });
    await moves(second, 10); // he himself is none the worse, and neither is sound
    await hears(first);
    await second.evaluate(() => { /** @type {any} */ (window).lies = ''; });
    const since = Date.now();
    await moves(first, 15);
    console.log(`after lies about ${lies}: fifteen pictures after ${Date.now() - since} ms`);
  }
  assert.deepEqual(errors, []);
  for (const page of [first, second]) await page.context().close();
});
