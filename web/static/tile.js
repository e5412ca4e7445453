import {Comparison} from './compare.js';
import {el, icon, paintAvatar} from './dom.js';
import {nameOf} from './names.js';
import {QualityPanel, barsOf, pathOf} from './quality.js';
import {t} from './words.js';

/** @typedef {import('/client/turnhub.js').Peer} Peer */

/** The tracks that an element has begun with. @type {WeakMap<HTMLVideoElement, MediaStreamTrack[]>} */
const begunWith = new WeakMap();

/** Shows a stream, and asks for the click that some browsers want before they play sound. @param {HTMLVideoElement} video @param {MediaStream} stream @param {HTMLElement} tile */
export function play(video, stream, tile) {
  const tracks = stream.getTracks(), waitsFor = begunWith.get(video)?.some((track) => !tracks.includes(track));
  // An element that has waited for pictures plays the sound alone, or in Firefox another track's pictures, only when it begins anew.
  if (video.srcObject !== stream || (video.readyState === 0 && (waitsFor || !stream.getVideoTracks().length))) {
    video.srcObject = stream;
    begunWith.set(video, tracks);
  }
  video.play().catch(({name}) => {
    if (name !== 'NotAllowedError') return;
    const start = el('button', {type: 'button', class: 'secondary play', onclick: () => { video.play(); start.remove(); }}, t('call.hear'));
    if (!tile.querySelector('.play')) tile.append(start);
  });
}

/** The button that shows a tile alone. @param {() => HTMLElement} tile */
export function fullButton(tile) {
  return el('button', {type: 'button', class: 'ghost full',
    onclick: () => (document.fullscreenElement ? document.exitFullscreen() : tile().requestFullscreen?.())}, icon('full'));
}

/** What is seen of a hand that is up. */
export function handMark() {
  return el('span', {class: 'hand', role: 'img', 'aria-label': t('person.hand'), title: t('person.hand'), hidden: true}, icon('hand'));
}

/** The picture of one other person. */
export class Tile {
  #size = new ResizeObserver(([{contentRect: {width, height}}]) => this.peer.shown(width * devicePixelRatio, height * devicePixelRatio));
  #video = el('video', {playsinline: true, autoplay: true});
  #avatar = el('div', {class: 'avatar', 'aria-hidden': 'true'});
  #name = el('span', {class: 'name'});
  hand = handMark();
  #muted = el('span', {class: 'muted', hidden: true}, icon('mic-off'));
  #overlay = el('p', {class: 'overlay'});
  #words = el('span', {class: 'words'});
  #connectionTo = el('span', {class: 'hidden'});
  #bars = el('span', {class: 'bars', 'aria-hidden': 'true'}, el('i'), el('i'), el('i'), el('i'));
  #full = fullButton(() => this.element);
  #pin;
  #panel = new QualityPanel();
  #comparison;
  /** @type {(() => void)[]} */ #off = [];

