import {registered} from './away.js';
import {recall} from './settings.js';

/** Sounds made by WebAudio, so that no file has to be fetched when somebody calls. */

/** @type {AudioContext | null} */ let context = null;
/** @type {any} */ let timer = null;
/** @type {any} */ let ending = null;

/**
 * @param {number[]} tones hertz, played one after the other
 * @param {number} length seconds each
 * @param {number} volume 0 to 1
 */
function play(tones, length, volume) {
  context ??= new AudioContext();
  if (context.state === 'suspended') context.resume().catch(() => {});
  let at = context.currentTime + 0.02;
  for (const tone of tones) {
    const oscillator = context.createOscillator(), gain = context.createGain();
    oscillator.type = 'sine';
    oscillator.frequency.value = tone;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(volume, at + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.001, at + length);
    oscillator.connect(gain).connect(context.destination);
    oscillator.start(at);
    oscillator.stop(at + length);
    at += length * 0.8;
  }
  // One that runs makes silence a hundred times a second for as long as the call lasts.
  clearTimeout(ending);
  ending = setTimeout(() => context?.suspend().catch(() => {}), (at - context.currentTime + length) * 1000 + 500);
}

/** Rings until `silence`: at the callee's, or quietly at the caller's. @param {'incoming' | 'outgoing'} kind */
export function ring(kind) {
  silence();
  const once = () => (kind === 'incoming' ? play([659, 784, 988, 784], 0.28, 0.25) : play([440], 1, 0.06));
  once();
  timer = setInterval(once, kind === 'incoming' ? 2000 : 3500);
}

export function silence() {
  clearInterval(timer);
  timer = null;
}

/** @param {'join' | 'leave' | 'chat' | 'knock' | 'record'} what */
export function blip(what) {
  const tones = {join: [523, 784], leave: [659, 440], chat: [880], knock: [392, 392, 587], record: [784, 523, 784]}[what];
  play(tones, 0.14, 0.08);
}

/** What is told while the page is not looked at, one of a kind. @type {Map<'call' | 'door', Notification>} */ const notifications = new Map();

/** Asks for permission to notify; must come from a click. */
export function allowNotifications() {
  if (globalThis.Notification?.permission === 'default') Notification.requestPermission().catch(() => {});
}

/** @param {'call' | 'door'} kind @param {string} title @param {string} [body] */
export function notify(kind, title, body) {
  navigator.vibrate?.([300, 200, 300]);
  if (globalThis.Notification?.permission !== 'granted' || document.visibilityState === 'visible') return;
  if (kind === 'call' && recall('away')) return; // the worker tells of it
  try {
    const notification = new Notification(title, {body, icon: '/static/favicon.svg', tag: kind, requireInteraction: true});
    notifications.set(kind, notification);
    notification.onclick = () => { window.focus(); notification.close(); };
  } catch {
    // phones allow notifications to service workers only
  }
}

/** @param {'call' | 'door'} kind */
export function unnotify(kind) {
  notifications.get(kind)?.close();
  notifications.delete(kind);
}

/** What the worker shows of a call that does not ring any more. @param {string} call */
export async function unnotifyAway(call) {
  const shown = await (await registered())?.getNotifications({tag: `call-${call}`}) ?? [];
  for (const each of shown) if (each.data?.type === 'ring') each.close(); // else it says already what came of the call
}
