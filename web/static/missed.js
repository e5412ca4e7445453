import {$, el, toast} from './dom.js';

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

  /** @param {{name?: string, user?: string}} caller @param {string} words what to say of it at once */
  add({name = '', user = ''}, words) {
    const who = (name || user || 'Somebody').slice(0, 64);
    toast(`${who} ${words}.`);
    const time = new Date().toLocaleTimeString([], {hour: '2-digit', minute: '2-digit'});
    const line = el('li', {}, el('span', {}, el('b', {}, who), ` called at ${time}`));
    if (user) {
      line.append(el('button', {type: 'button', class: 'quiet', 'aria-label': `Call ${who} back`, onclick: () => {
        line.remove();
        this.#show();
        this.call(user);
      }}, 'Call back'));
    }
    this.#list.prepend(line);
    while (this.#list.children.length > most) this.#list.lastElementChild?.remove();
    this.#show();
  }

  #show() {
    $('#missed').hidden = this.#list.children.length === 0;
  }
}
