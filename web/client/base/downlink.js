import {home} from './home.js';
import {ask} from './http.js';

/** So many bytes one after the other say what the line takes. */
const enough = 16_000;
/** Files of a page, which come as fast as they can; what is played comes as fast as it is played. */
const kinds = new Set(['script', 'link', 'css', 'img', 'other', 'navigation']);

/** One of just that size that no server makes smaller on its way. */
export const sample = 'static/maskable-512.png';
/** A server that passes it on this slowly says nothing in time, milliseconds. */
const inTime = 8000;

/**
 * Has one file come past the browser's cache, where all of the page's own were in it: at 130 kbit/s that takes a second.
 * @param {typeof fetch} [get] @param {URL | null} [from]
 */
export async function sampleDownlink(get = globalThis.fetch, from = home) {
  // Of a server elsewhere browsers do not say how fast its files came.
  if (from && from.origin === globalThis.location?.origin) await ask(new URL(sample, from), {cache: 'no-store'}, inTime, get);
}

/**
 * What this page's own files show of the line to the server: how fast they came, the fastest run of them. What the browser had already
 * shows nothing: then it is `sampleDownlink` that does.
 * @param {number} [since] performance.now() of the oldest that says something
 * @param {any[]} [entries] of the browser's resource timing
 * @param {string} [origin] of the server: others may be slow by themselves
 * @returns {number} bits per second; Infinity: it is not known
 */
export function downlink(since = 0, entries = timed(), origin = home?.origin ?? globalThis.location?.origin ?? '') {
  const files = entries
    .filter(({name, initiatorType, transferSize, responseStart, responseEnd}) => transferSize > 0 && responseStart > 0 && responseEnd > since
      && (kinds.has(initiatorType) || String(name).endsWith(`/${sample}`)) && String(name).startsWith(`${origin}/`))
    .sort((a, b) => a.responseStart - b.responseStart);
  let fastest = 0, bytes = 0, from = 0, until = -Infinity;
  const end = () => { if (bytes >= enough) fastest = Math.max(fastest, (bytes * 8000) / Math.max(1, until - from)); };
  for (const {responseStart, responseEnd, transferSize} of files) {
    if (responseStart > until) {
      end();
      [bytes, from] = [0, responseStart];
    }
    bytes += transferSize;
    until = Math.max(until, responseEnd);
  }
  end();
  return fastest || Infinity;
}

/** @returns {any[]} */
function timed() {
  const {performance} = globalThis;
  return [...(performance?.getEntriesByType?.('navigation') ?? []), ...(performance?.getEntriesByType?.('resource') ?? [])];
}
