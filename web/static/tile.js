import {el, icon, paintAvatar} from './dom.js';
import {QualityPanel, barsOf} from './quality.js';

/** @typedef {import('/client/turnhub.js').Peer} Peer */

const stateWords = {connecting: 'Connecting…', connected: '', reconnecting: 'Reconnecting…', closed: ''};

/** The picture of one other person. */
export class Tile {
  #video = el('video', {playsinline: true, autoplay: true});
  #avatar = el('div', {class: 'avatar', 'aria-hidden': 'true'});
  #name = el('span', {class: 'name'});
  #muted = el('span', {class: 'muted', hidden: true, title: 'Microphone off'}, icon('mic-off'));
  #overlay = el('p', {class: 'overlay'});
  #words = el('span', {class: 'words'});
  #bars = el('span', {class: 'bars', 'aria-hidden': 'true'}, el('i'), el('i'), el('i'), el('i'));
  #panel = new QualityPanel();
  /** @type {(() => void)[]} */ #off = [];

  /** @param {Peer} peer @param {string} speaker device id, '' for the default */
  constructor(peer, speaker) {
    this.peer = peer;
    const name = peer.name || 'Guest';
    this.#name.textContent = name;
    paintAvatar(this.#avatar, name);
    this.#video.setAttribute('aria-label', `${name}'s picture`);
    const quality = el('button', {type: 'button', class: 'quality', 'aria-expanded': 'false', onclick: () => this.#toggle(quality)},
      this.#bars, el('span', {class: 'hidden'}, `Connection to ${name}: `), this.#words);
    const full = el('button', {type: 'button', class: 'ghost full', 'aria-label': `${name} in full screen`,
      onclick: () => (document.fullscreenElement ? document.exitFullscreen() : this.element.requestFullscreen?.())}, icon('full'));
    this.element = el('article', {class: 'tile', 'aria-label': name, 'data-peer': peer.id, 'data-state': peer.state, 'data-path': ''},
      this.#video, this.#avatar, this.#overlay,
      el('footer', {}, el('p', {class: 'label'}, this.#muted, this.#name), quality, full), this.#panel.element);
    this.setSpeaker(speaker);
    this.#off.push(
      peer.on('stream', (stream) => this.#show(stream)),
      peer.on('state', () => this.#update()),
      peer.on('media', () => this.#update()),
      peer.on('firstFrame', (time) => { this.element.dataset.firstFrame = String(time); }),
      peer.on('quality', (measured) => {
        this.#panel.add(measured);
        this.element.dataset.path = measured.path;
        this.element.dataset.words = measured.words;
        this.#bars.dataset.bars = String(barsOf(measured));
        this.#words.textContent = measured.path ? measured.words : '';
      }),
    );
    if (peer.stream.getTracks().length) this.#show(peer.stream);
    this.#update();
  }

  /** @param {string} speaker */
  setSpeaker(speaker) {
    if (speaker) /** @type {any} */ (this.#video).setSinkId?.(speaker).catch(() => {});
  }

  /** @param {MediaStream} stream */
  #show(stream) {
    if (this.#video.srcObject !== stream) this.#video.srcObject = stream;
    this.#video.play().catch(() => {
      // Some browsers play sound only after a click on the page.
      const start = el('button', {type: 'button', class: 'secondary play', onclick: () => { this.#video.play(); start.remove(); }}, 'Click to hear');
      if (!this.element.querySelector('.play')) this.element.append(start);
    });
  }

  #update() {
    const {state, media, away} = this.peer;
    this.element.dataset.state = state;
    this.element.dataset.media = [media.audio && 'audio', media.video && 'video', media.screen && 'screen'].filter(Boolean).join(' ');
    this.element.dataset.away = String(away);
    this.#overlay.textContent = stateWords[state];
    this.#muted.hidden = media.audio;
    this.#name.textContent = (this.peer.name || 'Guest') + (media.screen ? ' – screen' : '');
  }

  /** @param {HTMLElement} button */
  #toggle(button) {
    const open = button.getAttribute('aria-expanded') !== 'true';
    button.setAttribute('aria-expanded', String(open));
    this.#panel.show(open);
  }

  close() {
    for (const off of this.#off) off();
    this.#panel.show(false);
    this.#video.srcObject = null;
    this.element.remove();
  }
}
