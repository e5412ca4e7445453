import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { resolver } from './lab.js';
import { password, startSquid } from './squid.js';

/** @typedef {import('./lab.js').Lab} Lab */

/**
 * What a router of each kind lets out of its local network, as nftables rules of the forward chain: new flows
 * from `lan` to `wan`. What no rule accepts is dropped without a word.
 */
const names = `ip daddr ${resolver} udp dport 53 accept`;
const outward = {
  cone: 'accept',
  symmetric: 'accept',
  'udp-blocked': `${names}; meta l4proto tcp accept`,
  'tcp-443': `${names}; tcp dport 443 accept`,
  'quic-only': `${names}; tcp dport { 80, 443 } accept; udp dport 443 accept`,
  tcp80: `${names}; tcp dport 80 accept`,
  'slow-tcp': 'accept',
  // A flow stays closed until its client's first bytes are a TLS handshake record with a ClientHello in it.
  'tls-443': `${names}
    tcp dport 443 ct mark 1 accept
    tcp dport 443 @ih,0,16 0x1603 @ih,40,8 0x01 ct mark set 1 accept
    tcp dport 443 @ih,0,8 >= 0 drop
    tcp dport 443 accept`,
};

/** Every kind of network that a client of the lab can sit in. */
export const kinds = /** @type {const} */ (['open', 'cone', 'symmetric', 'udp-blocked', 'tcp-443', 'tls-443', 'proxy', 'proxy-no-dns', 'ipv6']);

/**
 * Rarer ones, for the long rounds: web servers' ports alone with QUIC or without TLS's own, and one where each TCP connection
 * freezes after 20 kB once the page is loaded (as reported from Russia), and UDP passes.
 */
export const rareKinds = /** @type {const} */ (['quic-only', 'tcp80', 'slow-tcp']);

/**
 * The commonest of all, for the long rounds: IPv6 with addresses of its own behind a stateful firewall, beside an IPv4 behind
 * a router of each kind.
 */
export const dualKinds = /** @type {const} */ (['dual-cone', 'dual-symmetric', 'dual-udp-blocked', 'dual-tls-443']);

/**
 * Companies that read HTTPS: a proxy opens it, passes on what is HTTP or a WebSocket, and nothing else leaves. One asks for a
 * password, one cuts connections that are idle or old, and one lets no WebSocket through.
 */
export const inspectedKinds = /** @type {const} */ (['inspected', 'inspected-password', 'inspected-cutting', 'no-websocket']);

/** @type {Record<typeof inspectedKinds[number], import('./squid.js').Inspection>} */
const inspections = {
  inspected: {},
  'inspected-password': { asks: true },
  // As such ones do, but that "old" is ten minutes with them.
  'inspected-cutting': { cuts: { idle: 60, life: 60 } },
  'no-websocket': { websocket: false },
};

/** @param {string} kind @returns {kind is typeof inspectedKinds[number]} */
const isInspected = (kind) => kind in inspections;

/** @typedef {typeof kinds[number] | typeof rareKinds[number] | typeof dualKinds[number] | typeof inspectedKinds[number]} Kind */

/**
 * @typedef {object} Client
 * @property {Kind} kind
 * @property {string} name namespace (short name)
 * @property {string} netns namespace (full name)
 * @property {string} router short name of the namespace whose device `wan` leads out: the client's own where it has no router
 * @property {string} wanAddress IPv4 address on the public segment, "" for ipv6
 * @property {boolean} delayed its way to the public segment takes its time
 * @property {string} [ipv6] its own address, where it has both families behind one router
 * @property {string} [proxy] URL of its HTTP proxy
 * @property {{username: string, password: string}} [password] that the proxy asks for
 * @property {string} [caFile] authority of the proxy that reads HTTPS
 * @property {number} [port] TCP port of the server's pages that it can reach, where that is not 443
 * @property {(loaded: boolean) => Promise<unknown>} [pageIsLoaded] where connections freeze: whether a page is loaded, for which they do not
 */

