import {Emitter} from '../base/emitter.js';
import {HubError, codeOf} from '../base/codes.js';
import {LocalMedia} from './media/media.js';
import {Peer} from './peer.js';
import {Ahead} from './ahead.js';
import {Lobby} from './lobby.js';
import {Pulse} from './pulse.js';
import {Returning} from './returning.js';
import {Thrift} from './thrift.js';
import {nameOfBrowser} from './path/browsers.js';
import {received} from './path/received.js';
import {Connections} from './connections.js';
import {Hosting} from './hosting.js';
import {isHosted} from '../session/hosted.js';
import {withoutCandidates} from './path/connection.js';
import {chatLimit} from './data/bounds.js';
import {meshLimit} from './path/bitrate.js';
import {randomRoom} from '../session/roomname.js';
import {callTimes as times} from '../base/times.js';
import {wishOf} from './wishes.js';

/** @typedef {import('../session/hub.js').Hub} Hub */
/** @typedef {import('../session/invitation.js').Invitation} Invitation */
/** @typedef {import('../session/hub.js').PeerInfo} PeerInfo */
/** @typedef {import('../session/invitation.js').CallState} HubCallState */
/** @typedef {import('./events.js').CallOptions} CallOptions */
/** @typedef {import('./events.js').CallPhase} CallPhase */
/** @typedef {import('./events.js').CallEvents} CallEvents */
/** @typedef {import('./events.js').Ended} Ended */

/**
 * A call: everyone in a room, or the one who accepted. Media goes directly between the browsers, or through the
 * relay where it must.
 *
 *     const media = new LocalMedia();
 *     await media.open();
 *     const call = new Call(hub, {media});
 *     call.on('peer', (peer) => peer.on('stream', (stream) => { video.srcObject = stream; }));
 *     await call.prepare('blue-fox-42'); // in the lobby: gathers candidates before the click
 *     await call.join('blue-fox-42');  // or: await call.invite('petya')
 *
 * @extends {Emitter<CallEvents>}
 */
