import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onCleanup } from '../harness/cleanup.js';

const run = promisify(execFile);

/** Name of the server on the lab's internet, and its addresses there. */
export const serverName = 'turnhub.test';
export const serverIPv4 = '203.0.113.10';
export const serverIPv6 = '2a02:db8::10';
/** The server that turnhub is measured against. It needs a second address to have TURN on port 443. */
export const plainName = 'plain.test';
export const plainIPv4 = '203.0.113.11';
export const plainTURN = `turn.${plainName}`;
export const plainTURNIPv4 = '203.0.113.12';
/** Where the lab's name server answers, and where its two STUN responders do. */
export const resolver = '203.0.113.1';
export const stunServers = ['203.0.113.1:3478', '203.0.113.2:3478'];

/**
 * A small internet of network namespaces: a public segment (203.0.113.0/24 and 2a02:db8::/32) as a bridge in a
 * namespace of its own, with a name server and two STUN responders. Hosts and routers are added by the others.
 * Everything in it ends with the test process: a guard waits for the end of its standard input.
 */
export class Lab {
  /** @param {string} prefix @param {string} tool @param {string} dir */
  constructor(prefix, tool, dir) {
    this.prefix = prefix;
    /** path of the labtool binary */
    this.tool = tool;
    /** folder for the files of proxies and the like */
    this.dir = dir;
    /** ends the lab */
    this.close = async () => {};
  }

  static async create() {
    const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-lab-'));
    onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
    const tool = path.join(dir, 'labtool');
    await run('go', ['build', '-o', tool, './netlab/labtool'], { cwd: fileURLToPath(new URL('..', import.meta.url)) });
    const lab = new Lab(`turnlab-${process.pid}-`, tool, dir);
    lab.close = await lab.daemon(undefined, 'guard', lab.prefix);
    await lab.namespace('pub');
    await lab.sh(`
      ip -n $pub link add br0 address 02:00:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0
      ip -n $pub link set br0 up
      ip -n $pub address add 203.0.113.1/24 dev br0
      ip -n $pub address add 203.0.113.2/24 dev br0
      ip -n $pub address add 2a02:db8::1/32 dev br0 nodad
      ip netns exec $pub sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.br0.proxy_arp=1 net.ipv6.conf.br0.proxy_ndp=1
      ip netns exec $pub sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.br0.send_redirects=0`);
    await lab.daemon('pub', 'dns', `${resolver},2a02:db8::1`, `${serverName}=${serverIPv4}`, `${serverName}=${serverIPv6}`,
      `${plainName}=${plainIPv4}`, `${plainTURN}=${plainTURNIPv4}`);
    await lab.daemon('pub', 'stun', ...stunServers);
    return lab;
  }

  /** Full name of a namespace of this lab. @param {string} name */
  netns(name) {
    return this.prefix + name;
  }

  /**
   * Adds a namespace with its own resolv.conf.
   * @param {string} name
   * @param {string} [nameserver]
   */
  async namespace(name, nameserver = resolver) {
    const netns = this.netns(name);
    await fs.mkdir(`/etc/netns/${netns}`, { recursive: true });
    await fs.writeFile(`/etc/netns/${netns}/resolv.conf`, `nameserver ${nameserver}\noptions timeout:5 attempts:2\n`);
    await run('ip', ['netns', 'add', netns]);
    await run('ip', ['-n', netns, 'link', 'set', 'lo', 'up']);
    // Addresses count at once: one that is checked for duplicates comes a second or two later, and to a browser that is
    // a change of network, on which it drops what it is loading.
    await run('ip', ['netns', 'exec', netns, 'sysctl', '-qw', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0']);
    // TCP as ordinary machines have it, whatever this one has: where a namespace may not have cubic, reno is the nearest.
    const control = (/** @type {string} */ kind) => run('ip', ['netns', 'exec', netns, 'sysctl', '-qw', `net.ipv4.tcp_congestion_control=${kind}`]);
    await control('cubic').catch(() => control('reno'));
  }

  /**
   * Runs shell commands; `$name` stands for the full name of a namespace. Stops at the first error.
   * @param {string} script
   * @returns {Promise<string>} standard output
   */
  async sh(script) {
    const text = script.replace(/\$([a-z][a-z0-9]*)/g, (_, name) => this.netns(name));
    const { stdout } = await run('sh', ['-ec', text]);
    return stdout;
  }

  /**
   * Loads nftables rules in a namespace, in place of all that were there.
   * @param {string} name
   * @param {string} rules
   */
  async nft(name, rules) {
    const child = run('ip', ['netns', 'exec', this.netns(name), 'nft', '-f', '-']);
    child.child.stdin?.end(`flush ruleset\n${rules}`);
    await child;
  }

  /**
   * Plugs a namespace into the public segment.
   * @param {string} name
   * @param {string} device
   * @param {number} number tells the MAC addresses apart
   */
  async plug(name, device, number) {
    const mac = number.toString(16).padStart(2, '0');
    await this.sh(`
      ip link add name ${device} netns $${name} address 02:00:00:00:01:${mac} type veth peer name p${number} netns $pub address 02:00:00:00:02:${mac}
      ip -n $pub link set p${number} master br0 up
      ip -n $${name} link set ${device} up`);
  }

  /**
   * Starts a part of labtool, see `program`.
   * @param {string | undefined} name
   * @param {string[]} args
   */
  daemon(name, ...args) {
    return this.program(name, this.tool, ...args);
  }

  /**
   * Starts a program, in a namespace if one is named, and waits until it says on standard output that it is in
   * place. It has to end when its standard input does.
   * @param {string | undefined} name
   * @param {string[]} words
   * @returns {Promise<() => Promise<void>>} ends it
   */
  async program(name, ...words) {
    const command = name === undefined ? words : ['ip', 'netns', 'exec', this.netns(name), ...words];
    const child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`${command.join(' ')} ended with ${code}`)));
      child.stdout.once('data', resolve);
    });
    return onCleanup(async () => {
      child.stdin.end();
      await exited;
    });
  }

  /**
   * How a namespace looks from outside: the mapped addresses that the two STUN responders see of one socket.
   * @param {string} name
   * @returns {Promise<{mapped: string, roundTrip: number}[]>} mapped is "" where no answer came; milliseconds
   */
  async probe(name) {
    const { stdout } = await run('ip', ['netns', 'exec', this.netns(name), this.tool, 'probe', ...stunServers]);
    return JSON.parse(stdout);
  }
}
