import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeCertificates } from '../harness/certificates.js';
import { onCleanup } from '../harness/cleanup.js';
import { Server } from '../harness/server.js';
import { resolver, serverIPv4, serverIPv6, serverName } from './lab.js';

/** @typedef {import('./lab.js').Lab} Lab */

const run = promisify(execFile);

/** The user of the image. */
export const user = 65532;
/** Docker's own bridge network, where its first container is, and through whom that reaches the world. */
const network = '172.17.0.0/16', address = '172.17.0.2', gateway = '172.17.0.1';

/**
 * How the engine passes the published ports on. "dnat": as Docker does it by default, IPv4 by rules, IPv6 by its userland
 * proxy, which is all that a container without an IPv6 address has. "userland": all of it by the proxy, as in rootless mode or
 * with the rules switched off: everybody comes from the default gateway.
 * @typedef {'dnat' | 'userland'} Publishing
 */

/**
 * Runs the container image on a Docker host in the lab, https://turnhub.test: the image's own file system, read-only, and a
 * volume, with the image's user and without a capability (--cap-drop ALL, no-new-privileges), in a network namespace on a bridge,
 * with three published ports and the rules that Docker makes for them.
 * @param {Lab} lab
 * @param {{publishing?: Publishing}} [options]
 */
export async function startContainer(lab, { publishing = 'dnat' } = {}) {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-image-'));
  const removeDir = onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
  await fs.chmod(dir, 0o755);
  const root = path.join(dir, 'root'), volume = path.join(dir, 'volume');
  await makeImage(root);
  await fs.mkdir(volume, { mode: 0o700 });
  // What an engine puts into every container.
  await fs.writeFile(path.join(root, 'etc/resolv.conf'), `nameserver ${resolver}\n`);
  await fs.writeFile(path.join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
  await fs.writeFile(path.join(root, '.dockerenv'), '');
  await fs.mkdir(path.join(root, 'proc'));
  const { caFile, certFile, keyFile } = await makeCertificates(path.join(dir, 'tls'), [serverName, serverIPv4, serverIPv6]);
  await fs.copyFile(certFile, path.join(volume, 'cert.pem'));
  await fs.copyFile(keyFile, path.join(volume, 'key.pem'));
  await run('chown', ['-R', `${user}:${user}`, volume]);

  await plugHost(lab);
  await lab.sh(`
    ip -n $host link add docker0 type bridge forward_delay 0
    ip -n $host address add ${gateway}/16 dev docker0
    ip -n $host link set docker0 up
    ip netns exec $host sysctl -qw net.ipv4.ip_forward=1`);
  await lab.nft('host', publishing === 'dnat' ? rules : masquerade);
  await attach(lab);
  // Docker begins its proxy with the container.
  const any = publishing === 'dnat' ? ['[::]'] : [serverIPv4, `[${serverIPv6}]`];
  await lab.daemon('host', 'publish', 'tcp', ...any.flatMap((host) => [80, 443].map((port) => `${host}:${port}=${address}:${port}`)));
  await lab.daemon('host', 'publish', 'udp', ...any.map((host) => `${host}:443=${address}:443`));

  const environ = {
    STATE_DIRECTORY: '/state',
    TURNHUB_PUBLIC_HOST: serverName,
    TURNHUB_TLS_MODE: 'files',
    TURNHUB_TLS_CERT_FILE: '/state/cert.pem',
    TURNHUB_TLS_KEY_FILE: '/state/key.pem',
    TURNHUB_RELAY_ALLOW_PEERS: '203.0.113.0/24,2a02:db8::/32', // which are for examples only, outside of the lab
  };
  const script = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && mount --bind "$0/../volume" "$0/state" && mount -t proc proc "$0/proc" &&
    exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid --inh-caps=-all env -i PATH="$PATH" ${Object.entries(environ).map((pair) => pair.join('=')).join(' ')} chroot --userspec=${user}:${user} --groups=${user} "$0" "$@"`;
  const server = new Server({ dir, config: {}, configFile: '', base: `https://${serverName}`, admin: 'http://127.0.0.1:9478', caFile,
    netns: lab.netns('box'), ports: { http: 443, turn: 443, admin: 9478 },
    command: ['sh', '-c', script, root, '/turnhub', 'serve', '--config', '/etc/turnhub/config.yaml'] });
  const stop = onCleanup(() => server.kill('SIGTERM'));
  server.stop = async () => {
    await stop();
    await removeDir();
  };
  await server.start();
  return server;
}

