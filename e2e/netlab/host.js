import { execFile } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { merge, startServer } from '../harness/server.js';
import { plainIPv4, plainName, plainTURNIPv4, serverIPv4, serverIPv6, serverName } from './lab.js';

/** @typedef {import('./lab.js').Lab} Lab */

const behindNAT = '10.99.0.10';

/**
 * Starts the plain page and pion's TURN server, to measure against, on a host of their own beside turnhub's.
 * @param {Lab} lab
 * @param {{certFile: string, keyFile: string}} certificate for both of its names
 */
export async function startPlainHost(lab, { certFile, keyFile }) {
  await lab.namespace('plain');
  await lab.plug('plain', 'eth0', 102);
  await lab.sh(`
    ip -n $plain address add ${plainIPv4}/24 dev eth0
    ip -n $plain address add ${plainTURNIPv4}/24 dev eth0
    ip -n $plain route add default via 203.0.113.1`);
  const program = path.join(lab.dir, 'plain');
  await promisify(execFile)('go', ['build', '-o', program, './netlab/plain'], { cwd: fileURLToPath(new URL('..', import.meta.url)) });
  await lab.program('plain', program, '-cert', certFile, '-key', keyFile, '-ip', plainIPv4, '-second-ip', plainTURNIPv4);
  return { base: `https://${plainName}` };
}

/** @param {Lab} lab */
async function plugHost(lab) {
  await lab.plug('host', 'eth0', 100);
  await lab.sh(`
    ip -n $host address add ${serverIPv4}/24 dev eth0
    ip -n $host address add ${serverIPv6}/32 dev eth0 nodad
    ip -n $host route add default via 203.0.113.1
    ip -n $host route add default via 2a02:db8::1`);
}

/**
 * What a firewall before the server leaves open: TCP 80 and 443 and UDP 443, and the answers to what the server
 * sends; or not even those, so that nothing passes a relayed address but inside the server.
 * @typedef {'three' | 'no range'} Firewall
 */

/** @param {Lab} lab @param {Firewall} firewall */
function closePorts(lab, firewall) {
  const range = '49152-65535';
  return lab.nft('host', `table inet firewall {
    chain inward {
      type filter hook input priority filter; policy drop;
      iifname "lo" accept
      meta l4proto { icmp, ipv6-icmp } accept
      ${firewall === 'no range' ? `udp dport ${range} counter drop` : ''}
      ct state established,related accept
      tcp dport { 80, 443 } accept
      udp dport 443 accept
    }
    chain outward {
      type filter hook output priority filter; policy accept;
      ${firewall === 'no range' ? `oifname "eth0" udp sport ${range} counter drop` : ''}
    }
  }`);
}

/**
 * Starts turnhub on a host of its own in the lab: https://turnhub.test, ports 443 and 3478.
 * @param {Lab} lab
 * @param {{nat?: boolean, again?: boolean, firewall?: Firewall, names?: string[], config?: Record<string, any>, under?: string[]}} [options] nat: the host holds a private
 *   address, and a router maps the public one to it, one to one, without letting the host reach itself by it; again: on the host that is there; names:
 *   more of them for the certificate; under: what runs the server
 */
export async function startHost(lab, { nat = false, again = false, firewall, names = [], config = {}, under } = {}) {
  if (!again) await lab.namespace('host');
  if (again) {
    // the machine is there
  } else if (nat) {
    await lab.namespace('gate');
    await lab.plug('gate', 'wan', 101);
    await lab.sh(`
      ip -n $gate address add ${serverIPv4}/24 dev wan
      ip -n $gate route add default via 203.0.113.1
      ip link add name lan netns $gate address 02:00:00:00:03:65 type veth peer name eth0 netns $host address 02:00:00:00:04:65
      ip -n $gate address add 10.99.0.1/24 dev lan
      ip -n $gate link set lan up
      ip -n $host address add ${behindNAT}/24 dev eth0
      ip -n $host link set eth0 up
      ip -n $host route add default via 10.99.0.1
      ip netns exec $gate sysctl -qw net.ipv4.ip_forward=1`);
    await lab.nft('gate', `table ip gate {
      chain inward { type nat hook prerouting priority dstnat; iifname "wan" ip daddr ${serverIPv4} dnat to ${behindNAT}; }
      chain outward { type nat hook postrouting priority srcnat; oifname "wan" ip saddr ${behindNAT} snat to ${serverIPv4}; }
    }`);
  } else {
    await plugHost(lab);
  }
  if (firewall) await closePorts(lab, firewall);
  return startServer({
    netns: lab.netns('host'),
    under,
    base: `https://${serverName}`,
    tls: true,
    names: [serverName, serverIPv4, ...(nat ? [] : [serverIPv6]), ...names],
    config: merge(
      {
        public_host: serverName,
        listen: { tcp: [':443', ':3478'], udp: [':3478'], admin: '127.0.0.1:9478' },
        relay: {
          external_ip: nat ? [`${behindNAT}=${serverIPv4}`] : [serverIPv4, serverIPv6],
          allow_peers: ['203.0.113.0/24', '2a02:db8::/32'],
        },
      },
      config,
    ),
  });
}