/**
 * Adds a client behind a router of a kind.
 * @param {Lab} lab
 * @param {Kind} kind
 * @param {number} number 1 to 99: tells addresses and names apart
 * @param {{delay?: number, caFile?: string}} [options] delay: milliseconds each way between this network and the public segment;
 *   caFile: the authority of the servers, for a proxy that reads HTTPS
 * @returns {Promise<Client>}
 */
export async function addClient(lab, kind, number, { delay = 0, caFile } = {}) {
  const name = `c${number}`;
  const wanAddress = kind === 'ipv6' ? '' : `203.0.113.${20 + number}`;
  const routed = kind !== 'open' && kind !== 'ipv6';
  const dual = kind.startsWith('dual-');
  const nat = /** @type {keyof typeof outward} */ (dual ? kind.slice('dual-'.length) : kind);
  const router = routed ? `r${number}` : name;
  const inspected = isInspected(kind), proxied = inspected || kind === 'proxy' || kind === 'proxy-no-dns';
  const nameserver = kind === 'ipv6' ? '2a02:db8::1' : proxied ? `10.0.${number}.1` : undefined;
  await lab.namespace(name, nameserver);
  if (routed) await lab.namespace(router);
  await connect(lab, router, number, { delay, ipv4: wanAddress, ipv6: routed && !dual ? '' : `2a02:db8::${20 + number}` });
  /** @type {Client} */
  const client = { kind, name, netns: lab.netns(name), router, wanAddress, delayed: delay > 0 };
  if (!routed) return client;

  await lab.sh(`
    ip link add name lan netns $${router} address 02:00:00:00:03:${hex(number)} type veth peer name eth0 netns $${name} address 02:00:00:00:04:${hex(number)}
    ip -n $${router} address add 10.0.${number}.1/24 dev lan
    ip -n $${router} link set lan up
    ip -n $${name} address add 10.0.${number}.2/24 dev eth0
    ip -n $${name} link set eth0 up`);
  if (inspected) {
    if (!caFile) throw new Error(`${kind}: its proxy needs the authority of the servers`);
    await lab.daemon(router, 'dns', `10.0.${number}.1`);
    const squid = await startSquid(lab, router, `10.0.${number}.1`, caFile, { ...inspections[kind], far: delay > 0 });
    restarts.set(lab.netns(router), squid.restart);
    squids.set(lab.netns(router), squid);
    client.caFile = squid.caFile;
    client.proxy = `http://10.0.${number}.1:3128`;
    if (kind === 'inspected-password') client.password = password;
    await lab.nft(router, closedRouter(true));
  } else if (proxied) {
    client.proxy = await startProxy(lab, router, number, kind === 'proxy');
    await lab.nft(router, closedRouter(kind === 'proxy'));
  } else {
    await lab.sh(`
      ip netns exec $${router} sysctl -qw net.ipv4.ip_forward=1
      ip -n $${name} route add default via 10.0.${number}.1`);
    if (dual) client.ipv6 = await addIPv6(lab, client, number);
    await lab.nft(router, natRouter(outward[nat], nat === 'symmetric'));
    if (kind === 'tcp80') client.port = 80;
    if (kind === 'slow-tcp') client.pageIsLoaded = await freezing(lab, router, name);
  }
  return client;
}

/**
 * Joins a namespace to the public segment by its device `wan`, through a link with a delay if one is asked for.
 * @param {Lab} lab @param {string} name @param {number} number
 * @param {{delay: number, ipv4: string, ipv6: string}} link
 */
