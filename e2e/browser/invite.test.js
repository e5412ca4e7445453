// access.mode token: the links and QR codes of the page let others in, and carry nobody's own token.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import jsqr from 'jsqr';
import { startBrowser } from '../harness/browser.js';
import { cleanup, onCleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { decodesVideo } from '../harness/media.js';
import { binary, startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;
/** @type {string} */ let dir;

before(async () => {
  browser = await startBrowser();
  dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-invite-'));
  onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
});
after(cleanup);

const base64 = (/** @type {string | Buffer} */ b) => Buffer.from(b).toString('base64url');

/** Servers that ask for tokens, by either kind of key, and what makes the operator's tokens. */
const kinds = {
  async secret() {
    const file = path.join(dir, 'secret');
    await fs.writeFile(file, crypto.randomBytes(48).toString('base64'), { mode: 0o600 });
    const server = await startServer({ config: { access: { mode: 'token', token_secret_file: file } } });
    const link = () => {
      const { stderr } = run(['token', '--config', server.configFile, '--user', 'vasya', '--room', 'blue'], server.dir);
      return stderr.match(/^to open: (.*)$/m)?.[1] ?? '';
    };
    return { server, link };
  },
  async jwks() {
    const { publicKey, privateKey } = crypto.generateKeyPairSync('ed25519');
    const file = path.join(dir, 'jwks.json');
    await fs.writeFile(file, JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k' }] }));
    const server = await startServer({ config: { access: { mode: 'token', token_jwks_file: file } } });
    const now = Math.floor(Date.now() / 1000);
    const link = () => {
      const said = [{ alg: 'EdDSA', kid: 'k' }, { sub: 'vasya', iat: now, exp: now + 3600 }].map((part) => base64(JSON.stringify(part))).join('.');
      return `${server.base}/?token=${said}.${base64(crypto.sign(null, Buffer.from(said), privateKey))}#blue`;
    };
    return { server, link };
  },
};

/** @param {string[]} args @param {string} cwd */
function run(args, cwd) {
  const errors = path.join(cwd, 'stderr');
  const stdout = execFileSync('sh', ['-c', 'exec "$0" "$@" 2>"$ERRORS"', binary, ...args], { cwd, encoding: 'utf8', env: { ...process.env, ERRORS: errors } });
  return { stdout, stderr: execFileSync('cat', [errors], { encoding: 'utf8' }) };
}

/** Opens a link as it is. @param {string} link */
async function open(link) {
  const page = await browser.newPage();
  await page.context().grantPermissions(['camera', 'microphone', 'clipboard-read', 'clipboard-write']);
  await page.goto(link);
  return page;
}

/** @param {Page} page */
const ready = (page) => page.waitForSelector('body[data-state=ready]');

/** What somebody with a phone reads from the QR code. @param {Page} page @param {string} canvas */
async function scan(page, canvas) {
  const { grey, width, height, shown } = await page.evaluate((canvas) => {
    const drawn = /** @type {HTMLCanvasElement} */ (document.querySelector(canvas));
    const { data, width, height } = /** @type {CanvasRenderingContext2D} */ (drawn.getContext('2d')).getImageData(0, 0, drawn.width, drawn.height);
    const grey = Array.from({ length: data.length / 4 }, (_, i) => String.fromCharCode(data[4 * i])).join(''); // it is black and white
    return { grey, width, height, shown: drawn.getBoundingClientRect().width };
  }, canvas);
  assert.ok(shown / (width / 8) >= 2.5, `${shown} px for ${width / 8} modules: a camera can hardly read it`);
  const data = Uint8ClampedArray.from({ length: 4 * grey.length }, (_, i) => (i % 4 === 3 ? 255 : grey.charCodeAt(i >> 2)));
  return jsqr.default(data, width, height)?.data ?? '';
}

for (const [kind, start] of Object.entries(kinds)) {
  (kind === 'secret' ? test : long)(`an operator's link, a copied link, a call (${kind})`, async () => {
    const { server, link } = await start();
    const own = link();
    assert.match(own, /\?token=.+#blue$/);
    const vasya = await open(own);
    await ready(vasya);
    assert.equal(vasya.url(), `${server.base}/#blue`, 'the token leaves the address');
    await vasya.click('#copy-link');
    await vasya.locator('.toast', { hasText: 'Link copied' }).waitFor();
    const copied = await vasya.evaluate(() => navigator.clipboard.readText());
    const token = new URL(copied).searchParams.get('token') ?? '';
    assert.ok(token && !own.includes(token), 'the copied link carries an invitation, not the own token');
    assert.equal(new URL(copied).hash, '#blue');
    await join(vasya);

    const petya = await open(copied);
    await ready(petya);
    await petya.reload();
    await ready(petya);
    assert.equal(petya.url(), `${server.base}/#blue`);
    await join(petya);
    await Promise.all([connected(vasya), connected(petya)]);
    await Promise.all([decodesVideo(vasya), decodesVideo(petya)]);

    // Who was invited may invite, into this room.
    await petya.click('#room-label');
    await petya.waitForSelector('#qr-dialog[open]');
    const scanned = await scan(petya, '#qr');
    assert.equal(scanned, await petya.textContent('#qr-link'));
    assert.notEqual(new URL(scanned).searchParams.get('token'), token, 'nor is a guest\'s own token in the guest\'s links');
    const masha = await open(scanned);
    await ready(masha);
    await join(masha);
    await Promise.all([vasya, petya, masha].map((page) => connected(page, 2)));

    // No other room.
    const other = await open(copied.replace('#blue', '#red'));
    await ready(other).catch(() => {});
    await other.click('#join');
    await other.waitForSelector('body[data-view=notice][data-state=refused]');
    await other.context().close();

    // The inviter is revoked, and with the inviter all who were invited.
    const answer = await fetch(`${server.admin}/revoke`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ user: 'vasya' }) });
    assert.equal(answer.status, 200);
    await Promise.all([vasya, petya, masha].map((page) => page.waitForSelector('body[data-view=notice]:is([data-state=revoked], [data-state=refused])')));
    const late = await open(scanned);
    await late.getByText('The operator has withdrawn it').waitFor();
    await Promise.all([vasya, petya, masha, late].map((page) => page.context().close()));
    await server.stop();
  });
}

test('without an invitation there is a page that says so, and a tab that had one comes back', async () => {
  const { server, link } = await kinds.secret();
  const stranger = await open(server.base);
  await stranger.getByRole('heading', { name: 'An invitation is needed' }).waitFor();
  const guest = await open(link());
  await ready(guest);
  const check = guest.waitForEvent('popup');
  await guest.click('#check-link');
  const other = await check;
  await other.waitForSelector('body[data-state=done]', { timeout: 60_000 });
  assert.equal(other.url(), `${server.base}/check`);
  await other.close();
  await guest.goto(`${server.base}/my-room`);
  await guest.getByRole('link', { name: 'Join the room “my-room”' }).click();
  await ready(guest);
  assert.equal(await guest.inputValue('#room'), 'my-room');
  await Promise.all([stranger, guest].map((page) => page.context().close()));
  await server.stop();
});

test('a name that no room can have is said, and the same nearest one is offered to all', async () => {
  const server = await startServer();
  const page = await browser.newPage();
  for (const [link, near] of [['#Frühstück%20um%208', 'Frühstück-um-8'], ['my%20room', 'my-room'], ['#100%', '100'], ['?room=a/b', 'a-b']]) {
    await page.goto('about:blank');
    await page.goto(`${server.base}/${link}`);
    if (link === 'my%20room') await page.getByRole('link', { name: /Join the room/ }).click();
    await page.waitForSelector('#room-hint:not([hidden])');
    assert.match(await page.textContent('#room-hint') ?? '', /cannot be the name of a room: it may have letters \(of one alphabet in a word\), digits and \. _ ~ -/);
    assert.equal(await page.inputValue('#room'), near);
  }
  await page.goto('about:blank');
  await page.goto(`${server.base}/#!!!`);
  await page.waitForSelector('#room-hint:not([hidden])');
  assert.match(await page.inputValue('#room'), /^[a-z0-9-]{6,}$/);
  await openLobby(page, server.base, { room: 'fine' });
  assert.equal(await page.isVisible('#room-hint'), false);
  await page.context().close();
  await server.stop();
});
