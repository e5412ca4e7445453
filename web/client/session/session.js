import {Emitter} from '../base/emitter.js';
import {closeCodes, HubError} from '../base/codes.js';
import {realClock} from '../base/clock.js';
import {Heartbeat} from './heartbeat.js';
import {Attempts} from './attempts.js';
import {Nodes} from './nodes.js';
import {beside, socketURL, whyRefused} from '../base/home.js';
import {ask} from '../base/http.js';
import {delay, holdsBack, patience, Tries} from './retry.js';
import {Inbox} from './inbox.js';
import {Outbox} from './outbox.js';
import {AccessToken} from './token.js';
import {watchPage} from './page.js';

/** @typedef {import('./types.js').SessionOptions} SessionOptions */
/** @typedef {import('./types.js').Closed} Closed */
/** @typedef {import('./types.js').Reconnected} Reconnected */
/** @typedef {import('../base/clock.js').Clock} Clock */
/** @typedef {RTCConfiguration & {ttl?: number, expires?: string}} HubConfiguration */
/** @typedef {'closed' | 'connecting' | 'open' | 'reconnecting'} SessionState */
/** @typedef {Record<string, any> & {type: string}} Message */

/** So many characters are on the other side within a second or two on any line. */
const quick = 1 << 14;

/** So many sockets for media are opened while a session is without its own: few where the browser holds back those that follow. */
const besideMost = holdsBack(globalThis.navigator?.userAgent ?? '') ? 4 : 12;

/**
 * The connection to a hub below its verbs: hello and welcome, numbered messages, acknowledgement, resume with
 * retransmission, heartbeat, reconnecting. See signaling/protocol.md.
 * @template {Record<string, any>} Events
 * @extends {Emitter<Events & {state: SessionState, closed: Closed}>}
 */
