import {nearestRoom, plainName, roomOf} from './rooms.js';

/**
 * What this browser remembers of its visitor, and what the address says. Storage may be forbidden, as in a frame of
 * another site's page: then it is known until the page is closed.
 */

/** @type {Map<string, string>} */ const known = new Map();

/** @param {string} key @returns {string} */
export function recall(key) {
  const here = known.get(key);
  if (here !== undefined) return here;
  try {
    return localStorage.getItem(`turnhub.${key}`) ?? '';
  } catch {
    return '';
  }
}

/** @param {string} key @param {string} value */
export function remember(key, value) {
  try {
    if (value) localStorage.setItem(`turnhub.${key}`, value);
    else localStorage.removeItem(`turnhub.${key}`);
    known.delete(key);
  } catch {
    known.set(key, value);
  }
}

/** What holds until the page is closed, and is not kept: another page has said it. @param {string} key @param {string} value */
export function suppose(key, value) {
  known.set(key, value);
}

/** What this visitor is called; an earlier page, or another program of this site, may have left anything. */
export const ownName = () => plainName(recall('name'));

/** The call name of this visitor, if the server can take it: `s_` begins the ids of its sessions. */
export const ownUser = () => (isUser(recall('user')) ? recall('user') : '');

/** @param {string} user */
const isUser = (user) => /^(?!s_)[\w.@-]{1,64}$/.test(user);

/** The secrets of call names that came from this person's other devices or went there, by name. @returns {Record<string, string>} */
export function carriedNames() {
  /** @type {Record<string, string>} */ const names = Object.create(null); // somebody may be called "constructor"
  try {
    return Object.assign(names, JSON.parse(recall('names') || '{}'));
  } catch {
    return names;
  }
}

/** The secret that keeps others from taking this person's call name. @param {string} [user] the name; another tab may have taken another one */
export function userSecret(user = ownUser()) {
  const carried = carriedNames()[user];
  if (carried) return carried;
  const kept = recall('secret');
  if (kept) return kept;
  const made = [...crypto.getRandomValues(new Uint8Array(24))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  remember('secret', made);
  return made;
}

const query = new URLSearchParams(location.search);

/**
 * A link that another device of this person's has made offers its call name (carry.js). It leaves the address, which people
 * copy and others look at. @param {string} [room] in which the visitor is
 */
export function takeOffer(room = '') {
  // One that was altered on its way leaves it too: it would be taken for a room, whose name everybody there hears.
  const found = /^#user=([^&]*)&secret=([^&]*)/.exec(location.hash);
  if (!found) return null;
  history.replaceState(history.state, '', `${location.pathname}${location.search}${room && `#${encodeURIComponent(room)}`}`);
  try {
    const [user, secret] = found.slice(1).map((text) => decodeURIComponent(text));
    return isUser(user) && secret.length >= 8 && secret.length <= 128 ? {user, secret} : null;
  } catch {
    return null;
  }
}

/** The one by which the page was opened. */
export const offered = takeOffer();

/** What the link names as its room: `/#room` or `/?room=room`. It may be no name for one. */
function asked() {
  const hash = location.hash.slice(1).replace(/&host=[^&]*$/, ''); // which hosted.js takes
  try {
    return decodeURIComponent(hash) || (query.get('room') ?? '');
  } catch {
    return hash; // with a % that is just that
  }
}

/** The room that the link names; '' where it names none, or by a name that no room can have. */
export function linkedRoom() {
  return roomOf(asked());
}

/** A link whose room can have no such name: the name, and the nearest one that a room can have, the same for whoever has this link. */
export function misnamedRoom() {
  const name = asked();
  if (!name || linkedRoom()) return null;
  return {name, near: nearestRoom(name)};
}

/**
 * `?token=`, for servers where not everybody may call. It leaves the address, which people copy and others look at; the
 * tab remembers it for when the page is loaded again (refused.js).
 */
export const token = (() => {
  const key = 'turnhub.token';
  const given = query.get('token');
  try {
    if (!given) return sessionStorage.getItem(key) ?? undefined;
    sessionStorage.setItem(key, given);
  } catch {
    return given ?? undefined;
  }
  query.delete('token');
  history.replaceState(history.state, '', `${location.pathname}${String(query) && `?${query}`}${location.hash}`);
  return given;
})();

/** `/?embed`: the page is a part of another one, which may say who the visitor is. */
export const embedded = query.has('embed') ? {name: plainName(query.get('name') ?? ''), join: query.has('join')} : null;

/** The address of another page of this server, for another tab. @param {string} path */
export function linkHere(path) {
  return token ? `${path}?${new URLSearchParams({token})}` : path;
}

/** `?relay=1` and `?transport=udp|tcp|tls`: never directly, for tests and troubleshooting. */
export const troubleshooting = {
  iceTransportPolicy: /** @type {RTCIceTransportPolicy} */ (query.has('relay') && query.get('relay') !== '0' ? 'relay' : 'all'),
  transport: /** @type {'udp' | 'tcp' | 'tls' | undefined} */ (
    ['udp', 'tcp', 'tls'].includes(query.get('transport') ?? '') ? query.get('transport') : undefined),
};

/** The link by which another device takes a call name over. @param {string} user @param {string} secret */
export function linkToName(user, secret) {
  return `${location.origin}${location.pathname}#user=${user}&secret=${encodeURIComponent(secret)}`;
}

/** The link to a room, which keeps none of the visitor's own parameters. @param {string} room @param {string} [invitation] */
export function linkTo(room, invitation = '') {
  return `${location.origin}${location.pathname}${invitation && `?${new URLSearchParams({token: invitation})}`}#${encodeURIComponent(room)}`;
}
