import crypto from 'node:crypto';
import fs from 'node:fs/promises';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { makeCertificates } from './certificates.js';
import { onCleanup } from './cleanup.js';

/** A push service of the test's own, with one subscription, which decrypts what it gets along RFC 8188 and RFC 8291. */
export async function startPushService() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-push-'));
  onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
  const { caFile, certFile, keyFile } = await makeCertificates(dir, ['127.0.0.1']);
  const receiver = crypto.createECDH('prime256v1');
  receiver.generateKeys();
  const auth = crypto.randomBytes(16);
  /** @type {any[]} */ const got = [];
  /** @type {string[]} */ const asked = [];
  /** @type {(() => void)[]} */ let waiting = [];
  const web = https.createServer({ cert: await fs.readFile(certFile), key: await fs.readFile(keyFile) }, async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    asked.push(request.url ?? '');
    got.push({ ...JSON.parse(decrypt(body)), ttl: Number(request.headers.ttl), path: request.url });
    response.writeHead(201).end();
    for (const wake of waiting.splice(0)) wake();
  });
  const decrypt = (/** @type {Buffer} */ body) => { // RFC 8188, 2.1 and RFC 8291, 3.4
    const salt = body.subarray(0, 16), sender = body.subarray(21, 21 + body[20]), sealed = body.subarray(21 + body[20]);
    const expand = (/** @type {Buffer} */ key, /** @type {Buffer} */ from, /** @type {string | Buffer} */ info, /** @type {number} */ size) => Buffer.from(crypto.hkdfSync('sha256', key, from, info, size));
    const ikm = expand(receiver.computeSecret(sender), auth, Buffer.concat([Buffer.from('WebPush: info\0'), receiver.getPublicKey(), sender]), 32);
    const opened = crypto.createDecipheriv('aes-128-gcm', expand(ikm, salt, 'Content-Encoding: aes128gcm\0', 16), expand(ikm, salt, 'Content-Encoding: nonce\0', 12));
    opened.setAuthTag(sealed.subarray(-16));
    const text = Buffer.concat([opened.update(sealed.subarray(0, -16)), opened.final()]).toString();
    return text.slice(0, text.lastIndexOf('\u0002'));
  };
  await new Promise((listening) => web.listen(0, '127.0.0.1', () => listening(undefined)));
  onCleanup(() => { web.closeAllConnections(); web.close(); });
  const { port } = /** @type {import('node:net').AddressInfo} */ (web.address());
  const host = `127.0.0.1:${port}`;
  const keys = { p256dh: receiver.getPublicKey('base64url'), auth: auth.toString('base64url') };
  return {
    caFile, host,
    /** the paths of all requests so far */
    asked,
    subscription: { endpoint: `https://${host}/phone`, expirationTime: null, keys },
    /** The next message for which this holds; those before it are of no interest. @param {(said: any) => boolean} wanted */
    async next(wanted) {
      for (;;) {
        while (!got.length) await new Promise((resolve) => { waiting.push(() => resolve(undefined)); });
        const said = got.shift();
        if (wanted(said)) return said;
      }
    },
  };
}

/** PushManager, which needs a service outside, as in a browser that has that subscription: for `addInitScript`. @param {any} subscription */
export function subscribed(subscription) {
  const made = { ...subscription, options: {}, toJSON: () => subscription, unsubscribe: async () => { localStorage.removeItem('test.push'); return true; } };
  PushManager.prototype.getSubscription = async () => (localStorage.getItem('test.push') ? made : null);
  PushManager.prototype.subscribe = async ({ applicationServerKey, userVisibleOnly }) => {
    if (!userVisibleOnly || /** @type {Uint8Array} */ (applicationServerKey).length !== 65) throw new TypeError('no key');
    localStorage.setItem('test.push', 'yes');
    return made;
  };
}
