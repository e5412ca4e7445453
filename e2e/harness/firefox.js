import fs from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { firefox } from 'playwright-core';
import { makeDatabase } from './certificates.js';

/** What starts Firefox: see there why it is not started itself. */
const starter = fileURLToPath(new URL('firefox-start.js', import.meta.url));

/** Preferences of every Firefox of the tests. The driver sets those that keep a new profile quiet. */
const preferences = {
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'media.peerconnection.ice.loopback': true, // a machine may have no other address
  'media.devices.unfocused.enabled': true, // one window of several has the focus, and the others have cameras too
  'permissions.default.desktop-notification': 1, // there is nobody to answer the question
  'network.proxy.allow_hijacking_localhost': true,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'security.remote_settings.crlite_filters.enabled': false,
  // The tests open many profiles: what makes each of them slower to start, or asks somebody.
  'browser.tabs.unloadOnLowMemory': false,
  'browser.sessionstore.resume_from_crash': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.enabled': false,
  'dom.ipc.processPrelaunch.enabled': false,
};

/**
 * Starts Firefox, as its makers and Debian ship it, by WebDriver BiDi.
 * @param {import('./browser.js').BrowserOptions} options
 * @param {string} home a folder of its own
 * @param {NodeJS.ProcessEnv} env
 */
export async function launchFirefox({ netns, caFile, proxy, fps = 5, devices = true, display, here = [], sound }, home, env) {
  const authorities = path.join(home, 'authorities');
  if (caFile) await makeDatabase(authorities, [caFile].flat());
  const via = proxy ? new URL(proxy) : undefined;
  return firefox.launch({
    channel: 'moz-firefox', // the driver's name for "unpatched, by BiDi"
    executablePath: starter,
    headless: !display,
    firefoxUserPrefs: {
      ...preferences,
      'media.navigator.streams.fake': devices,
      'media.navigator.video.default_fps': fps,
      'network.dns.localDomains': here.join(','),
      ...(via && {
        'network.proxy.type': 1,
        'network.proxy.http': via.hostname, 'network.proxy.http_port': Number(via.port),
        'network.proxy.ssl': via.hostname, 'network.proxy.ssl_port': Number(via.port),
      }),
    },
    env: /** @type {any} */ ({
      ...env,
      ...(display && { DISPLAY: display }),
      ...(sound && { PULSE_SERVER: sound }),
      ...(netns && { E2E_FIREFOX_NETNS: netns, E2E_FIREFOX_SOCKET: path.join(home, 'driver.sock') }),
      ...(caFile && { E2E_FIREFOX_AUTHORITIES: authorities }),
      MOZ_DISABLE_CONTENT_SANDBOX: '1', // as root, in a namespace, there is none to be had
    }),
  });
}
