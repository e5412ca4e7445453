import net from 'node:net';
import { onCleanup } from '../harness/cleanup.js';

/**
 * A TCP way to a server that can be cut: what goes through it dies without a close handshake, and until it is mended
 * nothing new gets through.
 * @param {number} port of the server on loopback
 * @param {'http' | 'https'} [scheme] what the server speaks there
 */
export async function startProxy(port, scheme = 'http') {
  let whole = true;
  /** @type {Set<net.Socket>} */
  const sockets = new Set();
  const proxy = net.createServer((client) => {
    if (!whole) {
      client.resetAndDestroy();
      return;
    }
    const server = net.connect(port, 'localhost');
    for (const [from, to] of [[client, server], [server, client]]) {
      sockets.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => { sockets.delete(from); to.destroy(); });
    }
  });
  await new Promise((resolve) => proxy.listen(0, resolve));
  onCleanup(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => proxy.close(resolve));
  });
  return {
    base: `${scheme}://localhost:${/** @type {net.AddressInfo} */ (proxy.address()).port}`,
    cut() {
      whole = false;
      for (const socket of sockets) socket.resetAndDestroy();
    },
    mend() {
      whole = true;
    },
  };
}
