/**
 * The service worker: it shows who calls while the page is closed, and nothing else. It fetches nothing for the page and
 * caches no file, so nothing of it is ever old. What it says, and where it leads, the page has left in a cache of its own
 * (away.js); the messages are those of signaling/protocol.md.
 */
const worker = /** @type {any} */ (globalThis);

/**
 * @typedef {object} Pushed
 * @property {'ring' | 'stop'} type
 * @property {string} call
 * @property {string} [user]
 * @property {string} [name]
 * @property {number} at
 * @property {string} [decline]
 * @property {'elsewhere' | 'missed'} [reason]
 */

worker.addEventListener('install', () => worker.skipWaiting());
worker.addEventListener('activate', (/** @type {any} */ event) => event.waitUntil(worker.clients.claim()));

/** What the page has left: its address, its words, and who is rung. @returns {Promise<{page: string, dir: string, lang: string, words: Record<string, string>, hello?: object}>} */
async function left() {
  const here = worker.registration.scope;
  try {
    const answer = await (await worker.caches.open('turnhub-away')).match(new URL('left-by-the-page', here));
    return {page: here, dir: 'auto', lang: '', words: {}, ...await answer?.json()};
  } catch {
    return {page: here, dir: 'auto', lang: '', words: {}};
  }
}

/** The call pages that are open, the one last looked at first. @returns {Promise<any[]>} */
async function pages() {
  const home = new URL(worker.registration.scope).pathname;
  return (await worker.clients.matchAll({type: 'window', includeUncontrolled: true})).filter((/** @type {any} */ {url}) => new URL(url).pathname === home);
}

/** Asks a page, which may be frozen. @param {any} page @param {object} question @returns {Promise<any>} */
function ask(page, question) {
  return new Promise((resolve) => {
    const {port1, port2} = new MessageChannel();
    port1.onmessage = ({data}) => resolve(data);
    setTimeout(() => resolve(null), 1500);
    page.postMessage(question, [port2]);
  });
}

/** Whether a page that somebody looks at tells of the call itself. @param {Pushed} said */
async function told(said) {
  const seen = (await pages()).filter(({visibilityState}) => visibilityState === 'visible');
  return (await Promise.all(seen.map((page) => ask(page, {turnhub: said.type, call: said.call})))).includes(true);
}

/** @param {Pushed} said */
async function pushed(said) {
  const tag = `call-${said.call}`;
  const {dir, lang, words} = await left();
  const who = said.name || said.user || words.somebody || '';
  const at = new Date(said.at).toLocaleTimeString(lang || undefined, {hour: '2-digit', minute: '2-digit'});
  // The name keeps its own direction.
  const shown = {who: /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/.test(who) || dir === 'rtl' ? `\u2068${who}\u2069` : who, time: at};
  // In one go, and by a function: what a name has in it is nothing but a name.
  const say = (/** @type {string | undefined} */ text) => (text ?? '{who}').replace(/\{(who|time)\}/g, (_, /** @type {'who' | 'time'} */ key) => shown[key]);
  /** @type {any} */ const common = {tag, dir, lang, icon: 'static/icon-192.png', badge: 'static/badge.png', timestamp: said.at};
  if (said.type === 'ring') {
    if (await told(said)) return;
    const actions = words.accept ? [{action: 'accept', title: words.accept}, {action: 'decline', title: words.decline}] : [];
    await worker.registration.showNotification(say(words.ring), {
      ...common, actions, body: words.answer ?? '', requireInteraction: true, renotify: true, vibrate: [300, 200, 300, 1000, 300, 200, 300], data: said,
    });
    return;
  }
  if (await told(said)) {
    for (const each of await worker.registration.getNotifications({tag})) each.close();
    return;
  }
  // Browsers want something to be shown for each push: a word that comes without a sound, in place of what rings.
  await worker.registration.showNotification(say(said.reason === 'missed' ? words.missed : words.elsewhere), {...common, silent: true, data: said});
  if (said.reason === 'missed') return;
  setTimeout(async () => {
    for (const each of await worker.registration.getNotifications({tag})) each.close();
  }, 4000);
}

worker.addEventListener('push', (/** @type {any} */ event) => {
  let said = null;
  try {
    said = event.data?.json();
  } catch {
    // not ours
  }
  if (said?.call) event.waitUntil(pushed(said));
});

/** Declines without a page. @param {Pushed} said */
async function decline({call, decline: secret}) {
  const subscription = await worker.registration.pushManager.getSubscription();
  const body = JSON.stringify({call, decline: secret, endpoint: subscription?.endpoint ?? ''});
  await fetch(new URL('push/decline', worker.registration.scope), {method: 'POST', body});
}

/** Goes on in a page, the one that somebody has looked at last, or a new one. @param {Pushed} said */
async function open(said) {
  const answer = said.type === 'ring' ? said.call : '';
  const [page] = await pages();
  if (page) {
    await page.focus().catch(() => {});
    page.postMessage({turnhub: 'answer', call: answer});
    return;
  }
  const url = new URL((await left()).page);
  if (answer) url.searchParams.set('answer', answer);
  await worker.clients.openWindow(url.href);
}

worker.addEventListener('notificationclick', (/** @type {any} */ event) => {
  const {notification, action} = event;
  notification.close();
  event.waitUntil(action === 'decline' ? decline(notification.data) : open(notification.data));
});

/** Browsers change a subscription when they like: the new one is told to the server, in the name of who is rung. @param {any} event */
async function renew({newSubscription}) {
  const {page, hello} = await left();
  if (!hello) return;
  const url = new URL(page);
  url.protocol = url.protocol.replace('http', 'ws');
  url.pathname += 'ws';
  const socket = new WebSocket(url, 'turnhub.v1');
  try {
    await new Promise((resolve, reject) => {
      const fail = () => reject(new Error('not renewed'));
      setTimeout(fail, 20_000);
      socket.onclose = fail;
      socket.onopen = () => socket.send(JSON.stringify({type: 'hello', ...hello}));
      socket.onmessage = async ({data}) => {
        const said = JSON.parse(data);
        if (said.type === 'welcome') {
          const subscription = newSubscription ?? await subscribed(said.push?.key).catch(fail);
          if (subscription) socket.send(JSON.stringify({type: 'push-subscribe', subscription: subscription.toJSON(), id: 1}));
        } else if (said.id === 1) resolve(socket.send(JSON.stringify({type: 'bye'})));
      };
    });
  } finally {
    socket.close();
  }
}

/** @param {string} key of the server */
async function subscribed(key) {
  const {pushManager} = worker.registration;
  return await pushManager.getSubscription() ?? pushManager.subscribe({userVisibleOnly: true, applicationServerKey: key});
}

worker.addEventListener('pushsubscriptionchange', (/** @type {any} */ event) => event.waitUntil(renew(event).catch(() => {}))); // at its next opening the page says it
