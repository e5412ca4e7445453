import {$} from './dom.js';
import {recall, remember} from './settings.js';

/**
 * Keys of a running call. None hangs up: a letter is typed too easily into a page that is not looked at. They can be
 * switched off, since programs that listen to speech type letters too (WCAG 2.1.4).
 * @param {Record<string, () => void>} acts by letter
 */
export function listenToKeys(acts) {
  const dialog = /** @type {HTMLDialogElement} */ ($('#keys-dialog'));
  const on = /** @type {HTMLInputElement} */ ($('#keys-on'));
  on.checked = recall('keys') !== 'off';
  on.addEventListener('change', () => remember('keys', on.checked ? '' : 'off'));
  const show = () => dialog.showModal();
  $('#show-keys').addEventListener('click', () => {
    /** @type {HTMLDialogElement} */ ($('#devices-dialog')).close();
    show();
  });
  addEventListener('keydown', (event) => {
    if (!on.checked || document.body.dataset.view !== 'call' || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest('input, select, textarea, dialog[open]') || document.querySelector('dialog[open]')) return;
    // On a keyboard of another script, the key in that place.
    const letter = /^[a-z?]$/i.test(event.key) ? event.key.toLowerCase() : event.code.replace('Key', '').toLowerCase();
    const act = letter === '?' ? show : acts[letter];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
