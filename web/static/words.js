/**
 * The texts of the page in its language. The server has chosen the language and put into the page what its scripts need of
 * words/LANGUAGE.json; a key is AREA.NAME there.
 *
 * Values stand in braces, as in "{who} has left". Numbers are written as the language writes them, and choose the form
 * where the text has several: the first number among the values does, by the plural rules of the language.
 */

/** @typedef {typeof import('./words/en.json')} Words */
/** @typedef {{[Area in keyof Words]: `${Area}.${keyof Words[Area] & string}`}[keyof Words]} Key */
/** @typedef {Record<string, string | number>} Values */

/** @type {Record<string, Record<string, string | Record<string, string>>>} */ let words = {};
/** Such as "de". */ let language = 'en';
/** That of the page. */ let direction = 'ltr';
/** The visitor's own kind of it, such as "de-AT", for times and numbers. */ let locale = 'en';

/**
 * From here on the page speaks this language.
 * @param {string} tag @param {typeof words} texts
 */
export function speak(tag, texts) {
  words = texts;
  language = tag;
  direction = String(texts.language?.dir ?? globalThis.document?.documentElement.dir ?? 'ltr');
  locale = globalThis.navigator?.languages?.find((each) => each === tag || each.startsWith(`${tag}-`)) ?? tag;
}

if (globalThis.document) speak(document.documentElement.lang, JSON.parse(document.getElementById('words')?.textContent ?? '{}'));

/** All texts of the language, for what is seldom used and not in the page. Where they cannot be had, those that are there remain. */
export async function learn() {
  const answer = await fetch(`/static/words/${language}.json`).catch(() => null);
  if (answer?.ok) speak(language, await answer.json());
}

/** @param {Key} key @param {Values} values */
function pattern(key, values) {
  const at = key.indexOf('.');
  const text = words[key.slice(0, at)]?.[key.slice(at + 1)] ?? key;
  if (typeof text === 'string') return text;
  const count = Object.values(values).find((value) => typeof value === 'number') ?? 0;
  return text[new Intl.PluralRules(language).select(/** @type {number} */ (count))] ?? text.other;
}

/** What is written from right to left. */
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * A value that keeps its own direction within a text and does not change that of the rest: between marks of its own where
 * either of the two runs from right to left (Unicode TR 9, FSI and PDI). Marks that the value has itself are kept in pairs.
 * @param {string} value
 */
function isolated(value) {
  const marked = /[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/.test(value);
  if (!marked && (direction === 'rtl' ? !/\p{L}/u.test(value) : !rightToLeft.test(value))) return value; // digits go either way
  let open = 0;
  const closed = value.replace(/[\u202a-\u202e\u2066-\u2069]/g, (mark) => {
    if (mark < '\u2066' || (mark === '\u2069' && open === 0)) return '';
    open += mark === '\u2069' ? -1 : 1;
    return mark;
  });
  return `\u2068${closed}${'\u2069'.repeat(open)}\u2069`;
}

/** The text of a key, with these values in it. @param {Key} key @param {Values} [values] */
export function t(key, values = {}) {
  return pattern(key, values).replace(/\{([a-z]+)\}/g, (_, name) => {
    const value = values[name] ?? '';
    return typeof value === 'number' ? number(value) : isolated(value);
  });
}

/** The same where a value is an element. @param {Key} key @param {Record<string, Node | string>} values */
export function nodesOf(key, values) {
  return pattern(key, {}).split(/\{([a-z]+)\}/g).map((part, i) => (i % 2 ? values[part] ?? '' : part)).filter((part) => part !== '');
}

/** Whether there is a text for this code. @param {string} area @param {string} code */
export function has(area, code) {
  return Object.hasOwn(words[area] ?? {}, code);
}

/** A number as the language writes it. @param {number} value @param {number} [decimals] */
export function number(value, decimals = 0) {
  return new Intl.NumberFormat(locale, {minimumFractionDigits: decimals, maximumFractionDigits: decimals, useGrouping: 'min2'}).format(value);
}

/** The time of day now. */
export function now() {
  return new Intl.DateTimeFormat(locale, {hour: '2-digit', minute: '2-digit'}).format(new Date());
}

/** The time so many milliseconds ago, with the day where that was another one. @param {number} ago */
export function before(ago) {
  const at = new Date(Date.now() - ago);
  if (at.toDateString() === new Date().toDateString()) return new Intl.DateTimeFormat(locale, {hour: '2-digit', minute: '2-digit'}).format(at);
  return new Intl.DateTimeFormat(locale, {weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit'}).format(at);
}

/** Several names one after the other. @param {string[]} names */
export function listed(names) {
  return new Intl.ListFormat(locale, {type: 'unit', style: 'short'}).format(names);
}

/** With a capital letter, for a text that stands alone. @param {string} text */
export function capital(text) {
  return text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);
}

/** A size in bytes. @param {number} bytes */
export function sizeOf(bytes) {
  if (bytes < 1000) return t('unit.B', {value: bytes});
  if (bytes < 1e6) return t('unit.kB', {value: Math.round(bytes / 1000)});
  return t('unit.MB', {value: number(bytes / 1e6, 1)});
}

/** Why something failed that the server or the client library answered with a code. @param {unknown} error */
export function whyOf(error) {
  const {code = ''} = /** @type {{code?: import('/client/turnhub.js').HubErrorCode}} */ (error ?? {});
  return code && has('error', code) ? t(`error.${code}`) : t('error.unknown');
}
