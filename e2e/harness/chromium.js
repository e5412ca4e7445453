import fs from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { makeDatabase } from './certificates.js';

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
 * Starts Chromium by its own protocol, over a pipe, so that it may have no way to us.
 * @param {import('./browser.js').BrowserOptions} options
 * @param {string} home a folder of its own
 * @param {NodeJS.ProcessEnv} env
 */
export async function launchChromium({ netns, caFile, proxy, fps = 5, cameras = 1, devices = true, granted = true, args: more = [] }, home, env) {
  if (caFile) await makeDatabase(path.join(home, '.pki', 'nssdb'), [caFile].flat());
  let executablePath = executable;
  if (netns) {
    executablePath = path.join(home, 'chromium');
    await fs.writeFile(executablePath, `#!/bin/sh\nexec ip netns exec ${netns} ${executable} "$@"\n`, { mode: 0o755 });
  }
  const args = [...flags, ...more];
  if (devices) args.push(`--use-fake-device-for-media-stream=fps=${fps},device-count=${cameras}`);
  if (granted) args.push('--use-fake-ui-for-media-stream');
  if (proxy) args.push(`--proxy-server=${proxy}`);
  return chromium.launch({ executablePath, headless: true, args, env: /** @type {any} */ (env) });
}