export class Call extends Emitter {
  /** @type {CallPhase} */ phase = 'idle';
  /** The room; empty in a call by name. */
  room = '';
  /** The call's id in a call by name. */
  id = '';
  /** @type {Set<Peer>} the others */
  peers = new Set();
  /** Identifies this end across sessions, so that a call outlives a restart of the server. */
  instance = crypto.randomUUID?.() ?? String(Math.random());
  /** This browser and its major version, told to the others: some have mistakes that the other side has to know of. */
  browser = nameOfBrowser(globalThis.navigator?.userAgent ?? '');
  /** The host of the room, where it has one, and what a host may do. */
  hosting = new Hosting({call: this, lost: (peer) => this.#remove(peer)});

  /** @type {CallOptions} */ #options;
  #recording = false;
  #hand = false;
  /** @type {import('./wishes.js').Wish} */ #quality = 'automatic';
  /** @type {Ahead} */ #ahead;
  /** @type {Lobby} */ #lobby;
  #returning = new Returning({call: this, add: (info) => this.#add(info), find: (id) => this.#find(id)});
  /** @type {Pulse} */ #pulse;
  /** @type {(() => void)[]} */ #unhook = [];
  /** The room whose lobby we are in, or will be. */
  #room = '';
  /** Where two who called by name meet when the server has forgotten their call. */
  #meeting = '';
  #started = 0;
  /** @type {{resolve: () => void, reject: (error: Error) => void} | null} */ #answer = null;
  /** @type {any} the caller's offer, in case that both call at once */ #crossing = null;
  /** With whom a connection of the lobby goes on: only they may have lost it. @type {WeakSet<Peer>} */ #kept = new WeakSet();

  /** @param {Hub} hub @param {CallOptions} [options] */
  constructor(hub, options = {}) {
    super();
    this.hub = hub;
    this.#options = options;
    const {media} = options;
    this.media = media instanceof LocalMedia ? media : media ? LocalMedia.from(media) : new LocalMedia();
    this.limit = Math.min(options.limit ?? meshLimit, meshLimit);
    this.connections = new Connections(hub, options);
    this.thrift = new Thrift(hub, this.peers);
    this.#ahead = new Ahead(this.connections, this.media, () => this.#lobby.hosted);
    this.#lobby = new Lobby(this, this.#ahead);
    this.#pulse = new Pulse({hub, peers: this.peers, room: () => this.room, beat: () => this.#beat(), lost: (peer) => this.#remove(peer)});
    this.#unhook.push(
      hub.on('peer-joined', (info) => { if (info.room === this.room) this.#onJoined(info); }),
      hub.on('peer-left', ({room, peer, reason}) => { if (room === this.room) this.#onLeft(peer, reason); }),
      hub.on('knocking', ({room}) => { if (room === this.room && this.phase === 'joining') this.#setPhase('knocking'); }),
      hub.on('out', ({room, reason}) => { if (room === this.room) this.#end(reason, '', 'host'); }),
      ...this.hosting.hear(hub),
      hub.on('peer-away', ({peer}) => this.#setAway(peer, true)),
      hub.on('peer-back', ({peer}) => this.#setAway(peer, false)),
      hub.on('signal', ({from, data}) => this.#onSignal(from, data)),
      hub.on('lobby', ({room, first}) => { if (!this.#lobby.at(room, first)) this.#prepareAnew(); }),
      hub.on('lobby-peer', ({room, peer, first}) => this.#onGuest(room, peer, first)),
      hub.on('lobby-left', ({peer}) => this.#lobby.gone(peer)),
      hub.on('call', (state) => this.#onCall(state)),
      hub.on('incoming', () => { this.#ahead.expect(); this.#makeSpare(); this.thrift.look(); }),
      hub.on('rejoined', (joined) => { if (joined.room === this.room) this.#onRejoined(joined); }),
      hub.on('config', () => this.#onConfig()),
      hub.on('welcome', (how) => this.#onWelcome(how)),
      hub.on('network', () => this.#onNetwork()),
      hub.on('closed', () => this.#end('lost', '')),
      this.media.on('track', () => { for (const peer of this.peers) peer.send(); this.#limitAll(); }),
      this.media.on('change', () => { for (const peer of this.peers) peer.tellMedia(); }),
    );
  }

  /** How many others there are. */
  get size() { return this.peers.size; }
  get online() { return this.hub.state === 'open'; }
  get screens() { return this.#options.screens ?? false; }
  get recordings() { return this.#options.recordings ?? false; }

  /**
   * Whether this page makes a recording of the call. The others are told, whoever comes later too. Of whom `peer.media.recordings`
   * does not say that they are told, nothing should be recorded.
   */
  get recording() { return this.#recording; }
  set recording(on) {
    if (on === this.#recording) return;
    this.#recording = on;
    for (const peer of this.peers) peer.tellMedia();
  }

  /** Whether this person raises a hand. The others are told, whoever comes later too: `peer.media.hand`. */
  get hand() { return this.#hand; }
  set hand(up) {
    if (up === this.#hand) return;
    this.#hand = up;
    for (const peer of this.peers) peer.tellMedia();
  }

  /**
   * How much this person wants to receive and send: `automatic`, as much as the line takes; `saver`, little of it, in both
   * directions; `sound`, as `saver`, and the others send no pictures. Older programs at the other side send what they did.
   */
  get quality() { return this.#quality; }
  set quality(wish) {
    if (wish === this.#quality) return;
    this.#quality = wishOf(wish);
    for (const peer of this.peers) peer.wish();
  }

  /** The configuration of this call's connections. @param {boolean} [all] with every relay, not with those alone that a call needs */
  configuration(all) { return this.connections.configuration(all); }

  /** A connection that answers, with its candidates gathered ahead where there was time. */
  connection() { return this.#ahead.connection(); }

  /** @param {string} to @param {any} data */
  signal(to, data) {
    try {
      this.hub.signal(to, data);
    } catch (error) {
      console.warn('turnhub: signal', error);
    }
  }

  /**
   * Gathers candidates and makes the first offer before the click, so that the first picture comes a few round trips
   * after it. With a room, who is there is connected with too, through the relay, without media and without either
   * learning the other's address: then it is two. Call it in the lobby; `release` gives it up again. One need not wait
   * for it: `join` goes ahead with what there is.
   * @param {string} [room] the one that will probably be joined
   */
  async prepare(room = '') {
    room = room.normalize();
    if (this.phase !== 'idle' || (room === this.#room && (this.#ahead.prepared || this.#lobby.room))) return;
    this.#room = room;
    await this.#prepareAnew();
  }

  async #prepareAnew() {
    if (this.phase !== 'idle') return;
    this.thrift.look();
    this.#lobby.leave(this.#lobby.room !== this.#room);
    // What the first has found tells which relays the next should ask for.
    for (let tries = 0; tries < 3; tries++) {
      const prepared = await this.#ahead.prepare().catch(() => null);
      await prepared?.gathered;
      if (!prepared || !this.#ahead.isWaiting(prepared) || this.phase !== 'idle') return;
      if (!this.connections.fits(prepared.pc) && tries < 2) continue;
      if (this.#room && this.online) this.#lobby.enter(this.#room, prepared);
      return;
    }
  }

  /** Gives up what `prepare` made: it holds relay ports on the server. */
  release() {
    this.#ahead.release();
    this.#lobby.leave(true);
  }

  /**
   * Joins a room and connects with everybody there. Where the room has a host, that one lets us in first (phase
   * `knocking`); `leave` gives it up.
   * @param {string} room
   * @param {object} [options]
   * @param {string} [options.host] the secret of `hostedRoom`: then we are the host
   */
  async join(room, {host} = {}) {
    this.#start('joining');
    room = room.normalize();
    this.room = room;
    if (this.#lobby.room !== room) this.#lobby.leave(true);
    let knocks = !host && isHosted(room); // an offer would go to nobody
    try {
      await this.#permitted();
      const joined = await this.hub.join(room, {
        host,
        first: (/** @type {boolean} */ rejoin) => {
          if (rejoin) return {rejoin: this.instance};
          if (!knocks) return this.#lobby.first() ?? this.#firstOffer();
          knocks = false;
          return undefined;
        },
      });
      // Left by ours, or put out; the room is not ours to leave again: another call may be joining it.
      if (/** @type {CallPhase} */ (this.phase) === 'ended') throw new HubError('closed', 'hung up before the room was joined');
      if (joined.peers.length >= this.limit) {
        await this.hub.leave(room);
        throw new HubError('call-full', `this call has ${this.limit} people already`);
      }
      if (/** @type {CallPhase} */ (this.phase) === 'knocking') this.#started = performance.now();
      this.#setPhase('active');
      for (const info of joined.peers) {
        const mine = info.peer === joined.first;
        // Our offer has gone: it is answered, whatever has come from the lobby meanwhile.
        const prepared = mine && this.#ahead.offered ? this.#ahead.take() : null;
        const known = mine ? this.#lobby.take(info.peer) : null;
        if (prepared) known?.close();
        const peer = this.#add(info, prepared ? null : known);
        if (peer.pc) {
          this.#kept.add(peer);
          peer.begin(info, {started: this.#started, told: true});
        } else if (prepared) peer.offered(prepared);
        else peer.offer();
      }
      this.#lobby.joined();
      this.#ahead.drop();
      this.#makeSpare();
    } catch (error) {
      this.room = '';
      const code = codeOf(error), byHost = code === 'declined' || code === 'locked' || code === 'removed' || code === 'ended' || code === 'door-full';
      this.#end(byHost ? code : 'hangup', '', byHost ? 'host' : 'server', code);
      throw error;
    }
  }

  /**
   * Calls a user by name; all of that user's devices ring.
   * @param {string} user
   * @returns {Promise<void>} settled when somebody answers; rejected with the reason when not
   */
  async invite(user) {
    this.#start('calling');
    this.#lobby.leave(true);
    this.#meeting = `call-${randomRoom()}`;
    const answered = new Promise((resolve, reject) => { this.#answer = {resolve: () => resolve(undefined), reject}; });
    answered.catch(() => {});
    try {
      await this.#permitted();
      if (!this.#ahead.prepared) await this.#ahead.prepare(0);
      const crossing = [...this.hub.calls.keys()].map((call) => this.hub.invitation(call)).find((invitation) => invitation?.user === user);
      this.#crossing = crossing?.data ?? null;
      this.#meeting = crossing?.data?.meeting ?? this.#meeting;
      this.id = await this.hub.invite(user, {first: this.#firstOffer(), meeting: this.#meeting});
    } catch (error) {
      this.#end(/** @type {any} */ (error)?.code === 'session-lost' ? 'lost' : 'unavailable', '', 'server', codeOf(error));
      throw error;
    }
    return /** @type {Promise<void>} */ (answered);
  }

  /**
   * Answers a call.
   * @param {Invitation} invitation
   */
  async accept(invitation) {
    this.#start('joining');
    this.release(); // the offer is the caller's
    this.id = invitation.call;
    this.#meeting = invitation.data?.meeting ?? '';
    try {
      await this.#permitted();
      const peer = this.#add({peer: invitation.from, name: invitation.name, user: invitation.user, polite: true});
      const {first} = invitation.data ?? {};
      await peer.handle({instance: first?.instance, connection: first?.connection, takes: first?.takes});
      // The relay lets two people through only once they are in a call: checks begin with the candidates, after that.
      const ahead = await peer.answerAhead(first);
      await this.hub.accept(invitation.call, {instance: this.instance, connection: '', description: ahead?.answer, ...this.thrift.said});
      await peer.handle({candidates: ahead?.candidates});
    } catch (error) {
      this.#end('lost', '', 'server', codeOf(error));
      throw error;
    }
  }

  /** Hangs up. */
  leave() { this.#hangUp('self'); }

  /** @param {'self' | 'peer'} by */
  #hangUp(by) {
    if (this.phase === 'ended') return;
    if (this.hub.state !== 'closed') {
      if (this.id && this.hub.calls.has(this.id)) this.hub.hangup(this.id).catch(() => {});
      if (this.room) this.hub.leave(this.room).catch(() => {});
    }
    this.#end('hangup', '', by);
  }

  /** Says something to everyone, over the data channels. @param {string} text at most 16,384 characters */
  chat(text) {
    if (text.length > chatLimit) throw new RangeError(`a chat message has at most ${chatLimit} characters: send a file`);
    this.tell({type: 'chat', text});
  }

  /** Reacts to what is said; who is not connected at the moment misses it. @param {import('./wishes.js').Reaction} reaction */
  react(reaction) { this.tell({type: 'reaction', reaction}); }

  /** Offers a file to everyone. @param {File} file @returns {{peer: Peer, transfer: import('./data/transfer.js').Transfer}[]} */
  sendFile(file) {
    return [...this.peers].map((peer) => ({peer, transfer: peer.sendFile(file)}));
  }

  /** @param {any} message */
  tell(message) {
    for (const peer of this.peers) peer.tell(message);
  }

  // ---- from here on: what the hub says

  /** @param {CallPhase} phase */
  #start(phase) {
    if (this.phase !== 'idle') throw new Error('a Call is for one call: make a new one');
    this.#started = performance.now();
    this.#setPhase(phase);
    this.#pulse.start();
  }

  /** The browser has answered about the camera, or has been waited for long enough. */
  async #permitted() {
    if (this.media.asking) await this.media.answered(times.question);
    await this.connections.ready;
    if (this.phase === 'ended') throw new HubError('closed', 'hung up before the call began');
  }

  #firstOffer() {
    const description = this.#ahead.offer();
    return description && {instance: this.instance, connection: '', description, ...this.thrift.said};
  }

  /** For whoever comes next: a connection that gathers now, to answer with later. */
  #makeSpare() {
    const room = this.phase === 'active' && this.room && this.peers.size < this.limit - 1;
    // One thing after the other: gathering for the next one would slow the first picture of this one.
    const busy = [...this.peers].some(({state, unconnected}) => state === 'connecting' && unconnected < times.connecting);
    const thrifty = (this.peers.size > 0 || this.#lobby.company) && (this.thrift.expected || this.thrift.here);
    if ((room || this.phase === 'idle') && !busy && !thrifty) this.#ahead.makeSpare();
  }

  /** @param {PeerInfo} info @param {Peer | null} [known] from the lobby, to `begin` now @returns {Peer} */
  #add(info, known) {
    const peer = known ?? new Peer(this, info, {started: this.peers.size || this.phase === 'active' ? undefined : this.#started});
    if (known) peer.introduce(info); // before the page is told
    this.peers.add(peer);
    peer.on('returned', () => this.hosting.apply());
    peer.on('chat', (message) => this.emit('chat', {peer, ...message}));
    peer.on('reaction', (reaction) => this.emit('reaction', {peer, reaction}));
    peer.on('file', (transfer) => this.emit('file', {peer, transfer}));
    peer.on('firstFrame', () => this.#pulse.report(peer));
    this.hosting.apply(); // before the page is told, which plays
    this.emit('peer', peer);
    this.#limitAll();
    return peer;
  }

  /** @param {Peer} peer */
  #remove(peer) {
    if (!this.peers.delete(peer)) return;
    peer.close();
    this.emit('peer-left', peer);
    this.#limitAll();
  }

  #limitAll() {
    for (const peer of this.peers) peer.limit();
  }

  /** @param {string} id */
  #find(id) {
    for (const peer of this.peers) if (peer.id === id && !peer.orphan) return peer;
    return undefined;
  }

  /** @param {PeerInfo & {first?: any}} info */
  #onJoined(info) {
    const {peer: id, first} = info;
    const guest = this.#lobby.admit(id, first);
    if (guest) {
      if (this.peers.size >= this.limit - 1) return guest.close();
      guest.send(); // before the page is told, which draws
      this.#add(info, guest).begin(info);
      const {candidates, description} = received(first);
      guest.handle({instance: first.instance, connection: first.connection, candidates: candidates.length || !description ? candidates : withoutCandidates(description).candidates});
    } else if (first?.candidates && !first.description) {
      this.signal(id, {anew: true}); // goes on with a connection that we have not
    } else if (first) {
      this.#onSignal(id, first, info);
    } else if (info.polite && !this.#find(id) && this.phase === 'active' && this.peers.size < this.limit - 1) {
      this.#add(info).offer(); // two nodes had a part of the room each, and we are the newcomer
    }
  }

  /** @param {string} room @param {string} id @param {any} first */
  #onGuest(room, id, first) {
    const here = this.phase === 'idle' ? this.#lobby.room : this.room;
    if (room !== here || this.phase === 'ended' || this.peers.size >= this.limit - 1) return;
    this.#lobby.receive(id, first);
  }

  /** @param {string} from @param {any} data @param {PeerInfo} [info] */
  async #onSignal(from, data, info = this.hub.rooms.get(this.room)?.peers.get(from)) {
    if (typeof data !== 'object' || data === null || this.phase === 'ended') return;
    if (data.ask !== undefined) return this.hosting.asked(from, data.ask);
    let peer = this.#find(from) ?? this.#lobby.find(from, data);
    if (data.anew && peer && info && this.#kept.delete(peer)) {
      this.#remove(peer);
      return this.#add(info).offer();
    }
    if (info && (data.rejoin || 'rejoined' in data)) return this.#returning.handle(info, data);
    if (!peer && info && this.room) {
      if (this.peers.size >= this.limit - 1) return;
      peer = this.#add(info);
    }
    if (!peer) return;
    await peer.handle(data);
    this.#makeSpare();
  }

  /** @param {string} id @param {string} reason */
  #onLeft(id, reason) {
    const peer = this.#find(id);
    if (!peer) return;
    // A peer whose session is lost may still be there: the media path knows better, and the peer can come back.
    if (reason === 'lost' && peer.state === 'connected') peer.orphan = peer.away = true;
    else this.#remove(peer);
  }

  /** @param {string} id @param {boolean} away */
  #setAway(id, away) {
    const peer = this.#find(id);
    if (!peer) return;
    peer.away = away;
    peer.emit('state', peer.state);
    if (!away) peer.recover();
  }

  /** @param {HubCallState} state */
  #onCall({call, state, peer: id, name, user, polite, data, reason, detail}) {
    if (this.phase === 'ended') return;
    if (this.phase === 'calling' && !this.id && state !== 'incoming') this.id = call;
    if (call !== this.id) return;
    if (state === 'ringing' && this.phase === 'calling') this.#setPhase('ringing');
    if (state === 'accepted') this.#onAccepted({peer: id ?? '', name, user, polite: polite ?? true}, data);
    if (state === 'ended') {
      const alive = [...this.peers].some((peer) => peer.unconnected < times.orphan);
      if ((reason === 'lost' || reason === 'shutdown') && alive && this.#meeting) this.#returning.meet(this.#meeting);
      else this.#end(reason ?? 'hangup', detail ?? '', (reason ?? 'hangup') === 'hangup' ? 'peer' : 'server');
    }
  }

  /** @param {PeerInfo} info @param {any} data */
  async #onAccepted(info, data) {
    this.#started = performance.now();
    const mine = this.#find(info.peer);
    if (mine) { // we are the one who accepted
      mine.polite = info.polite;
      this.#setPhase('active');
      return;
    }
    const peer = this.#add(info);
    this.#setPhase('active');
    const prepared = this.#ahead.take();
    if (prepared) peer.offered(prepared);
    else peer.offer();
    if (this.#crossing) {
      // Both called at once: there are two offers, and perfect negotiation chooses.
      await peer.handle(this.#crossing.first);
      peer.repeatOffer();
    } else if (data?.description) {
      await peer.handle(data);
    } else {
      if (data?.first) await peer.handle(data.first);
      peer.repeatOffer();
    }
    this.#answer?.resolve();
  }

  /** @param {{first: boolean, resumed: boolean}} how */
  #onWelcome({first, resumed}) {
    if (first) return;
    this.connections.relays.again();
    if (!resumed) {
      for (const peer of this.peers) peer.orphan = true;
      if (this.#ahead.prepared || this.#lobby.room) this.#prepareAnew();
      this.#lobby.forget();
      this.#ahead.dropSpare();
      return;
    }
    for (const peer of this.peers) peer.resumed();
  }

  /** @param {import('../session/hub.js').Joined} joined */
  #onRejoined(joined) {
    this.#makeSpare();
    this.#returning.back(joined);
  }

  #onConfig() {
    for (const peer of this.peers) peer.configure();
    this.#lobby.configure();
    if (!this.#ahead.configure()) this.#prepareAnew();
  }

  #onNetwork() {
    this.connections.relays.forget();
    this.thrift.forget();
    if (this.#ahead.waiting || this.#lobby.room) this.#prepareAnew();
    for (const peer of this.peers) peer.networkChanged();
  }

  #beat() {
    this.thrift.beat();
    if (this.thrift.here) this.#ahead.dropSpare();
    this.#makeSpare();
    this.hosting.beat();
    if (this.id && this.phase === 'active' && this.peers.size === 0) this.#hangUp('peer');
  }

  /** @param {CallPhase} phase */
  #setPhase(phase) {
    if (this.phase === phase || this.phase === 'ended') return;
    this.phase = phase;
    this.emit('phase', phase);
  }

  /** @param {string} reason @param {string} detail @param {Ended['by']} [by] @param {Ended['code']} [code] */
  #end(reason, detail, by = 'server', code = undefined) {
    if (this.phase === 'ended') return;
    this.#pulse.stop();
    this.thrift.end();
    for (const unhook of this.#unhook.splice(0)) unhook();
    this.#setPhase('ended');
    for (const peer of [...this.peers]) this.#remove(peer);
    this.#lobby.close();
    this.#ahead.close();
    const answer = this.#answer;
    this.#answer = null;
    answer?.reject(Object.assign(new Error(`the call was not answered: ${reason}`), {reason, detail}));
    this.emit('ended', {reason, detail, by, ...(code ? {code} : {})});
  }
}
