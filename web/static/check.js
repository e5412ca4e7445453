import {Hub, LocalMedia, checkUrl, kindOf, natKind, relayLoop, secondMapping, single} from '/client/turnhub.js';
import {$, el, icon, toast} from './dom.js';
import {offerLanguages} from './language.js';
import {wordsOf} from './problems.js';
import {loopValues, reportText, verdictWords, whyNoLoop, whyNot} from './report.js';
import {token} from './settings.js';
import {t} from './words.js';

/** @typedef {import('/client/turnhub.js').Findings} Findings */
/** @typedef {import('/client/turnhub.js').UrlResult} UrlResult */
/** @typedef {import('/client/turnhub.js').Kind} Kind */
/** @typedef {import('/client/turnhub.js').Problem} Problem */

document.documentElement.dataset.runs = ''; // again.js

/** What `/config` may answer that has words of its own. */
const configErrors = /** @type {const} */ (['origin', 'rate', 'revoked', 'unauthorized', 'no-working-url']);

/**
 * Nothing here is waited for without limit, milliseconds: the visitor and the browser's question, whose answer comes late or
 * never (Firefox asks nobody in a window that has not been looked at); a WebSocket and `/config` behind slow proxies; and the
 * kind of NAT, which is made of several of these.
 */
const patience = {question: 60_000, socket: 15_000, config: 15_000, nat: 45_000};

/**
 * @template T
 * @param {Promise<T>} promise @param {number} milliseconds @param {T} otherwise where it is not settled by then
 * @returns {Promise<T>}
 */
