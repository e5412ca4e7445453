import {el} from './dom.js';
import {t} from './words.js';

/** @typedef {import('/client/turnhub.js').Peer} Peer */

/** Who has not answered is asked again so long afterwards, milliseconds: words are lost, and keys change meanwhile. */
const againAfter = 4000;

/**
 * What two people compare to be sure that nobody sits between their browsers: four symbols with their names, the same on
 * both sides. Asked for when somebody looks.
 */
export class Comparison {
  #peer;
  #list = el('ol', {class: 'symbols'});
  #text = el('p', {class: 'details'});
  #open = false;
  #off;
  /** @type {any} */ #again = null;

  /** @param {Peer} peer */
  constructor(peer) {
    this.#peer = peer;
    this.element = el('section', {class: 'comparison', 'aria-live': 'polite'}, el('p', {class: 'path'}, t('compare.title')), this.#list, this.#text);
    // The other side has asked for others, or the way is another.
    this.#off = peer.on('authentication-string', (numbers) => { if (this.#open) numbers ? this.#show(numbers) : this.#ask(); });
  }

  /** @param {boolean} open */
  show(open) {
    this.#open = open;
    clearTimeout(this.#again);
    if (open) this.#ask();
  }

  async #ask() {
    this.#list.replaceChildren();
    this.#text.textContent = t('compare.asking');
    await this.#wait();
  }

  async #wait() {
    clearTimeout(this.#again);
    const numbers = await this.#peer.authenticationString();
    if (this.#open) await this.#show(numbers);
  }

  /** @param {number[] | null} numbers */
  async #show(numbers) {
    if (!numbers) {
      this.#list.replaceChildren();
      if (this.#text.textContent !== t('compare.none')) this.#text.textContent = t('compare.none'); // it is read out
      clearTimeout(this.#again);
      this.#again = setTimeout(() => { if (this.#open) this.#wait(); }, againAfter);
      return;
    }
    const {symbols, names} = await import('./vendor/matrix/symbols.js');
    const words = names[document.documentElement.lang] ?? names.en;
    this.#list.replaceChildren(...numbers.map((number) => el('li', {}, el('span', {'aria-hidden': 'true'}, symbols[number]), el('span', {}, words[number]))));
    this.#text.textContent = t('compare.how');
  }

  close() {
    this.show(false);
    this.#off();
  }
}
