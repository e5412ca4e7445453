import {el} from './dom.js';
import {lookOf} from './names.js';

/** What reads as an address in a text: up to a blank, a quotation mark or a mark that turns the writing around. */
const address = /\bhttps?:\/\/[^\s<>"\u0000-\u001f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]+/gi;

/** What ends a sentence does not belong to an address, and a bracket only where it was opened there. @param {string} found */
function trimmed(found) {
  for (;;) {
    const last = found.at(-1) ?? '', opening = {')': '(', ']': '['}[last];
    if (opening ? found.split(last).length <= found.split(opening).length : !/[.,:;!?'’”»…*]/.test(last)) return found;
    found = found.slice(0, -1);
  }
}

/** Whether part of a host's name has letters beside a to z, and can be taken for one that has none. @param {string} label */
const disguised = (label) => /[^\0-\x7f]/.test(label.normalize('NFKD').replace(/\p{M}/gu, '')) && /^[a-z0-9-]+$/.test(lookOf(label));

/**
 * How an address is shown: as it was written, but where it is not what it looks like as the browser's own line would show it.
 * @param {string} written @param {URL} url
 */
function shownAs(written, url) {
  const [, host = ''] = /^https?:\/\/([^/?#\\]*)/i.exec(written) ?? [];
  // Other dots of the world part a host's name too (RFC 3490, section 3.1), in their plain form these two.
  return host.replace(/:\d*$/, '').normalize('NFKC').split(/[.\u3002]/).some(disguised) ? url.href : written;
}

/**
 * A text in which addresses of the web can be followed, and nothing else is more than text.
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function withLinks(text) {
  /** @type {(Node | string)[]} */ const parts = [];
  let from = 0, searched = 0;
  for (const [found] of text.matchAll(address)) {
    const at = text.indexOf(found, searched);
    searched = at + found.length;
    const shown = trimmed(found);
    /** @type {URL} */ let url;
    try {
      url = new URL(shown);
    } catch {
      continue;
    }
    // "https://bank.example@evil.example" is not what it looks like.
    if (!/^https?:$/.test(url.protocol) || url.username || url.password) continue;
    parts.push(text.slice(from, at), el('bdi', {}, el('a', {href: url.href, target: '_blank', rel: 'noopener noreferrer', dir: 'ltr'}, shownAs(shown, url))));
    from = at + shown.length;
  }
  return [...parts, text.slice(from)];
}
