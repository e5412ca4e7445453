// What another client has said, before anything of ours reads it: whoever wrote that client, what is no call's shape or
// size goes no further than here.

import {isBondWord} from './bond.js';

/**
 * Why what one side said is of no use to the other: `size` (more than a call needs), `shape` (no description at all), `ice`
 * (not how it is reached, and with which key), `bundle` (a connection for each kind), `candidates` (addresses of another
 * connection), `refused` (the browser does not take it, for whatever reason), `door` (nothing: where only the server's WebSocket
 * is left, the other side knows no way through it).
 * @typedef {'size' | 'shape' | 'ice' | 'bundle' | 'candidates' | 'refused' | 'door'} Unusable
 */

/**
 * What is wrong between two people, for a page to say: on whose side the words were that could not be used, or that the two
 * know no common format for sound (`audio`), pictures (`video`) or either (`codecs`).
 * @typedef {`theirs-${Unusable}` | `ours-${Unusable}` | 'audio' | 'video' | 'codecs'} Trouble
 */

/** @typedef {{type: 'offer' | 'answer', sdp: string}} SaidDescription */

/**
 * Signaling data of which nothing has to be feared: what is here has its type and its bounds.
 * @typedef {object} SignalData
 * @property {SaidDescription} [description]
 * @property {{type: string, code: Unusable}} [unusable] there was a description, and it is not used
 * @property {RTCIceCandidateInit[]} candidates
 * @property {string} [instance]
 * @property {string} [browser]
 * @property {string} [connection]
 * @property {string} [instead]
 * @property {number} [takes] bits per second that the other side's line takes, as it has seen before the call
 * @property {number} [round]
 * @property {number} [refused]
 * @property {Trouble} [trouble] what the other side says of what we said
 * @property {boolean} [replacement]
 * @property {boolean} [direct]
 * @property {import('./lastdoor.js').DoorKey} [websocket] for the way through the server's WebSocket
 * @property {import('../sas.js').SaidSas} [sas] for the string by which people compare their keys
 * @property {any} [app] of the data channel, which holds it to bounds of its own
 */

/** Browsers describe a call of ours in 8 kB and five sections; what more there is leaves room for other clients. */
const most = {description: 65_536, sections: 32, candidates: 256, candidate: 1024, name: 256};

/** @type {readonly Unusable[]} */ const unusables = ['size', 'shape', 'ice', 'bundle', 'candidates', 'refused', 'door'];

/** @param {unknown} value @returns {string | undefined} */
const nameIn = (value) => (typeof value === 'string' && value.length <= most.name ? value : undefined);

/** @param {unknown} value @returns {number | undefined} */
const countIn = (value) => (Number.isSafeInteger(value) ? /** @type {number} */ (value) : undefined);

/** @param {any} data signaling data, or what came with joining or a call @returns {SignalData} */
export function received(data) {
  if (typeof data !== 'object' || data === null) return {candidates: []};
  const {description, candidates, candidate} = data;
  /** @type {SignalData} */ const sound = {candidates: (Array.isArray(candidates) ? candidates : [candidate]).slice(0, most.candidates).flatMap(candidateIn)};
  for (const name of /** @type {const} */ (['instance', 'browser', 'connection', 'instead'])) {
    const value = nameIn(data[name]);
    if (value !== undefined) sound[name] = value;
  }
  for (const name of /** @type {const} */ (['round', 'refused'])) {
    const value = countIn(data[name]);
    if (value !== undefined) sound[name] = value;
  }
  const takes = countIn(data.takes);
  if (takes !== undefined && takes > 0) sound.takes = takes;
  if (data.replacement) sound.replacement = true;
  if (data.direct === true) sound.direct = true;
  if (unusables.includes(data.trouble)) sound.trouble = /** @type {Trouble} */ (`ours-${data.trouble}`);
  if (['audio', 'video', 'codecs'].includes(data.trouble)) sound.trouble = data.trouble;
  if (data.app) sound.app = data.app;
  const {key, pictures, sound: hears, bond} = data.websocket ?? {};
  // An uncompressed point of P-256, base64url.
  if (typeof key === 'string' && /^[\w-]{87}$/.test(key) && Array.isArray(pictures)) {
    sound.websocket = {key, pictures: pictures.slice(0, 8).filter((each) => nameIn(each) !== undefined), sound: hears === true, ...(isBondWord(bond) && {bond})};
  }
  if (typeof data.sas === 'object' && data.sas) {
    sound.sas = {};
    for (const name of /** @type {const} */ (['commit', 'nonce', 'to'])) if (/^[0-9a-f]{64}$/.test(data.sas[name])) sound.sas[name] = data.sas[name];
  }
  // A provisional answer is followed by one that counts.
  if (description === undefined || description === null || description.type === 'pranswer') return sound;
  const {type, sdp} = description, code = wrongWith(description);
  if (code) sound.unusable = {type: type === 'answer' ? 'answer' : 'offer', code};
  else sound.description = {type, sdp};
  return sound;
}

