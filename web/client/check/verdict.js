import {home} from '../base/home.js';
/** @typedef {import('./nat.js').UrlResult} UrlResult */
/** @typedef {import('./nat.js').LoopResult} LoopResult */
/** @typedef {import('./nat.js').NatKind} NatKind */

/**
 * @typedef {object} Findings
 * @property {UrlResult[]} urls
 * @property {NatKind} nat
 * @property {LoopResult | null} loop
 * @property {boolean} socket whether the signaling socket opens
 * @property {{audio: string, video: string}} devices '' where the device works, else what is wrong
 */

/**
 * What the findings mean for a visitor.
 * @typedef {object} Verdict
 * @property {'good' | 'fair' | 'bad'} level
 * @property {string} title
 * @property {string[]} text what it means
 * @property {string[]} ask what to ask the network's administrator for
 */

/** @type {Record<NatKind, string>} */
export const natWords = {
  open: 'No address translation: this computer can be reached directly.',
  cone: 'Ordinary address translation: direct calls work with most people.',
  symmetric: 'Strict address translation (a new port for each destination): calls with people in similar networks go through the relay.',
  blocked: 'UDP does not get out of this network: every call goes through the relay over TCP or TLS.',
  unknown: 'The kind of address translation could not be told.',
};

/** @param {string} url */
function destination(url) {
  const [, secure, host, port, transport] = /^(?:stun|turn)(s?):(\[[^\]]*\]|[^:?]+)(?::(\d+))?(?:\?transport=(\w+))?/.exec(url) ?? [];
  const protocol = secure || transport === 'tcp' ? 'TCP' : 'UDP';
  return `${protocol} port ${port || (secure ? 5349 : 3478)} of ${host}`;
}

/**
 * Says in plain words how calls will go from here, and what would make them better.
 * @param {Findings} findings
 * @returns {Verdict}
 */
export function verdict({urls, nat, loop, socket, devices}) {
  /** @type {string[]} */ const text = [];
  /** @type {string[]} */ const ask = [];
  /** @param {UrlResult['kind']} kind */
  const of = (kind) => urls.filter((result) => result.kind === kind);
  /** @param {UrlResult['kind']} kind */
  const works = (kind) => of(kind).some((result) => result.works);
  const relay = works('udp') || works('tcp') || works('tls');
  const udpBlocked = of('udp').length > 0 && !works('udp');
  /** @type {Verdict['level']} */ let level = 'good';

  if (!socket) {
    level = 'bad';
    text.push('The connection on which calls are arranged (a WebSocket) cannot be opened.');
    ask.push(`Allow WebSocket connections (HTTPS with “Upgrade: websocket”) to ${home?.host ?? 'the server'}; exempt it from TLS inspection.`);
  }
  if (urls.length === 0) {
    level = 'bad';
    text.push('This server offers no relay at the moment. That is for its operator to mend: “turnhub check” says why.');
  } else if (!relay) {
    level = nat === 'blocked' || nat === 'unknown' || nat === 'symmetric' ? 'bad' : level === 'bad' ? 'bad' : 'fair';
    text.push('No relay can be reached from this network, so calls connect only where a direct path exists.');
  } else if (udpBlocked) {
    if (level === 'good') level = 'fair';
    text.push(works('tls') && !works('tcp')
      ? 'This network lets only web traffic through. Calls work, relayed over TLS; on a poor line the picture may stall now and then.'
      : 'This network blocks UDP. Calls work, relayed over TCP; on a poor line the picture may stall now and then.');
  } else if (loop && !loop.works) {
    if (level === 'good') level = 'fair';
    text.push(`The relay answers, but a round trip through it failed: ${loop.error ?? 'no reason given'}.`);
  } else {
    text.push('Calls will connect: directly where the other side allows it, else through the relay.');
  }
  for (const result of [...of('udp'), ...of('tcp'), ...of('tls')]) {
    if (!works(result.kind) && !(result.kind === 'tcp' && works('tls') && works('udp'))) {
      ask.push(`Allow ${result.kind === 'tls' ? 'TLS connections on ' : 'outgoing traffic to '}${destination(result.url)}${result.kind === 'udp' ? ' (best quality)' : ''}.`);
    }
  }
  if (loop?.works) {
    const {latency, loss, throughput} = loop;
    if (loss > 0.05) {
      if (level === 'good') level = 'fair';
      text.push(`${Math.round(loss * 100)} % of the packets through the relay were lost: expect a blurred picture and gaps in the sound. A cable instead of Wi-Fi often helps.`);
    }
    if (latency > 400) text.push(`A round trip takes ${Math.round(latency)} ms: people will talk over each other.`);
    if (throughput > 0 && throughput < 1_000_000) {
      if (level === 'good') level = 'fair';
      text.push('The line carries less than 1 Mbit/s: pictures will be small. Switch the camera off when the sound suffers.');
    }
  }
  for (const problem of [devices.video, devices.audio]) {
    if (!problem) continue;
    if (level === 'good') level = 'fair';
    text.push(problem);
  }
  const title = {
    good: 'Calls work well from here',
    fair: 'Calls work from here, with limits',
    bad: 'Calls will probably fail from here',
  }[level];
  return {level, title, text, ask};
}

/**
 * The report as text, for a mail to whoever can help.
 * @param {Findings} findings @param {string} page @param {string} browser
 */
export function reportText(findings, page, browser) {
  const {title, text, ask} = verdict(findings);
  const {urls, nat, loop, socket, devices} = findings;
  const lines = [
    `Network check of ${page}`, new Date().toISOString(), browser, '', title, ...text.map((line) => `  ${line}`),
    ...(ask.length ? ['', 'To ask the network\'s administrator for:', ...ask.map((line) => `  - ${line}`)] : []),
    '', `signaling socket: ${socket ? 'works' : 'FAILS'}`,
    ...urls.map(({url, works, time, errorCode, errorText}) => `${url}: ${works ? `works (${time} ms)` : `FAILS after ${time} ms, error ${errorCode} ${errorText}`}`),
    `address translation: ${nat}`,
    loop?.works
      ? `through the relay: ${loop.latency} ms there and back, jitter ${loop.jitter} ms, loss ${(loop.loss * 100).toFixed(1)} %, ${(loop.throughput / 1e6).toFixed(1)} Mbit/s`
      : `through the relay: ${loop ? `FAILS: ${loop.error}` : 'not tried'}`,
    `camera: ${devices.video || 'works'}`, `microphone: ${devices.audio || 'works'}`,
  ];
  return lines.join('\n');
}
