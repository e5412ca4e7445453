// What somebody who has not joined yet may know of a connection: the relay's address and no other.

/**
 * Relays only, and without the address from which they are used.
 * @param {RTCIceCandidateInit[]} candidates
 */
export function relayed(candidates) {
  return candidates.filter(isRelayed).map((init) => ({...init, candidate: init.candidate?.replace(/ raddr \S+ rport \d+/, ' raddr 0.0.0.0 rport 0')}));
}

/** @param {RTCIceCandidateInit} candidate */
export function isRelayed({candidate = ''}) {
  return / typ relay\b/.test(candidate);
}

/** A description without candidates names the best one of them as its default, which is an address too. @param {RTCSessionDescriptionInit} description */
export function withoutAddresses({type, sdp = ''}) {
  return {type, sdp: sdp.replace(/^(m=\w+) [1-9]\d* /gm, '$1 9 ').replace(/^(c|a=rtcp:\d+)([= ])IN IP[46] \S+/gm, (_, line) =>
    (line === 'c' ? 'c=IN IP4 0.0.0.0' : 'a=rtcp:9 IN IP4 0.0.0.0'))};
}
