import {Session} from './session.js';
import {HubError} from '../base/codes.js';
import {Doors, errorOf} from './doors.js';
import {sessionTimes as times} from '../base/times.js';
import {Invitation} from './invitation.js';
import {ringNoMore, ringWhenAway} from './push.js';

/**
 * Another person's session, as the server tells it.
 * @typedef {object} PeerInfo
 * @property {string} peer session id
 * @property {string} [name]
 * @property {string} [user]
 * @property {boolean} polite what *we* are towards that peer in perfect negotiation
 * @property {boolean} [away] its socket is lost at the moment
 */

/**
 * @typedef {object} Joined
 * @property {string} room
 * @property {PeerInfo[]} peers who was there
 * @property {string} [first] the peer that got our `first`
 */

/**
 * How a room with a host stands.
 * @typedef {object} HostingState
 * @property {string} room
 * @property {boolean} locked nobody comes in any more
 * @property {string[]} hosts their sessions
 * @property {string[]} muted the sessions of those whose sound nobody plays
 */

/**
 * Somebody is at the door of a room of which this session is the host: `hub.host(room, 'admit', peer)`, or `decline`.
 * @typedef {object} Knock
 * @property {string} room
 * @property {string} peer session id
 * @property {string} [name]
 * @property {string} [user]
 * @property {boolean} again somebody of the same household was removed before
 */

/** @typedef {'admit' | 'decline' | 'remove' | 'mute' | 'unmute' | 'lock' | 'unlock' | 'hand' | 'end'} HostAction */

/** @typedef {import('./invitation.js').CallState} CallState */

/** @typedef {{peers: Map<string, PeerInfo>, make?: (rejoin: boolean) => any, host?: string, seat?: string, hosting?: HostingState}} HubRoom */

/** @typedef {'direct' | 'relay-udp' | 'relay-tcp' | 'relay-tls' | 'websocket'} Path */

/**
 * How the call with one peer goes, for the server's metrics and console.
 * @typedef {object} Report
 * @property {string} [room]
 * @property {string} peer
 * @property {Path} [path]
 * @property {number} [rtt] seconds
 * @property {number} [loss] 0 to 1
 * @property {number} [bitrate] bits per second
 * @property {number} [firstFrame] milliseconds from join or accept to the first remote frame
 * @property {import('../call/path/line.js').LineState} [line] what of the call fits its line
 */

/**
 * A call that nobody took. One with `call` was missed while no session was open, and is told to each that opens until `seen`.
 * @typedef {object} Missed
 * @property {string} [call] its id
 * @property {string} [user] who called
 * @property {string} [name]
 * @property {string} reason why it ended, as in CallState
 * @property {number} [ago] milliseconds since
 */

/**
 * @typedef {object} HubEvents
 * @property {{first: boolean, resumed: boolean, silent: boolean}} welcome the socket is (back) in service
 * @property {void} network the browser says that the network has changed
 * @property {PeerInfo & {room: string, first?: any}} peer-joined
 * @property {{room: string, peer: string, reason: string}} peer-left
 * @property {Missed} missed somebody has called while the line was busy, or while nobody was here
 * @property {{room: string, first?: string}} lobby we are in the lobby of a room; `first`: the member who has our offer
 * @property {{room: string, peer: string, first: any}} lobby-peer somebody is in the lobby of a room of ours
 * @property {{room: string, peer: string}} lobby-left
 * @property {{room: string}} knocking the room has a host: `join` waits until the host lets this session in
 * @property {HostingState} hosting a room with a host stands so
 * @property {Knock} knock
 * @property {{room: string, peer: string}} knock-left somebody does not wait at the door any more
 * @property {{room: string, reason: 'removed' | 'ended' | 'locked' | 'declined' | 'too-many'}} out this session is out of a room, by its host
 * @property {{peer: string}} peer-away
 * @property {{peer: string}} peer-back
 * @property {{from: string, data: any}} signal
 * @property {{from: string, room?: string, data: any}} message
 * @property {Record<string, 'offline' | 'online' | 'busy'>} presence
 * @property {CallState} call every state of every call
 * @property {Invitation} incoming somebody calls
 * @property {Joined} rejoined after a fresh session this room was joined again
 * @property {import('./session.js').HubConfiguration} config fresh credentials
 * @property {{after: number}} token the access token expires in so many milliseconds: `renew` it; where the `token` option
 *   is a function, that happens by itself
 * @property {{after: number}} restart the server is going down for so many milliseconds
 * @property {HubError} error an error that answers no request
 */

/**
 * The signaling hub: rooms, presence, chat and calls by name over one WebSocket that survives changes of network.
 *
 *     const hub = new Hub({name: 'Vasya'});
 *     await hub.connect();
 *     hub.on('message', ({from, data}) => console.log(from, data));
 *     const {peers} = await hub.join('blue-fox-42');
 *     hub.message({room: 'blue-fox-42', data: 'hello'});
 *
 * @extends {Session<HubEvents>}
 */
