// A call name on several devices of one person: a link hands the name and its secret over. Loaded when it is used: it imports nothing
// that knows how the page stands, that comes with `tools`.
import {el} from './dom.js';
import {learn, t, whyOf} from './words.js';

/** @typedef {import('/client/turnhub.js').Hub} Hub */
/** @typedef {{user: string, secret: string}} Offer */

/**
 * What it needs of the page.
 * @typedef {object} Tools
 * @property {typeof import('/client/turnhub.js').Hub} Hub
 * @property {import('./away.js').Away} away
 * @property {() => Record<string, string>} carriedNames
 * @property {(link: string, title: string) => void} copyLink
 * @property {(canvas: HTMLCanvasElement, text: string) => void} drawQR
 * @property {(user: string, secret: string) => string} linkToName
 * @property {(key: string) => string} recall
 * @property {(key: string, value: string) => void} remember
 * @property {(text: string, kind?: 'info' | 'bad') => void} toast
 * @property {(user?: string) => string} userSecret
 * @property {(user: string) => void} use has the page called by this name from now on
 */

/** The secrets of so many names are kept, those taken over or handed over last. */
const most = 32;
/** The server has so long to say whether the name is to be had, milliseconds. */
const patience = 10_000;

/** @param {Tools} tools */
export async function loadCarrier(tools) {
  await learn();
  return new Carrier(tools);
}

/** Hands the call name of this device over to another one, and takes one over. */
export class Carrier {
  #tools;
  #title = el('h2', {id: 'carry-title', tabindex: -1, autofocus: true}); // read first, and seen first where all of it has no room
  #body = el('div');
  #buttons = el('form', {method: 'dialog', class: 'row'});
  #dialog = el('dialog', {id: 'carry-dialog', 'aria-labelledby': 'carry-title'}, this.#title, this.#body, this.#buttons);

  /** @param {Tools} tools */
  constructor(tools) {
    this.#tools = tools;
    document.body.append(this.#dialog);
    // The secret stays on the screen for as long as it is looked at.
    this.#dialog.addEventListener('close', () => this.#body.replaceChildren());
  }

  /** @param {string} title @param {Node[]} body @param {HTMLButtonElement | null} first @param {string} close */
  #open(title, body, first, close) {
    this.#title.textContent = title;
    this.#body.replaceChildren(...body);
    this.#buttons.replaceChildren(...(first ? [first] : []), el('button', {class: 'secondary'}, close));
    if (this.#dialog.open) this.#title.focus();
    else this.#dialog.showModal();
  }

  /** The link for another device. @param {string} user */
  show(user) {
    const {carriedNames, copyLink, drawQR, linkToName, remember, userSecret} = this.#tools;
    if (!user) return;
    const secret = userSecret(user), link = linkToName(user, secret);
    if (!carriedNames()[user]) {
      this.#keep(user, secret);
      remember('secret', ''); // the next name has another one, of which the link tells nothing
    }
    const code = el('canvas', {id: 'carry-qr', class: 'qr', role: 'img', 'aria-label': t('carry.qr')});
    drawQR(code, link);
    this.#open(t('page.carry'), [el('p', {}, t('carry.how', {user})), code, el('p', {}, t('carry.beware', {user}))],
      el('button', {type: 'button', class: 'primary', id: 'carry-copy', onclick: () => copyLink(link, t('page.carry'))}, t('page.copy-link')), t('page.close'));
  }

  /** @param {string} user @param {string} secret */
  #keep(user, secret) {
    const {[user]: _, ...others} = this.#tools.carriedNames();
    this.#tools.remember('names', JSON.stringify(Object.fromEntries([...Object.entries(others), [user, secret]].slice(-most))));
  }

  /** Asks whether this device shall have the name of a link. @param {Offer} offer */
  offer({user, secret}) {
    const {recall, toast, userSecret} = this.#tools;
    const now = recall('user');
    if (now === user && userSecret() === secret) return toast(t('carry.has', {user}));
    const take = el('button', {type: 'button', class: 'primary', id: 'carry-take', onclick: () => this.#take({user, secret}, take)}, t('carry.take'));
    this.#open(t('carry.asks', {user}), [
      el('p', {}, t('carry.means', {user})),
      ...(now && now !== user ? [el('p', {id: 'carry-ends'}, t('carry.ends', {user: now}))] : []),
      el('p', {}, t('carry.own')),
    ], take, t('carry.not'));
  }

  /** @param {Offer} offer @param {HTMLButtonElement} button */
  async #take({user, secret}, button) {
    const {away, recall, use} = this.#tools;
    button.disabled = true;
    const {why, rings} = await this.#ask({user, secret});
    button.disabled = false;
    if (!this.#dialog.open || !button.isConnected) return; // closed meanwhile, or another was opened: not wanted any more
    if (why) {
      this.#body.append(el('p', {role: 'alert', id: 'carry-why'}, why));
      button.remove();
      return this.#title.focus();
    }
    this.#keep(user, secret);
    use(user);
    const done = [el('p', {role: 'status'}, t('carry.taken', {user}))];
    if (!rings || recall('away')) return this.#open(t('page.carry'), done, null, t('page.close'));
    // A click of its own: browsers ask within it.
    this.#open(t('page.carry'), done, el('button', {type: 'button', class: 'primary', id: 'carry-away', onclick: () => { away.start(); this.#dialog.close(); }}, t('page.away')), t('page.close'));
  }

  /**
   * Asks the server, before the name that this device has is given up: why it does not give this one for this secret, '' where
   * it does, and whether it could ring here with the page closed.
   * @param {Offer} offer
   */
  async #ask({user, secret}) {
    const hub = new this.#tools.Hub({user, userSecret: secret});
    /** @type {any} */ let timer;
    /** @type {any} */ let refusal = null;
    hub.on('error', (error) => { refusal ??= error; });
    try {
      await Promise.race([hub.connect(), new Promise((_, reject) => { timer = setTimeout(() => reject(refusal), patience); })]);
      return {why: '', rings: this.#tools.away.can(hub)};
    } catch (error) {
      return {why: refusal?.code === 'user-taken' ? t('carry.old', {user}) : whyOf(refusal ?? error), rings: false};
    } finally {
      clearTimeout(timer);
      hub.close();
    }
  }
}
