import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeCertificates } from '../harness/certificates.js';
import { onCleanup } from '../harness/cleanup.js';
import { Server } from '../harness/server.js';
import { makeImage, masquerade, plugHost, user } from './container.js';
import { resolver, serverIPv4, serverIPv6, serverName } from './lab.js';

/** @typedef {import('./lab.js').Lab} Lab */

const run = promisify(execFile);

/** Whether this machine has a real Docker that containers can be started with. */
export const hasDocker = await run('dockerd', ['--version']).then(() => true, () => false);

/**
 * Runs the container image in a real Docker, as docs/containers.md says, on a host of the lab, https://turnhub.test: its own
 * daemon in the host's network namespace, its rules, its userland proxy, its seccomp profile, and a volume that it makes.
 * @param {Lab} lab
 * @param {{publishing?: import('./container.js').Publishing}} [options]
 */
export async function startDocker(lab, { publishing = 'dnat' } = {}) {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-docker-'));
  const removeDir = onCleanup(() => fs.rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  const certificates = await makeCertificates(path.join(dir, 'tls'), [serverName, serverIPv4, serverIPv6]);
  await run('chown', ['-R', `${user}:${user}`, path.join(dir, 'tls')]);
  await plugHost(lab);
  if (publishing === 'userland') await lab.nft('host', masquerade);

  const socket = path.join(dir, 'socket');
  await fs.writeFile(path.join(dir, 'daemon.json'), JSON.stringify({ 'data-root': path.join(dir, 'data'), 'exec-root': path.join(dir, 'exec'), pidfile: path.join(dir, 'pid'),
    hosts: [`unix://${socket}`], iptables: publishing === 'dnat' }));
  // By nsenter: `ip netns exec` would give it a /sys without the control groups.
  const stopDaemon = await lab.program(undefined, 'nsenter', `--net=/run/netns/${lab.netns('host')}`, 'sh', '-c', `
    dockerd --config-file "$0/daemon.json" >"$0/log" 2>&1 &
    until docker -H "unix://$0/socket" info >/dev/null 2>&1; do
      kill -0 $! || { cat "$0/log" >&2; exit 1; }
      sleep 0.2
    done
    echo ready
    cat >/dev/null
    kill $!
    wait $!`, dir);
  const docker = (/** @type {string[]} */ ...args) => run('docker', ['-H', `unix://${socket}`, ...args], { env: { ...process.env, DOCKER_BUILDKIT: '0' } }); // there is no buildx

  // The Dockerfile's last stage, of what the first one makes.
  const context = path.join(dir, 'context');
  await makeImage(path.join(context, 'image'));
  await fs.mkdir(path.join(context, 'volume'));
  await fs.rename(path.join(context, 'image/state'), path.join(context, 'volume/state'));
  const dockerfile = await fs.readFile(fileURLToPath(new URL('../../Dockerfile', import.meta.url)), 'utf8');
  const last = dockerfile.slice(dockerfile.indexOf('\nFROM scratch\n') + 1).replaceAll('--from=build ', '').replaceAll(/ \/(image|volume)\/ /g, ' $1/ ');
  await fs.writeFile(path.join(context, 'Dockerfile'), last);
  await docker('build', '-q', '-t', 'turnhub', '--build-arg', 'VERSION=0.0.0-lab', context);

  const environ = {
    TURNHUB_PUBLIC_HOST: serverName,
    TURNHUB_TLS_MODE: 'files',
    TURNHUB_TLS_CERT_FILE: '/tls/cert.pem',
    TURNHUB_TLS_KEY_FILE: '/tls/key.pem',
    TURNHUB_RELAY_ALLOW_PEERS: '203.0.113.0/24,2a02:db8::/32', // which are for examples only, outside of the lab
  };
  // Asked for its health from the host, as the world asks.
  process.env.NODE_EXTRA_CA_CERTS = certificates.caFile;
  const server = new Server({ dir, config: {}, configFile: '', base: `https://${serverName}`, admin: `https://${serverName}`, caFile: certificates.caFile,
    netns: lab.netns('host'), ports: { http: 443, turn: 443, admin: 0 },
    command: ['docker', '-H', `unix://${socket}`, 'run', '--rm', '--name', 'turnhub', '-p', '80:80', '-p', '443:443', '-p', '443:443/udp', '-v', 'turnhub:/state',
      '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--read-only', '-v', `${path.join(dir, 'tls')}:/tls:ro`, '--dns', resolver,
      ...Object.entries(environ).flatMap(([name, value]) => ['-e', `${name}=${value}`]), 'turnhub'] });
  const stop = onCleanup(() => server.kill('SIGTERM'));
  server.stop = async () => {
    await stop();
    await stopDaemon();
    await removeDir();
  };
  await server.start();
  return Object.assign(server, {
    /** What the image's own health check has said: its first time is after half a minute. */
    healthy: async () => (await docker('inspect', '-f', '{{.State.Health.Status}}', 'turnhub')).stdout.trim(),
  });
}

/**
 * Replaces the container: the old one gets its stop signal and ends, and a new one is started on the same volume and ports.
 * Returns when the old one had ended (milliseconds since 1970).
 * @param {Lab} _lab @param {Server} server
 */
export async function replaceDocker(_lab, server) {
  await server.kill('SIGTERM');
  const ended = Date.now();
  await server.start();
  return ended;
}