export class Hub extends Session {
  /** @type {Map<string, HubRoom>} rooms this session is in */
  rooms = new Map();
  /** @type {Map<string, CallState['state']>} calls that have not ended */
  calls = new Map();

  /** @type {Set<string>} */ #subscriptions = new Set();
  /** @type {Map<string, Invitation>} */ #invitations = new Map();
  /** @type {any} */ #renewal = null;
  #doors = new Doors();
  /** Rooms that are being joined, and whether they have been left since. @type {Set<{room: string, left: boolean}>} */ #joining = new Set();

  /** @param {import('./types.js').SessionOptions} [options] */
  constructor(options) {
    super(options);
    this.on('closed', () => this.#doors.close());
  }

  /**
   * Becomes a member of a room. After a restart of the server the room is joined again by itself (`rejoined`). Where the
   * room has a host (`isHosted`) this waits until one lets us in; `knocking` says so.
   * @param {string} room 1 to 128 bytes of letters of any script, digits and `. _ ~ -`; in Unicode's normal form C it is the same
   *   room however it was typed
   * @param {object} [options]
   * @param {any | ((rejoin: boolean) => any)} [options.first] goes with `peer-joined` to the one peer that is longest there
   * @param {string} [options.host] the secret of `hostedRoom`: one comes as the host
   * @returns {Promise<Joined>} rejected (`declined`, `locked`, …) where the host does not let us in
   */
  async join(room, {first, host} = {}) {
    room = room.normalize();
    const make = typeof first === 'function' ? first : (/** @type {boolean} */ rejoin) => (rejoin ? undefined : first);
    const joining = {room, left: false};
    this.#joining.add(joining);
    try {
      return await this.#admitted(joining, {make, host});
    } finally {
      this.#joining.delete(joining);
    }
  }

  /** @param {{room: string, left: boolean}} joining @param {Pick<HubRoom, 'make' | 'host'>} how @returns {Promise<Joined>} */
  async #admitted(joining, how) {
    const {room} = joining;
    for (let lost = 0; ;) {
      try {
        const joined = await this.#join(room, how, false);
        if (!joining.left) return joined;
        // The server has heard that after it: we are not there, unless somebody has joined anew, whose answer comes.
        this.rooms.delete(room);
        this.#updateInCall();
        throw new HubError('closed', 'left before the room was joined');
      } catch (error) {
        const {code} = /** @type {HubError} */ (error);
        if (joining.left) throw code === 'closed' ? error : new HubError('closed', 'left before the room was joined');
        // Asked while the server was away, and it has forgotten who asked: once more, as the new session.
        if (code === 'session-lost' && lost++ === 0) continue;
        if (code !== 'knocking') throw error;
        lost = 0;
        await this.#knock(room);
      }
    }
  }