  /** @param {Peer} peer @param {string} speaker device id, '' for the default @param {() => void} pin shows this one large, or no more */
  constructor(peer, speaker, pin) {
    this.peer = peer;
    this.#pin = el('button', {type: 'button', class: 'ghost pin', 'aria-pressed': 'false', onclick: pin}, icon('pin'));
    this.#comparison = new Comparison(peer);
    this.#panel.element.append(this.#comparison.element);
    const quality = el('button', {type: 'button', class: 'quality', 'aria-expanded': 'false', onclick: () => this.#toggle(quality)},
      this.#bars, this.#connectionTo, this.#words);
    this.element = el('article', {class: 'tile', 'data-peer': peer.id, 'data-state': peer.state, 'data-path': ''},
      this.#video, this.#avatar, this.#overlay, this.#pin,
      el('footer', {}, el('p', {class: 'label'}, this.hand, this.#muted, this.#name), quality, this.#full), this.#panel.element);
    this.setSpeaker(speaker);
    this.#off.push(
      peer.on('stream', (stream) => play(this.#video, stream, this.element)),
      peer.on('state', () => this.update()),
      peer.on('name', () => this.update()),
      peer.on('media', () => this.update()),
      peer.on('line', () => this.update()),
      peer.on('trouble', () => this.update()),
      peer.on('firstFrame', (time) => { this.element.dataset.firstFrame = String(time); }),
      peer.on('quality', (measured) => {
        this.#panel.add(measured);
        this.element.dataset.path = measured.path;
        this.#bars.dataset.bars = String(barsOf(measured));
        this.#words.textContent = pathOf(measured);
      }),
    );
    this.#size.observe(this.element);
    if (peer.stream.getTracks().length) play(this.#video, peer.stream, this.element);
    this.update();
  }

  /** @param {string} speaker */
  setSpeaker(speaker) {
    if (speaker) /** @type {any} */ (this.#video).setSinkId?.(speaker).catch(() => {});
  }

  /** Everything that says something of the peer, the name too: it may come late, or change. */
  update() {
    const {state, media, away, line, trouble} = this.peer;
    const name = nameOf(this.peer);
    const inPlace = media.screen && !media.beside;
    const {dataset} = this.element;
    dataset.state = state;
    dataset.media = [media.audio && 'audio', media.video && 'video', inPlace && 'screen'].filter(Boolean).join(' ');
    dataset.away = String(away);
    dataset.peer = this.peer.id;
    const tooNarrow = line.theirs === 'no-picture' && media.video;
    dataset.line = tooNarrow ? 'no-picture' : '';
    dataset.trouble = trouble;
    this.#overlay.textContent = trouble ? t(`trouble.${trouble}`, {who: name})
      : state === 'connecting' || state === 'reconnecting' ? t(`call.${state}`) : tooNarrow ? t('call.too-narrow') : '';
    this.#muted.hidden = media.audio && !this.peer.silenced;
    this.#muted.title = t(this.peer.silenced ? 'call.silenced' : 'call.muted');
    dataset.silenced = String(this.peer.silenced);
    this.#name.textContent = inPlace ? t('call.screen', {who: name}) : name;
    paintAvatar(this.#avatar, name);
    this.element.setAttribute('aria-label', name);
    this.#video.setAttribute('aria-label', inPlace ? t('call.screen-of', {who: name}) : t('call.picture-of', {who: name}));
    this.#connectionTo.textContent = `${t('call.connection-to', {who: name})} `;
    this.#full.setAttribute('aria-label', t('call.full-screen', {who: name}));
    this.#pin.setAttribute('aria-label', this.#pin.title = t('call.pin', {who: name}));
  }

  /** Whether this one is large by choice. @param {boolean} pinned */
  pinned(pinned) {
    this.#pin.setAttribute('aria-pressed', String(pinned));
  }

  /** @param {boolean} speaking */
  mark(speaking) {
    this.element.classList.toggle('speaking', speaking);
  }

  /** @param {HTMLElement} button */
  #toggle(button) {
    const open = button.getAttribute('aria-expanded') !== 'true';
    button.setAttribute('aria-expanded', String(open));
    this.#panel.show(open);
    this.#comparison.show(open);
  }

  close() {
    for (const off of this.#off) off();
    this.#size.disconnect();
    this.#panel.show(false);
    this.#comparison.close();
    this.#video.srcObject = null;
    this.element.remove();
  }
}

/** The screen that somebody shares beside the camera, with its sound. */
export class ScreenTile {
  #video = el('video', {playsinline: true, autoplay: true});
  #name = el('span', {class: 'name'});
  #full = fullButton(() => this.element);
  /** @type {(() => void)[]} */ #off;

  /** @param {Peer} peer @param {string} speaker device id, '' for the default */
  constructor(peer, speaker) {
    this.element = el('article', {class: 'tile screen', 'data-media': 'video screen', 'data-screen-of': peer.id},
      this.#video, el('footer', {}, el('p', {class: 'label'}, icon('screen'), this.#name), this.#full));
    this.setSpeaker(speaker);
    this.update = () => {
      const label = t('call.screen', {who: nameOf(peer)});
      this.#name.textContent = label;
      this.element.setAttribute('aria-label', label);
      this.#video.setAttribute('aria-label', t('call.screen-of', {who: nameOf(peer)}));
      this.#full.setAttribute('aria-label', t('call.full-screen', {who: label}));
    };
    const show = () => { if (peer.screen.getTracks().length) play(this.#video, peer.screen, this.element); };
    this.#off = [peer.on('screen', show), peer.on('replaced', show)];
    this.update();
    show();
  }

  /** @param {string} speaker */
  setSpeaker(speaker) {
    if (speaker) /** @type {any} */ (this.#video).setSinkId?.(speaker).catch(() => {});
  }

  close() {
    for (const off of this.#off) off();
    this.#video.srcObject = null;
    this.element.remove();
  }
}
