import {$, el, icon, paintAvatar, toast} from './dom.js';
import {keepLayout} from './grid.js';
import {callSelf, enter, leave, nameOf} from './names.js';
import {ScreenTile, Tile, handMark} from './tile.js';
import {blip} from './ring.js';
import {copyLink, drawQR, readable} from './share.js';
import {listed, t} from './words.js';

/** @typedef {import('/client/turnhub.js').Call} Call */
/** @typedef {import('/client/turnhub.js').Peer} Peer */
/** @typedef {import('./controls.js').Controls} Controls */

// Who is heard louder than this speaks: -40 dB, which a quiet voice is and the noise of a room is not. Levels are looked at so often, milliseconds, while somebody sees the page.
const speaks = 0.01, listenEvery = 250;
// Who has become large because of it stays so for this long at least, milliseconds.
const staysFor = 2500;

/** The tiles of a call. */
export class Stage {
  #grid = $('#grid');
  /** @type {Map<Peer, Tile>} */ #tiles = new Map();
  /** @type {Map<Peer, ScreenTile>} */ #screens = new Map();
  /** @type {Call | null} */ #call = null;
  /** @type {any} */ #listening = null;
  /** Who was here last, and has left. */
  #left = '';
  #link = '';
  #callee = '';
  /** The link that the QR code shows. */
  #drawn = '';
  #own = el('video', {playsinline: true, autoplay: true, 'aria-label': t('call.your-picture')});
  #self;
  #hand = handMark();
  /** Who is large whatever happens. @type {Peer | null} */ pinned = null;
  /** Whoever speaks is large. */ speaker = false;
  /** Who is large. @type {Peer | null} */ large = null;
  /** Who is large is another. @type {() => void} */ onLarge = () => {};
  #largeAt = -Infinity;

