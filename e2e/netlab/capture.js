import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import { onCleanup } from '../harness/cleanup.js';
import { readCapture } from './packets.js';

/** @typedef {import('./packets.js').Packet} Packet */

/**
 * Captures what goes over a device of a namespace, with tcpdump.
 * @param {import('./lab.js').Lab} lab
 * @param {string} name short name of the namespace
 * @param {string} device
 * @param {string} file where the capture stays
 * @returns {Promise<() => Promise<Packet[]>>} ends it
 */
export async function capture(lab, name, device, file) {
  const child = spawn('ip', ['netns', 'exec', lab.netns(name), 'tcpdump', '-n', '-U', '-Z', 'root', '--immediate-mode', '-i', device, '-w', file],
    { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const end = onCleanup(async () => {
    child.kill('SIGINT');
    await exited;
  });
  await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`tcpdump ended with ${code}`)));
    child.stderr.once('data', resolve); // "listening on …"
  });
  return async () => {
    await end();
    return readCapture(await fs.readFile(file));
  };
}

/**
 * Runs in a page before its own scripts: notes in `window.steps` what goes over its WebSockets and how its connections
 * come about, each with the time in milliseconds since 1970.
 */
export function noteSteps() {
  const page = /** @type {any} */ (window);
  /** @type {{at: number, what: string}[]} */
  page.steps = [];
  const note = (/** @type {string} */ what) => page.steps.push({ at: performance.timeOrigin + performance.now(), what });
  const nameMessage = (/** @type {any} */ data) => {
    const { type, state, first, data: signal } = JSON.parse(data);
    const inside = first ?? signal ?? {};
    const parts = [inside.description?.type, inside.candidates && `${inside.candidates.length} candidates`].filter(Boolean);
    return [type, state, parts.length ? `(${parts.join(', ')})` : ''].filter(Boolean).join(' ');
  };
  const NativeSocket = window.WebSocket;
  page.WebSocket = class extends NativeSocket {
    /** @param {string} url @param {string | string[]} [protocols] */
    constructor(url, protocols) {
      super(url, protocols);
      this.addEventListener('message', ({ data }) => note(`hub says ${nameMessage(data)}`));
    }

    /** @param {any} data */
    send(data) {
      note(`to the hub: ${nameMessage(data)}`);
      super.send(data);
    }
  };
  const Native = window.RTCPeerConnection;
  page.RTCPeerConnection = class extends Native {
    /** @param {RTCConfiguration} [config] */
    constructor(config) {
      super(config);
      this.addEventListener('iceconnectionstatechange', () => note(`ICE ${this.iceConnectionState}`));
      this.addEventListener('connectionstatechange', () => note(`connection ${this.connectionState}`));
      this.addEventListener('track', ({ transceiver, track }) => {
        const { transport } = transceiver.receiver;
        if (track.kind === 'audio') transport?.addEventListener('statechange', () => note(`DTLS ${transport.state}`));
      });
    }
  };
}
