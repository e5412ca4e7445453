import {verdict} from '/client/turnhub.js';
import {number, t} from './words.js';

/** @typedef {import('/client/turnhub.js').Findings} Findings */
/** @typedef {import('/client/turnhub.js').LoopResult} LoopResult */
/** @typedef {import('/client/turnhub.js').Said} Said */
/** @typedef {import('/client/turnhub.js').UrlResult} UrlResult */

/** Why a way to the relay does not work. @param {UrlResult} result */
export function whyNot({error}) {
  return t(`check.${error ?? 'silent'}`);
}

/** Why the round trip through the relay failed. @param {LoopResult} result */
export function whyNoLoop({error}) {
  return t(`check.loop-${error ?? 'failed'}`);
}

/** One thing that the verdict says. @param {Said} said */
function sentence({code, values}) {
  switch (code) {
    case 'device': return t(`problem.${values.kind}-${values.problem}`);
    case 'loop': return t('verdict.loop', {why: t(`check.loop-${values.error}`)});
    case 'loss': return t('verdict.loss', {loss: Math.round(values.loss * 100)});
    case 'latency': return t('verdict.latency', {latency: Math.round(values.latency)});
    case 'ask-exempt': return t('verdict.ask-exempt', {host: values.host || location.host});
    case 'ask-socket': return t('verdict.ask-socket', {host: values.host || location.host});
    case 'ask-udp': case 'ask-tcp': case 'ask-tls': return t(`verdict.${code}`, {port: String(values.port), host: values.host});
    default: return t(`verdict.${code}`);
  }
}

/** How calls will go from here, and what would make them better. @param {Findings} findings */
export function verdictWords(findings) {
  const {level, text, ask} = verdict(findings);
  return {level, title: t(`verdict.${level}`), text: text.map(sentence), ask: ask.map(sentence)};
}

/** Latency, jitter, loss and throughput as the language writes them. @param {LoopResult} loop */
export function loopValues({latency, jitter, loss, throughput}) {
  return {latency: number(latency, 1), jitter: number(jitter, 1), loss: number(loss * 100, 1), throughput: number(throughput / 1e6, 1)};
}

/**
 * The report as text, for a mail to whoever can help.
 * @param {Findings} findings @param {string} page @param {string} browser
 */
export function reportText(findings, page, browser) {
  const {title, text, ask} = verdictWords(findings);
  const {urls, nat, loop, socket, devices} = findings;
  /** @param {'audio' | 'video'} kind */
  const state = (kind) => { const problem = devices[kind]; return problem ? t(`problem.${kind}-${problem}`) : t('report.works'); };
  const lines = [
    t('report.title', {page}), new Date().toISOString(), browser, '', title, ...text.map((line) => `  ${line}`),
    ...(ask.length ? ['', t('report.ask'), ...ask.map((line) => `  - ${line}`)] : []),
    '', socket ? t('report.socket-works') : t('report.socket-fails'),
    ...urls.map((result) => (result.works
      ? t('report.url-works', {url: result.url, time: result.time})
      : t('report.url-fails', {url: result.url, time: result.time, code: String(result.errorCode), why: whyNot(result)}))),
    t('report.nat', {kind: t(`check.nat-${nat}`)}),
    loop ? (loop.works ? t('report.loop-works', loopValues(loop)) : t('report.loop-fails', {why: whyNoLoop(loop)})) : t('report.loop-none'),
    t('report.camera', {state: state('video')}), t('report.microphone', {state: state('audio')}),
  ];
  return lines.join('\n');
}
