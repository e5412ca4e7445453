// Calls in a Chromium that lacks what some browser of docs/browsers.md lacks: one interface after the other is taken away.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { guarded, interfaces } from '../../web/client/test/guarded.mjs';
import { startBrowser } from '../harness/browser.js';
import { openLobby } from '../harness/callpage.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo, hearsSound } from '../harness/media.js';
import { startServer } from '../harness/server.js';

const removals = [...new Set(Object.values({ ...guarded, ...interfaces }).map(({ remove }) => remove ?? ''))].filter(Boolean);
// Firefox before 126: a candidate is its line and no more.
removals.push(`for (const name of ['type', 'address', 'port', 'priority', 'protocol', 'foundation', 'component', 'relatedAddress', 'relatedPort', 'tcpType']) delete RTCIceCandidate.prototype[name]`);
removals.push(`delete URLSearchParams.prototype.size`);

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {Awaited<ReturnType<typeof startBrowser>>} */ let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(cleanup);

for (const [index, remove] of [...removals, removals.join(';')].entries()) {
  test(`a call without ${index < removals.length ? remove.replace('delete ', '') : 'any of them'}`, async () => {
    const room = `without-${index}`;
    const [lacking, other] = await Promise.all([browser.newPage(), browser.newPage()]);
    await lacking.addInitScript(remove);
    /** @type {string[]} */ const errors = [];
    lacking.on('pageerror', (error) => errors.push(String(error)));
    for (const page of [other, lacking]) await openLobby(page, server.base, room);
    await other.click('#join');
    await other.waitForSelector('body[data-view=call][data-state=waiting]');
    await lacking.click('#join');
    await Promise.all([lacking, other].map(async (page) => {
      await decodesVideo(page, { seconds: 1 });
      await hearsSound(page);
    }));
    await lacking.goto(`${server.base}/check?relay=1`);
    await lacking.waitForSelector('body[data-state=done]');
    assert.notEqual(await lacking.getAttribute('body', 'data-level'), 'bad');
    assert.deepEqual(errors, []);
    await Promise.all([lacking, other].map((page) => page.context().close()));
  });
}
