/**
 * What is known of browsers' own mistakes, in one place. A browser is known by its descriptions (`o=mozilla…`), as they come:
 * Chromium gives them back with an origin of its own. Its version is known by what its client says (`browser` in signaling data).
 */

/**
 * The first version of Firefox that keeps its DTLS role when another browser restarts ICE on a connection that Firefox has
 * offered first. Firefox 153 answers `a=setup:active` though it is the server; Chromium refuses that answer, and where it is
 * forced to take it, both sides' keys are gone. None is known yet.
 */
const firefoxKeepsRoles = Infinity;

/** @param {RTCSessionDescription | RTCSessionDescriptionInit | null} description */
export function isFirefox(description) {
  return /^o=mozilla/m.test(description?.sdp ?? '');
}

/**
 * Whether we may restart ICE on a connection: the other side can answer that.
 * @param {{pc: RTCPeerConnection, first: string, mozilla: boolean}} negotiation @param {string} browser of the other side, as it says
 */
export function mayRestart({pc, first, mozilla}, browser) {
  if (first !== 'theirs' || !mozilla || isFirefox(pc.localDescription)) return true;
  return Number(/^firefox\/(\d+)/.exec(browser)?.[1] ?? 0) >= firefoxKeepsRoles;
}

/**
 * Whether both browsers take candidates that come when they are connected already, and go over to a better path.
 * @param {{pc: RTCPeerConnection, mozilla: boolean}} negotiation
 */
export function takesLateCandidates({pc, mozilla}) {
  return !mozilla && !isFirefox(pc.localDescription);
}

/**
 * Whether what is received stands still at each change of what is sent: Firefox (153) makes the receiving side of a transceiver anew
 * whenever a sender's parameters are set, and asks for a picture that needs no other.
 * @param {RTCPeerConnection} pc
 */
export const changesDearly = (pc) => isFirefox(pc.localDescription ?? null);

/**
 * The relays that a browser can use, of all that the server has. Firefox (153) takes none over TLS from a server that is named by
 * its address, and says nothing of it: the connection that asked for that one as the surest had none where only TLS passes.
 * @param {string[]} urls @param {string} agent
 */
export function usable(urls, agent) {
  if (!/\bFirefox\//.test(agent)) return urls;
  const able = urls.filter((url) => !/^turns:(\[|[\d.]+(:|\?|$))/.test(url));
  return able.length ? able : urls;
}

/**
 * Whether a <video> goes over to another picture track of its stream only where the one before has left it first: Firefox (153) shows
 * the one that it has begun with, and once that has gone it stands still for good. @param {string} agent
 */
export const leavesFirst = (agent) => /\bFirefox\//.test(agent);

/** This browser and its major version as it is told to the other side: `firefox/153`; '' where it is neither. @param {string} agent */
export function nameOfBrowser(agent) {
  const [, name, major] = /\b(Firefox|Chrome|Version)\/(\d+)/.exec(agent) ?? [];
  return name ? `${name === 'Version' ? 'safari' : name.toLowerCase()}/${major}` : '';
}
