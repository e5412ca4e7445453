// Proxies in front of a server, set up by the very text of docs/front.md and reloaded as their operators do.
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onCleanup } from './cleanup.js';
import { freePorts } from './ports.js';

const run = promisify(execFile);
const file = (/** @type {string} */ name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/**
 * A proxy's configuration in docs/front.md under a heading, with words replaced, each of which must be there.
 * @param {string} heading @param {[from: string, to: string][]} changes
 */
async function recipe(heading, changes) {
  const [, rest] = (await fs.readFile(file('docs/front.md'), 'utf8')).split(`\n${heading}\n`);
  if (!rest) throw new Error(`docs/front.md has no "${heading}"`);
  const blocks = [...rest.split('\n#')[0].matchAll(/```(\w*)\n(.*?)\n```/gs)].filter(([, language]) => language !== 'yaml'); // which is ours
  if (!blocks.length) throw new Error(`docs/front.md has no code block under "${heading}"`);
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the block under "${heading}" has no "${from}"`);
    return text.replaceAll(from, to);
  }, blocks[0][2]);
}

/**
 * Where a front is and what it is for.
 * @typedef {object} Place
 * @property {string} at HOST:PORT on which it listens
 * @property {string} to HOST:PORT of the server
 * @property {string} certFile what an HTTP proxy shows
 * @property {string} keyFile
 */

/** A program's process, its folder and what it has said. */
class Front {
  #log = '';

  /** @param {string} dir */
  constructor(dir) {
    this.dir = dir;
  }

  static async create() {
    const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-front-'));
    onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
    return new Front(dir);
  }

  /** Writes a file into the folder. @param {string} name @param {string} text */
  async write(name, text) {
    const into = path.join(this.dir, name);
    await fs.writeFile(into, text);
    return into;
  }

  /** Starts the program, and waits until it listens. @param {string[]} at HOST:PORT @param {string} program @param {...string} args */
  async start(at, program, ...args) {
    const child = this.process = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    /** @type {Promise<void>} */
    const ended = new Promise((resolve) => { child.once('error', (error) => { this.#log += error; resolve(); }).once('exit', () => resolve()); });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { this.#log += text; });
    onCleanup(async () => {
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(hard);
    });
    await eventually(`${program} listens on ${at}`, async () => {
      if (child.exitCode !== null || child.pid === undefined) throw new Error(`${program} ended:\n${this.#log}`);
      return (await Promise.all(at.map(listens))).every(Boolean);
    });
  }

  /** The processes that it has started. */
  async children() {
    return (await fs.readFile(`/proc/${this.process?.pid}/task/${this.process?.pid}/children`, 'utf8')).split(' ').filter(Boolean);
  }

  /** Has it begin with another process. @param {NodeJS.Signals} signal */
  async bySignal(signal) {
    const old = await this.children();
    let said = 0;
    await eventually(`another process after ${signal}`, async () => {
      // Said again, since one that comes while the first is still getting ready is lost.
      if (Date.now() - said > 5000) {
        said = Date.now();
        this.process?.kill(signal);
      }
      return (await this.children()).some((pid) => !old.includes(pid));
    });
  }
}

/** Waits until something is so. @param {string} what @param {() => Promise<boolean>} ask */
async function eventually(what, ask) {
  const deadline = Date.now() + 30_000;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50)); // the pause of a poll
  }
}

/** @param {string} at @returns {Promise<boolean>} */
function listens(at) {
  const [host, port] = at.split(':');
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), host, () => { socket.destroy(); resolve(true); });
    socket.once('error', () => resolve(false));
  });
}

/** @param {Place} place @param {string} before its blocks @param {string} text */
async function nginx({ at }, before, text) {
  const front = await Front.create();
  const config = await front.write('nginx.conf', `${before}
user root; worker_processes 1; pid ${front.dir}/pid; error_log stderr; daemon off;
events { worker_connections 2048; }
${text}
`);
  await front.start([at], 'nginx', '-p', front.dir, '-e', 'stderr', '-c', config);
  return () => front.bySignal('SIGHUP');
}

/** @param {Place} place @param {(dir: string) => Promise<string>} make */
async function haproxy({ at }, make) {
  const front = await Front.create();
  const config = await front.write('haproxy.cfg', `defaults\n\ttimeout connect 5s\n\ttimeout client 50s\n\ttimeout server 50s\n${await make(front.dir)}\n`);
  await front.start([at], 'haproxy', '-W', '-db', '-f', config);
  return () => front.bySignal('SIGUSR2');
}

