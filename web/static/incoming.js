import {$, paintAvatar, toast} from './dom.js';
import {notify, ring, silence, unnotify} from './ring.js';

/** @typedef {import('/client/turnhub.js').Hub} Hub */
/** @typedef {import('/client/turnhub.js').Invitation} Invitation */

/** How a call ended that nobody took here; without words it was not missed. */
const why = {
  canceled: 'hung up before you answered', timeout: 'called; nobody answered', busy: 'called while you were in another call',
  elsewhere: '', lost: 'was cut off', hangup: '',
};

/** Somebody calls: sound, notification, and the question. */
export class Incoming {
  #dialog = /** @type {HTMLDialogElement} */ ($('#incoming'));
  /** @type {Invitation[]} */ #waiting = [];
  /** @type {() => void} */ #unhook = () => {};
  /** The page's title while nobody calls. */
  #title = '';

  /** @param {(invitation: Invitation) => void} accept @param {import('./missed.js').Missed} missed */
  constructor(accept, missed) {
    this.missed = missed;
    $('#accept').addEventListener('click', () => {
      const invitation = this.#waiting.shift();
      this.#update();
      if (!invitation) return;
      for (const other of this.#waiting.splice(0)) {
        other.decline('busy').catch(() => {});
        this.missed.add(other, why.busy);
      }
      this.#update();
      accept(invitation);
    });
    $('#decline').addEventListener('click', () => this.#decline());
    this.#dialog.addEventListener('cancel', (event) => { event.preventDefault(); this.#decline(); });
  }

  /** @param {Hub} hub */
  attach(hub) {
    this.#unhook();
    const off = [
      hub.on('incoming', (invitation) => { this.#waiting.push(invitation); this.#update(); }),
      hub.on('call', ({call, state, reason}) => {
        const index = this.#waiting.findIndex((invitation) => invitation.call === call);
        if (index < 0 || state === 'incoming') return;
        const [invitation] = this.#waiting.splice(index, 1);
        const words = why[/** @type {keyof typeof why} */ (reason)];
        if (state === 'ended' && words) this.missed.add(invitation, words);
        if (state === 'ended' && reason === 'elsewhere') toast('Answered on another device.');
        this.#update();
      }),
      hub.on('missed', (caller) => this.missed.add(caller, why.busy)),
    ];
    this.#unhook = () => { for (const end of off) end(); };
  }

  #decline() {
    this.#waiting.shift()?.decline().catch(() => {});
    this.#update();
  }

  #update() {
    const [invitation] = this.#waiting;
    if (!invitation) {
      silence();
      unnotify();
      if (this.#dialog.open) {
        this.#dialog.close();
        document.title = this.#title;
      }
      return;
    }
    $('#incoming-text').textContent = document.body.dataset.view === 'call' ? 'is calling you. Accepting ends the call that you are in.' : 'is calling you';
    $('#incoming-name').textContent = invitation.name || 'Somebody';
    paintAvatar(/** @type {HTMLElement} */ (this.#dialog.querySelector('.avatar')), invitation.name || '?');
    if (!this.#dialog.open) this.#title = document.title;
    document.title = `${invitation.name || 'Somebody'} is calling`;
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    $('#accept').focus();
    ring('incoming');
    notify(invitation.name || 'Somebody');
  }
}
