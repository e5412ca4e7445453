import {downlink, sampleDownlink} from '../base/downlink.js';
import {narrowFrom} from './path/narrow.js';

/** So old sights of the line say nothing, and so often they are looked at, milliseconds. */
const old = 300_000, looked = 5000;

/**
 * On a line that is known as narrow whatever is opened or tried beside the call takes of its sound, and the reason to open another is
 * mostly that it is late. So each peer says by `narrow` whether its path is one, and what looks after that path asks there: healing,
 * better paths, the last door. Here is what is the whole call's: what we say of our line, and whether it is ours that is narrow.
 */
export class Thrift {
  #hub;
  /** @type {Iterable<{state: string, narrow: boolean}>} */ #peers;
  #takes;
  #now;
  #sample;
  /** What it was seen to take, and when that was looked at. */
  #seen = {takes: Infinity, at: -Infinity};
  /** Before this it was another line. */
  #since = 0;
  /** When a file was asked for to see it. */
  #sampledAt = -Infinity;

  /**
   * @param {Pick<import('../session/hub.js').Hub, 'setNarrow'>} hub
   * @param {Iterable<{state: string, narrow: boolean}>} peers
   * @param {(since: number) => number} [takes] bits per second that our line was seen to take lately; Infinity: not known
   * @param {() => number} [now]
   * @param {() => Promise<void>} [sample] has something come, so that it is seen
   */
  constructor(hub, peers, takes = downlink, now = () => globalThis.performance?.now() ?? 0, sample = sampleDownlink) {
    this.#now = now;
    this.#sample = sample;
    this.#hub = hub;
    this.#peers = peers;
    this.#takes = takes;
  }

  /** Our line was seen to be narrow before the call. */
  get expected() {
    const now = this.#now();
    if (now - this.#seen.at > looked) this.#seen = {takes: this.#lately, at: now};
    return this.#seen.takes < narrowFrom;
  }

  get #lately() { return this.#takes(Math.max(this.#since, this.#now() - old)); }

  /** A call may come soon, and nothing else uses the line: where nothing is known of it, it is looked at, once for each network and while that holds. */
  look() {
    const now = this.#now();
    if (now - this.#sampledAt < old || this.#lately < Infinity) return;
    this.#sampledAt = now;
    this.#sample().then(() => { this.#seen.at = -Infinity; }, () => {});
  }

  /** What the others are told of our line with a description of ours. @returns {{takes?: number}} */
  get said() { return this.expected ? {takes: Math.round(this.#seen.takes)} : {}; }

  /** The network is another one. */
  forget() {
    this.#since = this.#now();
    this.#seen.at = this.#sampledAt = -Infinity;
  }

  /** Our own line is narrow: that of everybody whom we are connected with is. */
  get here() {
    const connected = [...this.#peers].filter(({state}) => state === 'connected');
    return connected.length > 0 && connected.every(({narrow}) => narrow);
  }

  /** Once a second: the socket to the server is on that line too. */
  beat() { this.#hub.setNarrow(this.here); }

  end() { this.#hub.setNarrow(false); }
}
