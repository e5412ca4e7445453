// A network on which TCP connections freeze after 20 kB: the socket to the server is opened anew in time, and the call goes on.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo, pairInUse } from '../harness/media.js';
import { connectCall, startCaller } from './calls.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';
import { turnhubSite } from './sites.js';

after(cleanup);

test('a frozen socket is noticed within 5 s and opened anew, and the call is on UDP', async () => {
  const lab = await Lab.create();
  const server = await startHost(lab);
  const [there, arriving] = await Promise.all(/** @type {const} */ (['symmetric', 'slow-tcp']).map(async (kind, index) =>
    startCaller(await addClient(lab, kind, index + 1), server.caFile ?? '')));
  /** When each socket was opened, and when something came on it last. @type {{opened: number, heard: number}[]} */
  const sockets = [];
  const { newPage } = arriving.browser;
  arriving.browser.newPage = async (options) => {
    const page = await newPage.call(arriving.browser, options);
    page.on('websocket', (socket) => {
      const times = { opened: Date.now(), heard: Date.now() };
      sockets.push(times);
      socket.on('framereceived', () => { times.heard = Date.now(); });
    });
    return page;
  };
  const { page, pageThere } = await connectCall(turnhubSite(server.base), there, arriving, 'frozen');
  const deadline = Date.now() + 200_000;
  while (sockets.length < 3) {
    assert.ok(Date.now() < deadline, `no socket has frozen: ${JSON.stringify(sockets)}`);
    await decodesVideo(page, { seconds: 1 });
  }
  const waits = sockets.slice(1).map(({ opened }, index) => opened - sockets[index].heard);
  console.log(`sockets opened anew after ${waits.join(', ')} ms of silence`);
  for (const wait of waits) assert.ok(wait < 5000, `noticed after ${wait} ms`);
  await Promise.all([decodesVideo(page), decodesVideo(pageThere)]);
  const pair = await pairInUse(page);
  assert.ok(pair.protocol === 'udp' && (pair.local !== 'relay' || pair.relayProtocol === 'udp'), JSON.stringify(pair));
  assert.equal(await page.evaluate(() => document.body.dataset.view), 'call');
});
