import {Emitter} from '../../base/emitter.js';
import {Quota} from '../../base/quota.js';
import {realClock} from '../../base/clock.js';
import {isReaction, reactionEvery, reactionsAtOnce, wishOf} from '../wishes.js';
import {Transfer} from './transfer.js';
import {isBondWord} from '../path/bond.js';
import {chatLimit, fileOffer, isKey, isLineState, isText, mimeOf, nameWithin, paths, pixelsShown, timed} from './bounds.js';

/**
 * What somebody says is being sent: `beside` tells that the screen comes beside the camera and not in its place. And whether
 * there is a recording of the call made there, and whether the page there tells its visitor of one made here; whether the person
 * there raises a hand, and how much is wanted of us.
 * @typedef {{audio: boolean, video: boolean, screen: boolean, beside: boolean, recording: boolean, recordings: boolean, hand: boolean,
 *   wants: import('../wishes.js').Wish}} Sending
 */

/**
 * @typedef {object} ChannelEvents
 * @property {void} open
 * @property {Sending & {screens: boolean}} media `screens`: shows a screen beside the camera
 * @property {import('../../session/hub.js').Path} path how the other side sees its end of the path
 * @property {import('./bounds.js').Timed} timed a message that tells how long the way is
 * @property {import('../path/line.js').LineState} line what of the other side's fits its line
 * @property {number} shown how many pixels of our picture can be seen there
 * @property {boolean} redundant the other side's line has room for sound that is sent twice
 * @property {{word: string, pc: RTCPeerConnection}} bond what the other side says over one connection, for keys of another way
 * @property {any} signal what would else come over signaling
 * @property {{text: string, at: number}} chat
 * @property {import('../wishes.js').Reaction} reaction
 * @property {Transfer} file the peer offers a file
 */

/** At most so many messages wait for the channel to open, or to be acknowledged. */
const unsentLimit = 100;
/** What is told as it is now, and is not worth repeating. */
const momentary = ['media', 'path', 'alive', 'had', 'ping', 'pong', 'line', 'redundant', 'shown', 'reaction', 'bond'];
/** At most so many files are offered or on their way at once. */
const transferLimit = 64;

/**
 * Chat, files and state between two people: JSON on one negotiated data channel, and a channel of its own for each
 * file. What is said before it opens waits. Chat and what concerns files is acknowledged, so that it can be said again
 * when another connection has taken the place of the one that it went over.
 * @extends {Emitter<ChannelEvents>}
 */
export class PeerChannel extends Emitter {
  /** @type {RTCPeerConnection | null} */ #pc = null;
  /** @type {RTCDataChannel | null} */ #channel = null;
  /** @type {any[]} */ #unsent = [];
  /** @type {any[] | null} what has come from somebody who has not joined yet; null: everything is handled at once */ #held = null;
  /** @type {Map<string, Transfer>} */ #transfers = new Map();
  /** @type {Map<string, Blob>} */ #files = new Map();
  /** The keys of messages that came lately. @type {Set<string>} */ #had = new Set();
  #keys = crypto.randomUUID?.() ?? String(Math.random());
  #said = 0;
  #reactions = new Quota(realClock, reactionsAtOnce, reactionEvery);
  /** How files are sent. @type {import('./transfer.js').Pace | undefined} */ pace = undefined;

