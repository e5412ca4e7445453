// RTCPeerConnection by the book (W3C webrtc-pc, JSEP), without packets: operations one after the other, signaling states,
// rollback, ICE generations, DTLS roles, and the errors that browsers throw. What browsers do wrong is an event of the world.
import {track} from './world.mjs';

const failure = (name, message) => Object.assign(new Error(message), {name});

const copyOf = (parameters) => ({...parameters, encodings: parameters.encodings.map((each) => ({...each}))});

class Sender {
  transport = null;
  #parameters = {transactionId: '', encodings: [], codecs: [{mimeType: 'video/VP8'}, {mimeType: 'video/VP9'}]};
  constructor(pc, sent) { this.pc = pc; this.track = sent; }
  getParameters() { return copyOf(this.#parameters); }
  negotiated() { if (!this.#parameters.encodings.length) this.#parameters.encodings = [{active: true}]; }
  get active() { return this.track !== null && this.#parameters.encodings[0]?.active !== false; }
  setStreams() {}
  async replaceTrack(sent) {
    if (this.pc.signalingState === 'closed') throw failure('InvalidStateError', 'closed');
    this.track = sent;
  }
  async setParameters(parameters) {
    const {world} = this.pc, {random} = world;
    if (this.pc.signalingState === 'closed') throw failure('InvalidStateError', 'closed');
    const late = world.odd('parameters late');
    await world.wait(late ? random.within(2500, 6000) : random.within(0, 4));
    if (world.odd('parameters fail')) throw failure('InvalidModificationError', 'not now');
    this.#parameters = copyOf(parameters);
  }
}

class Transceiver {
  mid = null;
  currentDirection = null;
  constructor(pc, kind, sent, direction) {
    this.direction = direction;
    this.sender = new Sender(pc, sent);
    this.receiver = {track: track(kind)};
    this.kind = kind;
    this.pc = pc;
  }
  stop() { this.direction = this.currentDirection = 'stopped'; this.pc.checkNeeded(); }
}

class Channel {
  readyState = 'connecting';
  onopen = null; onmessage = null; onclose = null;
  queue = [];
  constructor(pc, label, id) { Object.assign(this, {pc, label, id, bufferedAmount: 0}); }
  send(text) {
    if (this.readyState !== 'open') throw failure('InvalidStateError', 'the channel is not open');
    this.queue.push(text);
  }
  close() { this.readyState = 'closed'; }
}

/** The class of one world. Which client and browser a connection belongs to is told by its servers. */
export function connectionsOf(world) {
  const {time, random} = world;
  return class FakePeerConnection extends EventTarget {
    world = world;
    signalingState = 'stable';
    connectionState = 'new';
    iceConnectionState = 'new';
    iceGatheringState = 'new';
    onnegotiationneeded = null; onicecandidate = null; onconnectionstatechange = null; oniceconnectionstatechange = null;
    ontrack = null; ondatachannel = null; onicecandidateerror = null;
    currentLocalDescription = null; currentRemoteDescription = null; pendingLocalDescription = null; pendingRemoteDescription = null;
    /** of ICE and DTLS: */
    id = world.name('pc');
    selected = null;
    heardAt = 0;
    bytes = 0;
    frames = 0;
    sounds = 0;
    role = '';
    keysGone = false;
    offeredFirst = null;
    candidates = [];
    #transceivers = [];
    channels = [];
    #operations = Promise.resolve();
    #busy = 0;
    #restart = false;
    #another = false;
    #needed = false;
    #configuration;
    #before = null;

    static async generateCertificate() { return {certificate: world.name('certificate')}; }

    constructor(configuration = {}) {
      super();
      this.#configuration = configuration;
      this.client = /^(?:turn|stun):(\w+):/.exec(String(configuration.iceServers?.[0]?.urls))?.[1] ?? '';
      this.firefox = world.clients[this.client]?.firefox ?? false;
      world.connections.add(this);
    }

    get localDescription() { return this.pendingLocalDescription ?? this.currentLocalDescription; }
    get remoteDescription() { return this.pendingRemoteDescription ?? this.currentRemoteDescription; }
    getConfiguration() { return this.#configuration; }
    setConfiguration(configuration) {
      this.#open();
      const {certificates = [], iceCandidatePoolSize = 0} = this.#configuration;
      // What was left out would be changed, too.
      if (String(certificates.map((each) => each.certificate)) !== String((configuration.certificates ?? []).map((each) => each.certificate))
        || (this.localDescription && iceCandidatePoolSize !== (configuration.iceCandidatePoolSize ?? 0))) {
        throw failure('InvalidModificationError', 'certificates, or the pool after a description');
      }
      // Other servers or credentials: Chromium restarts ICE with the next offer, whatever that is for.
      if (!this.firefox && JSON.stringify(configuration.iceServers) !== JSON.stringify(this.#configuration.iceServers)) this.#another = true;
      this.#configuration = configuration;
    }
    getTransceivers() { return this.#transceivers.filter(({currentDirection}) => currentDirection !== 'stopped' ); }
    getSenders() { return this.getTransceivers().map(({sender}) => sender); }
    getReceivers() { return this.getTransceivers().map(({receiver}) => receiver); }

    addTransceiver(what, {direction = 'sendrecv'} = {}) {
      this.#open();
      const kind = typeof what === 'string' ? what : what.kind;
      const transceiver = new Transceiver(this, kind, typeof what === 'string' ? null : what, direction);
      this.#transceivers.push(transceiver);
      this.checkNeeded();
      return transceiver;
    }

    createDataChannel(label, {id} = {}) {
      this.#open();
      const channel = new Channel(this, label, id ?? -1);
      this.channels.push(channel);
      this.checkNeeded();
      return channel;
    }

    restartIce() {
      this.#restart = true;
      this.checkNeeded();
    }

    #open() { if (this.signalingState === 'closed') throw failure('InvalidStateError', 'the connection is closed'); }

    // ---- operations

    /** One after the other; what is asked of a connection that is closed meanwhile is never answered. */
    #chain(operation) {
      if (this.signalingState === 'closed') return Promise.reject(failure('InvalidStateError', 'the connection is closed'));
      this.#busy++;
      const done = this.#operations.then(async () => {
        await world.wait(random.within(0, 12));
        if (this.signalingState === 'closed') await new Promise(() => {});
        return operation();
      });
      this.#operations = done.then(() => {}, () => {}).then(() => {
        this.#busy--;
        this.checkNeeded();
      });
      return done;
    }

    checkNeeded() {
      if (this.#needed || this.signalingState !== 'stable' || this.#busy || !this.#wants) return;
      this.#needed = true;
      time.set(() => {
        this.#needed = false;
        if (this.signalingState === 'stable' && !this.#busy && this.#wants) this.onnegotiationneeded?.();
      }, 0);
    }

    get #wants() {
      return this.#restart || this.getTransceivers().some(({mid, direction}) => mid === null && direction !== 'stopped') ||
        (this.channels.length > 0 && !this.currentLocalDescription);
    }

    #ufrag() {
      const current = fieldOf(this.currentLocalDescription, 'ice-ufrag');
      return !current || this.#restart || this.#another ? world.name('u') : current;
    }

    #text(ufrag, setup, kinds) {
      const lines = ['v=0', `o=${this.firefox ? 'mozilla...THIS_IS_SDPARTA-153.0' : '-'} 1 1 IN IP4 0.0.0.0`, 's=-', 't=0 0', `a=group:BUNDLE ${kinds.map(({mid}) => mid).join(' ')} data`];
      kinds.forEach(({kind, mid}) => lines.push(`m=${kind} 9 UDP/TLS/RTP/SAVPF 96`, `a=mid:${mid}`, `a=ice-ufrag:${ufrag}`, 'a=ice-pwd:x', `a=fingerprint:sha-256 ${this.id}`, `a=setup:${setup}`));
      lines.push('m=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'a=mid:data', `a=ice-ufrag:${ufrag}`, `a=fingerprint:sha-256 ${this.id}`, `a=setup:${setup}`, '');
      return lines.join('\r\n');
    }

    #offer() {
      const all = this.getTransceivers().filter(({direction}) => direction !== 'stopped');
      const used = new Set(all.map(({mid}) => mid));
      let next = 0;
      const kinds = all.map((transceiver) => {
        let {mid} = transceiver;
        while (mid === null) { if (!used.has(String(next))) used.add(mid = String(next)); next++; }
        return {kind: transceiver.kind, mid, transceiver};
      });
      kinds.sort((a, b) => a.mid - b.mid);
      return {type: 'offer', sdp: this.#text(this.#ufrag(), 'actpass', kinds), kinds};
    }

    #answer() {
      if (this.signalingState !== 'have-remote-offer' && this.signalingState !== 'have-local-pranswer') throw failure('InvalidStateError', `an answer in ${this.signalingState}`);
      const offer = this.pendingRemoteDescription;
      const restarted = this.currentRemoteDescription && fieldOf(offer, 'ice-ufrag') !== fieldOf(this.currentRemoteDescription, 'ice-ufrag');
      const anew = this.currentRemoteDescription && fieldOf(offer, 'fingerprint') !== fieldOf(this.currentRemoteDescription, 'fingerprint');
      let setup = this.role && !anew ? (this.role === 'client' ? 'active' : 'passive') : 'active';
      // Firefox forgets that it is the server, having offered first, when another browser restarts ICE.
      if (this.firefox && restarted && this.offeredFirst && !/o=mozilla/.test(offer.sdp)) setup = 'active';
      const ufrag = this.pendingLocalDescription?.type === 'pranswer' ? fieldOf(this.pendingLocalDescription, 'ice-ufrag')
        : restarted || !this.currentLocalDescription ? world.name('u') : fieldOf(this.currentLocalDescription, 'ice-ufrag');
      const kinds = mlines(offer.sdp).map(({kind, mid}) => ({kind, mid}));
      return {type: 'answer', sdp: this.#text(ufrag, setup, kinds)};
    }

    createAnswer() { return this.#chain(() => this.#answer()); }

    setLocalDescription(description) {
      return this.#chain(async () => {
        if (this.broken) throw failure('OperationError', 'Session error code: ERROR_CONTENT');
        const state = this.signalingState;
        const type = description?.type ?? (state === 'stable' || state === 'have-local-offer' ? 'offer' : 'answer');
        if (type === 'rollback') {
          if (state !== 'have-local-offer') throw failure('InvalidStateError', `rollback in ${state}`);
          return this.#rollBack();
        }
        if (type === 'offer') {
          if (state !== 'stable' && state !== 'have-local-offer') throw failure('InvalidStateError', `an offer in ${state}`);
          if (world.odd('mute')) throw failure('OperationError', 'the browser made no offer');
          const {kinds, ...offer} = this.#offer();
          if (state === 'stable') this.#before = this.#transceivers.map((transceiver) => [transceiver, transceiver.mid]);
          for (const {mid, transceiver} of kinds) transceiver.mid = mid;
          this.pendingLocalDescription = described(offer);
          this.#signal('have-local-offer');
          this.#gather(offer);
          return;
        }
        if (state !== 'have-remote-offer' && state !== 'have-local-pranswer') throw failure('InvalidStateError', `an answer in ${state}`);
        if (world.odd('answer refused by its maker')) throw failure('OperationError', 'the browser does not take its own answer');
        const answer = {type, sdp: description?.sdp ?? this.#answer().sdp};
        this.pendingLocalDescription = described(answer);
        this.#gather(answer);
        if (type === 'pranswer') return this.#signal('have-local-pranswer');
        const role = fieldOf(answer, 'setup') === 'active' ? 'client' : 'server';
        if (this.role && this.role !== role) this.keysGone = true;
        this.#settle(role, false);
      });
    }

    setRemoteDescription(description) {
      return this.#chain(async () => {
        const {type, sdp} = description;
        if (this.broken) throw failure('OperationError', 'Session error code: ERROR_CONTENT');
        const state = this.signalingState;
        if (type === 'rollback') {
          if (state !== 'have-remote-offer') throw failure('InvalidStateError', `rollback in ${state}`);
          return this.#rollBack();
        }
        if (type === 'offer') {
          if (state === 'have-local-offer') this.#rollBack();
          else if (state !== 'stable') throw failure('InvalidStateError', `an offer in ${state}`);
          if (!sdp.includes('a=group:BUNDLE')) throw failure('InvalidAccessError', 'max-bundle, and no BUNDLE group');
          if (world.odd('offer refused')) throw failure('InvalidAccessError', 'the browser does not take this offer');
          this.#before = this.#transceivers.map((transceiver) => [transceiver, transceiver.mid]);
          for (const {kind, mid} of mlines(sdp)) {
            let transceiver = this.#transceivers.find((each) => each.mid === mid);
            if (transceiver && transceiver.kind !== kind) throw failure('InvalidAccessError', 'the m-lines do not match');
            if (!transceiver) {
              transceiver = new Transceiver(this, kind, null, 'recvonly');
              transceiver.mid = mid;
              this.#transceivers.push(transceiver);
            }
          }
          this.pendingRemoteDescription = this.#heard(description);
          this.#takeFrom(description);
          this.#signal('have-remote-offer');
          for (const transceiver of this.getTransceivers()) if (transceiver.mid !== null) this.ontrack?.({transceiver});
          return;
        }
        if (state !== 'have-local-offer') throw failure('InvalidStateError', `an answer in ${state}`);
        if (mlines(sdp).length !== mlines(this.pendingLocalDescription.sdp).length) throw failure('InvalidAccessError', 'the m-lines do not match');
        const role = fieldOf(description, 'setup') === 'active' ? 'server' : 'client';
        const anew = this.currentRemoteDescription && fieldOf(description, 'fingerprint') !== fieldOf(this.currentRemoteDescription, 'fingerprint');
        if (this.role && this.role !== role && !anew) {
          this.broken = !this.firefox;
          throw failure('InvalidAccessError', 'Failed to set SSL role for the transport.');
        }
        if (world.odd('answer refused')) {
          // Chromium cannot even roll back after that: such a connection takes no description any more.
          this.broken = !this.firefox;
          throw failure('InvalidAccessError', 'the browser does not take this answer');
        }
        this.pendingRemoteDescription = this.#heard(description);
        this.#takeFrom(description);
        this.#settle(role, true);
        for (const transceiver of this.getTransceivers()) if (transceiver.mid !== null) this.ontrack?.({transceiver});
      });
    }

    #rollBack() {
      const known = new Map(this.#before);
      for (const transceiver of this.#transceivers) transceiver.mid = known.get(transceiver) ?? null;
      // Those that came with their offer go with it.
      this.#transceivers = this.#transceivers.filter((transceiver) => known.has(transceiver) || transceiver.direction !== 'recvonly');
      this.pendingLocalDescription = this.pendingRemoteDescription = null;
      this.#signal('stable');
    }

    /** Offer and answer are in force. */
    #settle(role, ours) {
      this.offeredFirst ??= ours;
      this.currentLocalDescription = this.pendingLocalDescription;
      this.currentRemoteDescription = this.pendingRemoteDescription;
      this.pendingLocalDescription = this.pendingRemoteDescription = null;
      this.role = role;
      this.#restart = this.#another = false;
      if (this.selected && this.selected.ours !== fieldOf(this.currentLocalDescription, 'ice-ufrag') && world.odd('restart in vain')) {
        this.deaf = fieldOf(this.currentLocalDescription, 'ice-ufrag');
      }
      for (const transceiver of this.getTransceivers()) {
        if (transceiver.mid === null) continue;
        transceiver.currentDirection = transceiver.direction;
        transceiver.sender.negotiated();
        transceiver.sender.transport = this.transport;
      }
      this.#signal('stable');
    }
    transport = {iceTransport: {onselectedcandidatepairchange: null}};

    #signal(state) {
      this.signalingState = state;
      if (this.iceConnectionState === 'new' && this.currentRemoteDescription) this.#state('checking', 'connecting');
    }

    #state(ice, whole) {
      if (ice === this.iceConnectionState && whole === this.connectionState) return;
      const [iceBefore, before] = [this.iceConnectionState, this.connectionState];
      this.iceConnectionState = ice;
      this.connectionState = whole;
      if (ice !== iceBefore) this.oniceconnectionstatechange?.();
      if (whole !== before && this.connectionState === whole) this.onconnectionstatechange?.();
    }

    #gathering(state) {
      this.iceGatheringState = state;
      this.dispatchEvent(new Event('icegatheringstatechange'));
    }

