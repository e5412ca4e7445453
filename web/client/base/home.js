import {HubError} from './codes.js';
import {ask} from './http.js';

/**
 * The server that a module came from. A page of another origin that imports `https://calls.example.org/client/turnhub.js`
 * means that server, not its own. Copies (npm, bundles, files) come from no turnhub and have to be told.
 * @param {string | undefined} module its `import.meta.url`; bundlers leave nothing of it, or where the file was at build time
 * @returns {URL | null} null: it came from no server
 */
export function serverOf(module) {
  try {
    const url = new URL(module ?? '');
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return null;
    return new URL(/^.*\/(?=(?:client|static)\/)/.exec(url.pathname)?.[0] ?? '/', url); // it may be below a path (public_path)
  } catch {
    return null;
  }
}

/** The server that this module came from; null: none. */
export const home = serverOf(import.meta.url);

/**
 * A WebSocket URL of the server: `given`, which may be relative to the server that this module came from.
 * @param {string} given @param {string} option how the program says it, for the error
 * @param {URL | null} [from]
 * @returns {URL} throws a HubError `no-hub` where nobody can know it
 */
export function socketURL(given, option, from = home) {
  /** @type {URL} */ let url;
  try {
    url = new URL(given, from ?? undefined);
  } catch {
    const why = from ? `“${given}” is no URL` : 'this copy of turnhub.js was not loaded from a turnhub server, so it does not know where the server is';
    throw new HubError('no-hub', `${why}: say it in full, ${option}`);
  }
  if (url.protocol === 'http:') url.protocol = 'ws:';
  if (url.protocol === 'https:') url.protocol = 'wss:';
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    throw new HubError('no-hub', `“${given}” is no address of a server: say it in full, ${option}`);
  }
  url.hash = '';
  return url;
}

/**
 * Another path of the server whose socket this is, over HTTP. The token in its query stays.
 * @param {URL} socket @param {string} path beside the socket's own
 */
export function beside(socket, path) {
  const url = new URL(socket);
  url.protocol = url.protocol === 'ws:' ? 'http:' : 'https:';
  url.pathname = url.pathname.replace(/[^/]*$/, path);
  return url;
}

/** What an access token may lack: `missing` where there is none. */
const refusals = /** @type {const} */ (['missing', 'expired', 'revoked', 'invalid']);
/** @typedef {(typeof refusals)[number]} Refusal */

/**
 * Why a socket could not be opened, as far as a page can find out: browsers do not tell, but `/config` beside the
 * socket answers the same.
 * @param {URL} socket
 * @returns {Promise<{is: 'refused' | 'origin' | 'no-hub' | 'silent' | 'no-websocket' | 'unknown', message: string, why?: Refusal}>} silent: nobody
 *   answers, or somebody who keeps it from pages of other origins; no-websocket: it is a turnhub that would take a WebSocket, and got none;
 *   unknown: it is a turnhub, or a proxy that does not reach it
 */
export async function whyRefused(socket) {
  const url = beside(socket, 'config');
  const {host} = url;
  const noHub = {is: /** @type {const} */ ('no-hub'), message: `${host} answers, but not as a turnhub server: give the address of one, new Hub({url: 'wss://HOST/ws'})`};
  const asked = await ask(url);
  if (!asked) {
    // Either nobody is there, or somebody who does not let this page read, as every turnhub does.
    const there = await ask(url, {mode: 'no-cors', credentials: 'omit'});
    return there ? noHub : {is: 'silent', message: `${host} cannot be reached from here, or is no turnhub server: give the address of one, new Hub({url: 'wss://HOST/ws'})`};
  }
  const {answer, said} = asked;
  const ours = said !== null && typeof said === 'object' && ('iceServers' in said || typeof said.message === 'string');
  if (answer.status === 401) return {is: 'refused', message: ours ? said.message : '', why: refusals.find((each) => each === said?.reason)};
  if (answer.status === 403 && ours && said.error === 'origin') return {is: 'origin', message: said.message};
  if (ours && answer.ok) {
    const plain = await ask(new URL(socket.href.replace(/^ws/, 'http')));
    if (plain?.answer.status === 426) return {is: 'no-websocket', message: `${host} answers, but no WebSocket gets there: a proxy between lets none through`};
  }
  if (ours || answer.status === 429 || answer.status >= 500) return {is: 'unknown', message: ''};
  return noHub;
}
