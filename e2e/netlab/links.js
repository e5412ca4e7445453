/** @typedef {import('./lab.js').Lab} Lab */
/** @typedef {import('./kinds.js').Client} Client */
/** @typedef {'down' | 'up' | 'both'} Direction as the client sees it */

/**
 * From now on the line between a client's router and the world takes so many kbit/s, with 100 ms of queue.
 * @param {Lab} lab @param {Client} client @param {Direction} direction @param {number} kbit 0: as fast as there is
 */
export async function narrowLink(lab, client, direction, kbit) {
  // What comes over a link with a delay comes out of another device.
  const number = client.name.slice(1), down = { name: 'pub', device: `${client.delayed ? 'far' : 'p'}${number}` }, up = { name: client.router, device: 'wan' };
  const ends = direction === 'both' ? [down, up] : [direction === 'down' ? down : up];
  for (const { name, device } of ends) {
    // A burst is one packet, so that the line is as narrow for a moment as it is for a minute.
    await lab.sh(kbit ? `ip netns exec $${name} tc qdisc replace dev ${device} root tbf rate ${kbit}kbit burst 1540 latency 100ms`
      : `ip netns exec $${name} tc qdisc delete dev ${device} root`);
  }
}
