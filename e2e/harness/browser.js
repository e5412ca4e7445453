import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { trustAuthority } from './certificates.js';
import { onCleanup } from './cleanup.js';
import { observeCalls } from './observe.js';

const executable = process.env.E2E_CHROMIUM ?? '/usr/bin/chromium';

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
];

/**
 * @typedef {object} BrowserOptions
 * @property {string} [netns] network namespace to run in (the browser is driven over a pipe, so it may have no way to us)
 * @property {string} [caFile] certificate authority to trust
 * @property {string} [proxy] value of --proxy-server
 * @property {number} [fps] pictures a second of the fake camera; default 20
 * @property {string[]} [args] more flags
 */

/**
 * Starts Chromium with fake camera and microphone in a throw-away home.
 * @param {BrowserOptions} [options]
 */
export async function startBrowser(options = {}) {
  const home = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-home-'));
  const removeHome = onCleanup(() => fs.rm(home, { recursive: true, force: true, maxRetries: 5 }));
  if (options.caFile) await trustAuthority(home, options.caFile);
  let executablePath = executable;
  if (options.netns) {
    executablePath = path.join(home, 'chromium');
    await fs.writeFile(executablePath, `#!/bin/sh\nexec ip netns exec ${options.netns} ${executable} "$@"\n`, { mode: 0o755 });
  }
  const args = [...flags, `--use-fake-device-for-media-stream=fps=${options.fps ?? 20}`, ...(options.args ?? [])];
  if (options.proxy) args.push(`--proxy-server=${options.proxy}`);
  const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: `${home}/.config`, XDG_CACHE_HOME: `${home}/.cache` };
  const browser = await chromium.launch({ executablePath, headless: true, args, env: /** @type {any} */ (env) });
  const close = onCleanup(() => browser.close());
  return {
    browser,
    /** HOME of the browser */
    home,
    /**
     * A page with a profile of its own. `only` and `policy` narrow every RTCPeerConnection of the page, see observe.js.
     * @param {import('./observe.js').Narrowing & {viewport?: {width: number, height: number}}} [pageOptions]
     */
    async newPage({ viewport, ...narrowing } = {}) {
      const context = await browser.newContext({ viewport: viewport ?? { width: 900, height: 640 }, permissions: ['camera', 'microphone'] });
      await context.addInitScript(observeCalls, narrowing);
      const page = await context.newPage();
      if (process.env.E2E_LOG) {
        page.on('console', (message) => process.stderr.write(`page: ${message.text()}\n`));
      }
      return page;
    },
    async close() {
      await close();
      await removeHome();
    },
  };
}
