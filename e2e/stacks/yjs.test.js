// y-webrtc, as it comes from npm, in pages of another origin: two browsers find each other at /yjs, share a document through the
// relay alone, encrypted or not, go on after the server was killed, and are let in by a token.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { candidatePairs } from '../harness/media.js';
import { binary, startServer } from '../harness/server.js';

/** @typedef {import('playwright-core').Page} Page */

const long = { skip: !process.env.E2E_LONG };
/** @type {string} */ let origin;
/** @type {Record<'chromium' | 'firefox', Awaited<ReturnType<typeof startBrowser>>>} */ let browsers;

before(async () => {
  if (long.skip) return;
  const script = await bundle();
  const pages = http.createServer((request, response) => {
    const asked = request.url === '/yjs.js';
    response.setHeader('Content-Type', asked ? 'text/javascript' : 'text/html');
    response.end(asked ? script : '<!doctype html><meta charset=utf-8><script>globalThis.global = globalThis</script><script src=/yjs.js></script>');
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', () => resolve(undefined)));
  onCleanup(async () => void pages.close());
  origin = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (pages.address()).port}`;
  browsers = { chromium: await startBrowser(), firefox: await startBrowser({ kind: 'firefox' }) };
});
after(cleanup);

/** The two packages as one script, `yjs.Doc` and `yjs.WebrtcProvider`. */
async function bundle() {
  const folder = fileURLToPath(new URL('.', import.meta.url));
  const out = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-yjs-'));
  onCleanup(() => fs.rm(out, { recursive: true, force: true }));
  const entry = path.join(folder, 'yjs-entry.js');
  await promisify(execFile)('go', ['run', 'github.com/evanw/esbuild/cmd/esbuild', entry, '--bundle', '--format=iife', '--global-name=yjs', `--outfile=${out}/yjs.js`], { cwd: folder });
  return fs.readFile(`${out}/yjs.js`);
}

/**
 * Opens a document in a page of its own.
 * @param {'chromium' | 'firefox'} kind @param {string} base @param {string} room @param {{token?: string, password?: string}} options
 */
async function open(kind, base, room, { token = '', password } = {}) {
  const page = await browsers[kind].newPage({ policy: 'relay' });
  await page.goto(origin);
  await page.evaluate(async ({ base, room, token, password }) => {
    const { Doc, WebrtcProvider } = /** @type {any} */ (window).yjs;
    const query = token && `?token=${token}`;
    const config = await (await fetch(`${base}/config${query}`)).json();
    const doc = new Doc();
    // Nothing by way of the browser's own channel between pages.
    const provider = new WebrtcProvider(room, doc, { signaling: [`${base.replace('http', 'ws')}/yjs${query}`], password, filterBcConns: false, peerOpts: { config } });
    Object.assign(window, { doc, provider, text: doc.getText('t') });
  }, { base, room, token, password });
  return page;
}

/** @param {Page} page @param {string} text */
const write = (page, text) => page.evaluate((text) => /** @type {any} */ (window).text.insert(0, text), text);

/** @param {Page} page @param {RegExp} wanted */
const reads = (page, wanted) => page.waitForFunction((source) => new RegExp(source).test(String(/** @type {any} */ (window).text)), wanted.source);

/** @param {Page[]} pages */
async function relayed(pages) {
  for (const page of pages) for (const pair of await candidatePairs(page)) assert.equal(pair.local, 'relay', JSON.stringify(pair));
}

for (const [there, comes] of /** @type {const} */ ([['chromium', 'chromium'], ['chromium', 'firefox'], ['firefox', 'chromium']])) {
  test(`${there} is there, ${comes} comes`, long, async () => {
    const server = await startServer();
    const pages = [await open(there, server.base, 'room', { password: 'secret' })];
    await write(pages[0], 'before;');
    pages.push(await open(comes, server.base, 'room', { password: 'secret' }));
    await reads(pages[1], /before;/);
    await write(pages[1], 'answer;');
    await reads(pages[0], /answer;/);
    await relayed(pages);
    await server.kill('SIGKILL');
    await server.start();
    // Who was connected stays so, and who comes now finds both.
    await write(pages[0], 'after;');
    await reads(pages[1], /after;/);
    const third = await open(comes, server.base, 'room', { password: 'secret' });
    await reads(third, /after;/);
    await write(third, 'third;');
    await Promise.all(pages.map((page) => reads(page, /third;/)));
    await Promise.all([...pages, third].map((page) => page.context().close()));
  });
}

test('by token: one that names the room, and one that names another', long, async () => {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-yjs-'));
  onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
  const file = path.join(dir, 'secret');
  await fs.writeFile(file, 's'.repeat(48), { mode: 0o600 });
  const server = await startServer({ config: { access: { mode: 'token', token_secret_file: file } } });
  const mint = async (/** @type {string} */ room) => (await promisify(execFile)(binary, ['token', '--config', server.configFile, '--user', 'vasya', '--room', room])).stdout.trim();
  const [good, bad] = [await mint('blue'), await mint('red')];
  const pages = [await open('chromium', server.base, 'blue', { token: good }), await open('chromium', server.base, 'blue', { token: good })];
  await write(pages[0], 'in;');
  await reads(pages[1], /in;/);
  const stranger = await open('chromium', server.base, 'blue', { token: bad });
  const code = await stranger.evaluate(({ base, bad }) => new Promise((resolve) => {
    const ws = new WebSocket(`${base.replace('http', 'ws')}/yjs?token=${bad}`);
    ws.onopen = () => ws.send(JSON.stringify({ type: 'subscribe', topics: ['blue'] }));
    ws.onclose = ({ code, reason }) => resolve(`${code} ${reason}`);
  }), { base: server.base, bad });
  assert.match(code, /^4003 .*token/);
  await write(pages[1], 'again;');
  await reads(pages[0], /again;/);
  assert.equal(await stranger.evaluate(() => String(/** @type {any} */ (window).text)), '');
  await Promise.all([...pages, stranger].map((page) => page.context().close()));
});
