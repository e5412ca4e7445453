import {el} from './dom.js';

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
    parts.push(text.slice(from, at), el('bdi', {}, el('a', {href: url.href, target: '_blank', rel: 'noopener noreferrer', dir: 'ltr'}, shown)));
    from = at + shown.length;
  }
  return [...parts, text.slice(from)];
}
