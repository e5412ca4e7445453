// The pages of the seed programs, on a web server of their own: programs that exist live elsewhere than turnhub.

import fs from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { onCleanup } from '../harness/cleanup.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8' };

/** The PeerJS clients, as the pages name them: the npm packages' own files. */
export const peerjs = {
  '0.3.16': '/vendor/peerjs-0.3.16/peer.min.js',
  '1.5.5': '/npm/peerjs/dist/peerjs.min.js',
};

/**
 * Serves e2e/seeds, and under /npm the packages of e2e/node_modules.
 * @returns {Promise<{base: string}>}
 */
export async function startPages() {
  const server = http.createServer(async (request, response) => {
    const name = path.posix.normalize(new URL(request.url ?? '/', 'http://x').pathname);
    const file = name.startsWith('/npm/') ? path.join(here, '../node_modules', name.slice(5)) : path.join(here, name);
    try {
      const content = await fs.readFile(file);
      response.writeHead(200, { 'content-type': /** @type {any} */ (types)[path.extname(file)] ?? 'text/plain' });
      response.end(content);
    } catch {
      response.writeHead(404);
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  onCleanup(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { base: `http://localhost:${address.port}` };
}
