import {$, paintAvatar, toast} from './dom.js';
import {notify, ring, silence, unnotify} from './ring.js';
import {t} from './words.js';

/** @typedef {import('/client/turnhub.js').Hub} Hub */
/** @typedef {import('/client/turnhub.js').Invitation} Invitation */

/** The ends of a call that nobody took here; with any other it was not missed. */
const missable = /** @type {const} */ (['canceled', 'timeout', 'busy', 'lost']);

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
        this.missed.add(other, 'busy');
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
        const why = missable.find((each) => each === reason);
        if (state === 'ended' && why) this.missed.add(invitation, why);
        if (state === 'ended' && reason === 'elsewhere') toast(t('incoming.elsewhere'));
        this.#update();
      }),
      hub.on('missed', (caller) => this.missed.add(caller, 'busy')),
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
      unnotify('call');
      if (this.#dialog.open) {
        this.#dialog.close();
        document.title = this.#title;
      }
      return;
    }
    $('#incoming-text').textContent = document.body.dataset.view === 'call' ? t('incoming.calls-in-call') : t('incoming.calls');
    const who = invitation.name || t('person.somebody');
    $('#incoming-name').textContent = who;
    paintAvatar(/** @type {HTMLElement} */ (this.#dialog.querySelector('.avatar')), invitation.name || '?');
    if (!this.#dialog.open) this.#title = document.title;
    document.title = t('incoming.title', {who});
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    $('#accept').focus();
    ring('incoming');
    notify('call', t('incoming.title', {who}), t('incoming.answer'));
  }
}
