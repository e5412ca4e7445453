import {standstillTimes as times} from '../../base/times.js';
import {silenceOf} from './watch.js';

/**
 * When a packet of sound or picture was played or shown last, by a clock of the browser's; 0: never. Reading it asks nothing of the
 * browser but memory.
 * @param {RTCPeerConnection} pc
 */
export const playedOf = (pc) => Math.max(0, ...pc.getReceivers().flatMap((receiver) => (receiver.getSynchronizationSources?.() ?? []).map(({timestamp}) => timestamp)));

/**
 * What it needs of its peer.
 * @typedef {object} StandstillHost
 * @property {import('../../base/clock.js').Clock} clock
 * @property {() => RTCPeerConnection | null} pc the connection in use; null: there is none, or nothing is to be expected of it
 * @property {(pc: RTCPeerConnection) => Promise<RTCStatsReport | null>} report
 * @property {() => void} changed it stands still, or goes on
 */

/**
 * Sees that a path on which something came all the time has gone silent, long before anybody can say that it is dead: for what costs
 * little and may be in vain. While all is well it reads memory alone.
 */
export class Standstill {
  /** @type {StandstillHost} */ #host;
  /** @type {any} */ #timer = null;
  /** The one that is looked at. @type {RTCPeerConnection | null} */ #pc = null;
  #played = 0;
  /** How often it was asked since something was played. */
  #asked = 0;
  #lookedAt = NaN;
  /** Since when something has come at each look or nearly; and when something came last. */
  #evenFrom = NaN;
  #cameAt = NaN;
  #still = false;
  #closed = false;

  /** @param {StandstillHost} host */
  constructor(host) {
    this.#host = host;
  }

  begin() {
    if (this.#timer === null && !this.#closed) this.#next();
  }

  /** How long nothing has come where something should, milliseconds, at least 1; 0: something comes, or nobody can tell. */
  get silence() { return this.#still ? Math.max(1, this.#host.clock.now() - this.#cameAt) : 0; }

  #next() {
    this.#timer = this.#host.clock.setTimeout(() => this.#look(), times.look);
  }

  async #look() {
    const {clock} = this.#host, now = clock.now(), late = now - this.#lookedAt - times.look, pc = this.#host.pc();
    this.#lookedAt = now;
    // A page that was asleep has seen nothing of what came; and of another connection nothing is known.
    if (!pc || pc !== this.#pc || (late > times.asleep && !this.#still)) this.#forget();
    this.#pc = pc;
    if (pc && this.#still) await this.#ask(pc);
    else if (pc) {
      const played = playedOf(pc), came = played !== this.#played;
      this.#played = played;
      if (came) {
        this.#cameAt = now;
        this.#asked = 0;
        if (Number.isNaN(this.#evenFrom)) this.#evenFrom = now;
      } else if (late > times.look) this.#cameAt += late; // a page that was busy does not know
      else if (now - this.#cameAt > times.still) {
        // Where little comes, silence says nothing; nor where nobody plays it.
        if (this.#cameAt - this.#evenFrom > times.even && this.#asked++ < times.asked) await this.#ask(pc);
        else this.#evenFrom = NaN;
      }
    }
    if (!this.#closed) this.#next();
  }

  #forget() {
    this.#evenFrom = this.#cameAt = NaN;
    this.#say(false);
  }

  /** What is not played may have come. @param {RTCPeerConnection} pc */
  async #ask(pc) {
    const {clock, report} = this.#host, said = await report(pc).catch(() => null);
    if (this.#closed) return;
    const now = this.#lookedAt = clock.now(), silence = said ? silenceOf(said) : Infinity;
    if (silence < times.still) {
      if (Number.isNaN(this.#evenFrom)) this.#evenFrom = now;
      this.#cameAt = now;
      // A packet now and then is no path.
      if (now - this.#evenFrom >= times.alive) this.#say(false);
    } else {
      this.#evenFrom = NaN;
      if (silence < Infinity) this.#say(true);
    }
  }

  /** @param {boolean} still */
  #say(still) {
    if (this.#still === still) return;
    this.#still = still;
    this.#host.changed();
  }

  close() {
    this.#closed = true;
    this.#host.clock.clearTimeout(this.#timer);
  }
}
