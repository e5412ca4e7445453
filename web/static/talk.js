import {$} from './dom.js';

/** Push to talk: the microphone is on while the space bar, or the microphone's button, is held. */
export class PushToTalk {
  on = false;
  /** @type {boolean} */ #held = false;
  #microphone;

  /** @param {(on: boolean) => void} microphone */
  constructor(microphone) {
    this.#microphone = microphone;
    addEventListener('keydown', (event) => this.#key(event), true);
    addEventListener('keyup', (event) => {
      if (event.code !== 'Space' || !this.#held) return;
      event.preventDefault(); // which would press the button that was clicked last
      this.#hold(false);
    }, true);
    // Let go of where this page does not hear of it.
    addEventListener('blur', () => this.#hold(false));
    document.addEventListener('visibilitychange', () => this.#hold(false));
    const button = $('#audio');
    button.addEventListener('pointerdown', (event) => {
      if (!this.on || event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      this.#hold(true);
    });
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) button.addEventListener(end, () => this.#hold(false));
    button.addEventListener('contextmenu', (event) => { if (this.on) event.preventDefault(); });
    // What a key or a screen reader presses has no pointer, and switches as ever.
    addEventListener('click', (event) => {
      if (this.on && event.detail > 0 && button.contains(/** @type {Node} */ (event.target))) event.stopImmediatePropagation();
    }, true);
  }

  /** @param {boolean} on */
  use(on) {
    this.on = on;
    if (!on) this.#hold(false);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!this.on || event.code !== 'Space' || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.body.dataset.view !== 'call') return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.isContentEditable || target.closest('input, select, textarea, dialog[open]') || document.querySelector('dialog[open]')) return;
    // Whoever goes from button to button by keys presses them with it.
    if (target.matches('button:focus-visible, a:focus-visible, [tabindex]:focus-visible')) return;
    event.preventDefault();
    if (!event.repeat) this.#hold(true);
  }

  /** @param {boolean} held */
  #hold(held) {
    if (held === this.#held) return;
    this.#held = held;
    this.#microphone(held);
  }
}
