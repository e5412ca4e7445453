// The server's side of protocol.md, as much of it as calls in rooms need. It delivers in order, drops what was on its way
// when a socket is cut, hands it over when the session is resumed, and forgets everything when it restarts.

export class ModelHub {
  /** @type {Map<string, any>} */ sessions = new Map();
  /** @type {Map<string, {members: any[], waiting: any[]}>} */ rooms = new Map();
  #count = 0;

  constructor(world) {
    this.world = world;
    const hub = this;
    this.Socket = class {
      static OPEN = 1;
      onopen = null; onmessage = null; onclose = null;
      closed = false;
      session = null;
      constructor(url) {
        this.client = new URL(url).hostname;
        hub.world.sockets.add(this);
        const {time, random} = hub.world;
        time.set(() => {
          if (this.closed) return;
          if (hub.world.reachable(this.client)) this.onopen?.();
          // An address that answers nothing: nobody is told.
        }, random.within(5, 200), 0, this.client);
      }
      send(text) { hub.#carry(this, () => hub.#receive(this, JSON.parse(text)), 'up'); }
      say(message) {
        const text = JSON.stringify(message);
        hub.#carry(this, () => this.onmessage?.({data: text}), 'down');
      }
      close() { this.cut(); }
      /** The server closes it, or the network says that it is gone. */
      cut(code = 0) {
        if (this.closed) return;
        this.closed = true;
        hub.world.sockets.delete(this);
        hub.#gone(this);
        if (code) hub.world.time.set(() => this.onclose?.({code, reason: ''}), 0, 0, this.client);
      }
    };
  }

  /** In order, each way for itself. */
  #carry(socket, arrive, way) {
    const {time, random} = this.world;
    const at = Math.max(socket[way] ?? 0, time.now + random.within(2, random.happens(0.05) ? 900 : 60));
    socket[way] = at;
    time.set(() => {
      // What does not arrive once leaves a socket that says nothing any more, in either direction.
      if (!this.world.reachable(socket.client)) socket.lost = true;
      if (!socket.closed && !socket.lost) arrive();
    }, at - time.now, 0, way === 'down' ? socket.client : '');
  }

