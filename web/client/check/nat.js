import {transportOf} from '../call/path/connection.js';
import {statsOf} from '../call/path/stats.js';
import {partsOf} from '../base/candidate.js';
import {checkTimes as times} from '../base/times.js';

/**
 * What became of one URL in this browser, on this network.
 * @typedef {object} UrlResult
 * @property {string} url
 * @property {'stun' | 'udp' | 'tcp' | 'tls'} kind
 * @property {boolean} works
 * @property {number} time milliseconds until it answered, or until it was given up
 * @property {number} [errorCode] of icecandidateerror: 701 is "could not be reached", others are the server's
 * @property {string} [errorText] what the browser said, for logs
 * @property {'silent' | 'no-way' | 'lookup' | 'denied'} [error] `silent`: no answer in time; `no-way`: nothing gets to this
 *   address; `lookup`: its name has no address; `denied`: the server answered with an error
 */

/** @typedef {'open' | 'cone' | 'symmetric' | 'blocked' | 'unknown'} NatKind */

/**
 * @typedef {object} LoopResult
 * @property {boolean} works
 * @property {number} time milliseconds to connect
 * @property {number} latency milliseconds there and back, median
 * @property {number} jitter milliseconds, mean difference of successive round trips
 * @property {number} loss 0 to 1
 * @property {number} throughput bits per second
 * @property {'timeout' | 'unreachable' | 'failed'} [error] `timeout`: no connection through the relay in 20 s; `unreachable`: the
 *   two ends could not reach each other through it; `failed`: the browser could not make the connection
 */

/** @param {string} url @returns {UrlResult['kind']} */
export function kindOf(url) {
  return transportOf(url) || 'stun';
}

/**
 * Tries one STUN or TURN URL by itself.
 * @param {RTCIceServer} server with this one URL
 * @param {number} [patience] milliseconds; a TLS relay behind a slow proxy needs more than 10 s
 * @param {AbortSignal} [signal] gives it up earlier
 * @returns {Promise<UrlResult & {mapped: {address: string, port: number}[], hosts: string[]}>}
 */
export async function checkUrl(server, patience = times.url, signal) {
  const url = String([server.urls].flat()[0]);
  const kind = kindOf(url);
  const pc = new RTCPeerConnection({iceServers: [{...server, urls: [url]}], iceTransportPolicy: kind === 'stun' ? 'all' : 'relay'});
  pc.createDataChannel('check');
  const begun = performance.now();
  /** @type {{address: string, port: number}[]} */ const mapped = [];
  /** @type {string[]} */ const hosts = [];
  /** @type {{errorCode: number, errorText: string} | null} */ let error = null;
  /** @type {any} */ let timer;
  let gaveUp = false;
  const works = await new Promise((resolve) => {
    const giveUp = () => {
      gaveUp = true;
      resolve(false);
    };
    timer = setTimeout(giveUp, patience);
    signal?.addEventListener('abort', giveUp);
    if (signal?.aborted) giveUp();
    pc.onicecandidateerror = (event) => {
      const {errorCode, errorText} = /** @type {RTCPeerConnectionIceErrorEvent} */ (event);
      // Among several, what the server itself said tells more than "unreachable".
      if (!error || error.errorCode === 701) error = {errorCode, errorText};
    };
    pc.onicecandidate = ({candidate}) => {
      // Gathering that ends without an error and without a mapping: the server saw our own address.
      if (!candidate) return resolve(kind === 'stun' && !error);
      const {type, address, port} = partsOf(candidate);
      if (type === 'host') hosts.push(address);
      if (type === 'srflx') mapped.push({address, port});
      if (type === (kind === 'stun' ? 'srflx' : 'relay')) resolve(true);
    };
    pc.setLocalDescription().catch(() => resolve(false));
  });
  clearTimeout(timer);
  const time = Math.round(performance.now() - begun);
  pc.close();
  return {url, kind, works, time, ...(works ? {} : whatWentWrong(error, gaveUp)), mapped, hosts};
}

/**
 * @param {{errorCode: number, errorText: string} | null} said by the browser @param {boolean} gaveUp
 * @returns {Required<Pick<UrlResult, 'error' | 'errorCode' | 'errorText'>>}
 */
function whatWentWrong(said, gaveUp) {
  const {errorCode, errorText} = said ?? {errorCode: 701, errorText: ''};
  const error = errorCode !== 701 ? 'denied' : /lookup|resolve/i.test(errorText) ? 'lookup' : said || !gaveUp ? 'no-way' : 'silent';
  return {error, errorCode, errorText};
}

