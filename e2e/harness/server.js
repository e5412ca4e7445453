import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCertificates } from './certificates.js';
import { onCleanup } from './cleanup.js';
import { freePorts } from './ports.js';

export const binary = process.env.E2E_TURNHUB ?? fileURLToPath(new URL('../../bin/turnhub', import.meta.url));

/**
 * @typedef {object} ServerOptions
 * @property {Record<string, any>} [config] members of config.yaml that differ from the harness's own (merged deeply)
 * @property {boolean | {caFile: string, certFile: string, keyFile: string}} [tls] serve TLS on every TCP port, with a
 *   certificate made for it (`caFile` of the result signed it) or with this one
 * @property {string[]} [names] what the certificate is for; default localhost and the loopback addresses
 * @property {string} [netns] network namespace to run in
 * @property {string} [base] URL to reach it at; default http(s)://localhost:PORT
 * @property {string} [program] the binary to run; default `binary`
 * @property {string[]} [under] a program that runs it, and its arguments
 */

/**
 * Starts the real binary on free ports with a fresh state directory and waits until it says that it is ready.
 * @param {ServerOptions} [options]
 */
export async function startServer(options = {}) {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-e2e-'));
  const removeDir = onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
  const [http, turn, admin] = await freePorts(3);
  const certificates = typeof options.tls === 'object' ? options.tls : options.tls
    ? await makeCertificates(path.join(dir, 'tls'), options.names ?? ['localhost', '127.0.0.1', '::1'])
    : undefined;
  const config = merge(
    {
      public_host: 'localhost',
      listen: { tcp: [`:${http}`, `:${turn}`], udp: [`:${turn}`], admin: `127.0.0.1:${admin}` },
      tls: certificates ? { mode: 'files', cert_file: certificates.certFile, key_file: certificates.keyFile } : { mode: 'off' },
      state_dir: path.join(dir, 'state'),
    },
    options.config ?? {},
  );
  const configFile = path.join(dir, 'config.yaml');
  await fs.writeFile(configFile, JSON.stringify(config, null, 1)); // JSON is YAML
  const base = options.base ?? `${certificates ? 'https' : 'http'}://localhost:${http}`;
  const server = new Server({ dir, config, configFile, base, admin: `http://${config.listen.admin}`, caFile: certificates?.caFile,
    netns: options.netns, program: options.program, ports: { http, turn, admin } });
  if (options.under) server.command = [...options.under, server.program, 'serve', '--config', configFile];
  const stop = onCleanup(() => server.kill('SIGTERM'));
  server.stop = async () => {
    await stop();
    await removeDir();
  };
  await server.start();
  return server;
}

/** One turnhub process, that can be killed and started again on the same configuration. */
export class Server {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #process;
  /** process id of what has taken over @type {number | undefined} */
  #successor;
  #log = '';

  /** @param {{dir: string, config: any, configFile: string, base: string, admin: string, caFile?: string, netns?: string,
   *   program?: string, command?: string[], ports: {http: number, turn: number, admin: number}}} settings */
  constructor(settings) {
    Object.assign(this, settings);
    this.dir = settings.dir;
    /** the configuration as written */
    this.config = settings.config;
    this.configFile = settings.configFile;
    /** where the pages are, without a slash at the end */
    this.base = settings.base;
    /** base URL of the admin listener */
    this.admin = settings.admin;
    /** certificate of the authority that signed the server's, with `tls: true` */
    this.caFile = settings.caFile;
    this.netns = settings.netns;
    this.program = settings.program ?? binary;
    /** what is run, where that is not the program on the configuration */
    this.command = settings.command;
    this.ports = settings.ports;
    /** ends the process and removes its folder */
    this.stop = async () => {};
  }

  /** the process id while it runs */
  get pid() {
    return this.#process?.pid;
  }

  /** everything that it logged so far */
  get log() {
    return this.#log;
  }