function limited(promise, milliseconds, otherwise) {
  /** @type {any} */ let timer;
  /** @type {Promise<T>} */ const late = new Promise((resolve) => { timer = setTimeout(() => resolve(otherwise), milliseconds); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** @param {string} check @param {boolean | null} works @param {string} text */
function detail(check, works, text) {
  const row = $(`[data-check=${check}]`);
  row.dataset.result = works === null ? 'unknown' : works ? 'works' : 'fails';
  /** @type {HTMLElement} */ (row.querySelector('dd')).textContent = text;
}

/** @param {string} url */
function urlRow(url) {
  const result = el('td', {}, el('span', {class: 'result'}, t('check.trying')));
  const row = el('tr', {'data-url': url, 'data-kind': kindOf(url), 'data-result': 'waiting'}, el('td', {}, t(`check.${kindOf(url)}`)), el('td', {}, url), result);
  $('#urls').append(row);
  /** @param {UrlResult} found */
  return (found) => {
    const {works, time, errorCode} = found;
    row.dataset.result = works ? 'works' : 'fails';
    row.dataset.time = String(time);
    row.dataset.errorCode = String(errorCode ?? '');
    result.replaceChildren(el('span', {class: 'result'}, icon(works ? 'check' : 'close'), works ? t('unit.ms', {value: time}) : t('check.fails')),
      works ? '' : el('span', {class: 'error'}, t('check.why', {why: whyNot(found), code: String(errorCode), time})));
  };
}

async function checkSocket() {
  const hub = new Hub({token});
  const begun = performance.now();
  const blocked = new Promise((resolve) => { hub.on('error', ({code}) => { if (code === 'no-websocket') resolve(false); }); });
  const works = await limited(Promise.race([blocked, hub.connect().then(() => true, () => false)]), patience.socket, false);
  detail('socket', works, works ? t('check.socket-works', {time: Math.round(performance.now() - begun)}) : t('check.socket-fails'));
  const media = works && hub.passesMedia && 'VideoEncoder' in globalThis;
  hub.close();
  return {socket: works, media};
}

async function checkDevices() {
  const media = new LocalMedia();
  await limited(media.open(), patience.question, []);
  /** @param {Kind} kind @returns {Problem | undefined} */
  const problem = (kind) => media.problems[kind] ?? (media.starting(kind) ? {kind, code: 'unanswered', error: null} : undefined);
  const audio = problem('audio'), video = problem('video');
  const devices = {audio: audio?.code ?? null, video: video?.code ?? null};
  const settings = media.video?.getSettings();
  detail('video', !video, video ? wordsOf(video)
    : t('check.camera-works', {label: media.video?.label || t('check.camera'), width: String(settings?.width), height: String(settings?.height)}));
  detail('audio', !audio, audio ? wordsOf(audio) : t('check.microphone-works', {label: media.audio?.label || t('check.microphone')}));
  // Kept open until the end: only with a device open do browsers tell a page the computer's own addresses.
  return {devices, media};
}

/** Whether the server takes its relay's ports for closed to everybody: what then cannot be told is no fault. */
let rangeClosed = false;

/** Credentials of a new user each time, unless the token names one. @returns {Promise<RTCIceServer[]>} one URL each */
async function fetchServers() {
  const url = new URL('config', location.href);
  if (token) url.searchParams.set('token', token);
  const response = await fetch(url, {signal: AbortSignal.timeout(patience.config)});
  if (!response.ok) throw Object.assign(new Error(`/config: ${response.status}`), {code: (await response.json().catch(() => ({}))).error});
  const configuration = await response.json();
  const ranges = Object.values(configuration.range ?? {});
  rangeClosed = ranges.length > 0 && ranges.every((is) => is === 'closed');
  return single(configuration);
}

/** The STUN side of a relay's UDP URL: the same port answers both. @param {RTCIceServer[]} servers */
function withStun(servers) {
  if (servers.some(({urls}) => kindOf(String(urls)) === 'stun')) return servers;
  const udp = servers.map(({urls}) => String(urls)).find((url) => kindOf(url) === 'udp');
  return udp ? [{urls: [udp.replace(/^turn:/, 'stun:').replace(/\?.*$/, '')]}, ...servers] : servers;
}

/** @typedef {{server: RTCIceServer, result: Awaited<ReturnType<typeof checkUrl>>}} Checked */

/** The ways in the order in which calls prefer them. */
const kindOrder = ['stun', 'udp', 'tcp', 'tls'];

/** The best way first; of the same kind the one that answered first. @param {Checked} a @param {Checked} b */
function byMerit({result: a}, {result: b}) {
  return kindOrder.indexOf(a.kind) - kindOrder.indexOf(b.kind) || a.time - b.time;
}

/**
 * Tries all ways at once. Once a relay answers, what sends plain packets has six more seconds: five tries. A proxy and
 * its name server may need longer, so TLS has its time, while the rest goes on with what is known: `enough`.
 * @param {RTCIceServer[]} servers
 * @returns {{enough: Promise<Checked[]>, all: Promise<Checked[]>}}
 */
function checkUrls(servers) {
  const late = new AbortController();
  /** @type {Checked[]} */ const done = [];
  const checks = servers.map(async (server) => {
    const kind = kindOf(String(server.urls));
    const fill = urlRow(String(server.urls));
    const result = await checkUrl(server, 15000, kind === 'tls' ? undefined : late.signal);
    fill(result);
    if (result.works && kind !== 'stun') setTimeout(() => late.abort(), 6000);
    done.push({server, result});
    return {server, result};
  });
  const all = Promise.all(checks);
  const plain = Promise.all(checks.filter((_, i) => kindOf(String(servers[i].urls)) !== 'tls'));
  const relay = Promise.any(checks.map(async (check) => {
    const {result} = await check;
    if (!result.works || result.kind === 'stun') throw result;
  }));
  return {enough: Promise.race([all, Promise.all([plain, relay]).then(() => [...done], () => all)]), all};
}

/**
 * @param {Checked | undefined} stun @param {Checked | undefined} relay
 * @returns {Promise<import('/client/turnhub.js').NatKind>}
 */
async function findNat(stun, relay) {
  if (!stun) return 'unknown';
  const {works: answered, mapped, hosts} = stun.result;
  const first = natKind({answered, mapped, hosts, secondPort: null});
  if (first !== 'unknown' || !relay) return first;
  // The relay lets nobody reach their own address before it has seen somebody else there: a second user and a socket are.
  const socket = new WebSocket(`${new URL('.', location.href).href.replace(/^http/, 'ws')}relay/check-${crypto.randomUUID?.() ?? Math.random()}${token ? `?token=${encodeURIComponent(token)}` : ''}`);
  try {
    // Where it does not open, or there is no second user, the kind may stay unknown; the rest goes on.
    await limited(new Promise((resolve) => { socket.onopen = socket.onerror = resolve; }), patience.socket, undefined);
    const other = (await fetchServers().catch(() => [])).find(({urls}) => String(urls) === relay.result.url);
    const seen = await secondMapping(stun.server, relay.server, other);
    return natKind({answered, mapped: [...mapped, ...seen.mapped], hosts: [...hosts, ...seen.hosts], secondPort: seen.secondPort});
  } finally {
    socket.close();
  }
}

/** Whether the browser would have to be asked before this page reaches the local network; false where it knows no such question. */
async function keptFromLocalNetwork() {
  for (const name of ['local-network', 'local-network-access']) {
    const status = await navigator.permissions?.query({name: /** @type {PermissionName} */ (name)}).catch(() => null);
    if (status) return status.state !== 'granted';
  }
  return false;
}

async function run() {
  document.body.dataset.state = 'running';
  if (typeof RTCPeerConnection === 'undefined') { // nobody else's fault: neither the network's nor the server's
    for (const check of ['socket', 'video', 'audio', 'nat', 'loop']) detail(check, null, t('check.no-webrtc'));
    return conclude({urls: [], nat: 'unknown', loop: null, socket: false, devices: {audio: null, video: null}, webrtc: false});
  }
  const {devices, media} = await checkDevices();
  // Said before the first connection is made: that is when such a system asks.
  if (!media.audio && !media.video) $('#text').append(el('p', {}, t('check.system-asks')));
  const socketChecked = checkSocket();
  /** @type {Findings} */ const findings = {urls: [], nat: 'unknown', loop: null, socket: false, devices};
  try {
    const checks = checkUrls(withStun(await fetchServers()));
    const checked = await checks.enough;
    const relays = checked.filter(({result}) => result.works && result.kind !== 'stun').sort(byMerit);
    findings.nat = await limited(findNat(checked.find(({result}) => result.kind === 'stun'), relays[0]), patience.nat, 'unknown');
    detail('nat', findings.nat === 'unknown' ? null : findings.nat !== 'blocked',
      findings.nat === 'unknown' && rangeClosed ? t('check.nat-closed') : t(`check.nat-${findings.nat}`));
    if (relays.length) {
      findings.loop = await relayLoop([relays[0].server]);
      const {loop} = findings;
      detail('loop', loop.works, loop.works
        ? t('check.loop-works', {...loopValues(loop), way: t(`check.${relays[0].result.kind}`), time: loop.time})
        : t('check.loop-fails', {why: whyNoLoop(loop)}));
    } else {
      detail('loop', false, t('check.loop-none'));
    }
    findings.urls = (await checks.all).map(({result: {url, kind, works, time, error, errorCode, errorText}}) => ({url, kind, works, time, error, errorCode, errorText}));
  } catch (error) {
    const {code} = /** @type {{code?: string}} */ (error);
    const why = configErrors.find((each) => each === code) ?? 'other';
    detail('loop', false, t('check.no-config', {why: t(`check.config-${why}`)}));
    detail('nat', null, t('check.nat-unknown'));
  }
  Object.assign(findings, await socketChecked);
  findings.local = await keptFromLocalNetwork();
  media.close();
  conclude(findings);
}

/** @param {Findings} findings */
function conclude(findings) {
  const {level, title, text, ask} = verdictWords(findings);
  $('#verdict').dataset.level = level;
  $('#verdict').querySelector('use')?.setAttribute('href', `/static/icons.svg#${level === 'good' ? 'check' : 'warning'}`);
  $('#title').textContent = title;
  $('#text').replaceChildren(...text.map((line) => el('p', {}, line)));
  $('#ask').hidden = ask.length === 0;
  $('#ask-list').replaceChildren(...ask.map((line) => el('li', {}, line)));
  $('#report').textContent = reportText(findings, location.origin + location.pathname, navigator.userAgent);
  for (const id of ['#copy', '#again']) /** @type {HTMLButtonElement} */ ($(id)).disabled = false;
  document.body.dataset.state = 'done';
  document.body.dataset.level = level;
}

$('#copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText($('#report').textContent ?? '');
    toast(t('check.copied'));
  } catch {
    $('#report').hidden = false;
    getSelection()?.selectAllChildren($('#report'));
    $('#report').focus();
    toast(t('check.copy'));
  }
});
$('#again').addEventListener('click', () => location.reload());
offerLanguages();
run();
