import {withLinks} from './addresses.js';
import {$, el, icon, toast} from './dom.js';
import {blip} from './ring.js';
import {nameOf} from './names.js';
import {now, sizeOf, t} from './words.js';

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
    $('#notice-chat').addEventListener('click', () => this.read());
    $('#chat-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const said = text.value.trim();
      if (!said || !this.#call) return;
      this.#call.chat(said);
      this.#add(t('person.you'), el('p', {dir: 'auto'}, ...withLinks(said)), true);
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
    this.#panel.insertBefore(this.#list, $('#chat-form'));
    for (const url of this.#urls.splice(0)) URL.revokeObjectURL(url);
    for (const link of this.#list.querySelectorAll('a[download]')) link.remove(); // to what is kept no longer
    if (this.kept) this.#list.append(el('li', {class: 'earlier'}, t('chat.earlier')));
    this.#setUnread(0);
    call.on('chat', ({peer, text}) => {
      this.#add(nameOf(peer), el('p', {dir: 'auto'}, ...withLinks(text)));
      if (this.#panel.hidden) blip('chat');
    });
    call.on('file', ({peer, transfer}) => this.#offer(nameOf(peer), transfer));
  }

  detach() {
    this.#call = null;
    this.show(false);
  }

  /** Whether there is something to be read. What has been said stays until the tab is closed, and files until the next call. */
  get kept() { return this.#list.children.length > 0 && !this.#list.lastElementChild?.matches('.earlier'); }

  /** What was said in the calls of this tab, when they are over. */
  read() {
    $('#kept-slot').append(this.#list);
    /** @type {HTMLDialogElement} */ ($('#kept-dialog')).showModal();
    this.#list.scrollTop = this.#list.scrollHeight;
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
    this.#button.setAttribute('aria-label', count ? t('chat.unread', {count}) : t('chat.label'));
  }

  /** @param {string} from @param {HTMLElement} body @param {boolean} [own] */
  #add(from, body, own = false) {
    this.#list.append(el('li', {class: own ? 'own' : ''}, el('p', {class: 'from'}, el('b', {dir: 'auto'}, from), ` ${now()}`), body));
    while (this.#list.children.length > 500) this.#list.firstElementChild?.remove();
    this.#list.scrollTop = this.#list.scrollHeight;
    if (this.#panel.hidden && !own) this.#setUnread(this.#unread + 1);
  }

  /** @param {File} file */
  #send(file) {
    const sent = this.#call?.sendFile(file) ?? [];
    if (!sent.length) return toast(t('chat.nobody'));
    for (const {peer, transfer} of sent) {
      const state = el('span', {}, t('chat.waiting', {who: nameOf(peer)}));
      this.#add(t('person.you'), this.#card(transfer, state), true);
      transfer.on('done', () => { state.textContent = t('chat.has-it', {who: nameOf(peer)}); });
    }
  }

  /** @param {Transfer} transfer @param {HTMLElement} state @param {...HTMLElement} more */
  #card(transfer, state, ...more) {
    const progress = el('progress', {max: Math.max(1, transfer.size), value: 0, 'aria-label': t('chat.progress-of', {name: transfer.name}), hidden: true});
    transfer.on('progress', (bytes) => {
      progress.hidden = false;
      progress.value = bytes;
      state.textContent = t('chat.progress', {done: sizeOf(bytes), size: sizeOf(transfer.size)});
    });
    transfer.on('done', () => { progress.hidden = true; });
    transfer.on('failed', (why) => { progress.hidden = true; state.textContent = t(`transfer.${why}`); });
    return el('div', {class: 'file'}, icon('file'), el('div', {}, el('b', {dir: 'auto'}, transfer.name), ` ${sizeOf(transfer.size)}`, el('br'), state, progress), ...more);
  }

  /** @param {string} from @param {Transfer} transfer */
  #offer(from, transfer) {
    const state = el('span', {}, t('chat.sends'));
    const accept = el('button', {type: 'button', class: 'secondary', onclick: () => { transfer.accept(); buttons.remove(); }}, t('chat.take'));
    const decline = el('button', {type: 'button', class: 'quiet', onclick: () => { transfer.cancel('declined'); buttons.remove(); }}, t('chat.no-thanks'));
    const buttons = el('div', {class: 'row'}, accept, decline);
    const card = this.#card(transfer, state, buttons);
    transfer.on('done', (blob) => {
      if (!blob) return;
      const url = URL.createObjectURL(blob);
      this.#urls.push(url);
      state.replaceChildren(el('a', {href: url, download: transfer.name}, t('chat.save')));
    });
    transfer.on('failed', () => buttons.remove());
    this.#add(from, card);
    if (this.#panel.hidden) blip('chat');
  }
}
