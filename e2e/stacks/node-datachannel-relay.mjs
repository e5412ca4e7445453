// Two node-datachannel connections with each other through the relay alone: 20 messages there and back. argv: two ICE servers as JSON.
import { PeerConnection } from 'node-datachannel';

const [a, b] = JSON.parse(process.argv[2]).map((/** @type {any} */ { urls, username, credential }, /** @type {number} */ index) => {
  const [, hostname, port] = /^turn:(.*):(\d+)/.exec(urls) ?? [];
  // As an object: in a URL the user's name, which has a colon in it, and the password would have to be escaped.
  const server = { hostname, port: Number(port), username, password: credential, relayType: 'TurnUdp' };
  return new PeerConnection(`end${index}`, { iceServers: [server], iceTransportPolicy: 'relay' });
});
for (const [from, to] of [[a, b], [b, a]]) {
  from.onLocalDescription((/** @type {string} */ sdp, /** @type {any} */ type) => to.setRemoteDescription(sdp, type));
  from.onLocalCandidate((/** @type {string} */ candidate, /** @type {string} */ mid) => to.addRemoteCandidate(candidate, mid));
}
b.onDataChannel((/** @type {any} */ echo) => echo.onMessage((/** @type {string} */ text) => echo.sendMessage(text)));
let back = 0;
const channel = a.createDataChannel('relay');
channel.onOpen(() => { for (let i = 0; i < 20; i++) channel.sendMessage(String(i)); });
channel.onMessage(() => {
  if (++back < 20) return;
  console.log(`${back} of 20`);
  process.exit(0);
});
setTimeout(() => { console.log('not within 40 s', a.state(), b.state()); process.exit(1); }, 40_000);
