import {$, toast} from './dom.js';
import {recall, remember, token, userSecret} from './settings.js';
import {t, whyOf} from './words.js';

/** @typedef {import('/client/turnhub.js').Hub} Hub */

/** What the worker is left in a cache of this name (worker.js). */
const cache = 'turnhub-away';
/** What the worker fills in. */
const blanks = {who: '{who}', time: '{time}'};

/** Being rung while the page is closed: the switch, what the worker knows, and what it says. */
export class Away {
  #switch = /** @type {HTMLInputElement} */ ($('#away'));
  /** @type {Hub | null} */ #hub = null;
  /** @type {Promise<unknown>} */ #work = Promise.resolve();

  /**
   * @param {object} page
   * @param {(call: string) => Promise<boolean>} page.rings whether this page tells of a call itself, now or in a moment
   * @param {(call: string) => void} page.answer somebody has answered a call that he was told of by a notification
   */
  constructor({rings, answer}) {
    this.#switch.checked = recall('away') !== '';
    this.#switch.addEventListener('change', () => this.#change());
    navigator.serviceWorker?.addEventListener('message', async ({data, ports}) => {
      if (data?.turnhub === 'answer') answer(data.call);
      else if (data?.turnhub) ports[0]?.postMessage(data.turnhub === 'ring' ? await rings(data.call) : document.visibilityState === 'visible');
    });
  }

  /** For this hub from now on. @param {Hub} hub */
  use(hub) {
    this.#hub = hub;
    hub.on('welcome', ({resumed}) => {
      if (hub !== this.#hub) return;
      const can = this.can(hub);
      $('#away-field').hidden = !can;
      if (resumed || !recall('away')) return;
      if (can && Notification.permission === 'granted') this.#soon(() => this.#begin(hub));
      if (!hub.user) this.#soon(() => this.#end(hub)); // nobody can call any more
    });
  }

  /** Whether the server and this browser can. @param {Hub} hub */
  can(hub) {
    return hub.pushKey !== '' && 'PushManager' in globalThis && 'serviceWorker' in navigator;
  }

  /** One after the other: what is switched on and off quickly ends as it was left. @param {() => Promise<void>} run */
  #soon(run) {
    this.#work = this.#work.then(run).catch((error) => {
      this.#switch.checked = false;
      remember('away', '');
      toast(error?.name === 'NotAllowedError' ? t('away.blocked') : t('away.failed', {why: error?.code ? whyOf(error) : t('away.service')}), 'bad');
    });
  }

  #change() {
    const hub = this.#hub;
    if (!hub) return;
    if (this.#switch.checked) this.start();
    else this.#soon(() => this.#end(hub));
  }

  /** Switches it on, in a click: browsers ask. For the hub that is used once that is answered. */
  start() {
    remember('away', 'on');
    this.#switch.checked = true;
    const asked = Notification.requestPermission();
    this.#soon(async () => {
      if (await asked !== 'granted') throw new DOMException('', 'NotAllowedError');
      const hub = this.#hub;
      if (hub?.state === 'open') await this.#begin(hub); // else at its welcome
      toast(t('away.on'));
    });
  }

  /** @param {Hub} hub */
  async #begin(hub) {
    const registration = await navigator.serviceWorker.register(new URL('worker.js', document.baseURI), {updateViaCache: 'none'});
    await navigator.serviceWorker.ready;
    await hub.ringWhenAway(registration);
    await this.#leave(hub.user);
  }

  /** Leaves the worker what it cannot know by itself; the secret of the name for the moment when the subscription changes. @param {string} user */
  async #leave(user) {
    const page = new URL('.', document.baseURI);
    if (token) page.searchParams.set('token', token);
    const words = {
      ring: t('incoming.title', blanks), answer: t('incoming.answer'), elsewhere: t('incoming.elsewhere'), missed: t('missed.at', blanks),
      somebody: t('person.somebody'), accept: t('away.accept'), decline: t('away.decline'),
    };
    const {lang, dir} = document.documentElement;
    await (await caches.open(cache)).put(new URL('left-by-the-page', page.href.split('?')[0]), new Response(JSON.stringify({page: page.href, lang, dir, words, hello: {user, userSecret: userSecret()}})));
  }

  /** @param {Hub} hub */
  async #end(hub) {
    remember('away', '');
    this.#switch.checked = false;
    const registration = await registered();
    if (registration) {
      await hub.ringNoMore(registration);
      await registration.unregister();
    }
    await caches.delete(cache);
  }
}

/** The registration of the worker, if this browser is rung. @returns {Promise<ServiceWorkerRegistration | undefined>} */
export async function registered() {
  return navigator.serviceWorker?.getRegistration(document.baseURI).catch(() => undefined);
}

/** The call of a notification that has opened this page; '' where none did. It leaves the address. */
export const answering = (() => {
  const query = new URLSearchParams(location.search);
  const call = query.get('answer') ?? '';
  if (!call) return '';
  query.delete('answer');
  history.replaceState(history.state, '', `${location.pathname}${String(query) && `?${query}`}${location.hash}`);
  return call;
})();
