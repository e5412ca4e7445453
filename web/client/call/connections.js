import {reachesUDP} from './path/probe.js';
import {usable} from './path/browsers.js';
import {Relays} from './path/relays.js';
import {configuration, urlsOf} from './path/connection.js';

/** The connections of a call: with which servers they are made. */
export class Connections {
  #hub;
  #options;

  /** @param {import('../session/hub.js').Hub} hub @param {import('./events.js').CallOptions} options */
  constructor(hub, options) {
    this.#hub = hub;
    this.#options = options;
    this.relays = Relays.of(hub);
  }

  /** How they are made. @param {boolean} [all] with every relay, not with those alone that a call needs */
  configuration(all = false) {
    const choose = (/** @type {string[]} */ urls) => {
      const able = usable(urls, globalThis.navigator?.userAgent ?? '');
      return all ? able : this.relays.choose(able);
    };
    return configuration(this.#hub.config, {...this.#options, choose});
  }

  /** A new one. @param {boolean} [all] with every relay @param {RTCConfiguration} [more] */
  make(all, more) {
    return this.relays.watch(new RTCPeerConnection({...this.configuration(all), ...more}));
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