  /** Starts the process and waits for its own word that it is ready. */
  async start() {
    const command = this.command?.slice() ?? [this.program, 'serve', '--config', this.configFile];
    if (this.netns) command.unshift('ip', 'netns', 'exec', this.netns);
    const child = spawn(command[0], command.slice(1), { cwd: this.dir, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    /** @type {Promise<never>} */
    const ended = new Promise((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new Error(`turnhub ended (${signal ?? code}) before it was ready:\n${this.#log}`)));
    });
    ended.catch(() => {});
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        this.#log += text;
        if (process.env.E2E_LOG) process.stderr.write(text);
      });
    }
    await Promise.race([ended, this.#untilReady()]);
  }

  async #untilReady() {
    const deadline = Date.now() + 30_000;
    let last = 'no answer';
    while (Date.now() < deadline && this.#process?.exitCode === null) {
      try {
        const [status, body] = await this.#readyz();
        if (status === 200) return;
        last = `${status} ${body}`;
      } catch (error) {
        last = String(error);
      }
      await new Promise((resolve) => setTimeout(resolve, 20)); // the pause of a poll, not a wait that must suffice
    }
    throw new Error(`turnhub did not become ready: ${last}\n${this.#log}`);
  }

  /** @returns {Promise<[number, string]>} */
  async #readyz() {
    const url = `${this.admin}/readyz`;
    if (!this.netns) {
      const response = await fetch(url);
      return [response.status, await response.text()];
    }
    return fetchIn(this.netns, url);
  }

  /**
   * Has the program on disk take over (SIGUSR2) and waits until it has. The old process, `pid`, goes on with what it
   * carries; `kill` ends both.
   */
  async upgrade() {
    const old = this.#process;
    if (!old) throw new Error('the server does not run');
    const ended = new Promise((resolve) => old.once('exit', resolve));
    const before = this.#log.length;
    old.kill('SIGUSR2');
    while (old.exitCode === null && !this.#log.includes('the upgrade failed', before)) {
      const [, pid] = this.#log.slice(before).match(/msg="a new process has taken over" pid=(\d+)/) ?? [];
      if (pid) {
        this.#successor = Number(pid);
        return;
      }
      await Promise.race([ended, new Promise((resolve) => old.stderr?.once('data', resolve))]);
    }
    throw new Error(`no new process has taken over:\n${this.#log}`);
  }

  /**
   * Sends a signal and waits for the process to end. SIGKILL is how a crash looks; SIGTERM an orderly end.
   * @param {NodeJS.Signals} signal
   */
  async kill(signal = 'SIGKILL') {
    const child = this.#process;
    if (!child) return;
    const pids = [this.#successor, child.exitCode === null && child.signalCode === null ? child.pid : undefined];
    const signalAll = (/** @type {NodeJS.Signals} */ signal) => {
      for (const pid of pids) if (pid) ignoreGone(() => process.kill(pid, signal));
    };
    // The output closes when the last process that holds it has ended.
    const exited = new Promise((resolve) => (this.#successor ? child.once('close', resolve) : child.once('exit', resolve)));
    if (!pids.some(Boolean)) return;
    signalAll(signal);
    const hard = setTimeout(() => signalAll('SIGKILL'), 15_000);
    await exited;
    clearTimeout(hard);
    this.#process = this.#successor = undefined;
  }
}

/** Does something to a process that may have ended. @param {() => void} act */
function ignoreGone(act) {
  try {
    act();
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
  }
}

/**
 * An HTTP request made from inside a network namespace.
 * @param {string} netns
 * @param {string} url
 * @returns {Promise<[number, string]>} status and body
 */
function fetchIn(netns, url) {
  const script = `fetch(${JSON.stringify(url)}).then(async r => console.log(JSON.stringify([r.status, await r.text()])))`;
  return new Promise((resolve, reject) => {
    const child = spawn('ip', ['netns', 'exec', netns, process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`no answer from ${url}`))));
  });
}

/**
 * A copy of base in which the members of change stand, deeply; arrays are replaced.
 * @param {any} base
 * @param {any} change
 * @returns {any}
 */
export function merge(base, change) {
  if (base === null || change === null || typeof base !== 'object' || typeof change !== 'object' || Array.isArray(change)) return change;
  const result = { ...base };
  for (const [key, value] of Object.entries(change)) result[key] = key in base ? merge(base[key], value) : value;
  return result;
}
