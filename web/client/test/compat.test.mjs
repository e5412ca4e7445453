// Whatever the client and the pages use exists in every browser that docs/browsers.md promises, or stands behind a check.
import test from 'node:test';
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {used} from './used.mjs';
import {guarded, harmful, interfaces} from './guarded.mjs';

const {api, javascript: {builtins}} = createRequire(import.meta.url)('@mdn/browser-compat-data');
const document = readFileSync(new URL('../../../docs/browsers.md', import.meta.url), 'utf8');
/** Rows of the table of promises: `| Chrome | 105 |`. */
const names = {'Chrome, Edge': 'chrome', 'Chrome on Android': 'chrome_android', 'Firefox': 'firefox', 'Firefox on Android': 'firefox_android',
  'Safari on macOS': 'safari', 'Safari on iOS': 'safari_ios'};
const promised = Object.entries(names).map(([name, id]) => {
  const [, version] = new RegExp(`^\\| ${name} \\| ([\\d.]+) \\|`, 'm').exec(document) ?? assert.fail(`docs/browsers.md promises no version of ${name}`);
  return {name, id, version: Number(version)};
});

/** Names of the compiler's library that the data calls otherwise. */
const called = {ReadonlyArray: 'Array', ReadonlyMap: 'Map', CallableFunction: 'Function', Float32Array: 'TypedArray', Uint8Array: 'TypedArray', Uint8ClampedArray: 'TypedArray', BigUint64Array: 'TypedArray', Console: 'console', Option: 'HTMLOptionElement'};
/** What the compiler declares on one interface and the data has on another. */
const elsewhere = {'Uint8ArrayConstructor.from': ['TypedArray', 'from'], 'Float32ArrayConstructor.from': ['TypedArray', 'from'], 'HTMLElement.onsubmit': ['HTMLFormElement', 'submit_event'], 'HTMLElement.onclose': ['HTMLDialogElement', 'close_event']};

/** @param {string} key @param {import('./used.mjs').Use} use @returns {{support: any} | null | undefined} null: there is no entry for it; undefined: it is no interface */
function entry(key, {names: interfaces, member}) {
  const [home, name] = elsewhere[key] ?? [];
  if (home) return (api[home] ?? builtins[home])[name].__compat;
  const known = [];
  for (const each of interfaces) {
    const id = called[each] ?? each.replace(/Constructor$/, '');
    const found = api[id] ?? builtins[id] ?? builtins.Intl[id];
    if (!found) continue;
    known.push(id);
    const compat = member ? (found[member] ?? found[`${member.replace(/^on/, '')}_event`] ?? found[`${member}_static`])?.__compat : found.__compat;
    if (compat) return compat;
  }
  const global = member || interfaces[0]; // of the window
  const compat = (api[global] ?? api.Window[global] ?? api.EventTarget[global])?.__compat;
  if (compat && (!member || !known.length)) return compat;
  return known.length ? null : undefined;
}

/** Constants, signatures and styles: no entries of their own. */
const without = /^(?:[A-Za-z]+\.(?:[A-Z]+|prototype|__index)|CSSStyleDeclaration\.\w+|ImportMeta\.url)$/;

/** Whether a browser of that version has it, if not all of it. @param {any} support @param {number} version */
const has = (support, version) => [support].flat().some(({version_added: added, version_removed: removed, flags, prefix, alternative_name: other}) =>
  added && added !== 'preview' && !flags && !prefix && !other && number(added) <= version && (!removed || number(removed) > version));
const number = (/** @type {string} */ text) => parseFloat(String(text).replace('≤', ''));

const uses = used();

test('what is used exists in the browsers that are promised, or is guarded', () => {
  assert.ok(uses.size > 300 && uses.has('RTCPeerConnection.setLocalDescription'), 'the compiler finds what is used');
  /** @type {string[]} */ const missing = [], unknown = [];
  const unneeded = new Set(Object.keys({...guarded, ...interfaces}));
  for (const [key, use] of uses) {
    if (without.test(key)) continue;
    const compat = entry(key, use);
    if (compat === null) unknown.push(`${key} (${use.where})`);
    if (!compat) continue; // a dictionary
    const lacking = promised.filter(({id, version}) => !has(compat.support[id], version)).map(({name, version}) => `${name} ${version}`);
    if (!lacking.length) continue;
    const [home] = key.split('.');
    unneeded.delete(key);
    unneeded.delete(home);
    if (!guarded[key] && !interfaces[home]) missing.push(`${key} is not in ${lacking.join(', ')}: ${use.where}`);
  }
  assert.deepEqual(missing, [], 'put it behind a check, and into guarded.mjs with what happens without it');
  assert.deepEqual([...unneeded], [], 'guarded, and not needed any more');
  assert.deepEqual(unknown, [], 'the data has no entry for it: see `called` and `elsewhere`');
});

test('nothing is used that makes a browser stand still', () => {
  for (const [key, why] of Object.entries(harmful)) {
    assert.ok(entry(key, {names: [key.split('.')[0]], member: key.split('.')[1], where: ''})?.support, `${key}: no browser has it`);
    assert.equal(uses.get(key)?.where, undefined, `${key}: ${why}`);
  }
});
