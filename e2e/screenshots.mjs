// Makes the pictures of the README, docs/lobby.png and its like, from the real pages: `make screenshots`. They are committed, since
// nobody who reads needs Chromium. What cameras show is drawn: nobody's face, and small files.
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { connected, join, openLobby } from './browser/callpage.js';
import { startBrowser } from './harness/browser.js';
import { cleanup } from './harness/cleanup.js';
import { moves } from './harness/people.js';
import { startServer } from './harness/server.js';

const docs = fileURLToPath(new URL('../docs/', import.meta.url));

/** Instead of the camera: somebody drawn, in front of a window. @param {{wall: string, coat: string, hair: string}} colors */
function drawn({ wall, coat, hair }) {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    const [camera] = stream.getVideoTracks();
    if (!camera) return stream;
    const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
    const paint = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    const oval = (/** @type {number[]} */ [x, y, w, h], /** @type {string} */ color) => {
      paint.fillStyle = color;
      paint.beginPath();
      paint.ellipse(x, y, w, h, 0, 0, 7);
      paint.fill();
    };
    const frame = () => {
      const lean = Math.sin(Date.now() / 900) * 6;
      paint.fillStyle = wall;
      paint.fillRect(0, 0, 1280, 720);
      paint.fillStyle = '#ffffffcc';
      for (const [x, y] of [[900, 60], [1030, 60], [900, 210], [1030, 210]]) paint.fillRect(x, y, 120, 140);
      oval([600 + lean, 760, 330, 290], coat);
      oval([600 + lean, 500, 60, 90], '#e8b897');
      oval([600 + lean, 290, 128, 160], hair);
      oval([600 + lean, 335, 104, 132], '#f4cdb0');
      for (const side of [-42, 42]) oval([600 + side + lean, 315, 10, 12], '#2b1d16');
      oval([600 + lean, 400, 30, 12], '#a8403c');
    };
    frame();
    setInterval(frame, 66);
    const [track] = canvas.captureStream(15).getVideoTracks();
    track.addEventListener('ended', () => camera.stop());
    return new MediaStream([...stream.getAudioTracks(), track]);
  };
}
const anna = { wall: '#d9c7a7', coat: '#8f3043', hair: '#9c5a25' }, petya = { wall: '#b9cfc9', coat: '#1f5a78', hair: '#33231a' };

/** @param {import('playwright-core').Page} page @param {string} name */
async function picture(page, name) {
  await page.waitForFunction(() => !document.querySelector('.toast'));
  await page.screenshot({ path: `${docs}${name}.png` });
  const { size } = await stat(`${docs}${name}.png`);
  console.log(`docs/${name}.png ${Math.round(size / 1000)} kB`);
}

try {
  const server = await startServer();
  const browser = await startBrowser({ fps: 15 });
  const desk = { width: 1100, height: 720 }, phone = { width: 390, height: 780 };
  /** @param {{width: number, height: number}} viewport @param {typeof anna} [who] */
  const open = async (viewport, who) => {
    const page = await browser.newPage({ viewport, policy: 'relay' }); // so that the console has something to show
    if (who) await page.addInitScript(drawn, who);
    return page;
  };
  const [left, right] = await Promise.all([open(desk, anna), open(phone, petya)]);
  await openLobby(left, server.base, { name: 'Anna', room: 'blue-fox-42' });
  await left.waitForFunction(() => document.querySelector('video')?.videoWidth === 1280);
  await picture(left, 'lobby');
  await openLobby(right, server.base, { name: 'Petya', room: 'blue-fox-42' });
  await join(left);
  await join(right);
  await Promise.all([connected(left), connected(right)]);
  await Promise.all([moves(left, 150), moves(right, 150)]); // until the picture is sharp
  await picture(right, 'phone');

  const operator = await open({ width: 1100, height: 1000 });
  await operator.goto(server.admin);
  await operator.locator('#probes .good').first().waitFor();
  await operator.getByText('blue-fox-42').first().waitFor();
  await operator.waitForTimeout(40_000); // of what the plots show
  await picture(operator, 'console');

  const check = await open({ width: 1100, height: 900 });
  await check.goto(`${server.base}/check`);
  await check.waitForSelector('body[data-state=done]');
  await picture(check, 'check');
} finally {
  await cleanup();
}
