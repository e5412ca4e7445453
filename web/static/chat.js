import {$, el, icon, sizeOf, toast} from './dom.js';
import {blip} from './ring.js';

/** @typedef {import('/client/turnhub.js').Call} Call */
/** @typedef {import('/client/turnhub.js').Transfer} Transfer */

/** Chat and files beside the call. */
export class Chat {
  #panel = $('#chat');
  #button = $('#chat-open');
  #badge = /** @type {HTMLElement} */ ($('#chat-open').querySelector('.badge'));
  #list = $('#messages');
  #unread = 0;
  /** @type {Call | null} */ #call = null;
  /** @type {string[]} */ #urls = [];

  constructor() {
    const text = /** @type {HTMLInputElement} */ ($('#chat-text'));
    const file = /** @type {HTMLInputElement} */ ($('#chat-file'));
    this.#button.addEventListener('click', () => this.show(this.#panel.hidden));
    $('#chat-close').addEventListener('click', () => this.show(false));
    $('#chat-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const said = text.value.trim();
      if (!said || !this.#call) return;
      this.#call.chat(said);
      this.#add('You', el('p', {}, said), true);
      text.value = '';
    });
    file.addEventListener('change', () => {
      for (const chosen of file.files ?? []) this.#send(chosen);
      file.value = '';
    });
    this.#panel.addEventListener('dragover', (event) => event.preventDefault());
    this.#panel.addEventListener('drop', (event) => {
      event.preventDefault();
      for (const chosen of event.dataTransfer?.files ?? []) this.#send(chosen);
    });
  }

  /** @param {Call} call */
  attach(call) {
    this.#call = call;
    this.#list.replaceChildren();
    this.#setUnread(0);
    call.on('chat', ({peer, text}) => {
      this.#add(peer.name || 'Guest', el('p', {}, text));
      if (this.#panel.hidden) blip('chat');
    });
    call.on('file', ({peer, transfer}) => this.#offer(peer.name || 'Guest', transfer));
  }

  detach() {
    this.#call = null;
    this.show(false);
    for (const url of this.#urls.splice(0)) URL.revokeObjectURL(url);
  }

  /** @param {boolean} open */
  show(open) {
    const had = this.#panel.contains(document.activeElement);
    this.#panel.hidden = !open;
    this.#button.setAttribute('aria-expanded', String(open));
    if (open) {
      this.#setUnread(0);
      this.#list.scrollTop = this.#list.scrollHeight;
      $('#chat-text').focus();
    } else if (had) {
      this.#button.focus();
    }
  }

  toggle() {
    this.show(this.#panel.hidden);
  }

  /** @param {number} count */
  #setUnread(count) {
    this.#unread = count;
    this.#badge.hidden = count === 0;
    this.#badge.textContent = String(count);
    this.#button.setAttribute('aria-label', count ? `Chat, ${count} unread` : 'Chat');
  }

  /** @param {string} from @param {HTMLElement} body @param {boolean} [own] */
  #add(from, body, own = false) {
    const time = new Date().toLocaleTimeString([], {hour: '2-digit', minute: '2-digit'});
    this.#list.append(el('li', {class: own ? 'own' : ''}, el('p', {class: 'from'}, el('b', {}, from), ` ${time}`), body));
    while (this.#list.children.length > 500) this.#list.firstElementChild?.remove();
    this.#list.scrollTop = this.#list.scrollHeight;
    if (this.#panel.hidden && !own) this.#setUnread(this.#unread + 1);
  }

  /** @param {File} file */
  #send(file) {
    const sent = this.#call?.sendFile(file) ?? [];
    if (!sent.length) return toast('Nobody is here to send the file to.');
    for (const {peer, transfer} of sent) {
      const state = el('span', {}, `waiting for ${peer.name || 'Guest'} to take it`);
      this.#add('You', this.#card(transfer, state), true);
      transfer.on('done', () => { state.textContent = `${peer.name || 'Guest'} has it`; });
    }
  }

  /** @param {Transfer} transfer @param {HTMLElement} state @param {...HTMLElement} more */
  #card(transfer, state, ...more) {
    const progress = el('progress', {max: Math.max(1, transfer.size), value: 0, 'aria-label': `Progress of ${transfer.name}`, hidden: true});
    transfer.on('progress', (bytes) => {
      progress.hidden = false;
      progress.value = bytes;
      state.textContent = `${sizeOf(bytes)} of ${sizeOf(transfer.size)}`;
    });
    transfer.on('done', () => { progress.hidden = true; });
    transfer.on('failed', (why) => { progress.hidden = true; state.textContent = why; });
    return el('div', {class: 'file'}, icon('file'), el('div', {}, el('b', {}, transfer.name), ` ${sizeOf(transfer.size)}`, el('br'), state, progress), ...more);
  }

  /** @param {string} from @param {Transfer} transfer */
  #offer(from, transfer) {
    const state = el('span', {}, 'sends you a file');
    const accept = el('button', {type: 'button', class: 'secondary', onclick: () => { transfer.accept(); buttons.remove(); }}, 'Take it');
    const decline = el('button', {type: 'button', class: 'quiet', onclick: () => { transfer.cancel('declined'); buttons.remove(); }}, 'No, thanks');
    const buttons = el('div', {class: 'row'}, accept, decline);
    const card = this.#card(transfer, state, buttons);
    transfer.on('done', (blob) => {
      if (!blob) return;
      const url = URL.createObjectURL(blob);
      this.#urls.push(url);
      state.replaceChildren(el('a', {href: url, download: transfer.name}, 'Save'));
    });
    transfer.on('failed', () => buttons.remove());
    this.#add(from, card);
    if (this.#panel.hidden) blip('chat');
  }
}
