import {Improving} from './improving.js';
import {Replacements} from './replacement.js';
import {PathWatch} from './watch.js';
import {statsOf} from './stats.js';
import {mayRestart} from './browsers.js';
import {hasRelays, hasServers, reconfigure, renewed} from './connection.js';
import {healingTimes as times} from '../../base/times.js';

/** @typedef {import('./negotiation.js').Negotiation} Negotiation */
/** @typedef {import('../peer.js').PeerState} PeerState */

/**
 * What healing needs of its peer. It knows of no DOM and of no global of the browser.
 * @typedef {object} HealingHost
 * @property {import('../../base/clock.js').Clock} clock
 * @property {() => Negotiation | null} current of the connection in use; null: nothing may be mended (both are not in the call)
 * @property {() => RTCPeerConnection | null} pc the connection in use, whatever may be done with it
 * @property {() => PeerState} state
 * @property {(state: PeerState) => void} setState
 * @property {() => boolean} online whether the hub is connected
 * @property {() => boolean} polite
 * @property {() => boolean} reachable whether the other side's session is known
 * @property {() => string} browser of the other side, as it says
 * @property {() => boolean} sending whether the other side says that it sends anything
 * @property {(all?: boolean) => RTCConfiguration} configuration with the relays that a call needs, or with all
 * @property {(pc: RTCPeerConnection) => boolean} fits whether another connection would have no other servers that matter
 * @property {(pc: RTCPeerConnection, relayed: boolean) => boolean} tooMany whether a connection holds more relays than it needs
 * @property {() => void} limit what is sent has to be looked at
 * @property {() => void} keyFrame the path is another one
 * @property {Omit<import('./replacement.js').ReplacementHost, 'failed' | 'create' | 'direct'> & {create: (which: 'direct' | 'few' | 'all') => RTCPeerConnection}} replacements
 *   `create`: without relays, with those that a call needs, or with all
 * @property {() => Promise<boolean>} probe whether UDP gets out to the server
 * @property {() => boolean} slow the path leads over TCP or TLS and is known as narrow: what waits on it looks like silence
 * @property {() => boolean} narrow the call goes on without a connection, on a line on which looking for one would hold its sound up
 */

/** After so many refusals in a row nothing more is offered. */
const mostRefusals = 12;

/**
 * Keeps one person connected. The means, from the cheapest to the surest: a restart of ICE on the connection in use; a
 * whole new connection beside it, which takes its place once it carries media. Which comes first depends on what is
 * broken; whichever fails is followed by the other, ever later, for as long as there is somebody to reach. It believes
 * neither its own browser's states alone nor that the other side's browser does as it is told.
 */
export class Healing {
  /** The path in use, or the last one. */
  path = '';
  /** The connection has been in use once. */
  wasConnected = false;
  /** @type {Replacements} */ replacements;
  /** @type {Improving} */ improving;

  /** @type {HealingHost} */ #host;
  /** @type {PathWatch} */ #watch;
  /** Waits for the hub. */
  #wanted = false;
  /** Only another connection helps: a browser did not take what was negotiated, or lost more than its path. */
  #beyondRestart = false;
  /** The first try has come to nothing: whatever relay there is may be the one that helps. */
  #all = false;
  /** Restarts of ICE since all was well. */
  #restarts = 0;
  /** Descriptions that one of the two browsers did not take, since all was well or something has changed. */
  #refusals = 0;
  #triedAt = -Infinity;
  #offeredAt = -Infinity;
  /** @type {number} */ #patience = times.restart;
  #heardAt = 0;
  /** When a better path was looked for, or might have been. */
  #lookedAt;
  #slow = false;
  /** When nothing had come for a while. */
  #silentAt = -Infinity;
  /** As last seen. @type {import('./stats.js').Quality | null} */ #quality = null;
  #since;
  /** @type {any} */ #timer = null;

