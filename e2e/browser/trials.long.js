// What Chromium tries next, to save round trips when a call begins (WARP): SCTP's first flight in the description (SNAP), and
// DTLS inside the connectivity checks (SPED). Both have to pass the hub and the relay as they are, over every transport, and a
// browser that tries them has to meet one that does not.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser, trials } from '../harness/browser.js';
import { clickJoin, inRoom, openLobby } from '../harness/callpage.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo, hearsSound } from '../harness/media.js';
import { startServer } from '../harness/server.js';

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Record<'new' | 'old' | 'firefox', Awaited<ReturnType<typeof startBrowser>>>} */ let browsers;

before(async () => {
  server = await startServer({ tls: true });
  const { caFile } = server;
  browsers = { new: await startBrowser({ caFile, args: [trials] }), old: await startBrowser({ caFile }), firefox: await startBrowser({ kind: 'firefox', caFile }) };
});
after(cleanup);

/** @typedef {keyof typeof browsers} Who */
for (const only of /** @type {const} */ (['udp', 'tcp', 'tls'])) {
  for (const [there, comes] of /** @type {[Who, Who][]} */ ([['new', 'new'], ['new', 'old'], ['old', 'new'], ['new', 'firefox'], ['firefox', 'new']])) {
    test(`${there} is there, ${comes} comes, over ${only}`, async () => {
      const pages = await Promise.all([there, comes].map((who) => browsers[who].newPage({ policy: 'relay', only })));
      const [first, second] = pages;
      await Promise.all(pages.map((page) => openLobby(page, server.base, `trials-${only}-${there}-${comes}`)));
      await clickJoin(first);
      await inRoom(first);
      await clickJoin(second);
      await Promise.all(pages.flatMap((page) => [decodesVideo(page), hearsSound(page)]));
      for (const [i, who] of [there, comes].entries()) {
        const said = await pages[i].evaluate(() => /** @type {any} */ (window).calls
          .filter((/** @type {RTCPeerConnection} */ call) => call.connectionState !== 'closed')
          .map((/** @type {RTCPeerConnection} */ call) => call.localDescription?.sdp ?? '').join());
        const tries = /^a=sctp-init:/m.test(said);
        if (who !== 'new') assert.ok(!tries, 'only who tries it says so');
        else if (there === comes) assert.ok(tries, 'the trial is on in this Chromium');
      }
      await Promise.all(pages.map((page) => page.context().close()));
    });
  }
}
