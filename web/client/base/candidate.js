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
