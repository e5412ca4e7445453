// Two werift connections with each other through the relay alone: 20 messages there and back. argv: two ICE servers as JSON.
import { RTCPeerConnection } from 'werift';

const [a, b] = JSON.parse(process.argv[2]).map((/** @type {any} */ server) => new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' }));
const back = new Promise((resolve) => {
  /** @type {string[]} */ const texts = [];
  const channel = a.createDataChannel('relay');
  channel.onMessage.subscribe((/** @type {any} */ text) => { if (texts.push(String(text)) === 20) resolve(texts.length); });
  channel.stateChanged.subscribe((/** @type {string} */ state) => { if (state === 'open') for (let i = 0; i < 20; i++) channel.send(String(i)); });
});
b.onDataChannel.subscribe((/** @type {any} */ echo) => echo.onMessage.subscribe((/** @type {any} */ text) => echo.send(text)));
a.onIceCandidate.subscribe((/** @type {any} */ candidate) => { if (candidate) b.addIceCandidate(candidate); });
b.onIceCandidate.subscribe((/** @type {any} */ candidate) => { if (candidate) a.addIceCandidate(candidate); });
await a.setLocalDescription(await a.createOffer());
await b.setRemoteDescription(a.localDescription);
await b.setLocalDescription(await b.createAnswer());
await a.setRemoteDescription(b.localDescription);
setTimeout(() => { console.log('not within 40 s', a.connectionState, b.connectionState); process.exit(1); }, 40_000);
console.log(`${await back} of 20`);
process.exit(0);
