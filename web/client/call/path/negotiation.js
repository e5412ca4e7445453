import {answer, withoutCandidates} from './connection.js';
import {isFirefox} from './browsers.js';
import {belongs, leftOut, nothingInCommon, troubleOf} from './received.js';
import {inPackets} from './packets.js';
import {startBitrate, startingAnew, startingFaster} from './start.js';
import {Trickle} from './trickle.js';
import {negotiationTimes as times} from '../../base/times.js';

/** @typedef {import('../../base/clock.js').Clock} Clock */

/**
 * What a negotiation needs of its surroundings. It knows of no DOM and of no global of the browser.
 * @typedef {object} NegotiationHost
 * @property {Clock} clock
 * @property {() => boolean} polite whether we give way where both offer at once
 * @property {() => boolean} online whether what is said goes out at once
 * @property {(data: any) => void} signal
 * @property {(pc: RTCPeerConnection) => void} answering an offer is in force: puts what we send into the answer
 * @property {() => void} settled an offer has been answered: what the connection can carry may have changed
 * @property {(why: Failure) => void} failed
 * @property {() => number | undefined} [startBitrate] bits per second to begin with; undefined: as always
 * @property {() => boolean} [packs] packets of sound are to be longer than the browser makes them by itself
 * @property {(trouble: import('./received.js').Trouble | '') => void} trouble what is wrong between the two; '': they understand each other
 */

/** @typedef {'refused' | 'unanswered' | 'mute'} Failure `refused`: a browser did not take a description; `mute`: our own made none */

/** So many candidates of one description are looked at: a browser with eight networks and four relays has some sixty. */
const mostCandidates = 512;

/** How many pictures a description has room for. */
const pictures = (sdp = '') => sdp.split(/^m=video /m).length - 1;

/** After so many failures in a row no more offers are made of this connection, unless the other side makes one that is taken. */
const mostFailures = 12;

/**
 * Offers and answers of one connection: perfect negotiation as in the W3C's webrtc-pc, and what that leaves to chance.
 * Each offer has a number (`round`), which its answer bears, so that an answer that comes late or twice is not taken for
 * that to another offer. One step follows the other. Whatever a browser does not take is rolled back on both sides, and
 * an offer that nobody answers as well, so there is no state in which neither may offer.
 */
export class Negotiation {
  /** @type {NegotiationHost} */ #host;
  /** @type {Promise<void>} */ #steps = Promise.resolve();
  #trickle;
  #round = 0;
  /** The last offer of theirs, and what was answered. */
  #theirRound = NaN;
  #theirOffer = '';
  /** @type {RTCSessionDescriptionInit | null} */ #answered = null;
  #ignoring = false;
  /** Failures in a row. */
  #failures = 0;
  /** @type {any} */ #unanswered = null;
  /** @type {any} */ #again = null;
  /** There is something to negotiate, after a pause. */
  #wanted = false;
  #closed = false;
  /** What the other side says is Firefox's. */
  mozilla = false;
  /** Candidates since the last description of theirs: of another generation, and those that can be used. */
  #strays = 0;
  #usable = 0;
  /** With how much it begins to send: another than the first would have Chromium begin anew. @type {number | undefined} */ #begins;
  #packs = false;
  /** Whose offer was the first that was answered; '': none yet. @type {'' | 'ours' | 'theirs'} */ first = '';

  /**
   * @param {RTCPeerConnection} pc @param {string} name of the connection, '' for the first
   * @param {NegotiationHost} host
   * @param {{say?: (description: RTCSessionDescriptionInit) => RTCSessionDescriptionInit, more?: any}} [options]
   *   `say`: what is said of a description; `more`: goes with the first offer
   */
  constructor(pc, name, host, {say = (description) => description, more = {}} = {}) {
    this.pc = pc;
    this.name = name;
    this.#host = host;
    this.say = say;
    this.more = more;
    this.#trickle = new Trickle((candidates) => this.#signal({candidates}), host.clock);
  }