async function connect(lab, name, number, { delay, ipv4, ipv6 }) {
  if (!delay) {
    await lab.plug(name, 'wan', number);
    if (ipv4) await lab.sh(`ip -n $${name} address add ${ipv4}/24 dev wan; ip -n $${name} route add default via 203.0.113.1`);
    if (ipv6) await lab.sh(`ip -n $${name} address add ${ipv6}/32 dev wan nodad; ip -n $${name} route add default via 2a02:db8::1`);
    return;
  }
  await lab.daemon(undefined, 'delay', '-each-way', `${delay}ms`, lab.netns(name), lab.netns('pub'), `far${number}`);
  await lab.sh(`ip -n $${name} link set far${number} name wan; ip -n $${name} link set wan up; ip -n $pub link set far${number} up`);
  if (ipv4) {
    await lab.sh(`
      ip -n $${name} address add ${ipv4}/32 dev wan; ip -n $${name} route add default dev wan
      ip -n $pub route add ${ipv4}/32 dev far${number}`);
  }
  if (ipv6) {
    await lab.sh(`
      ip -n $${name} address add ${ipv6}/128 dev wan nodad; ip -n $${name} -6 route add default dev wan
      ip -n $pub -6 route add ${ipv6}/128 dev far${number}
      ip -n $pub -6 neigh add proxy ${ipv6} dev br0`);
  }
}

/**
 * Gives a client behind a router an IPv6 address of a network of its own, which the router answers for on the public segment.
 * @param {Lab} lab @param {Client} client @param {number} number
 * @returns the address
 */
async function addIPv6(lab, { name, router }, number) {
  const network = `2a02:db8:${hex(number)}`;
  await lab.sh(`
    ip netns exec $${router} sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.wan.proxy_ndp=1
    ip -n $${router} address add ${network}::1/64 dev lan nodad
    ip -n $${router} -6 neigh add proxy ${network}::2 dev wan
    ip -n $${name} address add ${network}::2/64 dev eth0 nodad
    ip -n $${name} -6 route add default via ${network}::1`);
  return `${network}::2`;
}

/**
 * A home or office router, and its firewall for IPv6, where that passes. Unsolicited UDP is dropped on input: accepted, it would take conntrack entries, and
 * with them the very ports that a cone's next mapping must keep.
 * @param {string} allowed rules for new flows outward
 * @param {boolean} symmetric a new random port for every destination
 */
function natRouter(allowed, symmetric) {
  return `table inet router {
    chain input { type filter hook input priority filter; policy accept; iifname "wan" ct state new drop; }
    chain forward { type filter hook forward priority filter; policy drop;
      iifname "wan" ct state established,related accept
      iifname "lan" oifname "wan" jump outward
    }
    chain outward {
      meta nfproto ipv6 accept
      ${allowed}
    }
    chain nat { type nat hook postrouting priority srcnat; meta nfproto ipv4 oifname "wan" masquerade ${symmetric ? 'fully-random' : ''}; }
  }`;
}

/**
 * Prepares a router that lets each TCP connection have so many bytes, in both directions together, and then nothing more, without a word.
 * Both ends send packets as large as real ones: as one of 15 kB, which the kernel makes between namespaces, all that a server says
 * first would be lost with the byte that is one too many.
 * @param {Lab} lab @param {string} router @param {string} client @param {number} [bytes]
 */
async function freezing(lab, router, client, bytes = 20_000) {
  await lab.sh(`
    ip netns exec $${router} sysctl -qw net.netfilter.nf_conntrack_acct=1
    ip -n $host link set eth0 gso_max_segs 1
    ip -n $${client} link set eth0 gso_max_segs 1`);
  return (/** @type {boolean} */ on) => lab.sh(`ip netns exec $${router} nft -f - <<'END'
    table inet slow
    delete table inet slow
    ${on ? `table inet slow {
      chain forward { type filter hook forward priority -10; meta l4proto tcp ct bytes > ${bytes} drop; }
    }` : ''}
END`);
}

/**
 * The host between a closed network and the world: nothing is forwarded, only the proxy is there.
 * @param {boolean} answersNames whether the name server of the local network answers
 */
