// What the document writes into its pages: which PeerJS client, and where the server is.
const page = new URLSearchParams(location.search);
const client = page.get('client'); // the document's <script src=…/peerjs/0.3.16/peer.min.js>
const server = new URL(page.get('server')); // the document's host: 'localhost', port: 9000

/** The two lines that give PeerJS the TURN servers. */
async function options() {
  const config = await (await fetch(new URL('/config', server))).json();
  return { host: server.hostname, port: server.port, path: page.get('path') ?? '/', secure: server.protocol === 'https:', config };
}
