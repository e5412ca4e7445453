import {randomRoom} from './roomname.js';

/** The end of a name that says that its room has a host: the mark, and a digest (protocol.md, "Rooms with a host"). */
const mark = /~(host|keep)\.[\w-]{43}$/;
/** What the mark and the digest leave for the name, of the 128 bytes that it may have. */
const most = 128 - '~host.'.length - 43;

/** Whether a room has a host who lets the others in: its name says so. @param {string} room */
export function isHosted(room) {
  return mark.test(room);
}

/** The name of a room as people read it: without what says that it has a host. @param {string} room */
export function titleOfRoom(room) {
  return room.replace(mark, '');
}

/** @param {Uint8Array} bytes */
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

/**
 * A room with a host, of which nobody else has to know before: whoever joins it with the secret is its host, everybody
 * else waits until the host lets them in. The secret belongs into the host's own link alone.
 * @param {string} [title] what people read, at most 79 bytes
 * @param {object} [options]
 * @param {boolean} [options.follows] when the last host has left, whoever has been there longest is the host
 * @returns {Promise<{room: string, secret: string}>} rejected where the page has no secure address, or the title is too long
 */
export async function hostedRoom(title = randomRoom(), {follows = true} = {}) {
  title = title.normalize();
  if (!globalThis.crypto?.subtle) throw new Error('hostedRoom needs a page with a secure address (https://)');
  if (new TextEncoder().encode(title).length > most) throw new RangeError(`the title of a room with a host has at most ${most} bytes`);
  const prefix = `${title}~${follows ? 'host' : 'keep'}.`;
  const secret = base64url(crypto.getRandomValues(new Uint8Array(16)));
  return {room: await roomBy(prefix, secret), secret};
}

/** @param {string} prefix @param {string} secret */
async function roomBy(prefix, secret) {
  return prefix + base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(prefix + secret))));
}

/**
 * Whether this is the secret by which one is the host of a room, as in a host's link that is whole. Nobody has to be asked: it
 * is in the room's name.
 * @param {string} room
 * @param {string} secret
 * @returns {Promise<boolean>} rejected where the page has no secure address
 */
export async function opensAsHost(room, secret) {
  if (!isHosted(room)) return false;
  if (!globalThis.crypto?.subtle) throw new Error('opensAsHost needs a page with a secure address (https://)');
  return await roomBy(room.slice(0, -43), secret) === room;
}
