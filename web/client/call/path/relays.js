import {realClock} from '../../base/clock.js';
import {isOverUDP, partsOf} from '../../base/candidate.js';
import {gatherTimes as times} from '../../base/times.js';
import {transportOf, urlsOf} from './connection.js';

/** A settled call holds so many relays on the server for each person, at the most. */
export const mostRelays = 4;

/** Of which family a URL's address is; '': it has a name, which may have both. @param {string} url */
const familyOf = (url) => /^turns?:(?:(\[)|[\d.]+(?::|\?|$))/.exec(url) ? (url.includes('[') ? 6 : 4) : '';

/**
 * Which of the server's relays a connection asks for. A browser takes one from each URL on each of its networks, IPv4 and
 * IPv6 apart, keeps all of them for as long as the connection lives, and uses one. So there are two: the best that is
 * known to get through, and the surest. What gets through on this network is learned from what connections find.
 */
export class Relays {
  /** @type {WeakMap<object, Relays>} */ static #known = new WeakMap();

  /** Those of a hub: what is known outlives a call. @param {object} hub */
  static of(hub) {
    const relays = this.#known.get(hub) ?? new Relays(realClock);
    this.#known.set(hub, relays);
    return relays;
  }

  #clock;
  /** @type {Set<string>} over UDP, to which there is no way */ #shut = new Set();
  /** Over UDP, to which there is one; '': none is known. */ #open = '';
  /** Nothing was found with those that were chosen: now all are asked for. */
  #lost = false;
  /** Those that were found then, where the browser says which. @type {string[]} */ #found = [];
  /** There are so many networks that two make too many. */
  #crowded = false;
  /** @type {WeakMap<RTCPeerConnection, {gathered: Promise<void>, now: number, before: number, times: number}>} */ #watched = new WeakMap();

  /** @param {import('../../base/clock.js').Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /** The network is another one, or lets through what it did not. */
  forget() {
    this.#shut.clear();
    this.#open = '';
    this.#lost = this.#crowded = false;
    this.#found = [];
  }

  /** There may have been no network at all. */
  again() { this.#lost = false; }

  /**
   * Those to ask for, of all that the server has.
   * @param {string[]} urls of relays, best first
   * @returns {string[]}
   */
  choose(urls) {
    if (this.#lost) return urls;
    const found = urls.filter((url) => this.#found.includes(url));
    if (found.length) return found.filter((_, i) => i === 0 || i === found.length - 1);
    const udp = urls.filter((url) => transportOf(url) === 'udp'), others = urls.filter((url) => transportOf(url) !== 'udp');
    const best = udp.find((url) => url === this.#open) ?? udp.find((url) => !this.#shut.has(url));
    const last = others.at(-1) ?? udp.at(-1);
    // A network of the other family has its own, and cannot use this one.
    const kin = best && familyOf(best) ? udp.find((url) => familyOf(url) && familyOf(url) !== familyOf(best)) : undefined;
    const next = !best || (this.#shut.size && !this.#open) ? others[0] : undefined;
    const wanted = this.#crowded ? [best === this.#open ? best : last] : [best, kin, next, last];
    return urls.filter((url) => wanted.includes(url));
  }

  /** Settled when what is likely to come of a connection's candidates has come. @param {RTCPeerConnection} pc that is watched */
  gathered(pc) { return this.#watched.get(pc)?.gathered; }

  /**
   * Whether a connection holds more relays than a settled call should, and another would hold fewer. Browsers give those
   * of before a restart of ICE back, but Chromium keeps some for as long as the path leads over a relay.
   * @param {RTCPeerConnection} pc @param {boolean} relayed @param {string[]} urls that another would ask
   */
  tooMany(pc, relayed, urls) {
    const {now, before, times} = this.#watched.get(pc) ?? {now: 0, before: 0, times: 0};
    const fewer = (relayed && times > 1) || urlsOf(pc.getConfiguration()).length > urls.length;
    return fewer && now + (relayed ? before : 0) > mostRelays;
  }

  /**
   * Whether another connection would ask for nothing that this one has not asked for, and hold no fewer relays.
   * @param {RTCPeerConnection} pc @param {string[]} urls that another would ask
   */
  fits(pc, urls) {
    const has = urlsOf(pc.getConfiguration());
    return urls.every((url) => has.includes(url)) && !this.tooMany(pc, false, urls);
  }

  /**
   * Learns from a connection, each time that it gathers: until that is over, or no relay has come for a while after another.
   * @param {RTCPeerConnection} pc @returns {RTCPeerConnection}
   */
  watch(pc) {
    /** @type {any} */ let timer = null;
    let udp = false, since = 0, done = () => {};
    /** @type {Promise<void>} */ const gathered = new Promise((resolve) => { done = resolve; });
    /** @type {Set<string>} */ const by = new Set();
    const taken = {gathered, now: 0, before: 0, times: 0};
    this.#watched.set(pc, taken);
    const end = () => {
      this.#clock.clearTimeout(timer);
      timer = null;
      if (pc.signalingState !== 'closed') this.#learn(urlsOf(pc.getConfiguration()), taken.now, udp, by);
      done();
    };
    const begin = () => {
      this.#clock.clearTimeout(timer);
      Object.assign(taken, {now: 0, before: taken.before + taken.now, times: taken.times + 1});
      udp = false;
      by.clear();
      since = this.#clock.now();
      timer = this.#clock.setTimeout(end, times.most);
    };
    pc.addEventListener('icegatheringstatechange', () => {
      if (pc.iceGatheringState === 'gathering') begin();
      else if (pc.iceGatheringState !== 'complete') return;
      else if (timer !== null) end();
      else done(); // where there is nothing to gather Firefox does not say that it begins
    });
    pc.addEventListener('icecandidate', ({candidate}) => {
      if (!candidate) return;
      const {type, priority} = partsOf(candidate);
      if (type !== 'relay') return;
      taken.now++;
      udp ||= isOverUDP(priority);
      by.add(/** @type {any} */ (candidate).url ?? '');
      if (timer === null) return; // late: what was learned stands
      this.#clock.clearTimeout(timer);
      timer = this.#clock.setTimeout(end, udp ? times.quiet : Math.max(times.quiet, since + times.sure - this.#clock.now()));
    });
    return pc;
  }

  /**
   * @param {string[]} urls that were asked @param {number} found relays @param {boolean} udp whether one of them over UDP
   * @param {Set<string>} by the URLs of those that were found, where the browser says so
   */
  #learn(urls, found, udp, by) {
    if (!urls.some((url) => transportOf(url))) return; // none was asked for
    const asked = urls.filter((url) => transportOf(url) === 'udp');
    if (!found) {
      this.#lost = true;
      return;
    }
    if (this.#lost) {
      this.#found = urls.filter((url) => by.has(url));
      this.#lost = this.#found.length === 0;
    }
    if (udp) {
      this.#open = asked.find((url) => !this.#shut.has(url)) ?? '';
    } else {
      for (const url of asked) this.#shut.add(url);
      if (asked.includes(this.#open)) this.#open = '';
    }
    if (found > mostRelays && String(this.choose(urls)) === String(urls)) this.#crowded = true;
  }
}
