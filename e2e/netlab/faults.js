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
 * A firewall that resets every TCP connection through it, and lets new ones begin.
 * @param {Lab} lab @param {Client} client
 */
export async function resetConnections(lab, client) {
  // While the rule stands each established flow gets a reset to both of its ends; every client sends or hears
  // something within a heartbeat.
  await lab.sh(`ip netns exec $${client.router} nft add table inet cut
    ip netns exec $${client.router} nft add chain inet cut forward '{ type filter hook forward priority -10; }'
    ip netns exec $${client.router} nft add rule inet cut forward tcp flags '&' '(syn|rst)' == 0 ct state established reject with tcp reset`);
  await pause(100);
  await lab.sh(`ip netns exec $${client.router} nft delete table inet cut`);
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
 * From now on a router loses every so-manieth packet, in both directions, by chance.
 * @param {Lab} lab @param {Client} client @param {number} percent 0 ends it
 */
export async function loss(lab, client, percent) {
  await lab.sh(`ip netns exec $${client.router} nft add table inet loss
    ip netns exec $${client.router} nft delete table inet loss`);
  if (!percent) return;
  await lab.sh(`ip netns exec $${client.router} nft add table inet loss
    ip netns exec $${client.router} nft add chain inet loss forward '{ type filter hook forward priority -10; }'
    ip netns exec $${client.router} nft add rule inet loss forward numgen random mod 100 '<' ${percent} drop`);
}
