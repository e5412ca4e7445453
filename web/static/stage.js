import {$, el, icon, paintAvatar} from './dom.js';
import {keepLayout} from './grid.js';
import {Tile} from './tile.js';
import {blip} from './ring.js';
import {copyLink, drawQR} from './share.js';

/** @typedef {import('/client/turnhub.js').Call} Call */
/** @typedef {import('/client/turnhub.js').Peer} Peer */
/** @typedef {import('./controls.js').Controls} Controls */

/** The tiles of a call. */
export class Stage {
  #grid = $('#grid');
  /** @type {Map<Peer, Tile>} */ #tiles = new Map();
  /** @type {Call | null} */ #call = null;
  #link = '';
  #callee = '';
  /** The link that the QR code shows. */
  #drawn = '';
  #own = el('video', {playsinline: true, autoplay: true, 'aria-label': 'Your picture'});
  #self;

  /** @param {Controls} controls */
  constructor(controls) {
    this.controls = controls;
    this.#own.muted = true;
    this.#self = el('article', {class: 'tile self', 'aria-label': 'You'}, this.#own, el('div', {class: 'avatar', 'aria-hidden': 'true'}),
      el('footer', {}, el('p', {class: 'label'}, el('span', {class: 'muted', title: 'Microphone off'}, icon('mic-off')), el('span', {class: 'name'}, 'You'))));
    controls.onSpeaker = (speaker) => { for (const tile of this.#tiles.values()) tile.setSpeaker(speaker); };
    controls.media.on('change', () => this.#updateSelf());
    this.#grid.append(this.#self);
    keepLayout(this.#grid);
    $('#waiting-copy').addEventListener('click', () => copyLink($('#waiting-link').textContent ?? ''));
  }

  /** @param {Call} call @param {string} link '' in a call by name @param {string} callee */
  attach(call, link, callee) {
    this.#call = call;
    this.#link = link;
    this.#callee = callee;
    call.on('peer', (peer) => this.#add(peer));
    call.on('peer-left', (peer) => this.#remove(peer));
    call.on('phase', () => this.#update());
    for (const peer of call.peers) this.#add(peer);
    $('#waiting-avatar').hidden = !!link;
    if (callee) paintAvatar($('#waiting-avatar'), callee);
    if (link) $('#waiting-link').textContent = link;
    this.#own.srcObject = call.media.stream;
    this.#updateSelf();
    this.#update();
  }

  detach() {
    for (const peer of [...this.#tiles.keys()]) this.#remove(peer);
    this.#call = null;
    this.#own.srcObject = null;
  }

  /** @param {string} text '' hides it */
  banner(text) {
    const banner = $('#banner');
    banner.hidden = !text;
    banner.textContent = text;
  }

  /** @param {Peer} peer */
  #add(peer) {
    const tile = new Tile(peer, this.controls.speaker);
    this.#tiles.set(peer, tile);
    this.#grid.insertBefore(tile.element, this.#self);
    peer.on('state', () => this.#update());
    // For sound a device has to be opened: the first picture goes before.
    setTimeout(() => { if (this.#tiles.has(peer)) blip('join'); }, 1000);
    this.#update();
  }

  /** @param {Peer} peer */
  #remove(peer) {
    const tile = this.#tiles.get(peer);
    if (!tile) return;
    this.#tiles.delete(peer);
    tile.close();
    if (this.#call) blip('leave');
    this.#update();
  }

  #updateSelf() {
    const {sending} = this.controls.media;
    this.#self.dataset.media = [sending.audio && 'audio', sending.video && 'video', sending.screen && 'screen'].filter(Boolean).join(' ');
    /** @type {HTMLElement} */ (this.#self.querySelector('.muted')).hidden = sending.audio;
  }

  #update() {
    const count = this.#tiles.size;
    $('#waiting').hidden = count > 0;
    const {title, text} = this.#waiting();
    $('#waiting-title').textContent = title;
    $('#waiting-text').textContent = text;
    $('#waiting-share').hidden = !this.#link || this.#call?.phase !== 'active';
    if (!count) queueMicrotask(() => this.#drawLink());
    this.#grid.dataset.count = String(count);
    // With one other person the own picture floats over theirs; with more it is one of the tiles.
    this.#grid.dataset.self = count > 1 ? 'grid' : 'corner';
    document.body.dataset.people = String(count);
    if (document.body.dataset.view !== 'call') return;
    const connected = [...this.#tiles.keys()].some(({state}) => state === 'connected');
    document.body.dataset.state = count === 0 ? (this.#call?.phase === 'active' ? 'waiting' : this.#call?.phase ?? 'ended') : connected ? 'connected' : 'connecting';
    $('#call-title').textContent = count ? `Call with ${[...this.#tiles.keys()].map(({name}) => name || 'Guest').join(', ')}` : 'Call';
  }

  /** The QR code, once it is clear that nobody is there: it takes its time, and the first picture comes before it. */
  #drawLink() {
    if (this.#tiles.size || !this.#link || this.#call?.phase !== 'active' || this.#drawn === this.#link) return;
    this.#drawn = this.#link;
    drawQR($('#waiting-qr'), this.#link);
  }

  /** What stands in the place of the others while nobody is there. */
  #waiting() {
    switch (this.#call?.phase) {
      case 'calling': return {title: `Calling ${this.#callee}…`, text: 'Looking for their devices.'};
      case 'ringing': return {title: `Calling ${this.#callee}…`, text: 'All their devices ring.'};
      case 'active': return {title: 'Nobody else is here yet', text: 'Send them the link; they appear here as soon as they open it.'};
      default: return {title: this.#link ? 'Joining…' : `Connecting with ${this.#callee}…`, text: ''};
    }
  }

  /** @param {string} name */
  setName(name) {
    paintAvatar(/** @type {HTMLElement} */ (this.#self.querySelector('.avatar')), name || 'You');
  }
}