export class Session extends Emitter {
  /** @type {SessionState} */
  state = 'closed';
  /** The public id of this session: what others see as `peer`. Empty until the first welcome. */
  id = '';
  /** The user name under which others can call. */
  user = '';
  /** What others see. */
  name = '';
  /** @type {HubConfiguration} an RTCConfiguration with fresh credentials, ready for `new RTCPeerConnection` */
  config = {iceServers: []};
  /** The server's key for `PushManager.subscribe`, where it rings this user while no page is open; '' where it does not. */
  pushKey = '';
  /** @type {SessionOptions} */ #options;
  /** @type {Clock} */ #clock;
  /** @type {AccessToken} */ #access;
  /** @type {Nodes} */ #nodes;
  /** @type {WebSocket | null} */ #socket = null;
  #token = '';
  #tries = new Tries();
  /** Where the media of two people may go through a WebSocket, beside ours. @type {{path: string} | null} */ #media = null;
  #mediaTries = new Tries();
  #welcomed = false;
  /** Sockets for media that were opened while we have none. */
  #beside = 0;
  /** Characters sent since anything has come. */
  #unanswered = 0;
  #nextRequest = 0;
  /** @type {Inbox} */ #inbox;
  #outbox = new Outbox();
  /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void}>} */ #pending = new Map();
  /** @type {Heartbeat} */ #heartbeat;
  /** @type {any} */ #retryTimer = null;
  /** @type {any} */ #connectTimer = null;
  #attempt = 0;
  #attempts = new Attempts();
  #restartAfter = -1;
  /** How long it took from the last attempt that succeeded to its welcome. */
  #openedIn = 0;
  #silent = false;
  /** @type {{promise: Promise<void>, resolve: () => void, reject: (error: Error) => void} | null} */ #opening = null;
  /** Ends the watch over the page and its network. */
  #unwatch = () => {};

  /** @param {SessionOptions} [options] */
  constructor(options = {}) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.name = options.name ?? '';
    this.#nodes = new Nodes(options.url);
    this.#inbox = new Inbox(this.#clock, () => this.#transmit({type: 'ack'}));
    this.#heartbeat = new Heartbeat({
      clock: this.#clock,
      ping: () => this.#transmit({type: 'ping', ack: this.#inbox.handled}),
      silent: () => {
        this.#silent = true;
        if (this.#socket) this.#lost(this.#socket, 0, 'silent');
      },
      sending: () => this.#unanswered > quick >> 2,
    });
    this.#access = new AccessToken(options.token, {
      clock: this.#clock,
      request: (message) => this.request(message),
      failed: (error) => { if (this.#opening) /** @type {any} */ (this).emit('error', error); },
    });
  }

  /**
   * Connects; from then on the session comes back by itself until `close`, or until the server refuses it.
   * @returns {Promise<void>} settled at the first welcome; rejected where it cannot come: `no-hub`, the address is not that
   *   of a turnhub server, `closed`, refused or closed before
   */
  connect() {
    if (this.#opening) return this.#opening.promise;
    try {
      this.#url();
    } catch (error) {
      return Promise.reject(error);
    }
    /** @type {any} */ const opening = {};
    opening.promise = new Promise((resolve, reject) => Object.assign(opening, {resolve, reject}));
    this.#opening = opening;
    this.#unwatch = watchPage({
      changed: () => {
        /** @type {any} */ (this).emit('network', undefined);
        this.poke();
      },
      leaving: () => this.close(),
    });
    this.#setState('connecting');
    this.#open();
    return opening.promise;
  }

  /** Ends the session at once: the others see this person leave. */
  close() {
    if (this.#socket && this.#welcomed) this.#transmit({type: 'bye'});
    this.#end(1000, 'closed');
  }

  /**
   * Hands in another access token of the same user, before the old one expires (`token`): the session goes on with
   * it, and comes back with it. Rooms that it does not allow are not left, but cannot be joined again.
   * @param {string} token
   * @returns {Promise<void>} rejected (`forbidden`) where the server does not take it
   */
  async renew(token) {
    if (this.#opening) await this.#access.renew(token);
    else this.#access.value = token;
  }

  /**
   * Lets others into one room, on a server with `access.mode: token`: makes a token that opens it and nothing else, for a
   * link. It ends within a day, and never after the token in use.
   * @param {string} room
   * @returns {Promise<{token: string, expires: Date | null}>} an empty token where none is needed; rejected (`forbidden`,
   *   `rate`) where the server makes none
   */
  async guestToken(room) {
    const url = beside(this.#url(), 'invitation');
    url.search = String(new URLSearchParams({room}));
    /** @type {Record<string, string>} */ const headers = {};
    if (this.#access.value) headers.authorization = `Bearer ${this.#access.value}`;
    const {answer = null, said = null} = await ask(url, {method: 'POST', headers}) ?? {};
    if (!answer?.ok || typeof said?.token !== 'string') {
      const refused = answer && answer.status < 500 && answer.status !== 429;
      throw new HubError(refused ? 'forbidden' : 'rate', said?.message ?? 'no invitation could be made: the server does not answer', !refused);
    }
    return {token: said.token, expires: said.expires ? new Date(said.expires) : null};
  }

  /** Whether this session ends, and another begins at a node that was named. @protected */
  get going() { return this.#restartAfter >= 0; }

  /** Whether the server passes on media where no other way is left. */
  get passesMedia() { return this.#media !== null; }

  /**
   * A WebSocket of its own for the media between us and one other, see protocol.md; null: not here, not now. The session may be without
   * its own: both were lost together, mostly, and neither waits for the other.
   * @param {string} peer @param {() => boolean} [opens] asked once it has opened: false, and it is closed before anything is said
   */
  mediaSocket(peer, opens = () => true) {
    if (!this.#media || !this.id || !this.#token) return null;
    // Of a server that is away more would come to nothing, and Firefox would keep later ones waiting for it, longer each time.
    if (!this.#welcomed && this.#beside++ >= besideMost) return null;
    const url = this.#mediaTries.next(new URL(this.#media.path, this.#url()));
    const socket = new (this.#options.WebSocket ?? WebSocket)(url.href, 'turnhub.media.v1');
    socket.onopen = () => {
      if (this.#token && opens()) socket.send(JSON.stringify({type: 'hello', session: this.id, token: this.#token, peer}));
      else socket.close();
    };
    return socket;
  }

  /** Whether a socket for media goes to the node that has this session: while that was looked for, it may have gone to another. @param {WebSocket} socket */
  mediaNear(socket) { return new URL(socket.url).host === this.#url().host; }

  /** The access token expires in so many milliseconds. @protected @param {number} after */
  tokenExpires(after) {
    this.#access.expires(after);
  }

  /**
   * The heartbeat is fast while the person is with others, or a call rings, so that a dead path is seen within seconds.
   * @param {boolean} inCall
   */
  setInCall(inCall) {
    if (this.#heartbeat.inCall === inCall) return;
    this.#heartbeat.inCall = inCall;
    if (this.#welcomed) this.#heartbeat.beat();
  }

  /**
   * The line to the server is known as narrow, or no longer: a socket that says nothing waits, mostly, and another would wait behind it.
   * @param {boolean} narrow
   */
  setNarrow(narrow) { this.#heartbeat.narrow = narrow; }

  /**
   * Looks at once whether the connection still works: for the moment after a change of network. A session that
   * waits for its next attempt makes it now.
   */
  poke() {
    this.#heartbeat.urge();
    if (this.state === 'reconnecting') {
      if (this.#restartAfter >= 0) return;
      this.#attempt = 0;
      this.#dropSocket();
      this.#open();
    } else if (this.#welcomed) {
      this.#heartbeat.beat();
    }
  }

  /**
   * Sends a numbered message; while the connection is away it is kept and sent on return.
   * @param {Message} message
   */
  send(message) {
    if (this.state === 'closed' && !this.#opening) throw new HubError('closed', 'the hub is closed: call connect() first');
    const {seq} = this.#outbox.add(message);
    if (!this.#welcomed) return;
    this.#transmit({...message, seq});
    // It is acknowledged within a second, unless a slow line still has to carry it.
    if (this.#unanswered <= quick) this.#heartbeat.expect();
  }

  /**
   * Sends a message that the server answers.
   * @param {Message} message
   * @returns {Promise<any>} the answer; rejected with a HubError
   */
  request(message) {
    const id = ++this.#nextRequest;
    return new Promise((resolve, reject) => {
      try {
        this.send({...message, id});
      } catch (error) {
        reject(error);
        return;
      }
      this.#pending.set(id, {resolve, reject});
    });
  }

  /**
   * Handles one message of the server that is not an answer. Overridden by the hub.
   * @protected
   * @param {Message} _message
   */
  receive(_message) {}

  /**
   * The socket is back after it was lost, or the first welcome has come. Overridden by the hub.
   * @protected
   * @param {Reconnected & {first: boolean}} _how
   */
  welcomed(_how) {}

  /** @param {Record<string, any>} message */
  #transmit(message) {
    const ack = this.#inbox.acknowledged();
    if (ack !== undefined) message.ack = ack;
    const text = JSON.stringify(message);
    this.#unanswered += text.length;
    this.#socket?.send(text);
    if (message.type !== 'ping') this.#heartbeat.carried(text.length);
  }

  #url() {
    const url = socketURL(this.#nodes.url ?? 'ws', "new Hub({url: 'wss://HOST/ws'})");
    if (this.#access.value) url.searchParams.set('token', this.#access.value);
    return url;
  }

  #open() {
    this.#clock.clearTimeout(this.#retryTimer);
    this.#restartAfter = -1;
    if (this.#access.needed) this.#openWithToken();
    else this.#dial();
  }

  async #openWithToken() {
    const opening = this.#opening;
    let token = '';
    let failure = null;
    try {
      token = await this.#access.fetch();
    } catch (error) {
      failure = /** @type {Error} */ (error);
    }
    if (opening !== this.#opening || this.#socket) return; // closed meanwhile, or poked
    if (failure) {
      /** @type {any} */ (this).emit('error', new HubError('no-token', `no access token: ${failure.message}`, true));
      this.#openLater(0);
    } else if (token) {
      this.#access.value = token;
      this.#dial();
    } else {
      this.#end(4003, closeCodes[4003].say);
    }
  }

  #dial() {
    const clock = this.#clock;
    const token = this.#access.value;
    const socket = new (this.#options.WebSocket ?? WebSocket)(this.#tries.next(this.#url()).href, 'turnhub.v1');
    this.#socket = socket;
    this.#welcomed = false;
    this.#unanswered = 0;
    this.#heartbeat.begin();
    const begun = clock.now();
    this.#connectTimer = clock.setTimeout(() => this.#lost(socket, 0, 'no answer'), patience(this.#attempt, this.#heartbeat, this.#openedIn));
    let opened = false;
    socket.onopen = () => {
      opened = true;
      const {name, user, userSecret} = {...this.#options, name: this.name};
      /** @type {Record<string, any>} */ const hello = {type: 'hello'};
      if (name) hello.name = name;
      if (user) hello.user = user;
      if (userSecret) hello.userSecret = userSecret;
      if (this.#token) hello.resume = {session: this.id, token: this.#token, seq: this.#inbox.handled};
      socket.send(JSON.stringify(hello));
    };
    socket.onmessage = (event) => {
      if (socket !== this.#socket || typeof event.data !== 'string') return;
      let message;
      try {
        message = JSON.parse(event.data);
      } catch {
        return;
      }
      this.#heartbeat.heard();
      this.#unanswered = 0;
      if (message.type !== 'pong') this.#heartbeat.carried(event.data.length);
      if (message.type === 'welcome') {
        this.#openedIn = clock.now() - begun;
        this.#onWelcome(message);
      } else if (this.#welcomed || message.type === 'error') this.#onMessage(message, event.data.length);
    };
    socket.onclose = (event) => {
      if (!opened) this.#askWhy(token);
      this.#lost(socket, event.code, event.reason);
    };
    socket.onerror = () => {};
  }

  /** @param {string} token with which the socket was refused */
  async #askWhy(token) {
    if (this.#options.WebSocket) return;
    const url = this.#url();
    const {is, message, why} = await whyRefused(url);
    // Another token may have been tried meanwhile, or can be.
    if (!this.#opening || this.#welcomed || token !== this.#access.value) return;
    const {strange, blocked} = this.#attempts.found(is, globalThis.location?.host === url.host);
    if (blocked) /** @type {any} */ (this).emit('error', new HubError('no-websocket', message, true));
    if (is === 'refused') {
      if (!this.#access.refuse(token)) this.#end(4003, message || closeCodes[4003].say, 'closed', why);
    } else if (this.id === '' && (is === 'origin' || strange)) {
      this.#end(0, message, 'no-hub');
    }
  }

  /** @param {Message} welcome */
  #onWelcome(welcome) {
    this.#clock.clearTimeout(this.#connectTimer);
    const first = this.id === '';
    const resumed = welcome.resumed === true;
    const silent = this.#silent;
    this.#silent = false;
    this.#attempt = 0;
    this.#attempts.clear();
    this.#access.accepted();
    this.#heartbeat.plan = {...this.#heartbeat.plan, ...welcome.heartbeat};
    this.id = welcome.session;
    this.user = welcome.user ?? '';
    this.#token = welcome.resume?.token ?? '';
    this.#tries.begin(welcome.resume?.path);
    this.pushKey = typeof welcome.push?.key === 'string' ? welcome.push.key : '';
    this.#media = typeof welcome.media?.path === 'string' ? welcome.media : null;
    this.#mediaTries.begin(welcome.media?.tries);
    if (welcome.config) this.config = welcome.config;
    this.#nodes.learn(welcome.config?.signalings, this.#url());
    /** @type {{reject: (error: Error) => void}[]} */ let forgotten = [];
    if (resumed) {
      this.#outbox.acknowledge(welcome.ack);
    } else {
      this.#inbox.clear();
      if (!first) {
        // A fresh session: what was on its way belongs to rooms and peers that no longer exist there.
        forgotten = [...this.#pending.values()];
        this.#pending.clear();
        this.#outbox.clear();
      }
    }
    this.#welcomed = true;
    this.#beside = 0;
    for (const {seq, message} of this.#outbox.entries) this.#transmit({...message, seq});
    for (const {reject} of forgotten) reject(new HubError('session-lost', 'the server has forgotten this session', true));
    this.#heartbeat.beat();
    this.#setState('open');
    this.#opening?.resolve();
    this.welcomed({first, resumed, silent});
  }

  /** @param {Message} message @param {number} size characters */
  #onMessage(message, size) {
    this.#outbox.acknowledge(message.ack);
    if (message.type === 'ack') return;
    if (message.type === 'pong') {
      this.#heartbeat.pong();
      return;
    }
    if (typeof message.seq === 'number' && !this.#inbox.take(message.seq, size)) return;
    if (message.type === 'config') this.#nodes.learn(message.config?.signalings, this.#url());
    if (message.type === 'elsewhere' && this.#nodes.move(message.signalings, this.#url(), this.#clock.now())) {
      // There this is another session, as after a restart of the server. What was said to us before comes until this socket ends.
      this.#transmit({type: 'bye'});
      this.#token = '';
      this.#attempt = this.#restartAfter = 0;
    }
    if (message.type === 'restart') {
      this.#restartAfter = Math.max(0, Number(message.after) || 0);
      this.#nodes.move(message.signalings, this.#url(), this.#clock.now());
    }
    const pending = typeof message.id === 'number' ? this.#pending.get(message.id) : undefined;
    if (pending) {
      this.#pending.delete(message.id);
      if (message.type === 'error') {
        pending.reject(new HubError(message.code, message.message, message.retry, message.after));
        return;
      }
      this.receive(message);
      pending.resolve(message);
      return;
    }
    this.receive(message);
  }

  #dropSocket() {
    this.#clock.clearTimeout(this.#connectTimer);
    this.#inbox.stop();
    this.#heartbeat.stop();
    this.#welcomed = false;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} reason
   */
  #lost(socket, code, reason) {
    if (socket !== this.#socket) return;
    if (!this.#welcomed) this.#nodes.failed(this.#url(), this.#clock.now());
    this.#dropSocket();
    const known = closeCodes[code];
    const another = code === 4003 && this.#access.refuse(this.#access.value);
    if (known?.back === 'no' && !another) {
      this.#end(code, reason || known.say);
      return;
    }
    if (known?.back === 'fresh') this.#token = '';
    this.#setState(this.id ? 'reconnecting' : 'connecting');
    this.#openLater(known?.after ?? 0);
  }

  /** @param {number} least milliseconds */
  #openLater(least) {
    // A server that restarts has spread its clients out already.
    const pause = this.#restartAfter >= 0 ? this.#restartAfter : delay(this.#attempt, this.#heartbeat.inCall, least, this.#clock.random());
    this.#retryTimer = this.#clock.setTimeout(() => this.#open(), pause);
    this.#attempt++;
  }

  /** @param {number} code @param {string} reason @param {import('../base/codes.js').HubErrorCode} [error] for those who wait for the connection @param {Closed['why']} [why] */
  #end(code, reason, error = 'closed', why = undefined) {
    this.#dropSocket();
    this.#clock.clearTimeout(this.#retryTimer);
    this.#access.close();
    this.#unwatch();
    for (const {reject} of this.#pending.values()) reject(new HubError('closed', reason));
    this.#pending.clear();
    this.#outbox.clear();
    this.#inbox.clear();
    this.#token = '';
    this.id = '';
    const opening = this.#opening;
    this.#opening = null;
    if (!opening) return;
    opening.promise.catch(() => {});
    opening.reject(new HubError(error, reason));
    this.#setState('closed');
    /** @type {any} */ (this).emit('closed', {code, reason, ...(why ? {why} : {})});
  }

  /** @param {SessionState} state */
  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    /** @type {any} */ (this).emit('state', state);
  }

  /** Smoothed round trip to the server in milliseconds; 0: not known yet. */
  get rtt() { return this.#heartbeat.rtt; }

  /** Milliseconds since the server was last heard. */
  get silence() { return this.#heartbeat.silence; }
}
