import {$, el, toast} from './dom.js';
import {before, nodesOf, now, t} from './words.js';

/** At most so many are listed. */
const most = 20;

/** Calls that came while nobody could take them: said at once, and listed on the start page with a way to call back. */
export class Missed {
  #list = $('#missed-list');

  /** @param {(user: string) => void} call */
  constructor(call) {
    this.call = call;
    $('#missed-clear').addEventListener('click', () => {
      this.#list.replaceChildren();
      $('#missed').hidden = true;
    });
  }

  /**
   * @param {{name?: string, user?: string}} caller
   * @param {'canceled' | 'timeout' | 'busy' | 'lost'} why said at once
   * @param {number} [ago] milliseconds, where nobody was here then
   */
  add({name = '', user = ''}, why, ago) {
    const who = (name || user || t('person.somebody')).slice(0, 64);
    const time = ago === undefined ? now() : before(ago);
    toast(ago === undefined ? t(`missed.${why}`, {who}) : t('missed.at', {who, time}));
    const line = el('li', {}, el('span', {}, ...nodesOf('missed.at', {who: el('b', {dir: 'auto'}, who), time})));
    if (user) {
      line.append(el('button', {type: 'button', class: 'quiet', 'aria-label': t('missed.call-back-to', {who}), onclick: () => {
        line.remove();
        this.#show();
        this.call(user);
      }}, t('missed.call-back')));
    }
    this.#list.prepend(line);
    while (this.#list.children.length > most) this.#list.lastElementChild?.remove();
    this.#show();
  }

  #show() {
    $('#missed').hidden = this.#list.children.length === 0;
  }
}