/** Makes the image's file system, or copies the one that E2E_IMAGE names. @param {string} root */
export async function makeImage(root) {
  await fs.mkdir(path.dirname(root), { recursive: true });
  if (process.env.E2E_IMAGE) {
    await run('cp', ['-a', process.env.E2E_IMAGE, root]);
  } else {
    const { stdout: arch } = await run('go', ['env', 'GOARCH']);
    await run(fileURLToPath(new URL('../../deploy/image', import.meta.url)), [arch.trim(), '0.0.0-lab', root]);
  }
}

/** Adds the host that has the containers, with the server's addresses. @param {Lab} lab */
export async function plugHost(lab) {
  await lab.namespace('host');
  await lab.plug('host', 'eth0', 100);
  await lab.sh(`
    ip -n $host address add ${serverIPv4}/24 dev eth0
    ip -n $host address add ${serverIPv6}/32 dev eth0 nodad
    ip -n $host route add default via 203.0.113.1
    ip -n $host route add default via 2a02:db8::1`);
}

/** Puts a new container's namespace on the bridge, with the addresses that the one before had, as Docker's have. @param {Lab} lab */
async function attach(lab) {
  await lab.namespace('box');
  await lab.sh(`
    ip link add name box0 netns $host type veth peer name eth0 netns $box address 02:42:ac:11:00:02
    ip -n $host link set box0 master docker0 up
    ip -n $box address add ${address}/16 dev eth0
    ip -n $box link set eth0 up
    ip -n $box route add default via ${gateway}
    ip netns exec $box sysctl -qw net.ipv4.ip_unprivileged_port_start=0`);
}

/**
 * Replaces the container as engines do for a new image: the old one gets its stop signal, and thirty seconds; then there is a
 * new one with the same volume and ports. Returns when the old one had ended (milliseconds since 1970).
 * @param {Lab} lab @param {Server} server
 */
export async function replaceContainer(lab, server) {
  await server.kill('SIGTERM');
  const ended = Date.now();
  await lab.sh('ip -n $host link delete box0; ip netns delete $box');
  await attach(lab);
  await server.start();
  return ended;
}

/** What leaves the bridge gets the host's address: iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE. */
const outward = `chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${network} oifname != "docker0" masquerade
  }`;

export const masquerade = `table ip nat {
  ${outward}
}`;

/** As iptables-save shows them on a Docker host with one container that publishes three ports, told in nftables' words. */
const rules = `table ip nat {
  chain DOCKER {
    iifname "docker0" return
    iifname != "docker0" tcp dport 80 dnat to ${address}:80
    iifname != "docker0" tcp dport 443 dnat to ${address}:443
    iifname != "docker0" udp dport 443 dnat to ${address}:443
  }
  chain PREROUTING { type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump DOCKER
  }
  chain OUTPUT { type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER
  }
  ${outward}
}
table ip filter {
  chain DOCKER {
    ip daddr ${address} iifname != "docker0" oifname "docker0" tcp dport { 80, 443 } accept
    ip daddr ${address} iifname != "docker0" oifname "docker0" udp dport 443 accept
  }
  chain FORWARD { type filter hook forward priority filter; policy drop;
    oifname "docker0" ct state related,established accept
    oifname "docker0" jump DOCKER
    iifname "docker0" oifname != "docker0" accept
    iifname "docker0" oifname "docker0" accept
  }
}`;
