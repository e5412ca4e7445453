// Issue A's promise: two pages hold a video call whose media goes through our relay alone, over each transport.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { clickJoin, inRoom, openLobby } from '../harness/callpage.js';
import { cleanup } from '../harness/cleanup.js';
import { long } from '../harness/long.js';
import { candidatePairs, decodesVideo } from '../harness/media.js';
import { screenshot } from '../harness/screenshot.js';
import { startServer } from '../harness/server.js';

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>[]} */
let browsers;

before(async () => {
  server = await startServer({ tls: true });
  browsers = await Promise.all([0, 1].map(() => startBrowser({ caFile: server.caFile })));
});
after(cleanup);

for (const only of /** @type {const} */ (['udp', 'tcp', 'tls'])) {
  (only === 'tls' ? test : long)(`a call with both ends relayed over ${only}`, async () => {
    const pages = await Promise.all(browsers.map((browser) => browser.newPage({ policy: 'relay', only })));
    const [first, second] = pages;
    await Promise.all(pages.map((page) => openLobby(page, server.base, `relay-${only}`)));
    await clickJoin(first);
    await inRoom(first);
    await clickJoin(second);
    await Promise.all(pages.map((page) => decodesVideo(page)));
    for (const page of pages) {
      // A check of the other side can be here before the candidate that it came from: until that is, its address is
      // one that nobody has told ("prflx").
      let pairs = await candidatePairs(page);
      for (let looks = 0; pairs[0]?.remote === 'prflx' && looks < 100; looks++) {
        await page.waitForTimeout(100);
        pairs = await candidatePairs(page);
      }
      assert.equal(pairs.length, 1, JSON.stringify(pairs));
      const [pair] = pairs;
      assert.equal(pair.local, 'relay', JSON.stringify(pair));
      assert.equal(pair.remote, 'relay', JSON.stringify(pair));
      assert.equal(pair.relayProtocol, only, JSON.stringify(pair));
      if (only === 'tls') {
        // The very port that served the page.
        assert.equal(new URL(pair.url.replace(/^turns:/, 'https://')).port, new URL(server.base).port, pair.url);
      }
    }
    await screenshot(second, `relay-${only}`);
    await Promise.all(pages.map((page) => page.context().close()));
  });
}
