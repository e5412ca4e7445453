import { setTimeout as pause } from 'node:timers/promises';
import { until } from './until.js';

/** @typedef {import('playwright-core').Page} Page */

/**
 * Waits until remote video was decoded in each of so many consecutive seconds; throws when that does not
 * come true within the deadline. `count` is how many remote videos must do so at the same time.
 * @param {Page} page
 * @param {{count?: number, seconds?: number, deadline?: number}} [options] seconds of media, deadline in milliseconds
 * @returns {Promise<number>} frames decoded in those seconds, all videos together
 */
export function decodesVideo(page, { count = 1, seconds = 2, deadline = 60_000 } = {}) {
  return page.evaluate(
    async ({ count, seconds, deadline }) => {
      const decoded = async () => {
        /** @type {Map<string, number>} */
        const frames = new Map();
        for (const [index, call] of /** @type {any} */ (window).calls.entries()) {
          if (call.connectionState === 'closed') continue;
          for (const stat of (await /** @type {any} */ (window).statsOf(call)).values()) {
            if (stat.type === 'inbound-rtp' && stat.kind === 'video') frames.set(`${index}/${stat.id}`, stat.framesDecoded ?? 0);
          }
        }
        return frames;
      };
      const end = Date.now() + deadline;
      let before = await decoded();
      let good = 0;
      let total = 0;
      while (good < seconds) {
        if (Date.now() > end) {
          const states = /** @type {any} */ (window).calls.map((/** @type {RTCPeerConnection} */ c) => `${c.connectionState}/${c.iceConnectionState}/${c.signalingState}`);
          /** Why there is none: the handshake, and the paths that were tried. @type {string[]} */
          const paths = [];
          for (const call of /** @type {any} */ (window).calls) {
            if (call.connectionState === 'closed') continue;
            const stats = await /** @type {any} */ (window).statsOf(call);
            for (const stat of stats.values()) {
              if (stat.type === 'transport') paths.push(`transport: DTLS ${stat.dtlsState} as ${stat.dtlsRole}, ICE ${stat.iceState}, ${stat.packetsSent} packets sent, ${stat.packetsReceived} received`);
              if (stat.type !== 'candidate-pair' || !(stat.requestsSent || stat.requestsReceived)) continue;
              const of = (/** @type {string} */ id) => { const c = stats.get(id); return `${c?.candidateType} ${c?.relayProtocol ?? c?.protocol} ${c?.address}:${c?.port}`; };
              paths.push(`${of(stat.localCandidateId)} to ${of(stat.remoteCandidateId)}: ${stat.state}, ${stat.requestsSent} requests, ${stat.responsesReceived} answers, ${stat.requestsReceived} requests received`);
            }
          }
          throw new Error(`only ${good} of ${seconds} consecutive seconds of video; frames ${JSON.stringify([...before])}; connections ${states}\n${paths.join('\n')}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 1000));
        const now = await decoded();
        const rises = [...now].map(([id, frames]) => frames - (before.get(id) ?? 0)).filter((rise) => rise > 0);
        const enough = rises.length >= count;
        good = enough ? good + 1 : 0;
        total = enough ? total + rises.reduce((sum, rise) => sum + rise, 0) : 0;
        before = now;
      }
      return total;
    },
    { count, seconds, deadline },
  );
}

/**
 * Waits until sound of somebody else comes out of the decoder, and is no silence.
 * @param {Page} page
 */
export function hearsSound(page) {
  return until(page, async () => {
    let energy = 0;
    for (const call of /** @type {any} */ (window).calls) {
      if (call.connectionState === 'closed') continue;
      for (const stat of (await /** @type {any} */ (window).statsOf(call)).values()) {
        if (stat.type === 'inbound-rtp' && stat.kind === 'audio') energy += stat.totalAudioEnergy ?? 0;
      }
    }
    const page = /** @type {any} */ (window);
    page.energy = Math.min(page.energy ?? energy, energy); // of a connection that was replaced none is left
    if (energy <= page.energy) return false;
    page.energy = undefined;
    return true;
  }, undefined, 60_000);
}

/**
 * The candidate pairs in use, one for each living connection of the page.
 * @param {Page} page
 * @returns {Promise<CandidatePair[]>}
 *
 * @typedef {object} CandidatePair
 * @property {string} local type of the local candidate: host, srflx, prflx, relay
 * @property {string} remote type of the remote candidate
 * @property {string} protocol between local candidate and remote one
 * @property {string} relayProtocol udp, tcp or tls where the local candidate is a relayed one, else ""
 * @property {string} localAddress
 * @property {string} remoteAddress
 * @property {string} url the TURN URL in use, else ""
 */
export async function candidatePairs(page) {
  return (await look(page)).pairs;
}

/**
 * The candidate pair that the page's call is on: that of its newest connected connection. Waits for one, since there is none
 * while one connection takes another's place, and a browser with much to do answers late. Throws, and says what there is,
 * where there is none within the time.
 * @param {Page} page
 * @param {number} [within] milliseconds
 * @returns {Promise<CandidatePair>}
 */
export async function pairInUse(page, within = 5000) {
  for (const deadline = Date.now() + within; ; await pause(100)) {
    const { pairs, seen } = await look(page);
    const pair = pairs.at(-1);
    if (pair) return pair;
    if (process.env.E2E_NOTES) console.log(`no candidate pair in use yet: ${seen.join('; ')}`);
    if (Date.now() > deadline) throw new Error(`no candidate pair in use within ${within} ms: ${seen.join('; ')}`);
  }
}

/**
 * @param {Page} page
 * @returns {Promise<{pairs: CandidatePair[], seen: string[]}>} seen: what each connection says of itself, for people
 */
function look(page) {
  return page.evaluate(async () => {
    const pairs = [];
    const seen = [];
    for (const call of /** @type {any} */ (window).calls) {
      if (call.connectionState === 'closed') continue;
      const stats = await /** @type {any} */ (window).statsOf(call);
      const transports = [...stats.values()].filter(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
      const all = [...stats.values()].filter(({ type }) => type === 'candidate-pair');
      // Not every browser has statistics of transports; Firefox marks the pair itself.
      const selected = transports.length ? transports.map(({ selectedCandidatePairId }) => stats.get(selectedCandidatePairId)) : all.filter((pair) => pair.selected);
      const states = all.map(({ state, nominated, selected: marked }) => `${state}${nominated ? ' nominated' : ''}${marked ? ' selected' : ''}`);
      seen.push(`${call.connectionState}/${call.iceConnectionState}/${call.signalingState}, ${stats.size} statistics, pairs: ${states.join(', ') || 'none'}`);
      for (const pair of selected) {
        const local = stats.get(pair?.localCandidateId);
        const remote = stats.get(pair?.remoteCandidateId);
        if (!local || !remote) {
          seen.push(`a selected pair without its ${pair ? 'candidates' : 'statistics'}`);
          continue;
        }
        pairs.push({
          local: local.candidateType,
          remote: remote.candidateType,
          protocol: local.protocol,
          relayProtocol: local.relayProtocol ?? '',
          localAddress: `${local.address}:${local.port}`,
          remoteAddress: `${remote.address}:${remote.port}`,
          url: local.url ?? '',
        });
      }
    }
    return { pairs, seen };
  });
}

/**
 * Waits for the first frame of remote video in a page.
 * @param {Page} page
 * @param {number} [timeout] milliseconds
 * @returns {Promise<number>} when it came, in milliseconds since 1970
 */
export async function firstFrame(page, timeout = 40_000) {
  const handle = await page.waitForFunction(() => /** @type {any} */ (window).firstFrames[0], undefined, { timeout });
  return /** @type {Promise<number>} */ (handle.jsonValue());
}

/**
 * Starts to note, in the page, when remote video frames are decoded: every rise of framesDecoded, looked at ten
 * times a second. `frameTimes` reads the notes.
 * @param {Page} page
 */
export function watchFrames(page) {
  return page.evaluate(() => {
    const notes = /** @type {any} */ (window);
    notes.frameTimes = [];
    const seen = new WeakMap();
    const look = async () => {
      let rise = false;
      for (const call of notes.calls) {
        if (call.connectionState === 'closed') continue;
        let frames = 0;
        for (const stat of (await /** @type {any} */ (window).statsOf(call)).values()) {
          if (stat.type === 'inbound-rtp' && stat.kind === 'video') frames += stat.framesDecoded ?? 0;
        }
        if (frames > (seen.get(call) ?? 0)) rise = true;
        seen.set(call, frames);
      }
      if (rise) notes.frameTimes.push(Date.now());
      setTimeout(look, 100);
    };
    return look();
  });
}

/**
 * When frames were decoded, in milliseconds since 1970; empty before watchFrames.
 * @param {Page} page
 * @returns {Promise<number[]>}
 */
export function frameTimes(page) {
  return page.evaluate(() => /** @type {any} */ (window).frameTimes ?? []);
}
