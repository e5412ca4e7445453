// Other people's WebRTC stacks, each with itself through the relay alone, over every transport that it has.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import https from 'node:https';
import os from 'node:os';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cleanup } from '../harness/cleanup.js';
import { startServer } from '../harness/server.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const python = '/usr/bin/python3';
/** What each runs, over which transports. */
const stacks = {
  aiortc: { command: [python, 'aiortc-relay.py'], transports: ['udp', 'tcp', 'tls'] },
  werift: { command: [process.execPath, 'werift-relay.mjs'], transports: ['udp', 'tcp', 'tls'] },
  // libjuice has UDP only.
  'node-datachannel': { command: [process.execPath, 'node-datachannel-relay.mjs'], transports: ['udp'] },
  // libnice speaks plain TURN to the port of a turns: URL, so TLS is no transport of its own here.
  'GStreamer webrtcbin': { command: [python, 'gst-relay.py'], transports: ['udp', 'tcp'] },
};
const urls = { udp: /^turn:.*transport=udp/, tcp: /^turn:.*transport=tcp/, tls: /^turns:/ };

const outside = Object.values(os.networkInterfaces()).flat().find((each) => each?.family === 'IPv4' && !each.internal)?.address ?? '127.0.0.1';

const skip = !process.env.E2E_LONG;
/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
before(async () => { if (!skip) server = await startServer({ tls: true, config: { relay: { external_ip: '127.0.0.1' } } }); });
after(cleanup);

/** One URL of a fresh user. @param {RegExp} wanted */
async function iceServer(wanted) {
  const ca = await readFile(server.caFile ?? '');
  const response = await new Promise((resolve, reject) => https.get(`${server.base}/config`, { ca }, (answer) => {
    text(answer).then((body) => resolve(JSON.parse(body)), reject);
  }).on('error', reject));
  for (const { urls: offered, ...rest } of response.iceServers) {
    const url = [offered].flat().find((/** @type {string} */ each) => wanted.test(each));
    if (url) return { ...rest, urls: url };
  }
  throw new Error(`no ${wanted} in ${JSON.stringify(response)}`);
}

for (const [name, { command: [program, ...args], transports }] of Object.entries(stacks)) {
  for (const transport of /** @type {(keyof typeof urls)[]} */ (transports)) {
    test(`${name} over ${transport}`, { skip }, async () => {
      const pair = [await iceServer(urls[transport]), await iceServer(urls[transport])];
      // libnice binds to addresses of networks only, from which nothing gets to loopback.
      if (name.startsWith('GStreamer')) for (const each of pair) each.urls = each.urls.replace('localhost', outside);
      const out = await new Promise((resolve) => execFile(program, [...args, JSON.stringify(pair)],
        { cwd: here, timeout: 90_000, env: { ...process.env, SSL_CERT_FILE: server.caFile, NODE_EXTRA_CA_CERTS: server.caFile } }, (error, stdout, stderr) => resolve(`${stdout}${error ? `${error}${stderr}` : ''}`)));
      assert.match(out, /^20 of 20$/m, out);
    });
  }
}