    #gather({sdp}) {
      const ufrag = /a=ice-ufrag:(\S+)/.exec(sdp)[1];
      if (this.gathered === ufrag) return;
      this.gathered = ufrag;
      this.#gathering('gathering');
      const relays = this.#configuration.iceServers.some(({urls}) => /\bturns?:/.test(urls));
      for (const type of relays ? ['host', 'relay'] : ['host']) {
        time.set(() => {
          if (this.signalingState === 'closed' || this.gathered !== ufrag) return;
          const text = `candidate:1 1 udp ${0x02ffffff} 10.0.0.1 ${type === 'host' ? 5000 : 49152} typ ${type}${type === 'relay' ? ' raddr 10.0.0.2 rport 9' : ''} ufrag ${ufrag}`;
          for (const description of new Set([this.pendingLocalDescription, this.currentLocalDescription])) {
            if (fieldOf(description, 'ice-ufrag') === ufrag) description.sdp = description.sdp.replace('a=ice-pwd:x', `a=ice-pwd:x\r\na=${text}`);
          }
          const candidate = {candidate: text, type, sdpMid: '0', usernameFragment: ufrag, address: '10.0.0.1', port: 1, priority: 0x02ffffff};
          const event = Object.assign(new Event('icecandidate'), {candidate: {...candidate, toJSON: () => ({candidate: text, sdpMid: '0', usernameFragment: ufrag})}});
          this.onicecandidate?.(event);
          this.dispatchEvent(event);
          if (type === 'host' && relays) return;
          this.#gathering('complete');
          this.onicecandidate?.(Object.assign(new Event('icecandidate'), {candidate: null}));
        }, random.within(1, type === 'host' ? 10 : 250));
      }
    }

    addIceCandidate(candidate) {
      return this.#chain(() => {
        if (!this.remoteDescription) throw failure('InvalidStateError', 'no remote description');
        const {candidate: text = ''} = candidate, ufrag = candidate.usernameFragment ?? / ufrag (\S+)/.exec(text)?.[1];
        const known = [this.pendingRemoteDescription, this.currentRemoteDescription].some((each) => fieldOf(each, 'ice-ufrag') === ufrag);
        if (!known) throw failure('OperationError', 'a candidate of another generation');
        // Firefox takes none for a component that is connected.
        if (this.firefox && this.selected?.theirs === ufrag) return;
        this.#take(text, ufrag);
      });
    }

    /** Chromium gives a description back with an origin of its own. */
    #heard({type, sdp}) { return described({type, sdp: this.firefox ? sdp : sdp.replace(/^o=.*$/m, 'o=- 1 1 IN IP4 127.0.0.1')}); }
    #take(text, ufrag) { this.candidates.push({ufrag, type: / typ (\w+)/.exec(text)?.[1]}); }
    #takeFrom({sdp}) { for (const [, text, ufrag] of sdp.matchAll(/^a=(candidate:.* ufrag (\S+))/gm)) this.#take(text, ufrag); }

    // ---- ICE, DTLS and what they carry, five times a second

    /** The connection whose description is in force here, and ours there. */
    #partner() {
      const print = fieldOf(this.currentRemoteDescription, 'fingerprint');
      for (const other of world.connections) {
        if (`sha-256 ${other.id}` === print) return fieldOf(other.currentRemoteDescription, 'fingerprint') === `sha-256 ${this.id}` ? other : null;
      }
      return null;
    }

    #relayFirst(other) { return (Number(this.id.slice(2)) + Number(other.id.slice(2))) % 2 === 1; }

    step() {
      if (this.signalingState === 'closed' || !this.currentRemoteDescription || !this.currentLocalDescription) return;
      const other = this.#partner();
      const ours = fieldOf(this.currentLocalDescription, 'ice-ufrag'), theirs = fieldOf(this.currentRemoteDescription, 'ice-ufrag');
      const matched = other && fieldOf(other.currentLocalDescription, 'ice-ufrag') === theirs && fieldOf(other.currentRemoteDescription, 'ice-ufrag') === ours;
      const has = (pc, ufrag, type) => pc.candidates.some((each) => each.ufrag === ufrag && each.type === type);
      const straight = matched && world.direct && has(this, theirs, 'host') && has(other, ours, 'host');
      const relayed = matched && (has(this, theirs, 'relay') || has(other, ours, 'relay'));
      // Firefox takes what answers first, and stays there; some connections have it so whatever is restarted.
      const stays = other && (this.firefox || other.firefox);
      const best = straight && !(stays && relayed && this.#relayFirst(other)) ? 'direct' : relayed ? 'relay' : '';
      const passes = other && world.reachable(this.client) && world.reachable(other.client);
      const selected = this.selected;
      const sameNetwork = (pair) => pair.networks === world.networks;
      if (best && passes && this.deaf !== ours && (!selected || selected.theirs !== theirs || !sameNetwork(selected) || (best === 'direct' && selected.kind === 'relay' && !stays))) {
        const usable = !selected || selected.theirs !== theirs || best === 'direct' || selected.networks !== world.networks;
        // A pair of a network that is gone comes back only with another generation.
        if (usable && !(selected && selected.theirs === theirs && !sameNetwork(selected))) {
          this.checking = (this.checking ?? 0) + 1;
          if (this.checking > random.within(1, 4)) {
            this.checking = 0;
            // One of the two nominates.
            const nominated = stays && other.selected?.ours === theirs && other.selected.theirs === ours ? other.selected.kind : best;
            this.selected = {kind: nominated, ours, theirs, other, networks: world.networks};
            this.transport.iceTransport.onselectedcandidatepairchange?.();
          }
        }
      }
      const pair = this.selected;
      // Consent ends where the other side has other keys for it.
      this.apart = matched ? 0 : (this.apart ?? 0) + 1;
      const lives = pair && passes && sameNetwork(pair) && pair.other === other && other.signalingState !== 'closed' && this.apart < 40 &&
        (pair.kind === 'relay' || world.direct);
      const keys = lives && this.role && other.role && this.role !== other.role && !this.keysGone && !other.keysGone;
      if (lives) {
        this.silent = 0;
        if (keys) {
          if (other.selected?.other === this) this.#hear(other);
          this.#state('connected', 'connected');
        } else {
          this.keyless = (this.keyless ?? 0) + 1;
          if (this.keyless > 20) this.#state('connected', 'failed');
          else this.#state('connected', this.connectionState === 'connected' ? 'connected' : 'connecting');
        }
        if (keys) this.keyless = 0;
      } else {
        this.silent = (this.silent ?? 0) + 1;
        if (pair && this.silent > 25) this.#state(this.silent > 75 ? 'failed' : 'disconnected', this.silent > 75 ? 'failed' : 'disconnected');
        else if (!pair && this.silent > 100) this.#state('failed', 'failed');
      }
    }

    #hear(other) {
      this.heardAt = time.now;
      this.bytes += 1000;
      const sends = (kind) => other.getTransceivers().some(({kind: its, mid, sender}) => its === kind && mid !== null && sender.active);
      if (sends('video')) this.frames++;
      if (sends('audio')) this.sounds++;
      for (const channel of this.channels) {
        const there = other.channels.find(({id}) => id === channel.id && id >= 0);
        if (!there) continue;
        if (channel.readyState === 'connecting') {
          channel.readyState = 'open';
          channel.onopen?.();
        }
        for (const text of there.queue.splice(0)) channel.onmessage?.({data: text});
      }
    }

    async getStats() {
      const report = new Map();
      if (this.selected) {
        const {kind} = this.selected;
        report.set('transport', {type: 'transport', id: 'transport', selectedCandidatePairId: 'pair'});
        report.set('pair', {type: 'candidate-pair', id: 'pair', selected: true, timestamp: time.now, bytesReceived: this.bytes, bytesSent: this.bytes,
          localCandidateId: 'local', remoteCandidateId: 'remote', ...(this.heardAt ? {lastPacketReceivedTimestamp: this.heardAt} : {})});
        report.set('local', {candidateType: kind === 'relay' ? 'relay' : 'host', relayProtocol: 'udp'});
        report.set('remote', {candidateType: 'host'});
        report.set('in', {type: 'inbound-rtp', kind: 'video', timestamp: time.now, framesDecoded: this.frames, packetsReceived: this.frames});
      }
      return report;
    }

    close() {
      this.signalingState = 'closed';
      this.iceConnectionState = this.connectionState = 'closed';
      world.connections.delete(this);
      for (const channel of this.channels) channel.readyState = 'closed';
    }
  };
}

const described = ({type, sdp}) => ({type, sdp, toJSON() { return {type: this.type, sdp: this.sdp}; }});
const patterns = {'ice-ufrag': /^a=ice-ufrag:(.*?)\r?$/m, fingerprint: /^a=fingerprint:(.*?)\r?$/m, setup: /^a=setup:(.*?)\r?$/m};
const fields = new WeakMap();
/** What the first line of that name says. */
function fieldOf(description, name) {
  if (!description) return '';
  let known = fields.get(description);
  if (!known) fields.set(description, known = {});
  return known[name] ??= patterns[name].exec(description.sdp ?? '')?.[1] ?? '';
}
const mlines = (sdp) => [...sdp.matchAll(/^m=(audio|video) [^]*?a=mid:(\S+)/gm)].map(([, kind, mid]) => ({kind, mid}));
