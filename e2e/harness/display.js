import { spawn } from 'node:child_process';
import { onCleanup } from './cleanup.js';

/**
 * A screen for browsers that have to share one: without a screen they have none to offer. It is gone with the tests.
 * @returns {Promise<string>} value of DISPLAY
 */
export async function startDisplay() {
  const child = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1280x1024x24', '-nolisten', 'tcp'], { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (text) => (said += text));
  const number = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`Xvfb ended (${code}): ${said}`)));
    /** @type {import('node:stream').Readable} */ (child.stdio[3]).once('data', (text) => resolve(String(text).trim()));
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  onCleanup(() => { child.kill(); return ended; });
  return `:${number}`;
}
