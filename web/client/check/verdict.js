import {home} from '../base/home.js';
/** @typedef {import('./nat.js').UrlResult} UrlResult */
/** @typedef {import('./nat.js').LoopResult} LoopResult */
/** @typedef {import('./nat.js').NatKind} NatKind */
/** @typedef {import('../call/media/problems.js').ProblemCode} ProblemCode */

/**
 * @typedef {object} Findings
 * @property {UrlResult[]} urls
 * @property {NatKind} nat
 * @property {LoopResult | null} loop
 * @property {boolean} [webrtc] false: this browser has no WebRTC, so nothing else says anything
 * @property {boolean} socket whether the signaling socket opens
 * @property {boolean} [media] whether media would go through a WebSocket where nothing else does
 * @property {boolean} [local] whether the browser keeps this page from devices on the local network, as Chrome does unless it is allowed
 * @property {{audio: ProblemCode | null, video: ProblemCode | null}} devices null where the device works, else what is wrong
 */

/**
 * One thing to say, as a code and its values; the page has the words.
 * @typedef {{code: 'no-webrtc' | 'no-socket' | 'no-relay-offered' | 'no-relay' | 'local-network' | 'websocket' | 'web-only' | 'no-udp' | 'connects' | 'throughput', values?: undefined}
 *   | {code: 'loop', values: {error: 'timeout' | 'unreachable' | 'failed'}}
 *   | {code: 'loss', values: {loss: number}} | {code: 'latency', values: {latency: number}}
 *   | {code: 'device', values: {kind: 'audio' | 'video', problem: ProblemCode}}
 *   | {code: 'ask-socket' | 'ask-exempt', values: {host: string}}
 *   | {code: 'ask-udp' | 'ask-tcp' | 'ask-tls', values: {host: string, port: number}}} Said
 */

/**
 * What the findings mean for a visitor.
 * @typedef {object} Verdict
 * @property {'good' | 'fair' | 'bad'} level
 * @property {Said[]} text what it means: `loss` is 0 to 1, `latency` milliseconds, `throughput` is too low for good pictures
 * @property {Said[]} ask what to ask the network's administrator for
 */

/** @param {string} url @returns {{host: string, port: number, secure: boolean, tcp: boolean}} */
function destination(url) {
  const [, secure, host = '', port, transport] = /^(?:stun|turn)(s?):(\[[^\]]*\]|[^:?]+)(?::(\d+))?(?:\?transport=(\w+))?/.exec(url) ?? [];
  return {host, port: Number(port) || (secure ? 5349 : 3478), secure: Boolean(secure), tcp: Boolean(secure) || transport === 'tcp'};
}

/**
 * How calls will go from here, and what would make them better.
 * @param {Findings} findings
 * @returns {Verdict}
 */
export function verdict({urls, nat, loop, socket, media = false, local = false, devices, webrtc = true}) {
  /** @type {Said[]} */ const text = [];
  /** @type {Said[]} */ const ask = [];
  /** @param {UrlResult['kind']} kind */
  const of = (kind) => urls.filter((result) => result.kind === kind);
  /** @param {UrlResult['kind']} kind */
  const works = (kind) => of(kind).some((result) => result.works);
  const relay = works('udp') || works('tcp') || works('tls');
  const udpBlocked = of('udp').length > 0 && !works('udp');
  /** @type {Verdict['level']} */ let level = 'good';
  const limited = () => { if (level === 'good') level = 'fair'; };

  if (!webrtc) return {level: 'bad', text: [{code: 'no-webrtc'}], ask: []};
  if (!socket) {
    level = 'bad';
    text.push({code: 'no-socket'});
    ask.push({code: 'ask-socket', values: {host: home?.host ?? ''}});
  }
  if (urls.length === 0) {
    level = 'bad';
    text.push({code: 'no-relay-offered'});
  } else if (!relay) {
    // A proxy that reads HTTPS lets a WebSocket through, and nothing that is no HTTP.
    const through = socket && media;
    if (!through && (nat === 'blocked' || nat === 'unknown' || nat === 'symmetric')) level = 'bad';
    limited();
    text.push({code: through ? 'websocket' : 'no-relay'});
    if (through) ask.push({code: 'ask-exempt', values: {host: home?.host ?? ''}});
  } else if (udpBlocked) {
    limited();
    text.push({code: works('tls') && !works('tcp') ? 'web-only' : 'no-udp'});
  } else if (loop && !loop.works) {
    limited();
    text.push({code: 'loop', values: {error: loop.error ?? 'failed'}});
  } else {
    text.push({code: 'connects'});
  }
  // The relay of a server on a private address is one of them.
  if (local && urls.length > 0 && (!relay || (loop && !loop.works))) text.push({code: 'local-network'});
  for (const result of [...of('udp'), ...of('tcp'), ...of('tls')]) {
    if (works(result.kind) || (result.kind === 'tcp' && works('tls') && works('udp'))) continue;
    const {host, port, secure, tcp} = destination(result.url);
    ask.push({code: secure ? 'ask-tls' : tcp ? 'ask-tcp' : 'ask-udp', values: {host, port}});
  }
  if (loop?.works) {
    const {latency, loss, throughput} = loop;
    if (loss > 0.05) {
      limited();
      text.push({code: 'loss', values: {loss}});
    }
    if (latency > 400) text.push({code: 'latency', values: {latency}});
    if (throughput > 0 && throughput < 1_000_000) {
      limited();
      text.push({code: 'throughput'});
    }
  }
  for (const kind of /** @type {const} */ (['video', 'audio'])) {
    const problem = devices[kind];
    if (!problem) continue;
    limited();
    text.push({code: 'device', values: {kind, problem}});
  }
  return {level, text, ask};
}
