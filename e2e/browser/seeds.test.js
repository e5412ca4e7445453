// The five programs of the seed documents, written as their text says, each with video both ways: over any path, and
// with nothing but the relay.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { candidatePairs, decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { peerjs, startPages } from '../seeds/pages.js';

after(cleanup);

/** A page that waits for something that does not come must not wait for ever. */
const limit = { timeout: 180_000 };

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */
let browser;
/** @type {Awaited<ReturnType<typeof startPages>>} */
let pages;

before(async () => {
  server = await startServer({ config: { signaling: { relay_at_root: true } } });
  browser = await startBrowser();
  pages = await startPages();
});

/** @typedef {import('playwright-core').Page} Page */

/**
 * Runs in each page before its program: the browser's fake camera and microphone are started once and asked for again
 * when they fail or stay silent, and the program gets copies of them. Chromium, of a machine that does much beside, now
 * and then does not start them at the first try, and the programs, which ask once in the middle of a call, would wait
 * for ever.
 */
function holdCamera() {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const start = async () => {
    for (let tries = 1; ; tries++) {
      try {
        return await Promise.race([ask({ video: true, audio: true }), new Promise((_, reject) => {
          setTimeout(() => reject(new Error('no answer within 10 s')), 10_000);
        })]);
      } catch (error) {
        console.warn(`camera, try ${tries}: ${error}`);
        if (tries === 5) throw error;
      }
    }
  };
  /** @type {Promise<MediaStream> | undefined} */
  let running;
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    running ??= start();
    const stream = (await running).clone();
    for (const track of stream.getTracks()) {
      if (!constraints?.[/** @type {'audio' | 'video'} */ (track.kind)]) stream.removeTrack(track);
    }
    return stream;
  };
  Object.assign(navigator, {
    /** @type {(constraints: MediaStreamConstraints, done: (stream: MediaStream) => void, failed: (error: unknown) => void) => void} */
    getUserMedia: (constraints, done, failed) => navigator.mediaDevices.getUserMedia(constraints).then(done, failed),
  });
}

/**
 * Each program: how its two pages are opened, the second when the first waits for it.
 * @type {Record<string, (open: (path: string) => Promise<Page>) => Promise<[Page, Page]>>}
 */
const programs = {
  'videocalls.js on a raw relay': async (open) => {
    const first = await open('/videocalls/index.html?');
    await first.waitForFunction(() => window.calls.length > 0 && window.calls[0].signalingState === 'have-local-offer');
    return [first, await open('/videocalls/index.html?')];
  },
  'calls by name at ws://host:port': async (open) => {
    const petya = await open('/by-name/index.html?me=Petya');
    const vasya = await open('/by-name/index.html?me=Vasya');
    for (const page of [petya, vasya]) await page.waitForFunction(() => document.title.endsWith('is online'));
    await vasya.evaluate(() => window.eval('call("Petya")'));
    return [vasya, petya];
  },
  'video chat with Socket.IO, in a room': async (open) => {
    const first = await open('/socketio/index.html?room=r');
    await first.waitForFunction(() => document.querySelector('video#localVideo')?.srcObject && window.eval('isOfferer'));
    return [first, await open('/socketio/index.html?room=r')];
  },
  'video chat with Socket.IO of the document\'s time, in a room, with the client of today': async (open) => {
    const first = await open('/socketio/index.html?room=era&client=/npm/socket.io-client-2.5/dist/socket.io.js');
    await first.waitForFunction(() => document.querySelector('video#localVideo')?.srcObject && window.eval('isOfferer'));
    return [first, await open('/socketio/index.html?room=era')];
  },
  'video chat with Socket.IO of the document\'s time, without rooms': async (open) => {
    const old = 'client=/npm/socket.io-client-2.5/dist/socket.io.js';
    const first = await open(`/socketio/index.html?offerer&${old}`);
    await first.waitForFunction(() => document.querySelector('video#localVideo')?.srcObject);
    return [first, await open(`/socketio/index.html?${old}`)];
  },
  'video chat with Socket.IO, without rooms': async (open) => {
    const first = await open('/socketio/index.html?offerer');
    await first.waitForFunction(() => document.querySelector('video#localVideo')?.srcObject);
    return [first, await open('/socketio/index.html?')];
  },
  'PeerJS 0.3.16': (open) => callWithPeerJS(open, '0.3.16'),
  'PeerJS 1.5.5': (open) => callWithPeerJS(open, '1.5.5'),
  'video chat, step 3, at ws://host:port': async (open) => {
    const [alice, bob] = [await open('/step3/index.html?'), await open('/step3/index.html?')];
    for (const page of [alice, bob]) {
      await page.click('#start');
      await page.waitForFunction(() => document.title === 'offered');
    }
    return [alice, bob];
  },
};

/**
 * @param {(path: string) => Promise<Page>} open
 * @param {keyof typeof peerjs} version
 * @returns {Promise<[Page, Page]>}
 */
async function callWithPeerJS(open, version) {
  const receiver = await open(`/peerjs/receiver.html?client=${peerjs[version]}`);
  await receiver.waitForFunction(() => document.title === 'receiver is open');
  const sender = await open(`/peerjs/sender.html?call&client=${peerjs[version]}${version === '0.3.16' ? '' : '&wait'}`);
  await receiver.waitForFunction(() => document.title === 'received hi!', undefined, { timeout: 30_000 });
  return [receiver, sender];
}

/** Held in other tests as well, so that `make test` has no time for them here: peerjs.test.js, and the program in a room. */
const heldElsewhere = ['PeerJS 0.3.16', 'PeerJS 1.5.5', 'video chat with Socket.IO of the document\'s time, without rooms'];

for (const policy of /** @type {const} */ (['all', 'relay'])) {
  for (const [index, [name, run]] of Object.entries(programs).entries()) {
    if (!process.env.E2E_LONG && (index % 2 === 0) === (policy === 'relay')) continue; // each one way
    (heldElsewhere.includes(name) ? long : test)(`${name}: video both ways, ${policy === 'all' ? 'any path' : 'relay only'}`, limit, async (context) => {
      /** @type {Page[]} */
      const opened = [];
      /** @type {string[]} */
      const said = [];
      const open = async (/** @type {string} */ path) => {
        const page = await browser.newPage({ policy });
        opened.push(page);
        page.on('console', (message) => said.push(`page ${opened.indexOf(page)}: ${message.text()}`));
        await page.addInitScript(holdCamera);
        await page.goto(`${pages.base}${path}&server=${server.base}`);
        return page;
      };
      try {
        const both = await run(open);
        await Promise.all(both.map((page) => decodesVideo(page, { seconds: 2 })));
        for (const page of both) {
          for (const pair of await candidatePairs(page)) {
            if (policy === 'relay') assert.equal(pair.local, 'relay');
            else assert.notEqual(pair.local, 'relay');
          }
        }
      } catch (error) {
        context.diagnostic(said.join('\n'));
        throw error;
      } finally {
        for (const line of said) if (line.includes('camera, try')) context.diagnostic(line);
        for (const page of opened) await page.context().close();
      }
    });
  }
}
