// What is seldom used in a call. Loaded when it is used: it imports nothing that knows how the call stands, that comes with `tools`.
import {$, el, icon} from './dom.js';
import {PushToTalk} from './talk.js';
import {learn, t} from './words.js';

/** @typedef {import('/client/turnhub.js').Call} Call */
/** @typedef {import('/client/turnhub.js').Peer} Peer */
/** @typedef {Parameters<Call['react']>[0]} Reaction */
/** An entry of the menu that another module has added. @typedef {{label: string, icon: string, run: () => void}} Entry */

/**
 * What it needs of the page.
 * @typedef {object} Tools
 * @property {import('./controls.js').Controls} controls
 * @property {import('./stage.js').Stage} stage
 * @property {(peer: Peer) => string} nameOf
 * @property {(key: string) => string} recall
 * @property {(key: string, value: string) => void} remember
 * @property {(text: string) => void} toast
 * @property {Entry[]} entries
 */

/** @type {Record<Reaction, string>} */
const glyphs = {thumb: '👍', applause: '👏', heart: '❤️', laughter: '😂', surprise: '😮', party: '🎉'};

/** A reaction is seen for so long; of one person so many at once, and one is read out in so long, milliseconds. */
const seenFor = 4000, seenAtOnce = 4, saidEvery = 3000;

/** @param {string} value @param {string} label */
const option = (value, label) => el('option', {value}, label);

/** @param {Tools} tools */
export async function loadMore(tools) {
  await learn();
  return new More(tools);
}

