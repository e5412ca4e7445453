import {transceiverOf} from './connection.js';
import {Redundancy, Room} from './redundancy.js';
import {soundTimes as times} from '../../base/times.js';

/**
 * What sound needs of its peer.
 * @typedef {object} SoundHost
 * @property {import('../../base/clock.js').Clock} clock
 * @property {() => import('./negotiation.js').Negotiation | null} current of the connection in use, while it is connected and can be negotiated
 * @property {() => boolean} open whether messages go out at once
 * @property {() => boolean} narrow the line takes less than the call wants
 * @property {(message: any) => void} tell
 */

/** What a browser can receive of sound; none where it does not say. @returns {RTCRtpCodec[]} */
const receivable = () => globalThis.RTCRtpReceiver?.getCapabilities?.('audio')?.codecs ?? [];

const isRed = (/** @type {{mimeType: string}} */ {mimeType}) => /^audio\/red$/i.test(mimeType);

/** The first m-line of sound, without what follows it. @param {RTCSessionDescription | RTCSessionDescriptionInit | null} description */
const soundOf = (description) => /^m=audio [^]*?(?=^m=|$(?![^]))/m.exec(description?.sdp ?? '')?.[0] ?? '';

/** Whether a description says that redundant sound can be received. @param {RTCSessionDescription | RTCSessionDescriptionInit | null} description */
export function knowsRed(description) {
  return /^a=rtpmap:\d+ red\/48000/im.test(soundOf(description));
}

/** Whether who has made a description wants redundant sound before other. @param {RTCSessionDescription | RTCSessionDescriptionInit | null} description */
export function prefersRed(description) {
  const sound = soundOf(description), [, first = ''] = /^m=audio \d+ \S+ (\d+)/.exec(sound) ?? [];
  return first !== '' && new RegExp(`^a=rtpmap:${first} red/`, 'im').test(sound);
}

/**
 * Has the next description of ours ask for redundant sound before other, or after it: what comes first in a description is
 * what the other side sends. The description itself is the browser's alone.
 * @param {RTCPeerConnection} pc @param {boolean} wanted
 */
function prefer(pc, wanted) {
  const codecs = receivable(), red = codecs.filter(isRed), others = codecs.filter((codec) => !isRed(codec));
  if (!red.length) return;
  try {
    transceiverOf(pc, 'audio')?.setCodecPreferences?.(wanted ? [...red, ...others] : [...others, ...red]);
  } catch {
    // A browser that takes no order has its own.
  }
}

/**
 * The sound of one person, sent twice where some of it is lost. Each side hears what it misses, and the other side says
 * whether its line has room: who misses something asks for it by the order of codecs in an offer. An encoding's `codec`
 * would need no offer, but Chromium takes RED there and goes on as before.
 */
export class Sound {
  /** @type {SoundHost} */ #host;
  #room = new Room();
  #redundancy = new Redundancy();
  /** What was said of our room, null: over another connection, and what they say of theirs. @type {boolean | null} */ #told = false;
  #theirs = false;
  /** @type {RTCPeerConnection | null} that was looked at last */ #pc = null;
  #triedAt = -Infinity;
  /** Offers in a row that have changed nothing. */
  #vain = 0;

  /** @param {SoundHost} host */
  constructor(host) {
    this.#host = host;
  }

  /** Once a second. @param {RTCStatsReport} report @param {import('./stats.js').Quality} quality */
  tick(report, quality) {
    const negotiation = this.#host.current();
    if (!negotiation) return;
    const {pc} = negotiation, now = this.#host.clock.now();
    if (pc !== this.#pc) this.#moved(pc);
    if (!knowsRed(pc.localDescription) || !knowsRed(pc.remoteDescription)) return;
    const room = this.#room.take(now, this.#host.narrow(), quality.available, quality.rtt);
    if (room !== this.#told && this.#host.open() && (room || this.#told !== false)) {
      this.#told = room;
      this.#host.tell({type: 'redundant', possible: room});
    }
    const mid = transceiverOf(pc, 'audio')?.mid;
    for (const entry of /** @type {Iterable<any>} */ (report.values())) {
      if (entry.type !== 'inbound-rtp' || entry.kind !== 'audio' || (entry.mid ?? mid) !== mid) continue;
      this.#redundancy.take(now, entry.packetsReceived ?? 0, entry.packetsLost ?? 0, this.#theirs);
      break;
    }
    this.#ask(negotiation, now);
  }

  /** Whether the other side's line has room, as it says. @param {boolean} possible */
  hear(possible) { this.#theirs = possible; }

  /** An offer is in force: without a word of ours the answer would want what the offer wants. @param {RTCPeerConnection} pc */
  prepare(pc) {
    if (prefersRed(pc.remoteDescription) || this.#redundancy.wanted) prefer(pc, this.#redundancy.wanted);
  }

  /** @param {RTCPeerConnection} pc */
  #moved(pc) {
    this.#pc = pc;
    this.#room.forget();
    this.#redundancy.forget();
    if (this.#told) this.#told = null;
    this.#vain = 0;
  }

  /** @param {import('./negotiation.js').Negotiation} negotiation @param {number} now */
  #ask(negotiation, now) {
    const {pc} = negotiation, {wanted} = this.#redundancy;
    if (prefersRed(pc.localDescription) === wanted) {
      this.#vain = 0;
      return;
    }
    if (pc.signalingState !== 'stable' || now - this.#triedAt < Math.min(times.againMost, times.again * 2 ** this.#vain)) return;
    this.#triedAt = now;
    this.#vain++;
    prefer(pc, wanted);
    negotiation.offer();
  }
}
