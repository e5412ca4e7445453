/**
 * At which of several nodes the session is, and where it tries next: protocol.md, "elsewhere". Where there is one server this is
 * the address that was given.
 */
export class Nodes {
  /** @type {string | undefined} the address in use; undefined: that of the server of this module */ url;
  /** @type {string[]} all that are known, the best first */ #all = [];
  /** @type {Map<string, number>} when an address did not answer */ #failed = new Map();

  /** @param {string | undefined} url */
  constructor(url) { this.url = url; }

  /**
   * The server says which nodes there are.
   * @param {unknown} signalings @param {URL} now the address in use, in full
   */
  learn(signalings, now) {
    const all = known(signalings, now);
    if (all.length < 2) return;
    const here = bare(now);
    // Who has come by a name that leads to all of them begins there again.
    this.#all = all.includes(here) ? all : [here, ...all];
  }

  /** The address in use did not answer: the next one is. @param {URL} now @param {number} time */
  failed(now, time) {
    if (this.#all.length < 2) return;
    const here = bare(now);
    this.#failed.set(here, time);
    this.url = this.#all[(this.#all.indexOf(here) + 1) % this.#all.length];
  }

  /**
   * Another node has the room. Where that did not answer a moment ago we stay: with whom we can reach.
   * @param {unknown} signalings @param {URL} now @param {number} time
   * @returns {boolean} whether to go
   */
  move(signalings, now, time) {
    const all = known(signalings, now);
    const here = bare(now);
    if (!all.length || all[0] === here || time - (this.#failed.get(all[0]) ?? -Infinity) < triedFor) return false;
    this.#all = all.includes(here) ? all : [...all, here];
    this.url = all[0];
    return true;
  }
}

/** For so long an address that did not answer is not gone to for a room, milliseconds. */
const triedFor = 60_000;

/** At most so many nodes are remembered. */
const most = 16;

/**
 * The usable ones of what a server names: sockets, over TLS where the one in use is.
 * @param {unknown} signalings @param {URL} now @returns {string[]}
 */
function known(signalings, now) {
  /** @type {Set<string>} */ const all = new Set();
  for (const each of Array.isArray(signalings) ? signalings.slice(0, most) : []) {
    try {
      const url = new URL(each);
      if (url.protocol === 'wss:' || url.protocol === 'ws:' && now.protocol === 'ws:') all.add(bare(url));
    } catch {
      // another version's
    }
  }
  return [...all];
}

/** @param {URL} url without the access token */
function bare(url) {
  const copy = new URL(url);
  copy.searchParams.delete('token');
  copy.hash = '';
  return copy.href;
}