  #receive(socket, message) {
    if (message.type === 'hello') return this.#hello(socket, message);
    const {session} = socket;
    if (!session || session.socket !== socket) return;
    if (typeof message.ack === 'number') session.out = session.out.filter(({seq}) => seq > message.ack);
    if (message.type === 'ping') return socket.say({type: 'pong', ack: session.handled});
    if (message.type === 'bye') return this.#end(session, 'leave');
    if (typeof message.seq !== 'number') return;
    if (message.seq <= session.handled) return;
    if (message.seq !== session.handled + 1) throw new Error(`a gap in what ${session.id} sends: ${session.handled} then ${message.seq}`);
    session.handled = message.seq;
    this.#handle(session, message);
  }

  #hello(socket, {resume}) {
    const known = resume && this.sessions.get(resume.session);
    const config = {iceServers: [{urls: ['turn:$:3478?transport=udp', 'turn:$:3478?transport=tcp', 'turns:$:443?transport=tcp'].map((url) => url.replace('$', socket.client)), username: `u${this.#count}`}]};
    if (known && known.token === resume.token) {
      const old = known.socket;
      known.socket = socket;
      socket.session = known;
      if (old && old !== socket) { old.session = null; old.cut(); }
      known.out = known.out.filter(({seq}) => seq > resume.seq);
      socket.say({type: 'welcome', session: known.id, resume: {token: known.token, window: 60_000}, resumed: true, ack: known.handled, config,
        heartbeat: {interval: 15_000, call: 1000, timeout: 4000}});
      for (const message of known.out) socket.say(message);
      if (known.away) this.#tellCompany(known, {type: 'peer-back', peer: known.id});
      known.away = false;
      return;
    }
    const session = {id: `s_${++this.#count}`, token: `t${this.#count}`, client: socket.client, socket, out: [], seq: 0, handled: 0, away: false, room: '', waits: ''};
    socket.session = session;
    this.sessions.set(session.id, session);
    socket.say({type: 'welcome', session: session.id, resume: {token: session.token, window: 60_000}, resumed: false, ack: 0, config,
      heartbeat: {interval: 15_000, call: 1000, timeout: 4000}});
  }

  #gone(socket) {
    const {session} = socket;
    if (!session || session.socket !== socket) return;
    session.socket = null;
    const {time} = this.world;
    time.set(() => {
      if (session.socket || session.away || !this.sessions.has(session.id)) return;
      session.away = true;
      this.#tellCompany(session, {type: 'peer-away', peer: session.id});
    }, 2000);
    time.set(() => { if (!session.socket) this.#end(session, 'lost'); }, 60_000);
  }

  say(session, message) {
    if (!this.sessions.has(session.id)) return;
    const numbered = {...message, seq: ++session.seq};
    session.out.push(numbered);
    session.socket?.say(numbered);
  }

  #room(name) {
    if (!this.rooms.has(name)) this.rooms.set(name, {members: [], waiting: []});
    return this.rooms.get(name);
  }

  #tellCompany(session, message) {
    for (const other of this.#room(session.room).members) if (session.room && other !== session) this.say(other, message);
  }

  #end(session, reason) {
    if (!this.sessions.delete(session.id)) return;
    this.#leaveLobby(session);
    this.#leave(session, reason);
  }

  #leave(session, reason) {
    if (!session.room) return;
    const {members} = this.#room(session.room), {room} = session;
    members.splice(members.indexOf(session), 1);
    session.room = '';
    for (const other of members) this.say(other, {type: 'peer-left', room, peer: session.id, reason});
    this.#findHosts(room, session);
  }

  #leaveLobby(session) {
    if (!session.waits) return;
    const {waiting} = this.#room(session.waits), room = session.waits;
    waiting.splice(waiting.indexOf(session), 1);
    if (session.host) this.say(session.host, {type: 'lobby-left', room, peer: session.id});
    session.waits = '';
    session.host = null;
    this.#findHosts(room, session);
  }

  /** Whoever was hosted by the one that goes has to offer anew. */
  #findHosts(room, gone) {
    for (const each of this.#room(room).waiting) {
      if (each.host !== gone) continue;
      each.host = null;
      this.say(each, {type: 'lobby', room});
    }
  }

  #handle(session, message) {
    const {id} = message;
    switch (message.type) {
      case 'join': {
        const {room, first} = message, entry = this.#room(room);
        const {members} = entry;
        const chosen = session.waits && session.host && members.includes(session.host) ? session.host : members.find(({away}) => !away);
        const host = session.host;
        const waiting = entry.waiting.filter((each) => each !== session);
        if (session.waits) {
          entry.waiting.splice(entry.waiting.indexOf(session), 1);
          session.waits = '';
          session.host = null;
          // A host that waits itself becomes the visitor of the one that joins.
          if (host && host.waits === room && !host.host) {
            host.host = session;
            this.say(host, {type: 'lobby', room, first: session.id});
          }
        }
        session.room = room;
        this.say(session, {type: 'joined', id, room, peers: members.map((other) => ({peer: other.id, name: other.client, polite: true, away: other.away})),
          ...(chosen && first !== undefined ? {first: chosen.id} : {})});
        for (const other of members) {
          this.say(other, {type: 'peer-joined', room, peer: session.id, name: session.client, polite: false, ...(other === chosen && first !== undefined ? {first} : {})});
        }
        members.push(session);
        for (const each of waiting) {
          if (each.host || each === session) continue;
          each.host = session;
          this.say(each, {type: 'lobby', room, first: session.id});
          this.say(session, {type: 'lobby-peer', room, peer: each.id, first: each.offered});
        }
        return;
      }
      case 'lobby': {
        const {room, first} = message;
        if (session.waits) this.#leaveLobby(session);
        const {members, waiting} = this.#room(room);
        const host = members.find(({away}) => !away) ?? waiting[0] ?? null;
        Object.assign(session, {waits: room, host, offered: first});
        waiting.push(session);
        this.say(session, {type: 'lobby', id, room, ...(host ? {first: host.id} : {})});
        if (host) this.say(host, {type: 'lobby-peer', room, peer: session.id, first});
        return;
      }
      case 'leave':
        if (session.waits) this.#leaveLobby(session);
        else this.#leave(session, 'leave');
        break;
      case 'signal': {
        const to = this.sessions.get(message.to);
        const company = to && ((to.room && to.room === session.room) || to.host === session || session.host === to);
        const odd = company && message.data?.description;
        if (odd && this.world.odd('description lost')) return;
        if (odd && this.world.odd('description doubled')) this.say(to, {type: 'signal', from: session.id, data: message.data});
        if (company) this.say(to, {type: 'signal', from: session.id, data: message.data});
        else if (id) this.say(session, {type: 'error', id, code: 'no-peer', message: 'nobody there'});
        break;
      }
      case 'config':
        this.say(session, {type: 'config', id, config: {iceServers: []}});
        return;
    }
    if (id) this.say(session, {type: 'ok', id});
  }

  /** Killed and started again. */
  restart() {
    this.sessions.clear();
    this.rooms.clear();
    for (const socket of [...this.world.sockets]) {
      socket.session = null;
      socket.cut(1006);
    }
  }
}