/** The menu of the call's bar, and what it does. */
export class More {
  /** @type {Call | null} */ #call = null;
  /** When something was read out of this one. @type {WeakMap<object, number>} */ #saidAt = new WeakMap();
  #silencing = false;
  #handText = el('span', {});
  #hand = el('button', {type: 'button', class: 'secondary', 'aria-pressed': 'false', onclick: () => { this.hand(); this.#dialog.close(); }}, icon('hand'), this.#handText);
  #view = el('select', {onchange: () => this.#choose(this.#view.value)});
  #quality = el('select', {onchange: () => this.#wish(/** @type {Call['quality']} */ (this.#quality.value))},
    option('automatic', t('more.automatic')), option('saver', t('more.saver')), option('sound', t('more.sound')));
  #talk = el('input', {type: 'checkbox', role: 'switch', onchange: () => this.#push(this.#talk.checked)});
  #entries = el('div', {class: 'row'});
  #outside = el('button', {type: 'button', class: 'quiet', 'aria-pressed': 'false', onclick: () => this.#apart()}, icon('screen'), el('span', {}, t('more.apart')));
  /** What is shown in a window of its own. */ #video = el('video', {playsinline: true, autoplay: true});
  #dialog;
  #pushToTalk;
  #tools;

  /** @param {Tools} tools */
  constructor(tools) {
    this.#tools = tools;
    this.#pushToTalk = new PushToTalk((on) => tools.controls.media.toggle('audio', on));
    this.#video.muted = true;
    this.#video.addEventListener('leavepictureinpicture', () => this.#together());
    this.#outside.hidden = !document.pictureInPictureEnabled;
    tools.stage.onLarge = () => this.#follow();
    tools.controls.media.on('change', () => {
      // Who wants to be seen, or shows a screen, wants pictures.
      const {sending} = tools.controls.media;
      if (!this.#silencing && this.#call?.quality === 'sound' && (sending.video || sending.screen)) this.#wish('saver');
    });
    const reactions = el('div', {class: 'reactions', role: 'group', 'aria-label': t('more.reactions')});
    for (const [reaction, glyph] of /** @type {[Reaction, string][]} */ (Object.entries(glyphs))) {
      const label = t(`more.${reaction}`);
      reactions.append(el('button', {type: 'button', class: 'ghost', 'aria-label': label, title: label, onclick: () => this.#react(reaction)}, glyph));
    }
    this.#dialog = el('dialog', {id: 'more-dialog', 'aria-labelledby': 'more-title'},
      el('h2', {id: 'more-title'}, t('more.title')), reactions, el('div', {class: 'row'}, this.#hand, this.#outside), this.#entries,
      el('label', {class: 'field'}, el('span', {}, t('more.view')), this.#view),
      el('label', {class: 'field'}, el('span', {}, t('more.quality')), this.#quality),
      el('p', {class: 'hint'}, t('more.quality-hint')),
      el('label', {class: 'switch'}, this.#talk, el('span', {}, t('more.talk'))),
      el('p', {class: 'hint'}, t('more.talk-hint')),
      el('form', {method: 'dialog', class: 'row'}, el('button', {class: 'secondary'}, t('page.close'))));
    document.body.append(this.#dialog);
  }

  /** @param {Call} call */
  attach(call) {
    if (this.#call === call) return;
    this.#call = call;
    if (this.#tools.recall('talk')) this.#push(true);
    if (call.quality === 'sound') this.#wish('sound');
  }

  detach() {
    this.#call = null;
    this.#dialog.close();
    this.#pushToTalk.use(false);
    this.#tools.stage.view('all');
    this.#tools.stage.raise(null, false);
    this.#together();
  }

  open() {
    const call = this.#call;
    if (!call) return;
    const {stage, nameOf, entries} = this.#tools;
    const {hand, quality} = call;
    this.#handText.textContent = t(hand ? 'more.lower' : 'more.raise');
    this.#hand.setAttribute('aria-pressed', String(hand));
    const devices = {label: t('page.devices'), icon: 'gear', run: () => $('#settings').click()}; // whose button has no room on a phone
    const record = {label: $('#record').textContent ?? '', icon: 'camera', run: () => $('#record').click()}; // among the devices, and where one looks for it
    this.#entries.replaceChildren(...[devices, record, ...entries].map(({label, icon: symbol, run}) =>
      el('button', {type: 'button', class: 'quiet', onclick: () => { this.#dialog.close(); run(); }}, icon(symbol), el('span', {}, label))));
    this.#view.replaceChildren(option('all', t('more.all')), option('speaker', t('more.speaker')),
      ...[...call.peers].map((peer) => option(peer.instance, nameOf(peer))));
    this.#view.value = stage.pinned?.instance ?? (stage.speaker ? 'speaker' : 'all');
    this.#quality.value = quality;
    this.#talk.checked = this.#pushToTalk.on;
    this.#dialog.showModal();
  }

  /** @param {string} view `all`, `speaker` or whose */
  #choose(view) {
    const peer = [...this.#call?.peers ?? []].find(({instance}) => instance === view);
    this.#tools.stage.view(peer ?? (view === 'speaker' ? 'speaker' : 'all'));
  }

  /** @param {Call['quality']} wish */
  #wish(wish) {
    const {controls: {media}, remember, toast} = this.#tools;
    if (!this.#call) return;
    this.#call.quality = wish;
    this.#quality.value = wish;
    remember('quality', wish === 'automatic' ? '' : wish);
    if (wish !== 'sound') return;
    this.#silencing = true; // what changes by it is nobody's wish to be seen
    if (media.screen) media.unshare();
    if (media.enabled.video) media.toggle('video', false);
    this.#silencing = false;
    toast(t('more.sound-on'));
  }

  /** @param {boolean} on */
  #push(on) {
    this.#pushToTalk.use(on);
    this.#talk.checked = on;
    this.#tools.remember('talk', on ? 'push' : '');
    if (on) this.#tools.controls.media.toggle('audio', false);
  }

  // ---- hand and reactions

  hand() {
    const call = this.#call;
    if (!call) return;
    call.hand = !call.hand;
    this.#tools.stage.raise(null, call.hand);
    this.#tools.toast(t(call.hand ? 'more.raised-mine' : 'more.lowered-mine'));
  }

  /** @param {Reaction} reaction */
  #react(reaction) {
    this.#call?.react(reaction);
    this.#show(this.#tools.stage.tileOf(null), reaction);
    this.#dialog.close();
  }

  /** Somebody's hand is up, or down. @param {Peer} peer */
  raised(peer) {
    const {hand} = peer.media;
    this.#tools.stage.raise(peer, hand);
    if (hand && this.#maySay(peer)) this.#tools.toast(t('more.raised', {who: this.#tools.nameOf(peer)}));
  }

  /** @param {Peer} peer @param {Reaction} reaction */
  reacted(peer, reaction) {
    const tile = this.#tools.stage.tileOf(peer);
    if (!tile) return;
    this.#show(tile, reaction);
    if (this.#maySay(tile)) $('#said').textContent = t('more.reacts', {who: this.#tools.nameOf(peer), what: t(`more.${reaction}`)});
  }

  /** Somebody who does it all the time is not heard all the time. @param {object} whose */
  #maySay(whose) {
    const now = performance.now();
    if (now - (this.#saidAt.get(whose) ?? -Infinity) < saidEvery) return false;
    this.#saidAt.set(whose, now);
    return true;
  }

  /** @param {HTMLElement | undefined} tile @param {Reaction} reaction */
  #show(tile, reaction) {
    if (!tile || tile.querySelectorAll('.reaction').length >= seenAtOnce) return;
    const shown = el('span', {class: 'reaction', 'aria-hidden': 'true'}, glyphs[reaction]);
    tile.append(shown);
    setTimeout(() => shown.remove(), seenFor);
  }

  // ---- a window of its own

  async #apart() {
    this.#dialog.close();
    if (document.pictureInPictureElement) return document.exitPictureInPicture();
    this.#follow(true);
    try {
      if (this.#video.readyState < 1) await new Promise((resolve, reject) => {
        this.#video.onloadedmetadata = resolve;
        setTimeout(reject, 3000);
      });
      await this.#video.requestPictureInPicture();
      this.#outside.setAttribute('aria-pressed', 'true');
    } catch (error) {
      console.warn('turnhub: picture in picture', error);
      this.#together();
      this.#tools.toast(t('more.no-picture'));
    }
  }

  #together() {
    if (document.pictureInPictureElement === this.#video) document.exitPictureInPicture().catch(() => {});
    this.#video.srcObject = null;
    this.#outside.setAttribute('aria-pressed', 'false');
  }

  /** The window shows who is large, or speaks, or is there. @param {boolean} [begin] */
  #follow(begin = false) {
    if (!begin && !this.#video.srcObject) return;
    const {large} = this.#tools.stage;
    const seen = [...this.#call?.peers ?? []].filter(({media}) => media.video);
    const peer = large && seen.includes(large) ? large : seen[0];
    const stream = peer?.stream ?? null;
    if (this.#video.srcObject !== stream) this.#video.srcObject = stream;
    if (stream) this.#video.play().catch(() => {});
  }
}
