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
  '--autoplay-policy=no-user-gesture-required',
  `--disable-features=${[
    // The list of suggestions under the address bar is a page of its own in every window: half of what opening one costs.
    'WebUIOmniboxPopup', 'WebUIOmniboxAimPopup',
    // Playwright's own, which this list replaces.
    'AvoidUnnecessaryBeforeUnloadCheckSync', 'BoundaryEventDispatchTracksNodeRemoval', 'DestroyProfileOnBrowserClose',
    'DialMediaRouteProvider', 'GlobalMediaControls', 'HttpsUpgrades', 'LensOverlay', 'MediaRouter', 'PaintHolding',
    'ThirdPartyStoragePartitioning', 'Translate', 'AutoDeElevate', 'RenderDocument', 'OptimizationHints',
  ]}`,
];

/**
 * @typedef {object} BrowserOptions
 * @property {string} [netns] network namespace to run in (the browser is driven over a pipe, so it may have no way to us)
 * @property {string} [caFile] certificate authority to trust
 * @property {string} [proxy] value of --proxy-server
 * @property {number} [fps] pictures a second of the fake cameras; default 10
 * @property {number} [cameras] how many fake cameras there are; default 1. The second is a depth camera, of which WebRTC takes no picture
 * @property {boolean} [devices] false: the machine's own devices, which in a test are none at all
 * @property {boolean} [granted] false: pages have no camera and microphone until `permit` allows them
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
  const { fps = 10, cameras = 1, devices = true, granted = true } = options;
  const args = [...flags, ...(options.args ?? [])];
  if (devices) args.push(`--use-fake-device-for-media-stream=fps=${fps},device-count=${cameras}`);
  if (granted) args.push('--use-fake-ui-for-media-stream');
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
     * @param {import('./observe.js').Narrowing & {viewport?: {width: number, height: number}, colorScheme?: 'light' | 'dark'}} [pageOptions]
     */
    async newPage({ viewport, colorScheme, ...narrowing } = {}) {
      const context = await browser.newContext({ viewport: viewport ?? { width: 900, height: 640 }, colorScheme,
        permissions: granted ? ['camera', 'microphone'] : [] });
      await context.addInitScript(observeCalls, narrowing);
      const page = await context.newPage();
      if (process.env.E2E_LOG) {
        page.on('console', (message) => process.stderr.write(`page: ${message.text()}\n`));
      }
      return page;
    },
    /**
     * What the visitor says in the browser's own settings about a page's camera and microphone.
     * @param {import('playwright-core').Page} page
     * @param {'granted' | 'denied' | 'prompt'} setting
     */
    async permit(page, setting) {
      const target = await page.context().newCDPSession(page);
      const { targetInfo: { browserContextId } } = await target.send('Target.getTargetInfo');
      const session = await browser.newBrowserCDPSession();
      const { origin } = new URL(page.url());
      for (const name of ['camera', 'microphone']) {
        await session.send('Browser.setPermission', { permission: { name }, setting, origin, browserContextId });
      }
    },
    async close() {
      await close();
      await removeHome();
    },
  };
}