  /** Whether there is a data channel, open or not. */
  get used() { return this.#channel !== null; }
  get open() { return this.#channel?.readyState === 'open'; }

  /** Takes a channel into use, in place of another. @param {RTCPeerConnection} pc @param {RTCDataChannel} channel of that connection */
  use(pc, channel) {
    this.hear(pc, channel);
    const replaces = this.#pc;
    this.#pc = pc;
    this.#channel = channel;
    if (replaces) this.#resume();
    const opened = () => {
      if (channel !== this.#channel) return;
      this.emit('open', undefined);
      for (const message of this.#unsent) this.#send(message);
    };
    if (channel.readyState === 'open') opened();
    else channel.onopen = opened;
  }

  /** Hears a channel, also before it is used: the other side may go over to it first. @param {RTCPeerConnection} pc @param {RTCDataChannel} channel */
  hear(pc, channel) {
    channel.onmessage = ({data}) => {
      try {
        const message = isText(data) ? JSON.parse(data) : null;
        if (typeof message !== 'object' || message === null) throw new Error('no message');
        // Of this connection alone, and never by way of the server.
        if (message.type === 'bond') return isBondWord(message.word) && this.emit('bond', {word: message.word, pc});
        if (!this.#held) this.receive(message, pc);
        else if (this.#held.length < unsentLimit) this.#held.push(message);
      } catch (error) {
        console.warn('turnhub: a message on the data channel was not understood', error);
      }
    };
  }

  /** Keeps what comes until `release`. */
  hold() {
    this.#held = [];
  }

  release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const message of held) this.receive(message);
  }

  /** Sends a message, or keeps it until the channel is open. State is not kept: `open` is the time to tell it. @param {any} message */
  tell(message) {
    if (!momentary.includes(message.type)) {
      message = {...message, key: `${this.#keys}-${++this.#said}`};
      this.#unsent.push(message);
      if (this.#unsent.length > unsentLimit) this.#unsent.shift();
    }
    if (this.open) this.#send(message);
  }

  /** @param {any} message */
  #send(message) {
    /** @type {RTCDataChannel} */ (this.#channel).send(JSON.stringify(message));
  }

  /** Whether a message is new; the sender is told that it has come. @param {string} key */
  #isNew(key) {
    this.tell({type: 'had', key});
    if (this.#had.has(key)) return false;
    this.#had.add(key);
    const [oldest] = this.#had;
    if (this.#had.size > 2 * unsentLimit) this.#had.delete(oldest);
    return true;
  }

  /** The files that are on their way go on over the connection that is in use now: who receives says from where. */
  #resume() {
    for (const transfer of this.#transfers.values()) {
      if (transfer.state !== 'running' || transfer.over === this.#pc) continue;
      // The other side may stay where it is: what is sent goes on there until it is asked for elsewhere.
      if (transfer.direction !== 'in') {
        transfer.leave();
        continue;
      }
      transfer.pause();
      transfer.over = null;
      this.#unsent = this.#unsent.filter(({type, id}) => type !== 'file-accept' || id !== transfer.id);
      this.tell({type: 'file-accept', id: transfer.id, at: transfer.bytes, turn: ++transfer.turn});
    }
  }

  /** Handles a message of the peer. @param {any} message @param {RTCPeerConnection | null} [pc] over which it came */
  receive(message, pc = this.#pc) {
    if (typeof message !== 'object' || message === null) return;
    // What acknowledges has the key of what it is about: acknowledged itself, it would go to and fro for ever.
    if (message.type !== 'had' && 'key' in message && (!isKey(message.key) || !this.#isNew(message.key))) return;
    switch (message.type) {
      case 'had':
        this.#unsent = this.#unsent.filter(({key}) => key !== message.key);
        return;
      case 'media':
        this.emit('media', {audio: !!message.audio, video: !!message.video, screen: !!message.screen,
          beside: !!message.beside, recording: message.recording === true, recordings: message.recordings === true,
          hand: message.hand === true, wants: wishOf(message.wants), screens: !!message.screens});
        return;
      case 'path':
        if (paths.includes(message.path)) this.emit('path', message.path);
        return;
      // Of the connection in use alone: another's way is another.
      case 'ping': case 'pong': {
        const sound = pc === this.#pc ? timed(message) : null;
        if (sound) this.emit('timed', sound);
        return;
      }
      case 'signal':
        this.emit('signal', message.data);
        return;
      case 'line':
        if (pc === this.#pc && isLineState(message.state)) this.emit('line', message.state);
        return;
      case 'shown': {
        const pixels = pixelsShown(message.pixels);
        if (pixels !== null) this.emit('shown', pixels);
        return;
      }
      case 'redundant':
        if (typeof message.possible === 'boolean') this.emit('redundant', message.possible);
        return;
      case 'chat':
        if (typeof message.text === 'string' && message.text.length <= chatLimit) this.emit('chat', {text: message.text, at: Date.now()});
        return;
      case 'reaction':
        // Of a flood nobody is told.
        if (isReaction(message.reaction) && this.#reactions.take()) this.emit('reaction', message.reaction);
        return;
      case 'file': {
        // An id that is known already would take the place of what is on its way, in either direction.
        const offered = fileOffer(message);
        if (!offered || this.#transfers.has(offered.id)) return;
        if ([...this.#transfers.values()].filter(({direction}) => direction === 'in').length >= transferLimit) {
          return this.tell({type: 'file-decline', id: offered.id});
        }
        const transfer = new Transfer(offered, 'in', (answer) => this.tell({type: `file-${answer}`, id: offered.id, ...(answer === 'accept' && {turn: transfer.turn = 0})}));
        this.#keep(transfer);
        this.emit('file', transfer);
        return;
      }
      case 'file-accept': {
        const {id, at = 0, turn} = message;
        if (!isKey(id)) return;
        const transfer = this.#transfers.get(id);
        const file = this.#files.get(id);
        if (!transfer || !file || !pc || !Number.isSafeInteger(at) || at < 0 || at > file.size) return this.tell({type: 'file-decline', id});
        // Not a channel and a reader more with every word: what is asked for again takes the place of what was asked for before. Who
        // does not count has it once for each connection.
        const counted = Number.isSafeInteger(turn), running = transfer.state === 'running';
        if (counted ? turn <= transfer.turn || (running && !transfer.asked.take()) : running && transfer.over === pc) return;
        if (counted) transfer.turn = turn;
        transfer.over = pc;
        transfer.send(pc.createDataChannel(counted ? `${id} ${turn}` : id), file, at, this.pace).catch((error) => {
          console.warn('turnhub: file', error);
          transfer.fail('unreadable');
        });
        return;
      }
      case 'file-done': {
        const transfer = this.#files.has(message.id) ? this.#transfers.get(message.id) : undefined;
        if (transfer?.whole) transfer.finish();
        return;
      }
      case 'file-decline': {
        const transfer = this.#transfers.get(message.id);
        transfer?.fail(transfer.state === 'running' ? 'stopped' : 'refused');
      }
    }
  }

  /**
   * Takes a channel that the peer has opened: a file that was accepted here, and comes over no other channel of this
   * connection. Whatever else is opened is closed, before anything that came on it is kept.
   * @param {RTCDataChannel} channel @param {RTCPeerConnection | null} [pc] that it was opened on
   */
  accept(channel, pc = this.#pc) {
    const [id, turn] = channel.label.split(' '), transfer = this.#transfers.get(id);
    // It was asked for over a connection that is not used any more, and anew over the one that is: those that are late are left alone.
    if (transfer?.direction === 'in' && transfer.state === 'running' && (turn === undefined ? pc !== this.#pc : turn !== String(transfer.turn))) return;
    if (!transfer?.takes(pc)) return channel.close();
    transfer.over = pc;
    transfer.receive(channel);
  }

  /** Offers a file; it is sent when the other side takes it. @param {File} file */
  sendFile(file) {
    const about = {id: crypto.randomUUID?.() ?? String(Math.random()), name: nameWithin(file.name), size: file.size, mime: mimeOf(file.type)};
    const transfer = new Transfer(about, 'out');
    this.#keep(transfer);
    this.#files.set(about.id, file);
    this.tell({type: 'file', ...about});
    return transfer;
  }

  /** @param {Transfer} transfer */
  #keep(transfer) {
    this.#transfers.set(transfer.id, transfer);
    const forget = () => { this.#transfers.delete(transfer.id); this.#files.delete(transfer.id); };
    transfer.on('done', forget);
    transfer.on('failed', forget);
  }

  /** The peer is gone: what is on its way fails. */
  close() {
    for (const transfer of [...this.#transfers.values()]) transfer.fail('left');
  }
}
