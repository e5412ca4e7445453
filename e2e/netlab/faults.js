import { setTimeout as pause } from 'node:timers/promises';
import { addClient, restartProxy } from './kinds.js';

/** @typedef {import('./lab.js').Lab} Lab */
/** @typedef {import('./kinds.js').Client} Client */

/**
 * A router gets another address from its provider, and forgets its mappings (masquerade drops them with the
 * address that they hold).
 * @param {Lab} lab @param {Client} client
 */
export async function newAddress(lab, client) {
  const fresh = client.wanAddress.replace(/\d+$/, (last) => String(Number(last) + 100));
  await lab.sh(`
    ip -n $${client.router} address del ${client.wanAddress}/24 dev wan
    ip -n $${client.router} address add ${fresh}/24 dev wan
    ip -n $${client.router} route replace default via 203.0.113.1`);
  client.wanAddress = fresh;
}

/**
 * Prepares a second network for a client, behind a cone of its own, as a telephone has one besides the Wi-Fi.
 * The function returned moves the client there: the first link goes down, the second comes up.
 * @param {Lab} lab @param {Client} client @param {number} number of the second network
 * @returns {Promise<() => Promise<void>>}
 */
export async function secondNetwork(lab, client, number) {
  const other = await addClient(lab, 'cone', number);
  await lab.sh(`
    ip -n $${other.name} link set eth0 down
    ip -n $${other.name} link set eth0 netns $${client.name} name eth1`);
  return async () => {
    await lab.sh(`
      ip -n $${client.name} link set eth0 down
      ip -n $${client.name} address add 10.0.${number}.2/24 dev eth1
      ip -n $${client.name} link set eth1 up
      ip -n $${client.name} route add default via 10.0.${number}.1`);
  };
}

/**
 * A firewall that resets every TCP connection through it, and lets new ones begin: whoever says something on an old
 * one hears of it, and that is everybody within a heartbeat.
 * @param {Lab} lab @param {Client} client
 */
export async function resetConnections(lab, client) {
  const flows = await lab.sh(`ip netns exec $${client.router} cat /proc/net/nf_conntrack`);
  // The first ports of an entry are those on the client's side.
  const ports = flows.split('\n').filter((flow) => / tcp .*ESTABLISHED/.test(flow)).map((flow) => flow.match(/sport=(\d+)/)?.[1]);
  if (!ports.length) throw new Error(`${client.name} has no connections`);
  await lab.sh(`ip netns exec $${client.router} nft -f - <<'END'
    table inet cut {
      chain forward { type filter hook forward priority -10;
        iifname "lan" tcp sport { ${ports.join(', ')} } reject with tcp reset
        iifname "wan" tcp dport { ${ports.join(', ')} } reject with tcp reset
      }
    }
END`);
  await pause(1500);
  await lab.sh(`ip netns exec $${client.router} nft delete table inet cut`);
}

/**
 * What is between a client and its proxy forgets every connection without a word, as a NAT or a VPN does that begins anew; new ones pass.
 * @param {Lab} lab @param {Client} client
 */
export async function forgetConnections(lab, client) {
  const flows = await lab.sh(`ip netns exec $${client.router} ss -Htn state established "sport = :3128"`);
  const ports = flows.split('\n').flatMap((flow) => flow.match(/:(\d+)\s*$/)?.[1] ?? []);
  if (!ports.length) throw new Error(`${client.name} has no connections`);
  await lab.sh(`ip netns exec $${client.router} nft -f - <<'END'
    table inet forgotten {
      chain input { type filter hook input priority -10; iifname "lan" tcp sport { ${ports.join(', ')} } drop; }
      chain output { type filter hook output priority -10; oifname "lan" tcp dport { ${ports.join(', ')} } drop; }
    }
END`);
}

/**
 * The HTTP proxy is killed with all its tunnels, and another one takes its place at once.
 * @param {Lab} lab @param {Client} client
 */
export async function cutTunnels(lab, client) {
  await restartProxy(lab, client);
}

/**
 * Nothing comes through the client's router, in either direction and without a word, for a time.
 * @param {Lab} lab @param {Client} client @param {number} milliseconds
 */
export async function offline(lab, client, milliseconds) {
  await lab.sh(`ip netns exec $${client.router} nft add table inet gone
    ip netns exec $${client.router} nft add chain inet gone forward '{ type filter hook forward priority -10; policy drop; }'`);
  await pause(milliseconds);
  await lab.sh(`ip netns exec $${client.router} nft delete table inet gone`);
}

/**
 * From now on the line between a client's network and the world loses so many of a hundred packets, in both
 * directions, by chance.
 * @param {Lab} lab @param {Client} client @param {number} percent 0 ends it
 */
export async function loss(lab, client, percent) {
  // At both ends of the line, on arrival: a packet dropped where it is sent would be known to be lost.
  for (const [name, device] of [[client.router, 'wan'], ['pub', `p${client.name.slice(1)}`]]) {
    await lab.sh(`ip netns exec $${name} nft -f - <<'END'
      table netdev loss-${device}
      delete table netdev loss-${device}
      ${percent ? `table netdev loss-${device} {
        chain arriving { type filter hook ingress device "${device}" priority 0;
          meta protocol { ip, ip6 } numgen random mod 100 < ${percent} drop
        }
      }` : ''}
END`);
  }
}

/**
 * The firewall of a client's router lets nothing of IPv6 through any more, in either direction and without a word: UDP alone, or
 * everything. What had begun before is closed, too.
 * @param {Lab} lab @param {Client} client @param {'UDP' | 'everything'} what
 * @returns {Promise<() => Promise<void>>} opens it again
 */
export async function closeIPv6(lab, client, what) {
  await lab.sh(`ip netns exec $${client.router} nft -f - <<'END'
    table ip6 closed {
      chain forward { type filter hook forward priority -10; ${what === 'UDP' ? 'meta l4proto udp ' : ''}drop; }
    }
END`);
  return async () => void (await lab.sh(`ip netns exec $${client.router} nft delete table ip6 closed`));
}
