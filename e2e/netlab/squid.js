// A proxy that reads HTTPS, as companies have it: Debian's squid-openssl opens every tunnel with a certificate of its own.
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { onCleanup } from '../harness/cleanup.js';

/** @typedef {import('./lab.js').Lab} Lab */

const run = promisify(execFile);

/** What the one with a password asks for (Basic, RFC 7617). */
export const password = { username: 'office', password: 'letmein' };

/**
 * @typedef {object} Squid
 * @property {string} caFile its authority, which browsers of that network trust
 * @property {string} keyFile that authority's key
 * @property {() => Promise<void>} restart kills it with all that goes through it, and starts another
 */

/**
 * @typedef {object} Inspection
 * @property {boolean} [asks] for a password
 * @property {boolean} [websocket] false: it lets none through, as one does by default
 * @property {{idle: number, life: number}} [cuts] seconds: a connection of which nothing came for so long, and any after so long
 * @property {boolean} [far] the servers are far away: without this one that has no IPv6 (5.7) tries that beside an IPv4 that takes longer than 250 ms, and says 503
 * @property {Squid} [like] another one of the same company: they have one authority
 */

/**
 * Starts one on port 3128 of an address of a namespace: it connects to port 443 alone.
 * @param {Lab} lab @param {string} netns short name
 * @param {string} address
 * @param {string} serverCA authority of the servers, which it trusts itself
 * @param {Inspection} [inspection]
 * @returns {Promise<Squid>}
 */
export async function startSquid(lab, netns, address, serverCA, { asks = false, websocket = true, cuts, like, far = false } = {}) {
  // It runs as a user of its own, who cannot look into the lab's folder.
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-squid-'));
  onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
  const file = (/** @type {string} */ name) => path.join(dir, name);
  if (like) await Promise.all([fs.copyFile(like.caFile, file('ca.pem')), fs.copyFile(like.keyFile, file('ca.key'))]);
  else await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=Inspection of the office',
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', file('ca.key'), '-out', file('ca.pem')]);
  await fs.copyFile(serverCA, file('servers.pem'));
  await run('/usr/lib/squid/security_file_certgen', ['-c', '-s', file('made'), '-M', '4MB']);
  if (asks) await fs.writeFile(file('users'), `${password.username}:${(await run('openssl', ['passwd', '-apr1', password.password])).stdout}`);
  await fs.writeFile(file('squid.conf'), `
    http_port ${address}:3128 ssl-bump cert=${file('ca.pem')} key=${file('ca.key')} generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
    sslcrtd_program /usr/lib/squid/security_file_certgen -s ${file('made')} -M 4MB
    sslcrtd_children 2 startup=1
    ${asks ? `auth_param basic program /usr/lib/squid/basic_ncsa_auth ${file('users')}
    auth_param basic children 1
    auth_param basic realm Office
    acl known proxy_auth REQUIRED` : ''}
    acl tunnel method CONNECT
    acl secure port 443
    http_access deny tunnel !secure
    http_access allow ${asks ? 'known' : 'all'}
    ssl_bump bump all
    tls_outgoing_options cafile=${file('servers.pem')}
    ${far ? 'happy_eyeballs_connect_timeout 5000' : ''}
    ${websocket ? 'http_upgrade_request_protocols websocket allow all' : ''}
    ${cuts ? `read_timeout ${cuts.idle} seconds
    client_lifetime ${cuts.life} seconds` : ''}
    cache deny all
    cache_mem 1 MB
    pid_filename none
    access_log none
    netdb_filename none
    cache_store_log none
    cache_log ${file('log')}
    coredump_dir none
    visible_hostname office
    shutdown_lifetime 0 seconds
    dns_nameservers 203.0.113.1
  `.replace(/^ +/gm, ''));
  await run('chown', ['-R', 'proxy:proxy', dir]);
  /** @type {(() => Promise<void>) | undefined} */ let end;
  const start = async () => {
    // Its name tells what it shares with its helpers from what others do.
    const child = spawn('ip', ['netns', 'exec', lab.netns(netns), 'squid', '-N', '-n', `${netns}x${process.pid}`, '-f', file('squid.conf')], { stdio: 'ignore', cwd: dir });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    end = onCleanup(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    for (const deadline = Date.now() + 20_000; !(await lab.sh(`ip netns exec $${netns} ss -Htln "sport = :3128"`)); ) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error(`squid does not listen: ${await fs.readFile(file('log'), 'utf8').catch(() => '')}`);
    }
  };
  await start();
  return {
    caFile: file('ca.pem'),
    keyFile: file('ca.key'),
    async restart() {
      await end?.();
      await start();
    },
  };
}
