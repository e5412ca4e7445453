import dgram from 'node:dgram';
import net from 'node:net';

/**
 * Ports that are free on this machine at the moment, for TCP and for UDP.
 * @param {number} count
 * @returns {Promise<number[]>}
 */
export async function freePorts(count) {
  const ports = new Set();
  while (ports.size < count) {
    const port = 20000 + Math.floor(Math.random() * 12000); // below the system's own ephemeral ports
    if (!ports.has(port) && (await tcpFree(port)) && (await udpFree(port))) ports.add(port);
  }
  return [...ports];
}

/** @param {number} port */
function tcpFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

/** @param {number} port */
function udpFree(port) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp6');
    socket.once('error', () => resolve(false));
    socket.bind(port, () => socket.close(() => resolve(true)));
  });
}
