// Somebody who speaks signaling/protocol.md over a WebSocket of its own, and whose descriptions are of no use to a browser,
// in a room with two honest pages: those two go on, and the page says what is wrong, in its own words and to the other side.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { connected, join, openLobby } from './callpage.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

/** What Chromium itself offers, of which the hostile one says a little otherwise. @param {import('playwright-core').Page} page */
const offerOf = (page) => page.evaluate(async () => {
  const pc = new RTCPeerConnection();
  pc.addTransceiver('audio');
  pc.addTransceiver('video');
  const { sdp } = await pc.createOffer();
  pc.close();
  return /** @type {string} */ (sdp);
});

/** @type {Record<string, {spoil: (sdp: string) => any, says: RegExp, code: string, candidates?: any[]}>} */
const kinds = {
  'without ICE': { spoil: (sdp) => sdp.replace(/^a=ice-(ufrag|pwd):.*\r\n/gm, ''), says: /no ICE/, code: 'ice' },
  'with 200 m-lines': { spoil: (sdp) => sdp + sdp.slice(sdp.indexOf('m=audio'), sdp.indexOf('m=video')).repeat(198), says: /more came/, code: 'size' },
  'as large as a message may be': { spoil: (sdp) => sdp + 'a=x:y\r\n'.repeat(30_000), says: /more came/, code: 'size' },
  'without a format that anybody knows': { spoil: (sdp) => sdp.replace(/^a=rtpmap:(\d+) [^/]+/gm, 'a=rtpmap:$1 x-unheard'), says: /Neither sound nor pictures/, code: 'codecs' },
  'without a bundle': { spoil: (sdp) => sdp.replace(/^a=group:BUNDLE.*\r\n/m, ''), says: /one for each kind/, code: 'bundle' },
  'that is no text': { spoil: () => ({ toString: 'x' }), says: /describes no call/, code: 'shape' },
};

for (const [name, { spoil, says, code }] of Object.entries(kinds)) {
  test(`a description ${name} harms nobody, and both read why`, async () => {
    const room = `hostile-${Object.keys(kinds).indexOf(name)}`;
    const [one, two] = await Promise.all([browser.newPage(), browser.newPage()]);
    for (const page of [one, two]) {
      await openLobby(page, server.base, { room });
      await join(page);
    }
    await Promise.all([connected(one), connected(two)]);
    const mallory = await enter(room, spoil(await offerOf(one)));
    for (const page of [one, two]) {
      await page.waitForFunction((source) => [...document.querySelectorAll('.tile .overlay')].some(({ textContent }) => new RegExp(source).test(textContent ?? '')), says.source);
      await decodesVideo(page, { count: 1, seconds: 2 });
      assert.equal(await page.locator('.tile[data-state=connected]').count(), 1);
    }
    // The other side is told.
    await mallory.waitForFunction((code) => /** @type {any} */ (window).heard.some((/** @type {any} */ { trouble }) => trouble === code), code);
    await mallory.context().close();
    await Promise.all([connected(one), connected(two)]);
    await Promise.all([one, two].map((page) => page.context().close()));
  });
}

/** Joins, offers the same to everybody there, and answers every offer with it. @param {string} room @param {any} sdp */
async function enter(room, sdp) {
  const page = await browser.newPage();
  await page.goto(`${server.base}/healthz`);
  await page.evaluate(([room, sdp]) => {
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws`, 'turnhub.v1');
    const own = /** @type {any} */ (Object.assign(window, { heard: /** @type {any[]} */ ([]) }));
    const say = (/** @type {any} */ message) => socket.send(JSON.stringify(message));
    const signal = (/** @type {string} */ to, /** @type {any} */ data) => say({ type: 'signal', to, data: { connection: '', ...data } });
    socket.onopen = () => say({ type: 'hello', name: 'Mallory' });
    socket.onmessage = ({ data: text }) => {
      const message = JSON.parse(text);
      if (message.type === 'welcome') {
        setInterval(() => say({ type: 'ping' }), message.heartbeat.call);
        say({ type: 'join', room, id: 1 });
      }
      if (message.seq) say({ type: 'ack', ack: message.seq });
      if (message.type === 'joined') for (const { peer } of message.peers) signal(peer, { round: 1, description: { type: 'offer', sdp } });
      if (message.type === 'signal') {
        const { from, data } = message;
        own.heard.push(data);
        if (data.description?.type === 'offer') signal(from, { connection: data.connection, round: data.round, description: { type: 'answer', sdp } });
      }
    };
  }, [room, sdp]);
  return page;
}