function closedRouter(answersNames) {
  return `table inet router {
    chain input { type filter hook input priority filter; policy accept; iifname "wan" ct state new drop; ${answersNames ? '' : 'iifname "lan" udp dport 53 drop;'} }
    chain forward { type filter hook forward priority filter; policy drop; }
  }`;
}

/**
 * An HTTP proxy that allows CONNECT to port 443 and nothing else, and a name server that knows no outside names.
 * @param {Lab} lab @param {string} router @param {number} number @param {boolean} answersNames
 */
async function startProxy(lab, router, number, answersNames) {
  const address = `10.0.${number}.1`;
  const config = path.join(lab.dir, `tinyproxy-${router}.conf`);
  await fs.writeFile(config, `Listen ${address}\nPort 3128\nTimeout 600\nMaxClients 200\nConnectPort 443\nLogLevel Warning\n`);
  if (answersNames) await lab.daemon(router, 'dns', address);
  let proxy = await runProxy(lab, router);
  restarts.set(lab.netns(router), async () => {
    const exited = new Promise((resolve) => proxy.once('exit', resolve));
    proxy.kill('SIGKILL');
    await exited;
    proxy = await runProxy(lab, router);
  });
  return `http://${address}:3128`;
}

/** @param {Lab} lab @param {string} router */
async function runProxy(lab, router) {
  const config = path.join(lab.dir, `tinyproxy-${router}.conf`);
  const child = spawn('ip', ['netns', 'exec', lab.netns(router), 'tinyproxy', '-d', '-c', config], { stdio: 'ignore', detached: true });
  child.unref(); // the guard ends it with its namespace
  await listening(lab, router, 3128);
  return child;
}

/** @type {Map<string, import('./squid.js').Squid>} */
const squids = new Map();

/**
 * Prepares another building of the company whose proxy reads HTTPS: another line, and another proxy at the address and with the
 * authority that the browser knows. The function returned moves a client there.
 * @param {Lab} lab @param {Client} client of kind inspected @param {number} number of the second network @param {string} caFile the authority of the servers
 * @returns {Promise<() => Promise<void>>}
 */
export async function otherBuilding(lab, client, number, caFile) {
  const router = `r${number}`, address = new URL(client.proxy ?? '').hostname, home = address.replace(/1$/, '2'), like = squids.get(lab.netns(client.router));
  await lab.namespace(router);
  await connect(lab, router, number, { delay: 0, ipv4: `203.0.113.${20 + number}`, ipv6: '' });
  await lab.sh(`
    ip link add name lan netns $${router} address 02:00:00:00:03:${hex(number)} type veth peer name eth1 netns $${client.name} address 02:00:00:00:04:${hex(number)}
    ip -n $${router} address add ${address}/24 dev lan
    ip -n $${router} link set lan up`);
  await lab.daemon(router, 'dns', address);
  await startSquid(lab, router, address, caFile, { like });
  await lab.nft(router, closedRouter(true));
  return async () => {
    await lab.sh(`
      ip -n $${client.name} link set eth0 down
      ip -n $${client.name} address add ${home}/24 dev eth1
      ip -n $${client.name} link set eth1 up`);
  };
}

/** What kills the proxy of a namespace and starts another. @type {Map<string, () => Promise<void>>} */
const restarts = new Map();

/**
 * Kills a client's proxy, all its tunnels with it, and starts another.
 * @param {Lab} lab @param {Client} client
 */
export async function restartProxy(lab, client) {
  const restart = restarts.get(lab.netns(client.router));
  if (!restart) throw new Error(`${client.name} has no proxy`);
  await restart();
}

/**
 * Waits until somebody listens on a TCP port of a namespace.
 * @param {Lab} lab @param {string} name @param {number} port
 */
async function listening(lab, name, port) {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
    if (await lab.sh(`ip netns exec $${name} ss -Htln "sport = :${port}"`)) return;
  }
  throw new Error(`nobody listens on port ${port} in ${name}`);
}

/** @param {number} number */
function hex(number) {
  return number.toString(16).padStart(2, '0');
}
