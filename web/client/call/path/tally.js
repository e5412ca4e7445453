const members = /** @type {const} */ (['packetsSent', 'bytesSent', 'retransmittedBytesSent', 'packetsReceived']);

/** @typedef {{type: string, kind: string} & Record<(typeof members)[number], number>} Sum */

/**
 * What the streams of a connection have carried in all. Firefox counts a stream anew where it has another codec, and pictures have one for a
 * moment where those that wait are forgotten (bitrate.js): taken as it is, that looked like a second in which next to nothing came.
 */
export class Tally {
  /** Each stream as it was last. @type {Map<string, any>} */ #last = new Map();
  /** @type {Map<string, Sum>} */ #sums = new Map();

  /**
   * @param {RTCStatsReport} report
   * @returns {Iterable<Sum>} by direction and kind
   */
  take(report) {
    const last = this.#last;
    this.#last = new Map();
    for (const [id, entry] of /** @type {Iterable<[string, any]>} */ (report.entries())) {
      const {type, kind} = entry;
      if (type !== 'outbound-rtp' && type !== 'inbound-rtp') continue;
      const before = last.get(id), sum = this.#sums.get(type + kind) ?? {type, kind, packetsSent: 0, bytesSent: 0, retransmittedBytesSent: 0, packetsReceived: 0};
      const anew = members.some((member) => (entry[member] ?? 0) < (before?.[member] ?? 0));
      for (const member of members) sum[member] += (entry[member] ?? 0) - (anew ? 0 : before?.[member] ?? 0);
      this.#sums.set(type + kind, sum);
      this.#last.set(id, entry);
    }
    return this.#sums.values();
  }
}