  /** @param {HealingHost} host */
  constructor(host) {
    this.#host = host;
    const {clock} = host;
    this.#since = this.#lookedAt = clock.now();
    const direct = () => host.configuration().iceTransportPolicy !== 'relay';
    const create = (/** @type {boolean} */ bare) => host.replacements.create(bare ? 'direct' : this.#all ? 'all' : 'few');
    this.replacements = new Replacements({...host.replacements, create, direct, failed: (why, direct) => {
      if (why === 'refused') this.#refusals++;
      this.heal(this.#watch.dead || this.#beyondRestart);
      host.limit();
      if (direct && this.#quality) this.#improve(this.#quality);
    }});
    this.#watch = new PathWatch(clock, async () => { const pc = host.pc(); return pc && statsOf(pc, clock); }, (dead) => this.#onDead(dead), () => (host.slow() ? times.slow : times.dead));
    this.improving = new Improving({
      clock, probe: host.probe, direct, polite: host.polite, better: () => this.better(), only: (which, hurried) => this.#only(which, hurried),
      fits: host.fits, tooMany: host.tooMany, fit: (relayed) => this.#fit(relayed),
    });
  }

  /** Nothing comes any more. */
  get dead() { return this.#watch.dead; }

  /** How long there has been no connection, milliseconds; 0: there is one. Clocks stand still for a moment, so that it is 1 at least. */
  get unconnected() { return this.#host.state() === 'connected' ? 0 : Math.max(1, this.#host.clock.now() - this.#since); }

  /** Nothing is to be sent into this path, as it is about to be healed by a restart of ICE and not to be replaced. */
  get lost() { return this.dead && !(this.#replaceFirst && this.replacements.hopeful); }

  /** A relayed path (or one too new to be known) may be cut for one side alone: another connection is quicker. */
  get #replaceFirst() { return this.replacements.understood && (this.path !== 'direct' || this.#beyondRestart); }

  /** The state of the connection in use has changed. */
  changed() {
    const pc = this.#host.current()?.pc;
    if (!pc) return;
    const {connectionState, iceConnectionState} = pc;
    const iceLives = iceConnectionState === 'connected' || iceConnectionState === 'completed';
    if (connectionState === 'connected' && iceLives) {
      if (this.wasConnected) this.#onPathChange();
      this.wasConnected = true;
      this.#wanted = this.#beyondRestart = this.#all = false;
      this.#restarts = this.#refusals = 0;
      this.#patience = times.restart;
      this.#watchPath(pc);
      if (this.#host.state() !== 'connected') this.#heardAt = this.#host.clock.now();
      this.#setState('connected');
      this.improving.settle();
      this.#host.limit();
      return;
    }
    // On a narrow line seconds of what waits look like that as well: a new connection would have to wait behind them, and they for it.
    // And browsers that check a path by messages through it say so as late as those come, when all goes on again.
    const waits = this.#host.slow() && this.#host.clock.now() - this.#silentAt < times.slow;
    const broken = [connectionState, iceConnectionState].some((state) => state === 'failed' || (state === 'disconnected' && !waits));
    if (this.wasConnected) {
      if (broken) this.#setState('reconnecting');
    } else {
      this.#setState('connecting');
    }
    // Keys that were not agreed upon are not mended by another path.
    if (connectionState === 'failed' && iceLives) this.#beyondRestart = true;
    // The polite side gives the other a moment, so that mostly one of the two offers.
    if (broken) this.#later(this.#host.polite() && !this.#replaceFirst ? times.yield : 0);
  }

  /** @param {number} milliseconds */
  #later(milliseconds) {
    const {clock} = this.#host;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => this.heal(), milliseconds);
  }

  /** @param {PeerState} state */
  #setState(state) {
    if (state !== 'connected' && this.#host.state() === 'connected') this.#since = this.#host.clock.now();
    this.#host.setState(state);
  }

  /** A restart that heals a dead path changes the pair in use, and often no state at all. @param {RTCPeerConnection} pc */
  #watchPath(pc) {
    const ice = pc.getSenders().find(({transport}) => transport)?.transport?.iceTransport;
    if (ice) ice.onselectedcandidatepairchange = () => this.#onPathChange();
  }

  #onPathChange() {
    if (this.#watch.dead) this.#watch.set(false);
    else if (this.wasConnected && this.#recently < times.result) this.#host.keyFrame();
  }

  /** How long ago either side has begun to mend, milliseconds. */
  get #recently() { return this.#host.clock.now() - Math.max(this.#triedAt, this.#offeredAt); }

  /** @param {boolean} dead */
  #onDead(dead) {
    this.#host.limit();
    if (dead) this.heal(true);
    else this.#patience = times.restart;
  }

  /** The other side offers anew: it has lost the path, perhaps. @param {boolean} [better] it looks for a better one, and has lost none */
  offered(better = false) {
    if (better) return;
    this.#offeredAt = this.#host.clock.now();
    if (this.wasConnected) this.#watch.look();
  }

  /** The two browsers do not understand each other, and the next offer would fare no better: only what has been connected may be again. */
  get #inVain() {
    if (this.#refusals < mostRefusals) return false;
    if (!this.wasConnected) return true;
    return this.#host.clock.now() - this.#triedAt < times.inVain;
  }

  /** What was offered came to nothing. @param {import('./negotiation.js').Failure} why */
  failed(why) {
    // What one side has put in force, the other has not: the path may die at any moment, or is dead.
    if (why !== 'unanswered') this.#beyondRestart = true;
    if (why === 'refused') this.#refusals++;
    if (this.wasConnected) this.#watch.look();
    this.heal(this.#beyondRestart);
  }

  /**
   * Mends the path, or tries to, while the old one stays in use as long as it works. While the hub is away it waits for it.
   * @param {boolean} [urgent] even if something has just begun or nothing seems wrong
   */
  heal(urgent = false) {
    const host = this.#host, current = host.current();
    if (!current || !host.reachable() || this.#inVain) return;
    if (!urgent && host.state() === 'connected' && !this.#beyondRestart) return;
    if (this.#recently < (host.narrow() ? times.narrow : urgent ? times.pause : this.#patience)) return;
    if (!current.pc.remoteDescription && !this.#beyondRestart) return; // the first offer is said again until it is answered
    if (!host.online()) {
      this.#wanted = true;
      return;
    }
    this.#wanted = false;
    if (this.replacements.mending) return;
    this.#triedAt = host.clock.now();
    const restartable = !this.#beyondRestart && mayRestart(current, host.browser());
    // A restart that has not healed a direct path is followed by a new connection, and that by a restart.
    const replace = this.#replaceFirst || this.#restarts > 0 || !restartable;
    this.#all = this.#patience > times.restart;
    this.#patience = Math.min(times.restartMost, this.#patience * 1.5);
    if (replace && this.replacements.begin(!restartable)) return;
    if (!restartable && this.replacements.understood) return;
    this.#restart(current);
  }

  /** @param {Negotiation} current */
  #restart(current) {
    this.#restarts++;
    // The browser checks one pair of candidates after the other, slowly while it believes in the old path: the fewer
    // there are, the sooner the right one's turn comes.
    reconfigure(current.pc, this.#host.configuration(this.#all));
    current.pc.restartIce();
    this.#watch.look();
  }

  /** Fewer relays are enough. @param {boolean} relayed a restart of ICE would leave some of them */
  #fit(relayed) {
    if (relayed && this.replacements.understood) this.better(true);
    else this.better();
  }

  /** There may be a better path than the one in use, which goes on meanwhile. @param {boolean} [replace] by another connection */
  better(replace = false) {
    const host = this.#host, current = host.current();
    if (!current || host.state() !== 'connected' || !host.online() || this.replacements.coming || current.waiting) return;
    if (!replace && mayRestart(current, host.browser())) {
      reconfigure(current.pc, host.configuration());
      current.pc.restartIce();
    } else {
      this.replacements.begin(true);
    }
  }

  /**
   * There may be a path over fewer relays, and the browsers do not find it on the connection in use: another looks for nothing else.
   * @param {'direct' | 'single'} which @param {boolean} [hurried] it is given up soon
   */
  #only(which, hurried) {
    if (!this.replacements.understood) return this.better();
    const {state, online} = this.#host;
    if (state() === 'connected' && online()) this.replacements.begin(true, which, hurried);
  }

  /** Somebody's hub is back after it was lost: whatever does not work is looked for anew, at once. */
  recover() {
    const {state} = this.#host;
    if (!this.#host.pc() || state() === 'closed') return;
    this.replacements.forget();
    this.#patience = times.restart;
    this.#refusals = 0;
    if (this.#wanted || this.#watch.dead || (state() !== 'connected' && this.wasConnected)) this.heal(true);
    this.#watch.look();
  }

  /** This page was asleep: nothing that was true before need be true still. */
  woken() {
    this.#patience = times.restart;
    this.#triedAt = this.#offeredAt = -Infinity;
    this.#watch.look();
  }

  /** Fresh credentials, or servers that were not there when a restart of ICE had begun. */
  configure() {
    const host = this.#host, current = host.current();
    // Where no restart of ICE may be, other servers are not set either: the browser would restart with the next offer.
    if (!current || !mayRestart(current, host.browser())) return;
    const same = renewed(current.pc, host.configuration(true)), now = host.configuration(this.#all);
    const healing = this.#recently < times.restart || host.state() === 'reconnecting';
    const others = !same || (healing && !hasServers(current.pc, now));
    reconfigure(current.pc, others ? now : same);
    if (!others || !healing) return;
    this.#triedAt = this.#offeredAt = -Infinity;
    this.replacements.forget(true);
    this.heal(true);
  }

  /** Another connection is in use. */
  moved() {
    this.#triedAt = this.#offeredAt = -Infinity;
    this.#beyondRestart = false;
    this.#restarts = this.#refusals = 0;
    this.#quality = null;
    this.#silentAt = -Infinity;
    this.#watch.set(false);
    // One that was made without relays has them with the next restart of ICE, whoever makes that.
    const current = this.#host.current();
    if (current && mayRestart(current, this.#host.browser()) && !hasRelays(current.pc)) reconfigure(current.pc, this.#host.configuration());
  }

  /**
   * Once a second: sees what the browser does not say.
   * @param {import('./stats.js').Quality} quality
   */
  tick(quality) {
    const host = this.#host, pc = host.pc();
    if (!pc) return;
    this.path = quality.path || this.path;
    const state = host.state();
    // iceConnectionState alone lies: it stays "connected" on a path that has died under it.
    const now = host.clock.now();
    if (quality.received > 0) this.#heardAt = now;
    // Where nothing has come since it was connected, browsers have no time to tell.
    const silence = quality.silence < Infinity ? quality.silence : host.sending() ? now - this.#heardAt : 0;
    if (state === 'connected' && silence > (host.slow() ? times.slow : times.silence)) {
      this.#setState('reconnecting');
      this.#watch.set(true);
    } else if (state === 'reconnecting' && silence < 1000 && pc.connectionState === 'connected') {
      this.#setState('connected');
    }
    const slow = state === 'connecting' && this.unconnected > times.connect;
    if (host.state() === 'reconnecting' || pc.connectionState === 'failed' || slow) this.heal();
    if (this.#beyondRestart) this.heal();
    if (quality.silence > times.dead) this.#silentAt = now;
    this.#quality = quality;
    this.#improve(quality);
  }

  /** @param {import('./stats.js').Quality} quality */
  #improve(quality) {
    // On a narrow line each look takes of the sound: what was begun before that was known as well.
    const now = this.#host.clock.now(), slow = this.#host.slow();
    if (slow && !this.#slow) this.replacements.spare();
    this.#slow = slow;
    if (!slow) this.#lookedAt = now;
    else if (now - this.#lookedAt < times.narrow) return;
    this.#lookedAt = now;
    // One thing after the other: what is on its way may be better already.
    if (this.#host.state() === 'connected' && !this.replacements.coming) this.improving.tick(quality, this.#host.current());
  }

  close() {
    this.#host.clock.clearTimeout(this.#timer);
    this.#watch.close();
    this.improving.close();
    this.replacements.close();
  }
}
