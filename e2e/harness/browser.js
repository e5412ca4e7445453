import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { launchChromium } from './chromium.js';
import { onCleanup } from './cleanup.js';
import { launchFirefox } from './firefox.js';
import { observeCalls } from './observe.js';

/** @typedef {'chromium' | 'firefox'} Kind */

/** Makes Chromium try what is to save round trips (WARP): SCTP's first flight in the description (SNAP), and DTLS inside the connectivity checks (SPED). */
export const trials = '--force-fieldtrials=WebRTC-Sctp-Snap/Enabled/WebRTC-IceHandshakeDtls/Enabled/';

const launchers = { chromium: launchChromium, firefox: launchFirefox };

/**
 * @typedef {object} BrowserOptions
 * @property {Kind} [kind] default Chromium
 * @property {string} [netns] network namespace to run in
 * @property {string | string[]} [caFile] certificate authority to trust, or several
 * @property {string} [proxy] HTTP proxy for everything, such as "http://10.0.0.1:3128"
 * @property {{username: string, password: string}} [password] what the visitor types when the proxy asks
 * @property {number} [fps] pictures a second of the fake cameras; default 5
 * @property {boolean} [devices] false: the machine's own devices, which in a test are none at all
 * @property {number} [cameras] Chromium: how many fake cameras there are; default 1. The second is a depth camera, of which WebRTC takes no picture
 * @property {boolean} [granted] Chromium: false: pages have no camera and microphone until `permit` allows them
 * @property {string[]} [args] Chromium: more flags
 * @property {string[]} [here] Firefox: names that lead to this machine
 * @property {string} [sound] Firefox: a sound card, see sound.js
 * @property {string} [display] Firefox: a screen to share, see display.js
 */

/** Has a page that does not load say what it still waits for. @param {import('playwright-core').Page} page */
function sayWhy(page) {
  /** @type {Set<import('playwright-core').Request>} */ const asked = new Set();
  page.on('request', (request) => asked.add(request));
  for (const over of /** @type {const} */ (['requestfinished', 'requestfailed'])) page.on(/** @type {'requestfinished'} */ (over), (request) => asked.delete(request));
  for (const how of /** @type {const} */ (['goto', 'reload'])) {
    const load = /** @type {(...args: any[]) => Promise<any>} */ (page[how]).bind(page);
    page[how] = async (...args) => {
      asked.clear();
      try {
        return await load(...args);
      } catch (error) {
        // What has come is among the resources; what a page names and has not come is what it waits for, if the browser has asked for it or not.
        const look = () => {
          const come = new Set(performance.getEntriesByType('resource').map(({ name }) => name));
          const named = [...document.querySelectorAll('script[src], img[src], link[rel~=stylesheet], link[rel=modulepreload], use')].map((element) => (
            new URL(element.getAttribute('src') ?? element.getAttribute('href') ?? '', document.baseURI).href.replace(/#.*/, '')));
          return `${document.readyState}, in view ${document.body?.dataset.view} and state ${document.body?.dataset.state}, without ${[...new Set(named)].filter((url) => !come.has(url)).join(' ') || 'nothing'}`;
        };
        const state = await Promise.race([page.evaluate(look).catch(String), new Promise((said) => { setTimeout(said, 5_000, 'silent'); })]);
        throw new Error(`${error}\nthe page is ${state}, and waits for: ${[...asked].map((request) => request.url()).join(' ') || 'nothing that it has asked for'}`, { cause: error });
      }
    };
  }
}

/**
 * Starts a browser with fake camera and microphone in a throw-away home.
 * @param {BrowserOptions} [options]
 */
export async function startBrowser(options = {}) {
  const { kind = 'chromium', granted = true, password } = options;
  const home = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-home-'));
  const removeHome = onCleanup(() => fs.rm(home, { recursive: true, force: true, maxRetries: 5 }));
  const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: `${home}/.config`, XDG_CACHE_HOME: `${home}/.cache` };
  const browser = await launchers[kind](options, home, env);
  const close = onCleanup(() => browser.close());
  return {
    kind,
    browser,
    /** HOME of the browser */
    home,
    /**
     * A page in a window of its own, with a profile of its own. `only` and `policy` narrow every RTCPeerConnection of
     * the page, see observe.js.
     * @param {import('./observe.js').Narrowing & {viewport?: {width: number, height: number}, colorScheme?: 'light' | 'dark'}} [pageOptions]
     */
    async newPage({ viewport, colorScheme, ...narrowing } = {}) {
      const context = await browser.newContext({ viewport: viewport ?? { width: 900, height: 640 }, colorScheme, httpCredentials: password,
        permissions: granted && kind === 'chromium' ? ['camera', 'microphone'] : [] });
      await context.addInitScript(observeCalls, narrowing);
      context.setDefaultTimeout(60_000); // of a machine that does much beside; nothing takes so long by itself
      const page = await context.newPage();
      sayWhy(page);
      if (process.env.E2E_LOG) {
        page.on('console', (message) => process.stderr.write(`${kind}: ${message.text()}\n`));
      }
      return page;
    },
    /**
     * What the visitor says in Chromium's own settings about a page's camera and microphone.
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
