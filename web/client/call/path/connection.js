/** @typedef {import('../media/media.js').LocalMedia} LocalMedia */
/** @typedef {import('../media/media.js').Kind} Kind */
/** @typedef {'udp' | 'tcp' | 'tls'} Transport */

/**
 * What one connection carries, each in an m-line of its own. The first two are in every offer. The other two are added
 * when a screen is first shared with somebody who shows it beside the camera (`besides`), and stay: so the second m-line
 * of a kind is always the screen's, in both directions.
 * @type {{kind: Kind, screen: boolean}[]}
 */
const slots = [{kind: 'audio', screen: false}, {kind: 'video', screen: false}, {kind: 'video', screen: true}, {kind: 'audio', screen: true}];

/** @typedef {'alone' | 'beside'} Showing whether one picture is sent, the screen in place of the camera, or both */

/**
 * The configuration of one connection, from the one that the hub gave.
 * @param {RTCConfiguration} base
 * @param {{iceTransportPolicy?: RTCIceTransportPolicy, transport?: Transport, choose?: (relays: string[]) => string[]}} [options]
 *   `transport`: only relays over this; `choose`: which of the relays' URLs; all without it
 * @returns {RTCConfiguration}
 */
export function configuration(base, {iceTransportPolicy = 'all', transport, choose} = {}) {
  let iceServers = only(base.iceServers ?? [], (url) => !transport || transportOf(url) === transport);
  if (choose) {
    const relays = urlsOf({iceServers}).filter(isRelay), chosen = new Set(choose(relays));
    iceServers = only(iceServers, (url) => !isRelay(url) || chosen.has(url));
  }
  return {iceServers, iceTransportPolicy, bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require'};
}

/** The URLs of all its servers. @param {RTCConfiguration} configuration */
export const urlsOf = ({iceServers = []}) => iceServers.flatMap(({urls}) => urls);

/** @param {string} url */
const isRelay = (url) => /^turns?:/.test(url);

/** @param {RTCIceServer[]} servers @param {(url: string) => boolean} wanted */
function only(servers, wanted) {
  return servers.map((server) => ({...server, urls: [server.urls].flat().filter(wanted)})).filter(({urls}) => urls.length > 0);
}

/**
 * Gives a connection other servers. Everything else has to stay as it was made.
 * @param {RTCPeerConnection} pc @param {RTCConfiguration} configuration
 */
export function reconfigure(pc, configuration) {
  if (pc.signalingState === 'closed') return;
  const {iceCandidatePoolSize = 0, certificates = []} = pc.getConfiguration();
  pc.setConfiguration({...configuration, iceCandidatePoolSize, ...(certificates.length && {certificates})});
}

/**
 * The same servers that a connection has, with fresh credentials.
 * @param {RTCPeerConnection} pc @param {RTCConfiguration} all that there are
 * @returns {RTCConfiguration | null} null: some of them are there no more
 */
export function renewed(pc, all) {
  const has = new Set(urlsOf(pc.getConfiguration())), iceServers = only(all.iceServers ?? [], (url) => has.has(url));
  return urlsOf({iceServers}).length === has.size && has.size > 0 ? {...all, iceServers} : null;
}

/** Whether a connection has just these servers. @param {RTCPeerConnection} pc @param {RTCConfiguration} configuration */
export const hasServers = (pc, configuration) => String(urlsOf(pc.getConfiguration())) === String(urlsOf(configuration));

/** Whether a connection may ask for a relay. @param {RTCPeerConnection} pc */
export const hasRelays = (pc) => urlsOf(pc.getConfiguration()).some(isRelay);

/** How a TURN URL is reached; '' for STUN. @param {string} url @returns {Transport | ''} */
export function transportOf(url) {
  if (url.startsWith('turns:')) return 'tls';
  if (!url.startsWith('turn:')) return '';
  return url.includes('transport=tcp') ? 'tcp' : 'udp';
}

/** What is sent in a slot. @param {LocalMedia} media @param {{kind: Kind, screen: boolean}} slot @param {Showing} showing */
function trackOf(media, {kind, screen}, showing) {
  if (screen) return showing === 'alone' ? null : kind === 'audio' ? media.screenSound : media.screen;
  return kind === 'audio' ? media.audio : showing === 'alone' ? media.video : media.camera;
}

/**
 * The transceivers that an offer needs: one for each kind, sending whatever is there now, so that a device that
 * comes later needs no negotiation.
 * @param {RTCPeerConnection} pc @param {LocalMedia} media
 * @param {boolean} [quiet] nothing is sent before `sendMedia` @param {Showing} [showing]
 */
export function addMedia(pc, media, quiet = false, showing = 'alone') {
  for (const slot of slots) {
    if (slot.screen && showing === 'alone') continue;
    const streams = [slot.screen ? media.screenStream : media.stream];
    pc.addTransceiver((!quiet && trackOf(media, slot, showing)) || slot.kind, {direction: 'sendrecv', streams});
  }
}

/** Adds the m-lines of a screen to a connection that has none. @param {RTCPeerConnection} pc @param {LocalMedia} media @returns {boolean} whether they are there */
export function addScreen(pc, media) {
  if (transceiverOf(pc, 'video', true)) return true;
  // Offered, and not negotiated yet.
  if (pc.getTransceivers().filter(({receiver, direction}) => receiver.track.kind === 'video' && direction !== 'stopped').length > 1) return false;
  for (const {kind, screen} of slots) {
    if (screen) pc.addTransceiver(kind, {direction: 'sendrecv', streams: [media.screenStream]});
  }
  return false;
}

/** Sends what there is. @param {RTCPeerConnection} pc @param {LocalMedia} media @param {Showing} [showing] */
export function sendMedia(pc, media, showing = 'alone') {
  for (const slot of slots) transceiverOf(pc, slot.kind, slot.screen)?.sender.replaceTrack(trackOf(media, slot, showing)).catch(() => {});
}

/**
 * Puts our media into what the other side has offered.
 * @param {RTCPeerConnection} pc @param {LocalMedia} media
 * @param {boolean} [quiet] nothing is sent before `sendMedia` @param {Showing} [showing]
 */
export function answerMedia(pc, media, quiet = false, showing = 'alone') {
  for (const transceiver of pc.getTransceivers()) {
    // Left over from an offer of ours that was taken back.
    if (transceiver.mid === null && transceiver.currentDirection !== 'stopped') transceiver.stop();
  }
  for (const slot of slots) {
    const transceiver = transceiverOf(pc, slot.kind, slot.screen);
    if (!transceiver || transceiver.sender.track) continue;
    transceiver.direction = 'sendrecv';
    transceiver.sender.setStreams?.(slot.screen ? media.screenStream : media.stream);
    if (!quiet) transceiver.sender.replaceTrack(trackOf(media, slot, showing)).catch(() => {});
  }
}

/** @param {RTCPeerConnection} pc @param {Kind} kind @param {boolean} [screen] that of the screen, once it is negotiated */
export function transceiverOf(pc, kind, screen = false) {
  const ofKind = pc.getTransceivers().filter(({receiver}) => receiver.track.kind === kind);
  const negotiated = ofKind.filter(({mid}) => mid !== null);
  return screen ? negotiated[1] : negotiated[0] ?? ofKind[0];
}

/** The channel for chat, files and state: the same number on both sides, so that opening it takes no message. @param {RTCPeerConnection} pc */
export function openChannel(pc) {
  return pc.createDataChannel('turnhub', {negotiated: true, id: 0});
}

/**
 * Whether a candidate, as a line of SDP or by itself, can do nothing for the other side: a TCP one that only connects
 * and accepts nothing.
 * @param {string} line
 */
export function isUseless(line) {
  return /^(a=)?candidate:.* tcptype active\b/.test(line);
}

/**
 * Takes the candidates out of a description, so that connectivity checks begin only when they are added.
 * @param {RTCSessionDescriptionInit} description
 * @returns {{description: RTCSessionDescriptionInit, candidates: RTCIceCandidateInit[]}}
 */
export function withoutCandidates({type, sdp = ''}) {
  /** @type {RTCIceCandidateInit[]} */ const candidates = [];
  const kept = [];
  let index = -1, mid = '', ufrag = '';
  for (const line of sdp.split('\r\n')) {
    if (line.startsWith('m=')) { index++; mid = ''; }
    if (line.startsWith('a=mid:')) mid = line.slice(6);
    if (line.startsWith('a=ice-ufrag:')) ufrag = line.slice(12);
    if (line.startsWith('a=candidate:')) candidates.push({candidate: line.slice(2), sdpMLineIndex: index});
    else if (line !== 'a=end-of-candidates') kept.push(line);
    for (const candidate of candidates) {
      if (candidate.sdpMLineIndex !== index) continue;
      if (mid) candidate.sdpMid = mid;
      if (ufrag) candidate.usernameFragment = ufrag;
    }
  }
  return {description: {type, sdp: kept.join('\r\n')}, candidates};
}

/**
 * Sets the answer. On a connection that has gathered ahead a provisional one goes before it: with a final one at once,
 * Chromium throws away what it has gathered and begins anew.
 * @param {RTCPeerConnection} pc
 * @param {(description: RTCSessionDescriptionInit) => void} [say] gets the answer before it is set, which takes a while
 */
export async function answer(pc, say) {
  const {sdp} = await pc.createAnswer();
  say?.({type: 'answer', sdp});
  const ahead = pc.getConfiguration().iceCandidatePoolSize && !pc.localDescription;
  // Where a provisional answer is not known, it is not needed. The other one does not wait for it: nothing may come between.
  const provisional = ahead ? pc.setLocalDescription({type: 'pranswer', sdp}).catch(() => {}) : undefined;
  await Promise.all([provisional, pc.setLocalDescription({type: 'answer', sdp})]);
}

/** Ends the listening to a connection that is going out of use. @param {RTCPeerConnection} pc */
export function unhook(pc) {
  pc.onnegotiationneeded = pc.onicecandidate = pc.ontrack = pc.ondatachannel = null;
  pc.onconnectionstatechange = pc.oniceconnectionstatechange = null;
  return pc;
}
