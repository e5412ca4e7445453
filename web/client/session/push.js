import {HubError} from '../base/codes.js';

/** @typedef {import('./hub.js').Hub} Hub */

/** @param {string} base64url */
function bytesOf(base64url) {
  const text = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Whether a subscription is bound to this key; a browser that does not say so is believed. @param {PushSubscription} subscription @param {Uint8Array} key */
function isFor(subscription, key) {
  const bound = subscription.options?.applicationServerKey;
  if (!bound) return true;
  const bytes = new Uint8Array(bound);
  return bytes.length === key.length && bytes.every((byte, i) => byte === key[i]);
}

/**
 * Has this browser rung by its push service (protocol.md, "Called while the page is closed").
 * @param {Hub} hub @param {ServiceWorkerRegistration} registration
 */
export async function ringWhenAway(hub, registration) {
  if (!hub.pushKey) throw new HubError('forbidden', 'this server rings nobody by push, or this session has no user that lasts');
  const key = bytesOf(hub.pushKey);
  let subscription = await registration.pushManager.getSubscription();
  if (subscription && !isFor(subscription, key)) {
    await subscription.unsubscribe();
    subscription = null;
  }
  subscription ??= await registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: key});
  await hub.request({type: 'push-subscribe', subscription: subscription.toJSON()});
  return subscription;
}

/** The opposite. What the server is not told it finds out. @param {Hub} hub @param {ServiceWorkerRegistration} registration */
export async function ringNoMore(hub, registration) {
  const subscription = await registration.pushManager.getSubscription();
  if (!subscription) return;
  const told = hub.pushKey ? hub.request({type: 'push-unsubscribe', endpoint: subscription.endpoint}) : Promise.resolve();
  await Promise.all([subscription.unsubscribe(), told.catch(() => {})]);
}
