import {silenceOf} from './watch.js';
import {realClock} from '../../base/clock.js';
import {callTimes as times} from '../../base/times.js';

/** @typedef {import('../../session/hub.js').Path} Path */

/**
 * How the connection to one peer is. Rates are over the time since the snapshot before.
 * @typedef {object} Quality
 * @property {Path | ''} path '' while nothing is connected
 * @property {number} port of the relay that we use over TLS; 0: none, or the browser does not say
 * @property {'no' | 'yes' | 'unknown'} far whether the relay is the other side's; `unknown`: it is, and over what is not known
 * @property {number} rtt seconds
 * @property {number} loss lost packets of those sent to us, 0 to 1
 * @property {number} jitter seconds
 * @property {number} received bits per second
 * @property {number} sent bits per second
 * @property {number} available what the sender thinks that the path carries, bits per second; 0: not known
 * @property {number} frames decoded in all
 * @property {number} frameRate decoded frames per second
 * @property {number} width of the picture that is received
 * @property {number} height
 * @property {number} silence milliseconds since the last packet of the peer; Infinity: none yet
 * @property {string} local candidate type
 * @property {string} remote candidate type
 */

/**
 * The path of a candidate pair. A relay on the other side shows only in the type of its candidate.
 * @param {any} local candidate statistics
 * @param {any} remote
 * @param {Path | ''} [told] what the other side says of its own path
 * @returns {{path: Path, port: number, far: 'no' | 'yes' | 'unknown'}}
 */
export function describePath(local, remote, told = '') {
  if (local?.candidateType === 'relay') {
    const protocol = String(local.relayProtocol || /transport=(udp|tcp)/.exec(local.url ?? '')?.[1] || 'udp');
    const secure = protocol === 'tls' || /^turns:/.test(local.url ?? '');
    if (secure) return {path: 'relay-tls', port: portOf(local.url), far: 'no'};
    return {path: protocol === 'tcp' ? 'relay-tcp' : 'relay-udp', port: 0, far: 'no'};
  }
  if (remote?.candidateType === 'relay') {
    return told && told !== 'direct' ? {path: told, port: 0, far: 'yes'} : {path: 'relay-udp', port: 0, far: 'unknown'};
  }
  return {path: 'direct', port: 0, far: 'no'};
}

/** The port, 0 where the browser does not say which it is: of a URL without one it is the usual. @param {string | undefined} url */
function portOf(url) {
  return url ? Number(/:(\d+)(?:\?|$)/.exec(url)?.[1] ?? 5349) : 0;
}

/** Turns the snapshots of one RTCPeerConnection into Quality. */
export class Meter {
  /** @type {{at: number, received: number, sent: number, packets: number, lost: number, frames: number} | null} */
  #last = null;

  /**
   * @param {RTCStatsReport} report
   * @param {Path | ''} [told] what the other side says of its path
   * @returns {Quality}
   */
  read(report, told = '') {
    /** @type {any} */ let pair = null;
    /** @type {any} */ let transport = null;
    let packets = 0, lost = 0, jitter = 0, frames = 0, width = 0, height = 0, at = 0;
    for (const entry of /** @type {Iterable<any>} */ (report.values())) {
      if (entry.type === 'transport' && entry.selectedCandidatePairId) transport ??= entry;
      if (entry.type === 'inbound-rtp') {
        packets += entry.packetsReceived ?? 0;
        lost += Math.max(0, entry.packetsLost ?? 0);
        jitter = Math.max(jitter, entry.jitter ?? 0);
        if (entry.kind === 'video') {
          frames += entry.framesDecoded ?? 0;
          width = entry.frameWidth ?? width;
          height = entry.frameHeight ?? height;
        }
      }
    }
    pair = transport ? report.get(transport.selectedCandidatePairId) : null;
    // Firefox has no transport statistics: the pair itself says that it is in use.
    if (!pair) for (const entry of report.values()) if (entry.type === 'candidate-pair' && entry.selected) pair = entry;
    at = pair?.timestamp ?? 0;
    const local = pair && report.get(pair.localCandidateId);
    const remote = pair && report.get(pair.remoteCandidateId);
    const {path, port, far} = pair ? describePath(local, remote, told) : {path: /** @type {''} */ (''), port: 0, far: /** @type {const} */ ('no')};
    const now = {at, received: pair?.bytesReceived ?? 0, sent: pair?.bytesSent ?? 0, packets, lost, frames};
    // A restart of ICE chooses another pair, whose counters begin anew.
    const last = this.#last && this.#last.received <= now.received && this.#last.at < at ? this.#last : null;
    this.#last = now;
    const seconds = last ? (now.at - last.at) / 1000 : 0;
    /** @param {'received' | 'sent' | 'frames'} member */
    const rate = (member) => (last && seconds > 0 ? Math.max(0, now[member] - last[member]) / seconds : 0);
    const expected = last ? now.packets - last.packets + now.lost - last.lost : 0;
    return {
      path, port, far,
      rtt: pair?.currentRoundTripTime ?? 0,
      loss: last && expected > 0 ? Math.min(1, Math.max(0, (now.lost - last.lost) / expected)) : 0,
      jitter,
      received: rate('received') * 8,
      sent: rate('sent') * 8,
      available: pair?.availableOutgoingBitrate ?? 0,
      frames, frameRate: rate('frames'), width, height,
      silence: silenceOf(report),
      local: local?.candidateType ?? '',
      remote: remote?.candidateType ?? '',
    };
  }
}

/**
 * How a connection is, in the browser's words; null where it does not say. Everybody asks here and not the connection
 * itself: Firefox never answers about one that is closed meanwhile, and who waits for that does nothing else any more.
 * @param {RTCPeerConnection} pc
 * @param {import('../../base/clock.js').Clock} [clock]
 * @returns {Promise<RTCStatsReport | null>}
 */
export function statsOf(pc, clock = realClock) {
  /** @type {any} */ let timer;
  /** @type {Promise<null>} */ const late = new Promise((resolve) => { timer = clock.setTimeout(() => resolve(null), times.statistics); });
  return Promise.race([pc.getStats().catch(() => null), late]).finally(() => clock.clearTimeout(timer));
}

/** Whether a picture of the other side has been decoded. @param {RTCPeerConnection} pc @param {import('../../base/clock.js').Clock} [clock] */
export async function hasPicture(pc, clock) {
  for (const entry of (await statsOf(pc, clock))?.values() ?? []) {
    if (entry.type === 'inbound-rtp' && entry.kind === 'video' && entry.framesDecoded > 0) return true;
  }
  return false;
}

/**
 * How loud the other side is heard at this moment, 0 to 1, as its packets say it: reading it asks nothing of the browser
 * but memory. 0 where they do not say.
 * @param {RTCPeerConnection} pc
 */
export function loudness(pc) {
  // Browsers count the time from 1970, or from when the page was opened.
  const now = performance.now(), since = performance.timeOrigin;
  let loudest = 0;
  for (const receiver of pc.getReceivers()) {
    if (receiver.track.kind !== 'audio') continue;
    for (const {audioLevel = 0, timestamp} of receiver.getSynchronizationSources?.() ?? []) {
      const age = now - (timestamp > since ? timestamp - since : timestamp);
      if (age < 400) loudest = Math.max(loudest, audioLevel);
    }
  }
  return loudest;
}
