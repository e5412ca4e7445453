import {Emitter} from '../base/emitter.js';
import {home} from '../base/home.js';

/**
 * @typedef {object} CallFrameOptions
 * @property {HTMLElement} parent what the frame becomes a part of
 * @property {string} room whose call it shows
 * @property {string} [server] base URL; default: the server that this module came from
 * @property {string} [name] what others see; default: the visitor says it
 * @property {string} [token] access token, where the server wants one
 * @property {boolean} [join] enters the call at once, instead of showing the lobby
 * @property {string} [language] such as "de"; default: the browser's
 * @property {{accent?: string, background?: string, surface?: string, text?: string}} [colors] `#rrggbb` each; what could not be read is left as it is
 */

/** @typedef {{id: string, name: string}} CallFramePerson */

/**
 * @typedef {object} CallFrameEvents
 * @property {{room: string}} ready the page is loaded and takes orders
 * @property {{room: string}} joined
 * @property {{people: CallFramePerson[]}} people who else is in the call, whenever it changes
 * @property {{audio: boolean, video: boolean, screen: boolean}} devices what is sent, whenever it changes
 * @property {{reason: string}} left the call is over; reasons of protocol.md, or `left`
 * @property {{code: string, message: string}} error joining failed
 */

/** What a frame may use of the browser; the visitor is asked as in the page itself. */
const permissions = ['camera', 'microphone', 'display-capture', 'fullscreen', 'autoplay', 'speaker-selection', 'screen-wake-lock', 'picture-in-picture'];

/**
 * The call page of a turnhub server as a part of this page, in an iframe. The server's `access.embed_origins` has to
 * name this page's origin.
 *
 *     import {CallFrame} from 'https://calls.example.org/client/frame/frame.js';
 *     const frame = new CallFrame({parent: document.querySelector('#call'), room: 'support'});
 *     frame.on('left', () => frame.close());
 *
 * @extends {Emitter<CallFrameEvents>}
 */
export class CallFrame extends Emitter {
  /** The iframe, for a size and place of one's own. @type {HTMLIFrameElement} */ element;
  /** @type {URL} */ #address;
  /** Orders that wait for the page. @type {object[] | null} */ #waiting = [];
  /** @type {(event: MessageEvent) => void} */ #heard;

  /** @param {CallFrameOptions} options throws a TypeError where no server is known */
  constructor({parent, room, server, name, token, join, language, colors = {}}) {
    super();
    const base = server ? new URL(server.replace(/\/*$/, '/'), location.href) : home;
    if (!base) throw new TypeError('this copy of the module was not loaded from a turnhub server: say which one, new CallFrame({server: \'https://HOST\', …})');
    this.#address = new URL(base);
    const query = new URLSearchParams({embed: ''});
    for (const [key, value] of Object.entries({name, token, language, join: join ? '1' : '', ...colors})) if (value) query.set(key, value);
    this.#address.search = String(query);
    this.#address.hash = encodeURIComponent(room);
    this.element = document.createElement('iframe');
    this.element.allow = permissions.join('; ');
    this.element.title = `Call ${room}`;
    this.element.style.border = '0';
    this.element.referrerPolicy = 'origin'; // by which a server that does not know this page can say so
    this.element.src = this.#address.href;
    this.#heard = ({source, origin, data}) => {
      if (source === this.element.contentWindow && origin === this.#address.origin && data?.turnhub === 1) this.#said(data);
    };
    addEventListener('message', this.#heard);
    parent.append(this.element);
  }

  /** @param {any} message */
  #said({turnhub, type, ...what}) {
    if (type === 'ready') {
      const waiting = this.#waiting ?? [];
      this.#waiting = null;
      for (const order of waiting) this.#order(order);
    }
    this.emit(type, what);
  }

  /** @param {object} order */
  #order(order) {
    if (!this.#waiting) this.element.contentWindow?.postMessage({turnhub: 1, ...order}, this.#address.origin);
    else if (this.#waiting.length < 16) this.#waiting.push(order);
  }

  /** Enters the call, from the lobby or after the end. */
  join() { this.#order({type: 'join'}); }

  /** Ends the call for this visitor; the frame stays. */
  leave() { this.#order({type: 'leave'}); }

  /** Switches microphone and camera: true is off, false on; what is left out stays. @param {{audio?: boolean, video?: boolean}} off */
  mute(off) { this.#order({type: 'mute', ...off}); }

  /** Takes the frame out of the page, and with it the call. */
  close() {
    removeEventListener('message', this.#heard);
    this.element.remove();
  }
}