/** @param {any} candidate @returns {RTCIceCandidateInit[]} it, or none */
function candidateIn(candidate) {
  if (typeof candidate !== 'object' || candidate === null) return [];
  const {candidate: text, sdpMid, sdpMLineIndex, usernameFragment} = candidate;
  if (typeof text !== 'string' || text.length > most.candidate) return [];
  const mid = nameIn(sdpMid), index = countIn(sdpMLineIndex), fragment = nameIn(usernameFragment);
  return [{candidate: text, ...(mid === undefined ? {} : {sdpMid: mid}), ...(index === undefined ? {} : {sdpMLineIndex: index}),
    ...(fragment === undefined ? {} : {usernameFragment: fragment})}];
}

/** What is wrong with a description; '': nothing that shows before the browser reads it. @param {any} description @returns {Unusable | ''} */
export function wrongWith({type, sdp}) {
  if ((type !== 'offer' && type !== 'answer') || typeof sdp !== 'string') return 'shape';
  if (sdp.length > most.description) return 'size';
  if (!sdp.startsWith('v=0')) return 'shape';
  const sections = countOf(sdp, /^m=/gm);
  if (sections === 0) return 'shape';
  if (sections > most.sections || countOf(sdp, /^a=candidate:/gm) > most.candidates) return 'size';
  // In which section does not matter here: those that share one connection say it once.
  return ['ice-ufrag', 'ice-pwd', 'fingerprint'].every((name) => sdp.includes(`\na=${name}:`)) || !sectionsOf(sdp).some(({rejected}) => !rejected) ? '' : 'ice';
}

/** @param {string} text @param {RegExp} pattern */
const countOf = (text, pattern) => (text.match(pattern) ?? []).length;

/** @param {string} sdp @returns {{kind: string, rejected: boolean, text: string}[]} */
function sectionsOf(sdp) {
  return sdp.split(/^m=/m).slice(1).map((text) => ({
    kind: text.slice(0, text.indexOf(' ')), text,
    rejected: /^\w+ 0 /.test(text) && !/^a=bundle-only\r?$/m.test(text),
  }));
}

/** Why a browser has refused a description that looked well. @param {string} sdp @returns {Unusable} */
export function troubleOf(sdp) {
  const used = sectionsOf(sdp).filter(({rejected}) => !rejected);
  const bundled = used.length < 2 || /^a=group:BUNDLE \S+ \S/m.test(sdp);
  const muxed = used.every(({kind, text}) => !/^(audio|video)$/.test(kind) || /^a=rtcp-mux\r?$/m.test(text));
  return bundled && muxed ? 'refused' : 'bundle';
}

/** The formats of which everybody knows the numbers (RFC 3551 section 6), as far as browsers know them. */
const numbered = ['0 PCMU', '8 PCMA', '9 G722', '13 CN'];

/** Formats of sound and pictures that are no more than a frame around others. */
const frames = /^(red|rtx|ulpfec|flexfec-03|telephone-event|cn)$/;

/** @param {string} text of a section @returns {string[]} names of its formats, lower case */
function formatsIn(text) {
  const types = text.slice(0, text.search(/\r?$/m)).split(' ').slice(3);
  const said = new Map([...numbered, ...[...text.matchAll(/^a=rtpmap:(\d+ [^/\s]+)/gm)].map(([, each]) => each)].map((each) => /** @type {[string, string]} */ (each.split(' '))));
  return types.map((type) => (said.get(type) ?? '').toLowerCase()).filter((name) => name && !frames.test(name));
}

/** Whether an answer names no format at all that its offer has: why a browser has refused it. @param {string} offer @param {string} answer */
export function nothingInCommon(offer, answer) {
  const offered = new Set(sectionsOf(offer).flatMap(({text}) => formatsIn(text)));
  const media = sectionsOf(answer).filter(({kind, rejected}) => !rejected && /^(audio|video)$/.test(kind));
  return media.length > 0 && !media.some(({text}) => formatsIn(text).some((name) => offered.has(name)));
}

/**
 * What of an offer its answer leaves out: a kind of which each section was rejected; both: `codecs`.
 * @param {string} offer @param {string} answer
 * @returns {{what: 'audio' | 'video' | 'codecs' | '', all: boolean}} `all`: there is nothing to connect for
 */
export function leftOut(offer, answer) {
  const answered = sectionsOf(answer);
  const offered = sectionsOf(offer).map((section, i) => ({...section, taken: !(answered[i]?.rejected ?? true)})).filter(({rejected}) => !rejected);
  const none = (/** @type {string} */ kind) => offered.some((each) => each.kind === kind) && !offered.some((each) => each.kind === kind && each.taken);
  const all = offered.length > 0 && !offered.some(({taken}) => taken);
  if (all || (none('audio') && none('video'))) return {what: 'codecs', all};
  return {what: none('audio') ? 'audio' : none('video') ? 'video' : '', all};
}

/** Whether a candidate belongs to what is described. One that does not say may. @param {RTCIceCandidateInit} init @param {RTCPeerConnection} pc */
export function belongs({candidate = '', usernameFragment}, {pendingRemoteDescription, currentRemoteDescription, remoteDescription}) {
  const ufrag = usernameFragment ?? / ufrag (\S+)/.exec(candidate)?.[1];
  if (!ufrag) return true;
  const all = [pendingRemoteDescription ?? remoteDescription, currentRemoteDescription];
  return all.some((description) => description?.sdp.split(/\r?\n/).includes(`a=ice-ufrag:${ufrag}`));
}