/**
 * The kind of NAT, from the mapping that the STUN server saw and the port from which a second address saw us.
 * @param {object} seen
 * @param {boolean} seen.answered whether STUN over UDP answers at all
 * @param {{address: string, port: number}[]} seen.mapped
 * @param {string[]} seen.hosts our own addresses, where the browser tells them
 * @param {number | null} seen.secondPort null: could not be found out
 * @returns {NatKind}
 */
export function natKind({answered, mapped, hosts, secondPort}) {
  if (!answered) return 'blocked';
  if (mapped.length === 0 || mapped.some(({address}) => hosts.includes(address))) return 'open';
  if (secondPort === null) return 'unknown';
  return mapped.some(({port}) => port === secondPort) ? 'cone' : 'symmetric';
}

/**
 * Two connections of this browser with each other.
 * @param {RTCConfiguration} first @param {RTCConfiguration} second
 */
function pairOf(first, second) {
  const a = new RTCPeerConnection(first), b = new RTCPeerConnection(second);
  const failed = new Promise((_, reject) => {
    for (const pc of [a, b]) {
      pc.addEventListener('connectionstatechange', () => {
        if (pc.connectionState === 'failed') reject(Object.assign(new Error('the two ends could not reach each other through the relay'), {code: 'unreachable'}));
      });
    }
  });
  failed.catch(() => {});
  const connect = async () => {
    a.onicecandidate = ({candidate}) => { if (candidate) b.addIceCandidate(candidate).catch(() => {}); };
    b.onicecandidate = ({candidate}) => { if (candidate) a.addIceCandidate(candidate).catch(() => {}); };
    await a.setLocalDescription();
    await b.setRemoteDescription(/** @type {RTCSessionDescription} */ (a.localDescription));
    await b.setLocalDescription();
    await a.setRemoteDescription(/** @type {RTCSessionDescription} */ (b.localDescription));
  };
  return {a, b, connect, failed, close: () => { a.close(); b.close(); }};
}

/** @param {Promise<any>} promise @param {number} milliseconds @param {string} message */
function within(promise, milliseconds, message) {
  /** @type {any} */ let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(Object.assign(new Error(message), {code: 'timeout'})), milliseconds); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** @param {RTCDataChannel} channel */
const opened = (channel) => new Promise((resolve) => {
  if (channel.readyState === 'open') resolve(undefined);
  else channel.addEventListener('open', () => resolve(undefined), {once: true});
});

/** Waits for the first candidate, or until there will be none. @param {RTCPeerConnection} pc */
async function gathered(pc) {
  pc.createDataChannel('nat');
  const first = new Promise((resolve) => { pc.onicecandidate = resolve; });
  await within(Promise.all([pc.setLocalDescription(), first]), times.candidate, 'no answer').catch(() => {});
}

/**
 * The port from which a relayed address, which is a second address behind the NAT's back, sees us. Our own connection
 * with only STUN talks to one of ours behind the relay.
 * @param {RTCIceServer} stun @param {RTCIceServer} turn
 * @param {RTCIceServer} [other] the same relay with another user's credentials: the relay lets nobody reach their own
 *   address before it has seen somebody else there
 * @returns {Promise<{mapped: {address: string, port: number}[], hosts: string[], secondPort: number | null}>}
 */
export async function secondMapping(stun, turn, other) {
  const witness = new RTCPeerConnection({iceServers: other ? [other] : [], iceTransportPolicy: 'relay'});
  if (other) await gathered(witness);
  const pair = pairOf({iceServers: [stun]}, {iceServers: [turn], iceTransportPolicy: 'relay'});
  /** @type {{address: string, port: number}[]} */ const mapped = [];
  /** @type {string[]} */ const hosts = [];
  pair.a.addEventListener('icecandidate', ({candidate}) => {
    if (!candidate) return;
    const {type, address, port} = partsOf(candidate);
    if (type === 'srflx') mapped.push({address, port});
    if (type === 'host') hosts.push(address);
  });
  const channel = pair.a.createDataChannel('nat', {negotiated: true, id: 0});
  pair.b.createDataChannel('nat', {negotiated: true, id: 0});
  try {
    await within(Promise.race([pair.connect().then(() => opened(channel)), pair.failed]), times.mapping, 'no answer');
    const report = await statsOf(pair.b);
    for (const transport of /** @type {Iterable<any>} */ (report?.values() ?? [])) {
      if (transport.type !== 'transport') continue;
      const used = report?.get(transport.selectedCandidatePairId);
      const remote = used && report?.get(used.remoteCandidateId);
      if (remote) return {mapped, hosts, secondPort: remote.port || null};
    }
  } catch {
    // A relay that does not let us reach ourselves directly says nothing about the NAT.
  } finally {
    pair.close();
    witness.close();
  }
  return {mapped, hosts, secondPort: null};
}

