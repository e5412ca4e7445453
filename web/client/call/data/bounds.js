/**
 * What is taken from a peer. The limits of who sends are no protection: whoever wrote the other side may have left them
 * out. So everything that comes over a data channel is held against these, once, where it comes in.
 */

import {leastAsked} from '../path/asking.js';

/** The longest message on the data channel, characters; the longest of our own, chat, is well below. */
const messageLimit = 64 * 1024;
/** The longest chat message that is shown, characters. */
export const chatLimit = 16 * 1024;
/** The longest name of a file, characters: file systems hold no more. */
const nameLimit = 255;
const mimeLimit = 127, keyLimit = 80;

export const paths = ['direct', 'relay-udp', 'relay-tcp', 'relay-tls'];

/** @param {unknown} data @returns {data is string} */
export function isText(data) {
  return typeof data === 'string' && data.length <= messageLimit;
}

/** A name of a message or a file, as made by `randomUUID`. @param {unknown} key @returns {key is string} */
export function isKey(key) {
  return typeof key === 'string' && key !== '' && key.length <= keyLimit;
}

/**
 * The name of a file, as it may be shown and saved: without what controls a terminal or turns the writing around (so
 * that "exe.txt" is not shown for "txt.exe"), without folders, and of a length that file systems hold.
 * @param {string} name
 */
export function nameWithin(name) {
  const plain = name.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu, '').replace(/[\\/]/g, '_').trim();
  const characters = [...plain];
  if (characters.length <= nameLimit && plain.length <= nameLimit) return plain || 'file';
  // The ending says what it is, so it is kept.
  const ending = /\.[^.]{1,16}$/.exec(plain)?.[0] ?? '';
  let kept = '';
  for (const character of characters) {
    if (kept.length + character.length + ending.length > nameLimit) break;
    kept += character;
  }
  return kept + ending;
}

/** A media type, or nothing. @param {unknown} mime */
export function mimeOf(mime) {
  return typeof mime === 'string' && mime.length <= mimeLimit && /^[\w.+-]+\/[\w.+-]+(;[ -~]*)?$/.test(mime) ? mime : '';
}

/**
 * A file that is offered; null where it is none.
 * @param {any} message
 */
export function fileOffer({id, name, size, mime}) {
  if (!isKey(id) || typeof name !== 'string' || !Number.isSafeInteger(size) || size < 0) return null;
  return {id, name: nameWithin(name), size: Number(size), mime: mimeOf(mime)};
}

/**
 * A message that is timed, see PathTiming; `pad`: bytes by which it is longer than others.
 * @typedef {{type: 'ping' | 'pong', n: number, at: number, got: number, most: number, late: number, pad: number}} Timed
 */

/** No line takes more, bits per second, and no page is later, milliseconds. */
const mostRate = 1e10, mostLate = 5000;

/**
 * A message that is timed; null where it is none. What it asks for can lower what is sent to whoever asks, and not below
 * what carries sound.
 * @param {any} message
 * @returns {Timed | null}
 */
export function timed({type, n, at, got, most, late, pad}) {
  if (!Number.isSafeInteger(n) || n < 0 || !Number.isFinite(at)) return null;
  const rate = (/** @type {unknown} */ value) => (Number.isFinite(value) && Number(value) >= 0 ? Math.min(Number(value), mostRate) : null);
  const wanted = rate(most);
  return {type, n, at, got: rate(got) ?? 0, most: wanted === null ? Infinity : Math.max(leastAsked, wanted),
    late: Math.min(rate(late) ?? 0, mostLate), pad: typeof pad === 'string' ? pad.length : 0};
}

/** As few pixels as one may ask for, so that a picture stays one, and as many as there are screens for. */
const leastShown = 160 * 90, mostShown = 1e8;

/** How many pixels of a picture can be seen; null where it is no number. @param {unknown} pixels */
export function pixelsShown(pixels) {
  return Number.isFinite(pixels) && Number(pixels) >= 0 ? Math.min(mostShown, Math.max(leastShown, Number(pixels))) : null;
}

/** @type {readonly unknown[]} */ const lineStates = ['wide', 'narrow', 'no-picture'];

/** @param {unknown} state @returns {state is import('../path/line.js').LineState} */
export function isLineState(state) {
  return lineStates.includes(state);
}
