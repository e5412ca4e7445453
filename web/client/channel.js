import {Emitter} from './emitter.js';
import {Transfer} from './transfer.js';

/** @typedef {{audio: boolean, video: boolean, screen: boolean}} Sending what somebody says that he sends */

/**
 * @typedef {object} ChannelEvents
 * @property {void} open
 * @property {Sending} media
 * @property {import('./hub.js').Path} path how the other side sees its end of the path
 * @property {{text: string, at: number}} chat
 * @property {Transfer} file the peer offers a file
 */

/** At most so many messages wait for the channel to open. */
const unsentLimit = 100;
/** At most so many files are offered or on their way at once. */
const transferLimit = 64;

/**
 * Chat, files and state between two people: JSON on one negotiated data channel, and a channel of its own for each
 * file. What is said before it opens waits.
 * @extends {Emitter<ChannelEvents>}
 */
export class PeerChannel extends Emitter {
  /** @type {RTCPeerConnection | null} */ #pc = null;
  /** @type {RTCDataChannel | null} */ #channel = null;
  /** @type {any[]} */ #unsent = [];
  /** @type {any[] | null} what has come from somebody who has not joined yet; null: everything is handled at once */ #held = null;
  /** @type {Map<string, Transfer>} */ #transfers = new Map();
  /** @type {Map<string, Blob>} */ #files = new Map();

  /** Whether there is a data channel, open or not. */
  get used() { return this.#channel !== null; }
  get open() { return this.#channel?.readyState === 'open'; }

  /** @param {RTCPeerConnection} pc @param {RTCDataChannel} channel of that connection */
  use(pc, channel) {
    this.#pc = pc;
    this.#channel = channel;
    channel.onopen = () => {
      this.emit('open', undefined);
      for (const message of this.#unsent.splice(0)) this.tell(message);
    };
    channel.onmessage = ({data}) => {
      try {
        const message = JSON.parse(data);
        if (!this.#held) this.receive(message);
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
    if (this.open) {
      /** @type {RTCDataChannel} */ (this.#channel).send(JSON.stringify(message));
    } else if (message.type !== 'media') {
      this.#unsent.push(message);
      if (this.#unsent.length > unsentLimit) this.#unsent.shift();
    }
  }

  /** Handles a message of the peer. @param {any} message */
  receive(message) {
    switch (message.type) {
      case 'media':
        this.emit('media', {audio: !!message.audio, video: !!message.video, screen: !!message.screen});
        return;
      case 'path':
        this.emit('path', message.path);
        return;
      case 'chat':
        if (typeof message.text === 'string') this.emit('chat', {text: message.text, at: Date.now()});
        return;
      case 'file': {
        const {id, name, size, mime} = message;
        if (typeof id !== 'string' || typeof name !== 'string' || !(size >= 0) || this.#transfers.size >= transferLimit) return;
        const transfer = new Transfer({id, name, size, mime: String(mime ?? '')}, 'in',
          (answer) => this.tell({type: answer ? 'file-accept' : 'file-decline', id}));
        this.#keep(transfer);
        this.emit('file', transfer);
        return;
      }
      case 'file-accept': {
        const transfer = this.#transfers.get(message.id);
        const file = this.#files.get(message.id);
        if (!transfer || !file || !this.#pc) return;
        this.#files.delete(message.id);
        transfer.send(this.#pc.createDataChannel(message.id), file).catch((error) => transfer.fail(String(error)));
        return;
      }
      case 'file-decline':
        this.#transfers.get(message.id)?.fail('the other side did not take it');
    }
  }

  /** Takes a channel that the peer has opened: a file that was accepted. @param {RTCDataChannel} channel */
  accept(channel) {
    const transfer = this.#transfers.get(channel.label);
    if (transfer) transfer.receive(channel);
    else channel.close();
  }

  /** Offers a file; it is sent when the other side takes it. @param {File} file */
  sendFile(file) {
    const about = {id: crypto.randomUUID?.() ?? String(Math.random()), name: file.name, size: file.size, mime: file.type};
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
    for (const transfer of [...this.#transfers.values()]) transfer.fail('the other side has left');
  }
}