  /** @param {Controls} controls */
  constructor(controls) {
    this.controls = controls;
    this.#own.muted = true;
    this.#self = el('article', {class: 'tile self', 'aria-label': t('person.you')}, this.#own, el('div', {class: 'avatar', 'aria-hidden': 'true'}),
      el('footer', {}, el('p', {class: 'label'}, this.#hand, el('span', {class: 'muted', title: t('call.muted')}, icon('mic-off')), el('span', {class: 'name'}, t('person.you')))));
    controls.onSpeaker = (speaker) => { for (const tile of [...this.#tiles.values(), ...this.#screens.values()]) tile.setSpeaker(speaker); };
    controls.media.on('change', () => this.#updateSelf());
    this.#grid.append(this.#self);
    keepLayout(this.#grid);
    $('#waiting-copy').addEventListener('click', () => copyLink(this.#link));
  }

  /** @param {Call} call @param {string} link '' in a call by name @param {string} callee */
  attach(call, link, callee) {
    this.#call = call;
    this.#link = link;
    this.#callee = callee;
    this.#left = '';
    clearInterval(this.#listening);
    this.#listening = setInterval(() => this.#listen(), listenEvery);
    call.on('peer', (peer) => this.#add(peer));
    call.on('peer-left', (peer) => this.#remove(peer));
    call.on('phase', () => this.#update());
    for (const peer of call.peers) this.#add(peer);
    $('#waiting-avatar').hidden = !!link;
    if (callee) paintAvatar($('#waiting-avatar'), callee);
    if (link) $('#waiting-link').textContent = readable(link);
    this.#own.srcObject = call.media.stream;
    this.#updateSelf();
    this.#update();
  }

  /** The link has become known, or is another one. @param {string} link */
  setLink(link) {
    if (!this.#link || this.#link === link) return;
    this.#link = link;
    $('#waiting-link').textContent = readable(link);
    this.#update();
  }

  detach() {
    this.#call = null;
    this.view('all');
    clearInterval(this.#listening);
    for (const peer of [...this.#tiles.keys()]) this.#remove(peer);
    this.#own.srcObject = null;
  }

  /** Who is heard is marked, and large where whoever speaks is. */
  #listen() {
    // A window of its own shows who speaks while the page is hidden.
    if (document.hidden && !document.pictureInPictureElement) return;
    /** @type {Peer | null} */ let loudest = null;
    let most = speaks;
    for (const [peer, tile] of this.#tiles) {
      const {loudness} = peer;
      tile.mark(loudness > speaks);
      if (loudness <= most) continue;
      loudest = peer;
      most = loudness;
    }
    if (loudest && this.speaker && performance.now() - this.#largeAt > staysFor) this.#enlarge(loudest);
  }

  /** @param {'all' | 'speaker' | Peer} view everybody alike, whoever speaks large, or one */
  view(view) {
    this.speaker = view === 'speaker';
    this.pinned = typeof view === 'string' ? null : view;
    for (const [peer, tile] of this.#tiles) tile.pinned(peer === this.pinned);
    this.#enlarge(this.pinned ?? (this.speaker ? this.large ?? [...this.#tiles.keys()][0] ?? null : null));
  }

  /** @param {Peer | null} peer */
  #enlarge(peer) {
    if (peer === this.large) return;
    this.#largeAt = performance.now();
    this.large = peer;
    for (const [each, {element}] of this.#tiles) element.classList.toggle('large', each === peer);
    this.#grid.dataset.large = peer ? 'one' : '';
    this.onLarge();
  }

  /** @param {Peer | null} peer null: oneself */
  tileOf(peer) {
    return peer ? this.#tiles.get(peer)?.element : this.#self;
  }

  /** Shows whose hand is up. @param {Peer | null} peer null: oneself @param {boolean} up */
  raise(peer, up) {
    const hand = peer ? this.#tiles.get(peer)?.hand : this.#hand;
    if (hand) hand.hidden = !up;
  }

  /** @param {string} text '' hides it */
  banner(text) {
    const banner = $('#banner');
    banner.hidden = !text;
    banner.textContent = text;
  }

  /** @param {Peer} peer */
  #add(peer) {
    enter(peer);
    const tile = new Tile(peer, this.controls.speaker, () => this.view(this.pinned === peer ? 'all' : peer));
    this.#tiles.set(peer, tile);
    this.#grid.insertBefore(tile.element, this.#self);
    peer.on('state', () => this.#update());
    peer.on('name', () => this.#renamed());
    peer.on('media', () => this.#showScreen(peer));
    this.#showScreen(peer);
    // For sound a device has to be opened: the first picture goes before.
    setTimeout(() => { if (this.#tiles.has(peer)) blip('join'); }, 1000);
    this.#update();
  }

  /** @param {Peer} peer */
  #showScreen(peer) {
    const shared = this.#tiles.has(peer) && peer.media.screen && peer.media.beside;
    const tile = this.#screens.get(peer);
    if (shared === (tile !== undefined)) return;
    if (tile) {
      this.#screens.delete(peer);
      tile.close();
    } else {
      const made = new ScreenTile(peer, this.controls.speaker);
      this.#screens.set(peer, made);
      this.#grid.insertBefore(made.element, this.#self); // and shown before the people
    }
    this.#grid.dataset.screens = String(this.#screens.size);
    this.#update();
  }

  /** A name tells people apart, so it may change with another one's. */
  #renamed() {
    for (const tile of [...this.#tiles.values(), ...this.#screens.values()]) tile.update();
    this.#update();
  }

  /** @param {Peer} peer */
  #remove(peer) {
    const tile = this.#tiles.get(peer);
    if (!tile) return;
    const who = nameOf(peer);
    this.#tiles.delete(peer);
    if (peer === this.large) {
      this.large = null;
      this.view(this.speaker && this.#tiles.size ? 'speaker' : 'all');
      if (!this.large) this.#grid.dataset.large = '';
    }
    this.#showScreen(peer);
    tile.close();
    leave(peer);
    if (this.#call?.phase === 'active') {
      blip('leave');
      this.#left = who;
      if (this.#link) toast(t('call.has-left', {who}));
    }
    this.#renamed();
  }

  #updateSelf() {
    const {sending, facing} = this.controls.media;
    this.#self.dataset.media = [sending.audio && 'audio', sending.video && 'video'].filter(Boolean).join(' ');
    this.#self.dataset.facing = facing;
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
    this.#grid.dataset.self = count + this.#screens.size > 1 ? 'grid' : 'corner';
    document.body.dataset.people = String(count);
    if (document.body.dataset.view !== 'call') return;
    const connected = [...this.#tiles.keys()].some(({state}) => state === 'connected');
    document.body.dataset.state = count === 0 ? (this.#call?.phase === 'active' ? 'waiting' : this.#call?.phase ?? 'ended') : connected ? 'connected' : 'connecting';
    $('#call-title').textContent = count ? t('call.title-with', {names: listed([...this.#tiles.keys()].map(nameOf))}) : t('call.title');
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
      case 'calling': return {title: t('call.calling', {who: this.#callee}), text: t('call.looking')};
      case 'knocking': return {title: t('host.wait'), text: t('host.wait-text')};
      case 'ringing': return {title: t('call.calling', {who: this.#callee}), text: t('call.ringing')};
      case 'active': if (this.#left) return {title: t('call.left', {who: this.#left}), text: t('call.left-text')};
        return {title: t('call.nobody'), text: t('call.nobody-text')};
      default: return {title: this.#link ? t('call.joining') : t('call.connecting-with', {who: this.#callee}), text: ''};
    }
  }

  /** @param {string} name */
  setName(name) {
    callSelf(name);
    this.#renamed();
    paintAvatar(/** @type {HTMLElement} */ (this.#self.querySelector('.avatar')), name || t('person.you'));
  }
}
