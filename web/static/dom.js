import {t} from './words.js';

/**
 * The element that the page has for this selector.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} selector
 * @returns {T}
 */
export function $(selector) {
  const found = document.querySelector(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return /** @type {T} */ (/** @type {unknown} */ (found));
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [attributes] `class`, `aria-…`, `data-…`, `on…`; `false` and `null` leave one out
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children);
  return element;
}

/** @param {string} name of a symbol in icons.svg */
export function icon(name) {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(space, 'use');
  use.setAttribute('href', `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Changes a button's icon and name, or the icon alone. @param {Element} button @param {string} name @param {string} [label] */
export function dress(button, name, label) {
  button.querySelector('use')?.setAttribute('href', `/static/icons.svg#${name}`);
  if (label === undefined || !(button instanceof HTMLElement)) return;
  button.setAttribute('aria-label', label);
  const key = button.getAttribute('aria-keyshortcuts');
  button.title = key ? t('device.with-key', {label, key: key.toUpperCase()}) : label;
}

/** A short message that goes by itself. @param {string} text @param {'info' | 'bad'} [kind] */
export function toast(text, kind = 'info') {
  const note = el('p', {class: `toast ${kind}`}, text);
  $('#toasts').append(note);
  setTimeout(() => note.remove(), 6000);
}

/** What a reader takes for one letter, whatever it is made of. @param {string} word */
const letters = (word) => ('Segmenter' in Intl ? [...new Intl.Segmenter().segment(word)].map(({segment}) => segment) : [...word]);

/** The letters of an avatar. @param {string} name */
export function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean).map(letters);
  return (words.length > 1 ? words[0][0] + words[words.length - 1][0] : (words[0] ?? ['?']).slice(0, 2).join('')).toUpperCase();
}

/** A colour of its own for each name: one of twelve classes. @param {string} name */
export function hue(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 997;
  return `hue-${hash % 12}`;
}

/** @param {HTMLElement} avatar @param {string} name */
export function paintAvatar(avatar, name) {
  avatar.textContent = initials(name);
  for (const old of [...avatar.classList]) if (old.startsWith('hue-')) avatar.classList.remove(old);
  avatar.classList.add(hue(name));
}
