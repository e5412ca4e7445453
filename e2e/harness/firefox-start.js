#!/usr/bin/env node
// Starts Firefox for the tests' driver, with two things that the driver cannot do. Authorities that are to be trusted
// go into the profile, which the driver has made a moment ago. And Firefox is driven over TCP on the loopback device:
// when it runs in a network namespace, that is another loopback than the driver's. Then there are two of this program,
// one on either side, with a Unix socket between them, which knows no namespaces. Firefox looks at the port in the Host
// header, so that both sides listen on the same number.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const { E2E_FIREFOX = '/usr/bin/firefox-esr', E2E_FIREFOX_NETNS: netns, E2E_FIREFOX_SOCKET: socket = '', E2E_FIREFOX_AUTHORITIES: authorities,
  E2E_FIREFOX_INSIDE: inside } = process.env;
const args = process.argv.slice(2);

/**
 * Passes connections on.
 * @param {net.ListenOptions} from
 * @param {net.NetConnectOpts} to
 * @returns {Promise<net.AddressInfo | string | null>} where it listens
 */
function pass(from, to) {
  const server = net.createServer((here) => {
    const there = net.connect(to);
    here.pipe(there).pipe(here);
    here.on('error', () => there.destroy());
    there.on('error', () => here.destroy());
  });
  return new Promise((resolve, reject) => server.once('error', reject).listen(from, () => resolve(server.address())));
}

/** Runs a program as if it were this one. @param {string} program @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
function become(program, args, env = process.env) {
  const child = spawn(program, args, { stdio: 'inherit', env });
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGINT', 'SIGHUP'])) process.on(signal, () => child.kill(signal));
  child.once('error', (error) => { console.error(`${program}: ${error.message}`); process.exit(127); });
  child.once('exit', (code) => process.exit(code ?? 1));
}

if (inside) {
  await pass({ path: socket }, { host: '127.0.0.1', port: Number(inside) });
  become(E2E_FIREFOX, args);
} else {
  if (authorities) {
    const profile = args[args.indexOf('--profile') + 1];
    for (const file of fs.readdirSync(authorities)) fs.copyFileSync(path.join(authorities, file), path.join(profile, file));
  }
  if (netns) {
    const address = /** @type {net.AddressInfo} */ (await pass({ host: '127.0.0.1', port: 0 }, { path: socket }));
    const port = String(address.port);
    const words = args.map((arg) => (arg === '--remote-debugging-port=0' ? `--remote-debugging-port=${port}` : arg));
    become('ip', ['netns', 'exec', netns, process.execPath, fileURLToPath(import.meta.url), ...words], { ...process.env, E2E_FIREFOX_INSIDE: port });
  } else {
    become(E2E_FIREFOX, args);
  }
}
