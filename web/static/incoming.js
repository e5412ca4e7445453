import {$, paintAvatar, toast} from './dom.js';
import {notify, ring, silence, unnotify, unnotifyAway} from './ring.js';
import {t, whyOf} from './words.js';

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
  /** @type {Hub | null} */ #hub = null;
  /** The call that a notification was clicked for; it may be told to this page in a moment. */ #taken = '';

  /** @param {(invitation: Invitation) => void} accept @param {import('./missed.js').Missed} missed */
  constructor(accept, missed) {
    this.missed = missed;
    this.accept = accept;
    $('#accept').addEventListener('click', () => this.#accept(this.#waiting[0]));
    $('#decline').addEventListener('click', () => this.#decline());
    this.#dialog.addEventListener('cancel', (event) => { event.preventDefault(); this.#decline(); });
  }

  /** @param {Hub} hub */
  attach(hub) {
    this.#unhook();
    this.#hub = hub;
    const off = [
      hub.on('incoming', (invitation) => {
        this.#waiting.push(invitation);
        if (invitation.call === this.#taken) this.#accept(invitation);
        else this.#update();
      }),
      hub.on('call', ({call, state, reason}) => {
        const index = this.#waiting.findIndex((invitation) => invitation.call === call);
        if (index < 0 || state === 'incoming') return;
        const [invitation] = this.#waiting.splice(index, 1);
        unnotifyAway(call);
        const why = missable.find((each) => each === reason);
        if (state === 'ended' && why) this.missed.add(invitation, why);
        if (state === 'ended' && reason === 'elsewhere') toast(t('incoming.elsewhere'));
        this.#update();
      }),
      hub.on('missed', ({call, ago, ...caller}) => {
        this.missed.add(caller, 'busy', ago);
        if (call) hub.seen(call).catch(() => {}); // then it is told again
      }),
    ];
    this.#unhook = () => { for (const end of off) end(); };
  }

  #decline() {
    const invitation = this.#waiting.shift();
    invitation?.decline().catch(() => {});
    if (invitation) unnotifyAway(invitation.call);
    this.#update();
  }

  /** @param {Invitation | undefined} invitation */
  #accept(invitation) {
    if (!invitation) return;
    this.#taken = '';
    unnotifyAway(invitation.call);
    for (const other of this.#waiting.splice(0)) {
      if (other === invitation) continue;
      other.decline('busy').catch(() => {});
      unnotifyAway(other.call);
      this.missed.add(other, 'busy');
    }
    this.#update();
    this.accept(invitation);
  }

  /** Whether this page rings for a call, now or in a moment, and somebody looks at it. @param {string} call */
  async rings(call) {
    for (let tries = 0; tries < 10; tries++) {
      if (document.visibilityState !== 'visible') return false;
      if (this.#waiting.some((invitation) => invitation.call === call)) return true;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return false;
  }

  /** Answers a call that a notification was clicked for; '' means that it was clicked for none. @param {string} call */
  async take(call) {
    const hub = this.#hub;
    if (!call || !hub) return;
    const invitation = this.#waiting.find((each) => each.call === call);
    if (invitation) return this.#accept(invitation);
    this.#taken = call;
    if (hub.state !== 'open') await new Promise((resolve) => hub.once('welcome', resolve));
    await new Promise((resolve) => setTimeout(resolve, 2000));
    if (this.#taken !== call) return;
    this.#taken = '';
    toast(whyOf({code: 'no-such-call'}));
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
