// A server that is away for long: the page says so, does what it is told meanwhile, and comes back by itself.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { decodesVideo } from '../harness/media.js';
import { startServer } from '../harness/server.js';
import { connected, join, openLobby } from './callpage.js';

after(cleanup);

test('the server is away for long: reconnecting is shown, the page obeys, the relayed call comes back', async () => {
  const server = await startServer();
  const browser = await startBrowser();
  const [vasya, petya, masha] = await Promise.all([browser.newPage(), browser.newPage(), browser.newPage()]);
  for (const page of [vasya, petya]) {
    await openLobby(page, server.base, { query: '?relay=1', room: 'outage' });
    await join(page);
  }
  await openLobby(masha, server.base, { query: '?relay=1', room: 'outage' });
  await Promise.all([connected(vasya), connected(petya)]);
  await server.kill('SIGKILL');
  const killed = Date.now();
  for (const page of [vasya, petya]) {
    await page.waitForSelector('.tile[data-state=reconnecting] .overlay');
    await page.getByText('The connection to the server is lost; coming back…').waitFor();
    assert.equal(await page.textContent('#connection .words'), 'Reconnecting…');
  }
  await vasya.keyboard.press('m');
  await vasya.waitForSelector('#audio[aria-pressed=false]');
  await masha.click('#join');
  await masha.getByText('Joining…').waitFor();
  // Longer than a lost session's peer is waited for.
  await new Promise((resolve) => setTimeout(resolve, killed + 16_000 - Date.now()));
  assert.equal(await vasya.getAttribute('body', 'data-view'), 'call');
  await server.start();
  await Promise.all([vasya, petya, masha].map((page) => connected(page, 2)));
  await Promise.all([vasya, petya, masha].map((page) => decodesVideo(page, { count: 2, seconds: 2 })));
  assert.equal(await vasya.isHidden('#banner'), true);
  await browser.close();
  await server.stop();
});