  /** @param {string} room @param {Pick<HubRoom, 'make' | 'host' | 'seat'>} how @param {boolean} rejoin @returns {Promise<Joined>} */
  async #join(room, {make, host, seat}, rejoin) {
    const first = make?.(rejoin);
    const joined = await this.request({type: 'join', room, ...(first === undefined ? {} : {first}), ...(host ? {host} : {}), ...(seat ? {seat} : {})});
    const entry = this.rooms.get(room);
    if (entry) Object.assign(entry, {make, host});
    return joined;
  }

  /** @param {string} room @returns {Promise<void>} settled when the host lets us in */
  #knock(room) {
    const waiting = this.#doors.wait(room);
    this.emit('knocking', {room});
    return waiting;
  }

  /**
   * Does what a host may do in a room (protocol.md, "Rooms with a host").
   * @param {string} room @param {HostAction} action
   * @param {string} [peer] whom it concerns; `lock`, `unlock` and `end` concern everybody
   * @returns {Promise<void>} rejected (`forbidden`) where this session is not the host
   */
  async host(room, action, peer) {
    await this.request({type: 'host', room: room.normalize(), action, ...(peer ? {peer} : {})});
  }

  /**
   * Waits in the lobby of a room, out of any other, with an offer for whoever is or comes there; `lobby` tells who has it.
   * @param {string} room @param {any} first
   * @returns {Promise<void>}
   */
  async lobby(room, first) {
    await this.request({type: 'lobby', room: room.normalize(), first});
  }

  /** Leaves a room, or its lobby. @param {string} room @returns {Promise<void>} */
  async leave(room) {
    room = room.normalize();
    for (const joining of this.#joining) joining.left ||= joining.room === room;
    this.#doors.shut(room, new HubError('closed', 'left before the host let anybody in'));
    this.rooms.delete(room);
    this.#updateInCall();
    await this.request({type: 'leave', room});
  }

  /**
   * Signaling data to one peer of a shared room or call.
   * @param {string} to @param {any} data
   */
  signal(to, data) {
    this.send({type: 'signal', to, data});
  }

  /**
   * Chat and the like, to everyone else in a room or to one peer.
   * @param {{room: string, data: any} | {to: string, data: any}} message
   * @returns {Promise<void>} settled when the server has it
   */
  async message(message) {
    await this.request({type: 'message', ...message});
  }

  /**
   * Presence of users, now and at each change (`presence`).
   * @param {...string} users
   * @returns {Promise<Record<string, 'offline' | 'online' | 'busy'>>}
   */
  async subscribe(...users) {
    for (const user of users) this.#subscriptions.add(user);
    return (await this.request({type: 'subscribe', users})).users;
  }

  /** @param {...string} users @returns {Promise<void>} */
  async unsubscribe(...users) {
    for (const user of users) this.#subscriptions.delete(user);
    await this.request({type: 'unsubscribe', users});
  }

  /**
   * Rings all of a user's devices. What happens is told by `call`.
   * @param {string} user @param {any} [data]
   * @returns {Promise<string>} the call's id
   */
  async invite(user, data) {
    const {call} = await this.request({type: 'invite', user, data});
    return call;
  }

  /** @param {string} call @param {any} [data] @returns {Promise<void>} */
  async accept(call, data) {
    await this.request({type: 'accept', call, data});
  }

  /** @param {string} call @param {string} [reason] @returns {Promise<void>} */
  async decline(call, reason) {
    await this.request({type: 'decline', call, ...(reason ? {reason} : {})});
  }

  /** @param {string} call @returns {Promise<void>} */
  async hangup(call) {
    await this.request({type: 'hangup', call});
  }

  /**
   * Has this browser rung when somebody calls this user while no page is open, by the browser's push service. Needs a `user`,
   * a server with `pushKey`, and permission for notifications; where that is not given yet it asks, so call it in a click the
   * first time. Say it again at each `welcome` that is not resumed: subscriptions change, and a browser is one user's. The
   * worker shows what is pushed, see docs/client.md.
   * @param {ServiceWorkerRegistration} registration of the worker that hears `push`
   * @returns {Promise<PushSubscription>} settled when the server has it on disk; rejected with a HubError (`forbidden`,
   *   `too-many`, `rate`) or what PushManager.subscribe throws (`NotAllowedError`)
   */
  async ringWhenAway(registration) {
    return ringWhenAway(this, registration);
  }

  /**
   * Ends `ringWhenAway` for this browser. With the last browser of the user the server forgets him.
   * @param {ServiceWorkerRegistration} registration
   * @returns {Promise<void>}
   */
  async ringNoMore(registration) {
    await ringNoMore(this, registration);
  }

  /** These missed calls have been shown, and are not told again. @param {...string} calls their ids @returns {Promise<void>} */
  async seen(...calls) {
    await this.request({type: 'seen', calls});
  }

  /** @param {Report} report */
  report(report) {
    if (this.state === 'open') this.send({type: 'report', ...report});
  }

  /**
   * Asks for fresh credentials.
   * @returns {Promise<import('./session.js').HubConfiguration>}
   */
  async refresh() {
    return (await this.request({type: 'config'})).config;
  }

  /** @override @protected @param {import('./session.js').Reconnected & {first: boolean}} how */
  welcomed(how) {
    if (!how.resumed && !how.first) this.#startAgain();
    this.#updateInCall();
    this.#planRenewal();
    this.emit('welcome', how);
    if (!how.resumed) this.emit('config', this.config);
  }

  /** The server has forgotten this session: everything that it should know is said again. */
  #startAgain() {
    for (const [call] of this.calls) this.#onCall({call, state: 'ended', reason: 'lost'});
    if (this.#subscriptions.size) {
      this.request({type: 'subscribe', users: [...this.#subscriptions]}).catch(() => {});
    }
    this.#doors.again();
    for (const [room, {make, host, seat}] of this.rooms) {
      const entry = {peers: new Map(), make, host, seat};
      this.rooms.set(room, entry);
      this.#rejoin(room, entry);
    }
  }

  /** @param {string} room @param {HubRoom} entry @returns {Promise<void>} */
  async #rejoin(room, entry) {
    const current = () => this.rooms.get(room) === entry; // else it was left, or the next welcome starts again
    try {
      const joined = await this.#join(room, entry, true);
      this.emit('rejoined', joined);
    } catch (error) {
      const {code, retry, after} = /** @type {HubError} */ (error);
      if (code === 'session-lost' || code === 'closed' || !current()) return;
      if (code === 'knocking') {
        await this.#knock(room).catch((/** @type {HubError} */ {code}) => { if (current() && code !== 'closed') this.#out(room, code); });
        if (current()) this.#rejoin(room, entry);
      } else if (code === 'locked') this.#out(room, code);
      else if (retry) setTimeout(() => { if (current()) this.#rejoin(room, entry); }, after || times.rejoin);
      else this.emit('error', /** @type {HubError} */ (error));
    }
  }

  /** We are out of a room, by its host. @param {string} room @param {string} reason */
  #out(room, reason) {
    if (reason === 'again') { // what we came back with was out of date
      const entry = this.rooms.get(room);
      if (entry) this.#rejoin(room, Object.assign(entry, {peers: new Map(), seat: undefined}));
      return;
    }
    this.rooms.delete(room);
    this.emit('out', {room, reason: /** @type {any} */ (reason)});
  }

  /** @override @protected @param {any} message */
  receive(message) {
    switch (message.type) {
      case 'joined': {
        const peers = new Map(message.peers.map((/** @type {PeerInfo} */ peer) => [peer.peer, peer]));
        this.rooms.set(message.room, {...this.rooms.get(message.room), peers});
        break;
      }
      case 'peer-joined':
        this.rooms.get(message.room)?.peers.set(message.peer, message);
        this.emit('peer-joined', message);
        break;
      case 'peer-left':
        this.rooms.get(message.room)?.peers.delete(message.peer);
        // Who is sent to another node hears those say goodbye here who go with us.
        this.emit('peer-left', this.going && message.reason === 'leave' ? {...message, reason: 'lost'} : message);
        break;
      case 'admitted':
        this.#doors.open(message.room);
        return;
      case 'out':
        if (!this.#doors.shut(message.room, errorOf(message.reason))) this.#out(message.room, message.reason);
        break;
      case 'hosting': {
        const entry = this.rooms.get(message.room);
        if (!entry) return;
        const {room, locked, hosts, muted} = message;
        entry.hosting = {room, locked, hosts, muted};
        entry.seat = message.seat;
        this.emit('hosting', entry.hosting);
        return;
      }
      case 'knock':
      case 'knock-left':
      case 'lobby':
      case 'lobby-peer':
      case 'lobby-left':
      case 'peer-away':
      case 'peer-back':
      case 'signal':
      case 'message':
      case 'missed':
        this.emit(message.type, message);
        return;
      case 'presence':
        this.emit('presence', message.users);
        return;
      case 'call':
        this.#onCall(message);
        break;
      case 'calling':
        if (!this.calls.has(message.call)) this.calls.set(message.call, 'ringing');
        break;
      case 'config':
        this.config = message.config;
        this.#planRenewal();
        this.emit('config', this.config);
        return;
      case 'token':
        this.emit('token', {after: message.after});
        this.tokenExpires(message.after);
        return;
      case 'restart':
        this.emit('restart', {after: message.after});
        return;
      case 'error':
        this.emit('error', new HubError(message.code, message.message, message.retry, message.after));
        return;
    }
    this.#updateInCall();
  }

  /** @param {CallState} message */
  #onCall(message) {
    const {call, state} = message;
    if (state === 'ended') {
      this.calls.delete(call);
      const invitation = this.#invitations.get(call);
      if (invitation) invitation.ended = message.reason ?? 'hangup';
      this.#invitations.delete(call);
    } else {
      this.calls.set(call, state);
    }
    if (state === 'incoming') {
      const invitation = new Invitation(this, message);
      this.#invitations.set(call, invitation);
      this.emit('call', message);
      this.emit('incoming', invitation);
      return;
    }
    if (state === 'accepted') this.#invitations.delete(call);
    this.emit('call', message);
  }

  /** An invitation that is still ringing here, by the call's id. @param {string} call */
  invitation(call) {
    return this.#invitations.get(call);
  }

  #updateInCall() {
    const company = [...this.rooms.values()].some(({peers}) => peers.size > 0);
    this.setInCall(company || this.calls.size > 0);
  }

  /** The server renews credentials by itself; this asks where it did not. */
  #planRenewal() {
    clearTimeout(this.#renewal);
    // By `ttl`, a duration: the clocks of server and visitor need not agree on what `expires` says.
    const left = (this.config.ttl ?? 0) * 1000;
    if (!(left > 0)) return;
    // setTimeout holds 2^31 ms at most.
    this.#renewal = setTimeout(() => this.refresh().catch(() => {}), Math.min(left * 0.9, 2 ** 31 - 1));
    /** @type {any} */ (this.#renewal)?.unref?.();
  }

  /** @override */
  close() {
    clearTimeout(this.#renewal);
    this.rooms.clear();
    this.calls.clear();
    this.#invitations.clear();
    super.close();
  }
}
