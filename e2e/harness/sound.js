import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { onCleanup } from './cleanup.js';

/**
 * A sound card for a Firefox: without one its AudioContext never runs. Nobody hears it, and it is gone with the tests.
 * @returns {Promise<string>} value of PULSE_SERVER
 */
export async function startSound() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'turnhub-sound-'));
  onCleanup(() => fs.rm(dir, { recursive: true, force: true }));
  const socket = path.join(dir, 'native');
  const child = spawn('pulseaudio', ['-n', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1', '--realtime=no', '--high-priority=no', '--disable-shm',
    '-L', 'module-null-sink', '-L', `module-native-protocol-unix socket=${socket} auth-anonymous=1`],
  { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: dir, XDG_RUNTIME_DIR: dir } });
  let said = '';
  child.stderr.on('data', (text) => { said = (said + text).slice(-2000); });
  const ended = new Promise((resolve) => { child.once('exit', resolve); child.once('error', resolve); });
  onCleanup(() => { child.kill(); return ended; });
  for (const deadline = Date.now() + 20_000; !(await fs.stat(socket).catch(() => null)); ) {
    if (Date.now() > deadline || child.exitCode !== null || !child.pid) throw new Error(`pulseaudio does not run: ${said}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  return `unix:${socket}`;
}
