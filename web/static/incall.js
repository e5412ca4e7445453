import {$, toast} from './dom.js';
import {nameOf} from './names.js';
import {recall, remember} from './settings.js';
import {t} from './words.js';

/** @typedef {import('/client/turnhub.js').Call} Call */

/**
 * What else one can do in a call: hand, reactions, views, quality, push to talk. It is loaded with the first use, of this visitor's
 * or of somebody else's; what it needs of the page comes with it, since it gets modules of its own. Another module adds an entry:
 * `inCall.add({label, icon, run})`.
 */
export class InCall {
  /** @type {Promise<import('./more.js').More> | undefined} */ #more;
  /** @type {import('./more.js').Entry[]} */ #entries = [];
  /** @type {Call | null} */ #call = null;

  /** @param {import('./controls.js').Controls} controls @param {import('./stage.js').Stage} stage */
  constructor(controls, stage) {
    this.controls = controls;
    this.stage = stage;
    $('#more').addEventListener('click', () => this.#with((more) => more.open()));
  }

  /** An entry of the menu. @param {import('./more.js').Entry} entry */
  add(entry) {
    this.#entries.push(entry);
  }

  /** @param {(more: import('./more.js').More) => void} run @param {boolean} [quiet] nobody here has asked for it, and nobody is told that it fails */
  async #with(run, quiet = false) {
    const {controls, stage} = this;
    this.#more ??= import('./more.js').then(({loadMore}) => loadMore({controls, stage, nameOf, recall, remember, toast, entries: this.#entries}));
    this.#more.catch(() => { this.#more = undefined; }); // a network that failed may be back at the next click
    try {
      const more = await this.#more;
      if (this.#call) more.attach(this.#call);
      run(more);
    } catch (error) {
      console.warn('turnhub: more', error);
      if (!quiet) toast(t('error.unknown'), 'bad');
    }
  }

  /** @param {Call} call */
  attach(call) {
    this.#call = call;
    const wish = recall('quality');
    if (wish) call.quality = /** @type {Call['quality']} */ (wish);
    if (wish || recall('talk')) this.#with(() => {}, true);
    call.on('reaction', ({peer, reaction}) => this.#with((more) => more.reacted(peer, reaction), true));
    call.on('peer', (peer) => {
      let up = false;
      peer.on('media', ({hand}) => {
        if (hand === up) return;
        up = hand;
        this.#with((more) => more.raised(peer), true);
      });
    });
    call.on('ended', () => this.detach());
  }

  /** Hand up or down. */
  hand() {
    this.#with((more) => more.hand());
  }

  detach() {
    this.#call = null;
    this.#more?.then((more) => more.detach(), () => {});
  }
}