  /** Others are told from now on. @param {NegotiationHost} host */
  serve(host) { this.#host = host; }

  /** What they have said, as our browser is to hear it. @param {{type: RTCSdpType, sdp?: string}} description */
  #heard(description) {
    // A picture more has it begin anew: with what the line takes by now.
    if (pictures(description.sdp) > pictures(this.pc.remoteDescription?.sdp)) this.#begins = undefined;
    this.#packs = this.#host.packs?.() ?? false;
    return inPackets(startingFaster(description, this.#start), this.#packs);
  }

  get #start() { return (this.#begins ??= this.#host.startBitrate?.() ?? startBitrate); }

  /** Whether an offer of ours waits for its answer. */
  get waiting() { return this.pc.signalingState === 'have-local-offer'; }

  /** Candidates of ours, to go after the description that they belong to. @param {...RTCIceCandidateInit} candidates */
  found(...candidates) { this.#trickle.add(...candidates); }

  flush() { this.#trickle.flush(); }

  /** Our offer has been sent by other means. @param {number} [round] */
  offered(round = 1) {
    this.#round = round;
    this.#trickle.described();
    this.#await();
  }

  /** Makes an offer, when the steps before are done and there is no other. */
  offer() {
    this.#step(async () => {
      const {pc} = this;
      if (pc.signalingState !== 'stable') return; // wanted again once it is
      if (this.#failures >= mostFailures) return;
      if (this.#again !== null) {
        this.#wanted = true;
        return;
      }
      try {
        await pc.setLocalDescription();
      } catch (error) {
        this.#fail('mute', error);
        return;
      }
      // An offer of theirs does not come between: it is a step of its own.
      if (!this.waiting || this.#closed) return;
      this.#round++;
      this.#describe(pc.localDescription, this.#round, this.#round === 1 ? this.more : {});
      this.#await();
    });
  }

  /**
   * Has Chromium think anew of what it may send, from so much on.
   * @param {number} rate bits per second
   */
  begin(rate) {
    // The same number again would change nothing.
    this.#retell((said) => startingAnew(said, this.#begins = rate === this.#begins ? rate - 1000 : rate));
  }

  /** Has the browser make packets of sound longer, or no longer so, as its host says; while ICE looks for a path, it is asked for again once there is one. */
  pack() {
    if ((this.#host.packs?.() ?? false) === this.#packs) return;
    this.#retell((said) => (/^(connected|completed)$/.test(this.pc.iceConnectionState) && (this.#host.packs?.() ?? false) !== this.#packs ? this.#heard(said) : null));
  }

  /**
   * Our browser is told once more what both have said, and the other side is told nothing.
   * @param {(said: RTCSessionDescription) => RTCSessionDescriptionInit | null} as what it is to hear of the other side; null: it has heard that
   */
  #retell(as) {
    this.#step(async () => {
      const {pc} = this, {remoteDescription: said, signalingState} = pc;
      const heard = signalingState === 'stable' && said ? as(said) : null;
      if (!heard) return;
      try {
        if (heard.type === 'answer') await pc.setLocalDescription();
        await pc.setRemoteDescription(heard);
        if (heard.type === 'offer') await pc.setLocalDescription();
      } catch (error) {
        // There is something to negotiate, and that is still done.
        if (!this.#closed) console.warn('turnhub: what both have said was not taken again', error);
        await this.#rollBack();
      }
    });
  }

  /** Says an offer again that may not have been delivered. */
  repeat() {
    if (this.waiting) this.#describe(this.pc.localDescription, this.#round, this.#round === 1 ? this.more : {});
  }

  /**
   * Handles signaling data of the other side.
   * @param {import('./received.js').SignalData} data
   * @returns {Promise<void>} settled when it is handled; never rejected
   */
  handle({description, unusable, round, candidates, refused}) {
    if (unusable) this.#step(() => this.#onUnusable(unusable, round));
    if (refused !== undefined) {
      this.#step(async () => {
        if (!this.waiting || refused !== this.#round) return;
        await this.#rollBack();
        this.#fail('refused', new Error('the other side has not taken our offer'));
      });
    }
    if (description?.type === 'offer') this.#step(() => this.#onOffer(description, round));
    if (description?.type === 'answer') this.#step(() => this.#onAnswer(description, round));
    if (!candidates.length) return this.#steps;
    return this.#step(async () => {
      const found = candidates.filter((each) => belongs(each, this.pc)).slice(0, Math.max(0, mostCandidates - this.#usable));
      if (found.length) this.#usable += found.length;
      else this.#strays += candidates.length;
      await Promise.all(found.map((each) => this.pc.addIceCandidate(each).catch((error) => {
        // Those of an offer that was ignored, or rolled back, belong to nothing.
        if (!this.#ignoring && !this.#failures && !this.#closed) console.warn('turnhub: a candidate was not taken', error);
      })));
    });
  }

  /** All candidates that have come belong to another connection. */
  get astray() { return this.#strays > 0 && !this.#usable && !/^a=candidate:/m.test(this.pc.remoteDescription?.sdp ?? ''); }

  /** What was said was no description that could be used. @param {{type: string, code: import('./received.js').Unusable}} what @param {number} [round] */
  async #onUnusable({type, code}, round) {
    const answered = type === 'answer' && this.waiting && (round === undefined || round === this.#round);
    // An answer that nobody waits for harms nobody, nor does an offer that ours wins over.
    if (type === 'answer' ? !answered : this.waiting && !this.#host.polite()) return;
    this.#host.trouble(`theirs-${code}`);
    this.#signal({...(type === 'offer' && round !== undefined ? {refused: round} : {}), trouble: code});
    if (!answered) return;
    await this.#rollBack();
    this.#fail('refused', new Error(`the answer cannot be used: ${code}`));
  }

  /**
   * Answers an offer without its candidates and without saying so, for a call that is being accepted.
   * @param {import('./received.js').SaidDescription} offer
   * @returns {Promise<{answer?: RTCSessionDescriptionInit, candidates: RTCIceCandidateInit[]} | null>} null: it was not taken, and it is as if it had not come
   */
  async answerAhead(offer) {
    const {description, candidates} = withoutCandidates(offer);
    const {pc} = this;
    this.mozilla = isFirefox(offer);
    try {
      await pc.setRemoteDescription(this.#heard(description));
      this.#host.answering(pc);
      await answer(pc);
    } catch (error) {
      console.warn('turnhub: the offer of the call', error);
      await this.#rollBack();
      return null;
    }
    this.first = 'theirs';
    this.#answered = pc.localDescription?.toJSON() ?? null;
    this.#trickle.described();
    return {answer: this.#answered ?? undefined, candidates};
  }

  /** Our offer has gone with a session that the server has forgotten. */
  async withdraw() {
    await this.#step(async () => {
      if (this.waiting) await this.#rollBack();
    });
  }

  /** @param {import('./received.js').SaidDescription} offer @param {number} [round] */
  async #onOffer(offer, round) {
    const {pc} = this;
    if (round === this.#theirRound && offer.sdp === this.#theirOffer && pc.signalingState === 'stable' && this.#answered) {
      // Said twice: the first may have been lost, or our answer.
      this.#describe(this.#answered, round);
      return;
    }
    this.#ignoring = pc.signalingState !== 'stable' && !this.#host.polite();
    if (this.#ignoring) return;
    try {
      // Where both have offered, this takes ours back.
      await pc.setRemoteDescription(this.#heard(offer));
      this.mozilla = isFirefox(offer);
      this.#strays = this.#usable = 0;
      this.#stopWaiting();
      this.#host.answering(pc);
      await answer(pc, (ours) => {
        if (this.#closed) return;
        this.#answered = ours;
        this.#theirRound = round ?? NaN;
        this.#theirOffer = offer.sdp;
        this.#describe(ours, round);
      });
      this.first ||= 'theirs';
      this.#settled(offer.sdp, this.#answered?.sdp);
    } catch (error) {
      await this.#onRefused(offer.sdp, error, round === undefined ? {} : {refused: round});
    }
  }

  /** Offer and answer are in force. @param {string} offer @param {string} [answer] */
  #settled(offer, answer = '') {
    this.#failures = 0;
    const {what, all} = leftOut(offer, answer);
    this.#host.trouble(what);
    this.#host.settled();
    if (all) this.#fail('refused', new Error('there is nothing that both browsers know'));
  }

  /** Our browser does not take what they say. @param {string} sdp @param {unknown} error @param {any} [more] is said with it */
  async #onRefused(sdp, error, more = {}) {
    if (this.#closed) return;
    // Some browsers take an answer without a common format, as a call of nothing; others do not.
    const {signalingState, localDescription} = this.pc;
    const formats = signalingState === 'have-local-offer' && nothingInCommon(localDescription?.sdp ?? '', sdp);
    await this.#rollBack();
    const trouble = formats ? 'codecs' : troubleOf(sdp);
    this.#host.trouble(trouble === 'codecs' ? trouble : `theirs-${trouble}`);
    this.#signal({...more, trouble});
    this.#fail('refused', error);
  }

  /** @param {import('./received.js').SaidDescription} description @param {number} [round] */
  async #onAnswer(description, round) {
    // A second answer, or one to an offer that was taken back.
    if (!this.waiting || (round !== undefined && round !== this.#round)) return;
    this.#stopWaiting();
    try {
      await this.pc.setRemoteDescription(this.#heard(description));
      this.mozilla = isFirefox(description);
      this.#strays = this.#usable = 0;
      this.first ||= 'ours';
      this.#settled(this.pc.localDescription?.sdp ?? '', description.sdp);
    } catch (error) {
      await this.#onRefused(description.sdp, error);
    }
  }

  /** Back to where either may offer. */
  async #rollBack() {
    this.#stopWaiting();
    const {pc} = this;
    try {
      if (pc.signalingState === 'have-local-offer') await pc.setLocalDescription({type: 'rollback'});
      else if (pc.signalingState === 'have-remote-offer') await pc.setRemoteDescription({type: 'rollback'});
    } catch (error) {
      if (!this.#closed) console.error('turnhub: rollback', error);
    }
  }

  /** @param {Failure} why @param {unknown} error */
  #fail(why, error) {
    if (this.#closed) return;
    this.#failures++;
    this.#wanted = why === 'mute';
    console.warn(`turnhub: negotiation ${why}`, error);
    this.#host.failed(why);
    if (this.#closed) return;
    // What was to be negotiated still is. Not at once: the same would be refused again.
    this.#host.clock.clearTimeout(this.#again);
    const pause = Math.min(times.againMost, times.again * 2 ** (this.#failures - 1));
    this.#again = this.#host.clock.setTimeout(() => {
      this.#again = null;
      if (this.#wanted) this.offer();
      this.#wanted = false;
    }, pause);
  }

  /** Waits for the answer. The first offer is said again, as nothing can go on without it; others are taken back. */
  #await() {
    const {clock} = this.#host;
    this.#stopWaiting();
    this.#unanswered = clock.setTimeout(() => {
      if (!this.waiting) return;
      if (!this.#host.online()) return this.#await();
      if (!this.pc.remoteDescription) {
        this.repeat();
        return this.#await();
      }
      this.#step(async () => {
        if (!this.waiting) return;
        await this.#rollBack();
        this.#fail('unanswered', new Error('nobody has answered our offer'));
      });
    }, times.answer);
  }

  #stopWaiting() {
    this.#host.clock.clearTimeout(this.#unanswered);
    this.#unanswered = null;
  }

  /** @param {RTCSessionDescriptionInit | null} description @param {number} [round] @param {any} [more] */
  #describe(description, round, more = {}) {
    if (!description) return;
    this.#signal({description: this.say(description), ...(round === undefined ? {} : {round}), ...more});
    this.#trickle.described();
  }

  /** @param {any} data */
  #signal(data) {
    if (!this.#closed) this.#host.signal({connection: this.name, ...data});
  }

  /** @param {() => Promise<void>} step */
  #step(step) {
    this.#steps = this.#steps.then(() => (this.#closed ? undefined : step())).catch((error) => {
      if (!this.#closed) console.error('turnhub: signaling', error);
    });
    return this.#steps;
  }

  close() {
    this.#closed = true;
    this.#stopWaiting();
    this.#host.clock.clearTimeout(this.#again);
    this.#trickle.clear();
  }
}
