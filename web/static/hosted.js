import {hostedRoom, isHosted, opensAsHost, titleOfRoom} from '/client/turnhub.js';
import {$, el, icon, toast} from './dom.js';
import {nameOf} from './names.js';
import {blip, notify, unnotify} from './ring.js';
import {copyLink} from './share.js';
import {recall, remember} from './settings.js';
import {t, whyOf} from './words.js';

/** @typedef {import('/client/turnhub.js').Call} Call */
/** What the host's panel needs of the page: it is loaded by itself, and would get others of its own. @typedef {typeof tools} Tools */

/** The secrets of so many rooms are kept, those used last. */
const most = 16;

/** @returns {Record<string, string>} by room, the one used last at the end */
function secrets() {
  try {
    const kept = JSON.parse(recall('hosts') || '{}');
    return Object.fromEntries(Object.entries(kept).filter(([, secret]) => typeof secret === 'string'));
  } catch {
    return {};
  }
}

/** The secret that makes this visitor the host of a room, or ''. @param {string} room */
export function secretOf(room) {
  return secrets()[room] ?? (room === linked.room ? linked.secret : '');
}

/** @param {string} room @param {string} secret */
function keepSecret(room, secret) {
  const {[room]: _, ...others} = secrets();
  remember('hosts', JSON.stringify(Object.fromEntries([...Object.entries(others), [room, secret]].slice(-most))));
}

/** Of the address, until it is known to be good, and where this browser keeps nothing. */
const linked = {room: '', secret: ''};

/**
 * The secret leaves the address, which people copy and others look at. One that is not that of the room, as of a link that was cut
 * off or that somebody has made up, is not kept: it would take the place of a good one, and be refused each time.
 * @param {string} room that the address names
 * @param {() => void} wrong the secret is none of this room: the visitor is a guest like everybody
 */
export async function takeSecret(room, wrong) {
  const [, secret] = /&host=([^&]*)$/.exec(location.hash) ?? [];
  if (secret === undefined || !isHosted(room)) return;
  history.replaceState(history.state, '', `${location.pathname}${location.search}#${encodeURIComponent(room)}`);
  const known = secrets()[room];
  if (!known) Object.assign(linked, {room, secret});
  const good = secret === known || await opensAsHost(room, secret).catch(() => null); // null: this page cannot know, the server can
  if (good ?? !known) return keepSecret(room, secret);
  if (good === null || known) return; // who has a good one is the host by that
  if (linked.room === room) linked.secret = '';
  toast(t('host.bad-link'), 'bad');
  wrong();
}

/** The room of the start page, where it has a host, or shall have one. */
export class Hosted {
  /** Whether the visitor wants to let the guests in. */
  wanted = false;
  /** The room's name as people read it. */ #title = '';
  #room = '';
  #secret = '';
  /** Settled when there is the room that is wanted. */ made = Promise.resolve();

  /** A link names the room. @param {string} room */
  use(room) {
    this.wanted = false;
    this.#title = titleOfRoom(room);
    this.#room = room;
    this.#secret = secretOf(room);
  }

  /** Makes a room of that name with a host, or without; there is none where the name is too long. @param {boolean} wanted @param {string} title */
  want(wanted, title) {
    this.wanted = wanted;
    this.#title = title;
    this.#room = this.#secret = '';
    this.made = wanted && title ? this.#make(title) : Promise.resolve();
    return this.made;
  }

  /** @param {string} title */
  async #make(title) {
    const {room, secret} = await hostedRoom(title).catch(() => ({room: '', secret: ''}));
    if (!this.wanted || this.#title !== title) return;
    this.#room = room;
    this.#secret = secret;
  }

  /** The room that is meant by what stands in the field; '' while it is being made. @param {string} title */
  roomFor(title) {
    if (title && title === this.#title && this.#room) return this.#room;
    return this.wanted ? '' : title;
  }

  /** The visitor is the host of this room from now on. */
  keep() {
    if (this.#room && this.#secret) keepSecret(this.#room, this.#secret);
  }

  get mine() { return this.#room !== '' && this.#secret !== ''; }
}

/** The host's own link. @param {string} link of the guests @param {string} room */
export function hostLink(link, room) {
  return `${link}&host=${secretOf(room)}`;
}

const tools = {$, el, icon, toast, nameOf, blip, notify, unnotify, copyLink, t, whyOf};

/** @type {import('./host.js').HostPanel | null} */ let panel = null;

/**
 * Shows in a call what its host does, and to the host what there is to do. The host's panel is loaded when there is one.
 * @param {Call} call @param {import('./controls.js').Controls} controls @param {() => Promise<string>} guestsLink
 */
export function followHost(call, controls, guestsLink) {
  const {hosting, hub} = call;
  const bar = $('#silenced'), ask = /** @type {HTMLButtonElement} */ ($('#ask'));
  let known = false, mine = false, locked = false;
  /** @type {any} */ let hosts = null;
  bar.hidden = true;
  ask.onclick = () => {
    hosting.ask();
    toast(t('host.asked'));
  };
  hosting.on('muted', async (on) => {
    bar.hidden = !on;
    if (on && call.media.sending.audio) await controls.toggle('audio');
    if (!on) toast(t('host.speak'));
  });
  hosting.on('change', async () => {
    const told = known ? [...hosting.hosts].filter((each) => !hosts.has(each)) : [];
    for (const host of told) {
      const peer = [...call.peers].find(({id}) => id === host);
      if (peer) toast(t('host.other', {who: nameOf(peer)}));
    }
    if (hosting.mine && !mine && (told.includes(hub.id) || call.peers.size)) toast(t('host.you'));
    if (known && hosting.locked !== locked) toast(t(hosting.locked ? 'host.locked' : 'host.unlocked'));
    hosts = hosting.hosts;
    ({mine, locked} = hosting);
    known ||= hosting.known;
    if (!mine && !panel) return;
    panel ??= new (await import('./host.js')).HostPanel(tools);
    panel.show(call, guestsLink);
  });
  const off = hub.on('knocking', ({room}) => { if (room === call.room && call.phase === 'active') toast(t('host.wait-again'), 'bad'); });
  call.on('ended', () => {
    off();
    bar.hidden = true;
    panel?.leave();
  });
}
