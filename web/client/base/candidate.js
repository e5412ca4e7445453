/**
 * What a candidate says, read from its own line (RFC 8839, 5.1): Firefox before 126 has no members for it.
 * @param {RTCIceCandidateInit} candidate
 * @returns {{type: string, address: string, port: number, priority: number}} `type`: host, srflx, prflx, relay, or '' for the end
 *   of candidates; `address` may be a name of mDNS
 */
export function partsOf({candidate = ''}) {
  const [, priority = '0', address = '', port = '0', type = ''] = /^(?:a=)?candidate:\S+ \d+ \S+ (\d+) (\S+) (\d+) typ (\w+)/.exec(candidate) ?? [];
  return {type, address, port: Number(port), priority: Number(priority)};
}

/**
 * Whether a relay was reached over UDP: libwebrtc's candidates of it have type preference 2 or 3, those over TCP 1 and over
 * TLS 0; Firefox's have 5 and 0.
 * @param {number} priority
 */
export const isOverUDP = (priority) => priority >>> 24 >= 2;