/**
 * A round trip through the relay and back, as in a call of two people who both need it: latency, jitter, loss, and
 * throughput over a data channel.
 * @param {RTCIceServer[]} iceServers
 * @param {{pings?: number, seconds?: number}} [options]
 * @returns {Promise<LoopResult>}
 */
export async function relayLoop(iceServers, {pings = 50, seconds = 2} = {}) {
  const configuration = {iceServers, iceTransportPolicy: /** @type {const} */ ('relay')};
  const pair = pairOf(configuration, configuration);
  const begun = performance.now();
  /** @param {RTCPeerConnection} pc */
  const channels = (pc) => [
    pc.createDataChannel('ping', {negotiated: true, id: 0, ordered: false, maxRetransmits: 0}),
    pc.createDataChannel('bulk', {negotiated: true, id: 1}),
  ];
  const [ping, bulk] = channels(pair.a), [pong, sink] = channels(pair.b);
  const none = {works: false, time: 0, latency: 0, jitter: 0, loss: 1, throughput: 0};
  try {
    await within(Promise.race([pair.connect().then(() => Promise.all([ping, bulk, pong, sink].map(opened))), pair.failed]),
      times.loop, 'no connection through the relay in 20 s');
    const time = Math.round(performance.now() - begun);
    const {latency, jitter, loss} = await pingPong(ping, pong, pings);
    const throughput = await flood(bulk, sink, seconds);
    return {works: true, time, latency, jitter, loss, throughput};
  } catch (error) {
    return {...none, time: Math.round(performance.now() - begun), error: /** @type {any} */ (error).code === 'timeout' || /** @type {any} */ (error).code === 'unreachable' ? /** @type {any} */ (error).code : 'failed'};
  } finally {
    pair.close();
  }
}

/** @param {RTCDataChannel} ping @param {RTCDataChannel} pong @param {number} count */
async function pingPong(ping, pong, count) {
  /** @type {number[]} */ const sent = [];
  /** @type {number[]} */ const trips = [];
  pong.onmessage = ({data}) => { if (pong.readyState === 'open') pong.send(data); };
  ping.onmessage = ({data}) => { trips.push(performance.now() - sent[Number(data.slice(0, 4))]); };
  const filler = '.'.repeat(156); // about the size of a packet of speech
  for (let i = 0; i < count; i++) {
    sent.push(performance.now());
    ping.send(String(i).padStart(4, '0') + filler);
    await new Promise((resolve) => setTimeout(resolve, times.ping));
  }
  for (let waited = 0; trips.length < count && waited < times.lastPings; waited += 50) await new Promise((resolve) => setTimeout(resolve, 50));
  const sorted = [...trips].sort((x, y) => x - y);
  const steps = trips.slice(1).map((trip, i) => Math.abs(trip - trips[i]));
  const round = (/** @type {number} */ value) => Math.round(value * 10) / 10;
  return {
    latency: round(sorted[Math.floor(sorted.length / 2)] ?? 0),
    jitter: round(steps.reduce((sum, step) => sum + step, 0) / Math.max(1, steps.length)),
    loss: 1 - trips.length / count,
  };
}

/** @param {RTCDataChannel} bulk @param {RTCDataChannel} sink @param {number} seconds */
async function flood(bulk, sink, seconds) {
  let bytes = 0, first = 0, last = 0;
  sink.onmessage = ({data}) => {
    last = performance.now();
    first ||= last;
    bytes += data.byteLength ?? data.size;
  };
  sink.binaryType = 'arraybuffer';
  bulk.bufferedAmountLowThreshold = 256 * 1024;
  const chunk = new Uint8Array(16 * 1024);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end && bulk.readyState === 'open') {
    while (bulk.bufferedAmount < 1 << 20) bulk.send(chunk);
    await new Promise((resolve) => {
      bulk.onbufferedamountlow = resolve;
      setTimeout(resolve, 100);
    });
  }
  return last > first ? Math.round((bytes * 8000) / (last - first)) : 0;
}

/**
 * Splits an RTCConfiguration into servers of one URL each.
 * @param {RTCConfiguration} configuration
 * @returns {RTCIceServer[]}
 */
export function single(configuration) {
  return (configuration.iceServers ?? []).flatMap((server) => [server.urls].flat().map((url) => ({...server, urls: [url]})));
}
