import {reachesUDP, udpOf} from './path/probe.js';
import {usable} from './path/browsers.js';
import {Relays} from './path/relays.js';
import {configuration, urlsOf} from './path/connection.js';

/** The connections of a call: with which servers they are made. */
export class Connections {
  #hub;
  #options;
  /** One for all connections of the call, so that the string of its keys stays the same when one is replaced. @type {RTCCertificate[] | undefined} */ #certificates;

  /** @param {import('../session/hub.js').Hub} hub @param {import('./events.js').CallOptions} options */
  constructor(hub, options) {
    this.#hub = hub;
    this.#options = options;
    this.relays = Relays.of(hub);
    /** Settled when connections can be made. */
    this.ready = this.#certify();
  }

  async #certify() {
    try {
      const certificate = await globalThis.RTCPeerConnection?.generateCertificate?.(/** @type {any} */ ({name: 'ECDSA', namedCurve: 'P-256'}));
      if (certificate) this.#certificates = [certificate];
    } catch { /* each connection makes its own */ }
  }

  /** How they are made. @param {boolean} [all] with every relay, not with those alone that a call needs */
  configuration(all = false) {
    const choose = (/** @type {string[]} */ urls) => {
      const able = usable(urls, globalThis.navigator?.userAgent ?? '');
      return all ? able : this.relays.choose(able);
    };
    return configuration(this.#hub.config, {...this.#options, choose});
  }

  /**
   * A new one: with the relays that a call needs, with all of them, or `direct`: with none, so that it leads straight or nowhere.
   * @param {'few' | 'all' | 'direct'} [which] @param {RTCConfiguration} [more]
   */
  make(which = 'few', more) {
    const certificates = this.#certificates && {certificates: this.#certificates};
    const configuration = {...this.configuration(which === 'all'), ...certificates, ...more};
    if (which === 'direct') {
      // The server still says at which address it sees us.
      const urls = udpOf(this.#hub.config);
      configuration.iceServers = urls ? [{urls}] : [];
    }
    return this.relays.watch(new RTCPeerConnection(configuration));
  }

  /** Whether another would have no other servers that matter. @param {RTCPeerConnection} pc */
  fits(pc) { return this.relays.fits(pc, urlsOf(this.configuration())); }

  /** Whether one holds more relays than it needs. @param {RTCPeerConnection} pc @param {boolean} relayed its path leads over one */
  tooMany(pc, relayed) { return this.relays.tooMany(pc, relayed, urlsOf(this.configuration())); }

  /** Whether UDP gets out to the server; where other ways were ordered, nobody wants to know. */
  async probe() {
    const open = !this.#options.transport && await reachesUDP(this.#hub.config);
    if (open) this.relays.forget();
    return open;
  }
}
