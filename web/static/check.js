import {Hub, LocalMedia, checkUrl, kindOf, natKind, natWords, relayLoop, reportText, secondMapping, single, verdict} from '/client/turnhub.js';
import {$, el, icon, toast} from './dom.js';
import {token} from './settings.js';

/** @typedef {import('/client/turnhub.js').Findings} Findings */
/** @typedef {import('/client/turnhub.js').UrlResult} UrlResult */

const kindWords = {stun: 'STUN (finds a direct path)', udp: 'Relay over UDP', tcp: 'Relay over TCP', tls: 'Relay over TLS'};

/** @param {string} check @param {boolean | null} works @param {string} text */
function detail(check, works, text) {
  const row = $(`[data-check=${check}]`);
  row.dataset.result = works === null ? 'unknown' : works ? 'works' : 'fails';
  /** @type {HTMLElement} */ (row.querySelector('dd')).textContent = text;
}

/** @param {string} url */
function urlRow(url) {
  const result = el('td', {}, el('span', {class: 'result'}, 'trying…'));
  const row = el('tr', {'data-url': url, 'data-kind': kindOf(url), 'data-result': 'waiting'}, el('td', {}, kindWords[kindOf(url)]), el('td', {}, url), result);
  $('#urls').append(row);
  /** @param {UrlResult} found */
  return ({works, time, errorCode, errorText}) => {
    row.dataset.result = works ? 'works' : 'fails';
    row.dataset.time = String(time);
    row.dataset.errorCode = String(errorCode ?? '');
    result.replaceChildren(el('span', {class: 'result'}, icon(works ? 'check' : 'close'), works ? `${time} ms` : 'fails'),
      works ? '' : el('span', {class: 'error'}, `${errorText || 'no reason given'} (${errorCode}), after ${time} ms`));
  };
}

async function checkSocket() {
  const hub = new Hub({token});
  const failed = new Promise((resolve) => setTimeout(() => resolve(false), 15000));
  const begun = performance.now();
  const works = await Promise.race([hub.connect().then(() => true, () => false), failed]);
  detail('socket', works, works ? `Works (${Math.round(performance.now() - begun)} ms).` : 'Cannot be opened. A proxy or firewall may be blocking WebSockets.');
  hub.close();
  return works;
}

async function checkDevices() {
  const media = new LocalMedia();
  await media.open();
  const devices = {audio: media.problems.audio?.text ?? '', video: media.problems.video?.text ?? ''};
  const settings = media.video?.getSettings();
  detail('video', !devices.video, devices.video || `Works: ${media.video?.label || 'camera'}, ${settings?.width} × ${settings?.height}.`);
  detail('audio', !devices.audio, devices.audio || `Works: ${media.audio?.label || 'microphone'}.`);
  // Kept open until the end: only with a device open do browsers tell a page the computer's own addresses.
  return {devices, media};
}

/** Credentials of a new user each time, unless the token names one. @returns {Promise<RTCIceServer[]>} one URL each */
async function fetchServers() {
  const url = new URL('/config', location.href);
  if (token) url.searchParams.set('token', token);
  const response = await fetch(url);
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).message ?? `the server answered ${response.status}`);
  return single(await response.json());
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
  // The relay lets nobody reach his own address before it has seen somebody else there: a second user and a socket are.
  const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/relay/check-${crypto.randomUUID?.() ?? Math.random()}${token ? `?token=${encodeURIComponent(token)}` : ''}`);
  try {
    await new Promise((resolve) => { socket.onopen = socket.onerror = resolve; });
    const other = (await fetchServers()).find(({urls}) => String(urls) === relay.result.url);
    const seen = await secondMapping(stun.server, relay.server, other);
    return natKind({answered, mapped: [...mapped, ...seen.mapped], hosts: [...hosts, ...seen.hosts], secondPort: seen.secondPort});
  } finally {
    socket.close();
  }
}

async function run() {
  document.body.dataset.state = 'running';
  const {devices, media} = await checkDevices();
  const socketChecked = checkSocket();
  /** @type {Findings} */ const findings = {urls: [], nat: 'unknown', loop: null, socket: false, devices};
  try {
    const checks = checkUrls(withStun(await fetchServers()));
    const checked = await checks.enough;
    const relays = checked.filter(({result}) => result.works && result.kind !== 'stun').sort(byMerit);
    findings.nat = await findNat(checked.find(({result}) => result.kind === 'stun'), relays[0]);
    detail('nat', findings.nat === 'unknown' ? null : findings.nat !== 'blocked', natWords[findings.nat]);
    if (relays.length) {
      findings.loop = await relayLoop([relays[0].server]);
      const {loop} = findings;
      detail('loop', loop.works, loop.works
        ? `${loop.latency} ms there and back, jitter ${loop.jitter} ms, ${(loop.loss * 100).toFixed(1)} % lost, ${(loop.throughput / 1e6).toFixed(1)} Mbit/s (${kindWords[relays[0].result.kind]}, connected in ${loop.time} ms).`
        : `Fails: ${loop.error}.`);
    } else {
      detail('loop', false, 'Not possible: no way to the relay works.');
    }
    findings.urls = (await checks.all).map(({result: {url, kind, works, time, errorCode, errorText}}) => ({url, kind, works, time, errorCode, errorText}));
  } catch (error) {
    detail('loop', false, `The server’s configuration could not be fetched: ${/** @type {Error} */ (error).message}`);
    detail('nat', null, natWords.unknown);
  }
  findings.socket = await socketChecked;
  media.close();
  conclude(findings);
}

/** @param {Findings} findings */
function conclude(findings) {
  const {level, title, text, ask} = verdict(findings);
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
    toast('The report is copied: paste it into a mail.');
  } catch {
    $('#report').hidden = false;
    getSelection()?.selectAllChildren($('#report'));
    $('#report').focus();
    toast('Copy the marked text.');
  }
});
$('#again').addEventListener('click', () => location.reload());
run();