/** @param {Place} place @param {string} rules */
async function traefik({ at }, rules) {
  const { stdout } = await run(file('e2e/front-program'), ['traefik'], { timeout: 30 * 60_000 });
  const front = await Front.create();
  const [port] = await freePorts(1), api = `127.0.0.1:${port}`;
  const dynamic = await front.write('rules.yml', rules);
  const config = await front.write('traefik.yml', `entryPoints: {websecure: {address: "${at}"}, traefik: {address: "${api}"}}
providers: {file: {filename: "${dynamic}"}}
api: {insecure: true, dashboard: false}
global: {checkNewVersion: false, sendAnonymousUsage: false}
`);
  await front.start([at, api], stdout.trim(), `--configFile=${config}`);
  const [kind] = rules.split(':');
  /** Waits until a rule is in force: it listens before it has read any. @param {string} router */
  const known = (router) => eventually(`Traefik has read the rule ${router}`, async () => {
    const response = await fetch(`http://${api}/api/${kind}/routers`);
    return response.ok && (await response.json()).some((/** @type {{name: string}} */ { name }) => name === `${router}@file`);
  });
  await known('turnhub');
  let reloads = 0;
  return async () => {
    const again = `again${++reloads}`;
    await front.write('rules.yml', rules.replace('  routers:\n',
      `  routers:\n    ${again}: {rule: "${kind === 'tcp' ? 'HostSNI' : 'Host'}(\`${again}.example\`)", entryPoints: [websecure], service: turnhub, tls: {}}\n`));
    await known(again);
  };
}

/**
 * The proxies that docs/front.md shows. `tcp`: it passes TLS on as it is; `closes`: its reload ends WebSockets; `start` returns
 * what reloads it, and waits until it has.
 * @type {Record<string, {tcp?: boolean, closes?: boolean, start: (place: Place) => Promise<() => Promise<void>>}>}
 */
export const fronts = {
  'HAProxy, TCP': { tcp: true, start: (place) => haproxy(place, () => recipe('### HAProxy, by name', [[':443', place.at], ['127.0.0.1:8443', place.to]])) },
  'nginx, TCP': { tcp: true, start: async (place) => nginx(place, 'load_module /usr/lib/nginx/modules/ngx_stream_module.so;',
    await recipe('### nginx, by name', [['listen 443', `listen ${place.at}`], ['127.0.0.1:8443', place.to]])) },
  'Traefik, TCP': { tcp: true, start: async (place) => traefik(place, await recipe('### Traefik, by name', [['127.0.0.1:8443', place.to]])) },
  'nginx, HTTP': { start: async (place) => nginx(place, '', `http { access_log off;\n${await recipe('### nginx', [['443', place.at],
    ['calls.example.org', 'localhost'], ['/etc/ssl/calls.pem', place.certFile], ['/etc/ssl/calls.key', place.keyFile], ['127.0.0.1:8080', place.to]])}\n}`) },
  'HAProxy, HTTP': { start: (place) => haproxy(place, async (dir) => {
    const both = path.join(dir, 'calls.pem');
    await fs.writeFile(both, await fs.readFile(place.certFile, 'utf8') + await fs.readFile(place.keyFile, 'utf8'));
    return recipe('### HAProxy', [[':443', place.at], ['/etc/ssl/calls.pem', both], ['127.0.0.1:8080', place.to]]);
  }) },
  'Apache, HTTP': { start: async ({ at, to, certFile, keyFile }) => {
    const front = await Front.create();
    const modules = ['mpm_event', 'authz_core', 'headers', 'ssl', 'socache_shmcb', 'proxy', 'proxy_http', 'proxy_wstunnel']
      .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n');
    const config = await front.write('apache.conf', `${modules}\n${await recipe('#### Apache\'s threads', [])}
ServerRoot ${front.dir}\nServerName localhost\nPidFile ${front.dir}/pid\nDefaultRuntimeDir ${front.dir}\nErrorLog ${front.dir}/error.log\nUser nobody\nGroup nogroup\nListen ${at}
${await recipe('### Apache', [['*:443', at], ['calls.example.org', 'localhost'], ['/etc/ssl/calls.pem', certFile], ['/etc/ssl/calls.key', keyFile], ['127.0.0.1:8080', to]])}\n`);
    await front.start([at], 'apache2', '-DFOREGROUND', '-f', config);
    return () => front.bySignal('SIGUSR1');
  } },
  // Before 2.7, as Debian's; and by the recipe, which sets no stream_close_delay, later too.
  'Caddy, HTTP': { closes: true, start: async ({ at, to, certFile, keyFile }) => {
    const { stdout } = await run(file('e2e/front-program'), ['caddy'], { timeout: 30 * 60_000 });
    const front = await Front.create(), admin = `unix/${front.dir}/admin`, program = stdout.trim();
    const [host, port] = at.split(':');
    const text = await recipe('### Caddy', [['calls.example.org {', `https://localhost:${port} {\n    bind ${host}\n    tls ${certFile} ${keyFile}`], ['127.0.0.1:8080', to]]);
    const config = await front.write('Caddyfile', `{\n\tadmin ${admin}\n\tauto_https disable_redirects\n\tstorage file_system ${front.dir}\n}\n${text}\n`);
    await front.start([at], program, 'run', '--config', config, '--adapter', 'caddyfile');
    return async () => void await run(program, ['reload', '--force', '--config', config, '--adapter', 'caddyfile', '--address', admin]);
  } },
  'Traefik, HTTP': { start: async (place) => traefik(place, `${await recipe('### Traefik', [['calls.example.org', 'localhost'], ['127.0.0.1:8080', place.to]])}
tls: {stores: {default: {defaultCertificate: {certFile: "${place.certFile}", keyFile: "${place.keyFile}"}}}}
`) },
};
