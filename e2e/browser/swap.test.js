// What comes from somebody goes over to other tracks: of another connection, or of the way through the WebSocket. A <video> that plays the
// stream shows them, in every browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser } from '../harness/browser.js';
import { cleanup } from '../harness/cleanup.js';
import { startServer } from '../harness/server.js';

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
before(async () => { server = await startServer(); });
after(cleanup);

for (const kind of /** @type {const} */ (['chromium', 'firefox'])) {
  test(kind, { timeout: 120_000 }, async () => {
    const browser = await startBrowser({ kind }), page = await browser.newPage();
    await page.goto(server.base);
    const seen = await page.evaluate(async () => {
      const at = '/client/call/media/sharing.js', { Received } = await import(at);
      const color = (/** @type {string} */ color) => {
        const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 64 }), drawing = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
        let n = 0;
        setInterval(() => {
          drawing.fillStyle = color;
          drawing.fillRect(0, 0, 64, 64);
          drawing.fillStyle = '#888';
          drawing.fillRect(n++ % 60, 0, 4, 4); // else nothing is new
        }, 50);
        return canvas.captureStream(20).getVideoTracks()[0];
      };
      const received = new Received(), [red, green, blue] = ['#f00', '#0f0', '#00f'].map(color), video = document.createElement('video'), seen = [];
      const carry = (/** @type {MediaStreamTrack} */ track) => received.carry({ stream: { audio: null, video: track }, screen: { audio: null, video: null } });
      carry(red);
      Object.assign(video, { muted: true, autoplay: true, playsInline: true, srcObject: received.stream });
      document.body.append(video);
      await video.play();
      const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }), drawing = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
      for (const [i, track] of [red, green, blue, red].entries()) {
        if (i) carry(track);
        let is = '';
        for (const end = performance.now() + 15_000, wanted = ['red', 'green', 'blue', 'red'][i]; performance.now() < end && is !== wanted;) {
          await new Promise((resolve) => { setTimeout(resolve, 50); });
          drawing.drawImage(video, 40, 40, 1, 1, 0, 0, 1, 1);
          const [r, g, b] = drawing.getImageData(0, 0, 1, 1).data;
          is = r > 200 ? 'red' : g > 200 ? 'green' : b > 200 ? 'blue' : '';
        }
        seen.push(is);
      }
      return seen;
    });
    assert.deepEqual(seen, ['red', 'green', 'blue', 'red']);
    await browser.close();
  });
}
