/**
 * The call page as a part of another page: /?embed in an iframe. Loaded there only. What the two say to each other is
 * described in docs/client.md ("In one paste"). The browser shows this page in none that access.embed_origins does not
 * name (frame-ancestors), so whoever is above may hear it, and be obeyed.
 */

/** @typedef {import('/client/turnhub.js').Call} Call */
/** @typedef {import('/client/turnhub.js').LocalMedia} LocalMedia */

/**
 * What the page does on an order from above.
 * @typedef {object} Deeds
 * @property {() => void} join
 * @property {() => void} leave
 * @property {LocalMedia} media
 * @property {() => string} room
 */

const query = new URLSearchParams(location.search);

/** @param {string} type @param {object} what */
const tell = (type, what) => { if (parent !== window) parent.postMessage({turnhub: 1, type, ...what}, '*'); };

/** @param {string} color `#rgb` or `#rrggbb`, with or without the sign @returns {number[] | null} red, green, blue of 0 to 1 */
function parse(color) {
  const digits = /^#?([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(color)?.[1];
  if (!digits) return null;
  const long = digits.length === 3 ? [...digits].map((digit) => digit + digit).join('') : digits;
  return [0, 2, 4].map((at) => parseInt(long.slice(at, at + 2), 16) / 255);
}

/** Relative luminance (WCAG 2.2). @param {number[]} color */
function luminance(color) {
  const [red, green, blue] = color.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Contrast of two colours, 1 to 21 (WCAG 2.2). @param {number[]} one @param {number[]} other */
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** @param {number[]} color @param {number[]} toward @param {number} share */
const mix = (color, toward, share) => color.map((part, i) => part + (toward[i] - part) * share);
/** @param {number[]} color */
const css = (color) => `rgb(${color.map((part) => Math.round(part * 255)).join(' ')})`;

/** The least contrast of text (WCAG 2.2, 1.4.3). */
const readable = 4.5;

/** Takes the colours of the address, as far as text stays readable on them. */
function paint() {
  const style = document.documentElement.style, now = getComputedStyle(document.documentElement);
  /** @param {string} name @returns {number[]} what the page has */
  const own = (name) => parse(now.getPropertyValue(`--${name}`).trim()) ?? [0, 0, 0];
  const asked = Object.fromEntries(['accent', 'background', 'surface', 'text'].map((name) => [name, parse(query.get(name) ?? '')]));
  const background = asked.background ?? own('bg'), surface = asked.surface ?? asked.background ?? own('surface'), text = asked.text ?? own('text');
  const grounds = [background, surface];
  if (asked.background || asked.surface || asked.text) {
    if (grounds.every((ground) => contrast(ground, text) >= readable)) {
      const quiet = mix(text, background, 0.25);
      const set = {bg: background, surface, sunken: mix(background, text, 0.05), line: mix(background, text, 0.18), field: mix(background, text, 0.5), text,
        quiet: grounds.every((ground) => contrast(ground, quiet) >= readable) ? quiet : text};
      for (const [name, color] of Object.entries(set)) style.setProperty(`--${name}`, css(color));
      style.colorScheme = luminance(background) > 0.18 ? 'light' : 'dark';
    } else {
      console.warn('turnhub: text of this colour could not be read on that background: both are left as they are');
      return;
    }
  }
  const {accent} = asked;
  if (!accent) return;
  if (grounds.some((ground) => contrast(ground, accent) < 3)) return console.warn('turnhub: an accent of this colour could not be seen here: it is left as it is');
  const on = contrast(accent, [1, 1, 1]) >= readable ? [1, 1, 1] : [0, 0, 0];
  for (const [name, color] of Object.entries({accent, 'accent-strong': mix(accent, on[0] ? [0, 0, 0] : [1, 1, 1], 0.2), 'on-accent': on, 'accent-soft': mix(background, accent, 0.15)})) {
    style.setProperty(`--${name}`, css(color));
  }
}

/** What the page above is told, and may order. */
export class Embedding {
  #deeds;
  #devices = '';

  /** @param {Deeds} deeds */
  constructor(deeds) {
    this.#deeds = deeds;
    paint();
    const {media} = deeds;
    media.on('change', () => this.#tellDevices());
    addEventListener('message', ({source, data}) => {
      if (source !== parent || parent === window || data?.turnhub !== 1) return;
      if (data.type === 'join') deeds.join();
      else if (data.type === 'leave') deeds.leave();
      else if (data.type === 'mute') {
        for (const kind of /** @type {const} */ (['audio', 'video'])) if (typeof data[kind] === 'boolean' && media.enabled[kind] === data[kind]) media.toggle(kind);
      }
    });
  }

  /** The page takes orders now. */
  ready() {
    tell('ready', {room: this.#deeds.room()});
    this.#tellDevices();
  }

  #tellDevices() {
    const {audio, video, screen} = this.#deeds.media.sending;
    const now = {audio, video, screen}, said = JSON.stringify(now);
    if (said !== this.#devices) tell('devices', now);
    this.#devices = said;
  }

  /** Tells of a call from its beginning to its end. @param {Call} call */
  follow(call) {
    const people = () => tell('people', {people: [...call.peers].map(({id, name}) => ({id, name}))});
    let begun = false; // the page has a call ready before anybody wants it, and puts another in its place
    call.on('phase', (phase) => {
      begun ||= phase !== 'ended';
      if (phase === 'active') tell('joined', {room: call.room});
    });
    call.on('peer', (peer) => { people(); peer.on('name', people); });
    call.on('peer-left', people);
    call.on('ended', ({reason}) => { if (begun) tell('left', {reason}); });
  }

  /** The call could not be joined. @param {unknown} error */
  failed(error) {
    const {code, message} = /** @type {any} */ (error);
    tell('error', {code: String(code ?? ''), message: String(message ?? error)});
  }
}
