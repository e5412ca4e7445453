import {Call} from './call.js';
import {socketURL} from '../base/home.js';
import {ask} from '../base/http.js';
import {Hub} from '../session/hub.js';
import {LocalMedia} from './media/media.js';
import {RawCall} from './rawcall.js';

/**
 * @typedef {object} VideoCallOptions
 * @property {string} webSocketUrl the native hub with its room (`wss://host/ws?room=NAME`) or a raw relay
 *   (`wss://host/relay/NAME`); a relative one means the server that served this module
 * @property {() => void} [onlyAudioHandler] only a microphone is available
 * @property {(error: unknown) => void} [userMediaErrorHandler] neither camera nor microphone: receive only
 * @property {(error: unknown) => void} [userNoAudioErrorHandler] no microphone
 * @property {HTMLVideoElement} localVideoElement
 * @property {HTMLVideoElement} remoteVideoElement
 * @property {number} [maxVideoWidth] pixels
 * @property {number} [maxVideoHeight] pixels
 * @property {number} [maxFrameRate] per second
 */

/**
 * @typedef {object} VideoCall
 * @property {(kind: 'audio' | 'video') => boolean} toggleTrack switches the track; returns whether it is on now
 * @property {() => void} endCall
 * @property {(error: unknown) => void} errorHandler called at each error; replace it by your own
 * @property {Promise<void>} ready settled when the media are open and the call is being set up
 */

/**
 * A video call of two in one function.
 *
 *     const call = initializeVideoCall({
 *       webSocketUrl: 'wss://calls.example.org/relay/blue-fox-42',
 *       localVideoElement: document.querySelector('#me'),
 *       remoteVideoElement: document.querySelector('#you'),
 *     });
 *     muteButton.onclick = () => call.toggleTrack('audio');
 *
 * @param {VideoCallOptions} options
 * @returns {VideoCall}
 */
export function initializeVideoCall(options) {
  const {localVideoElement: local, remoteVideoElement: remote, maxVideoWidth, maxVideoHeight, maxFrameRate} = options;
  const url = socketURL(options.webSocketUrl, "webSocketUrl: 'wss://HOST/relay/NAME'");
  const media = new LocalMedia({maxVideoWidth, maxVideoHeight, maxFrameRate});
  let ended = false;
  /** @type {() => void} */ let end = () => {};

  /** @param {MediaStream} stream */
  const show = (stream) => {
    // An element that has waited for pictures plays the sound alone only when it begins anew.
    if (remote.srcObject !== stream || (remote.readyState === 0 && !stream.getVideoTracks().length)) remote.srcObject = stream;
    remote.autoplay = true;
    remote.playsInline = true;
    remote.play().catch(() => {}); // the page decides how to ask for the click that some browsers want
  };

  const start = async () => {
    await media.open();
    if (ended) return;
    local.muted = true;
    local.autoplay = true;
    local.playsInline = true;
    local.srcObject = media.stream;
    const {audio, video} = media.problems;
    if (audio && video) options.userMediaErrorHandler?.(video.error);
    else if (audio) options.userNoAudioErrorHandler?.(audio.error);
    else if (video) options.onlyAudioHandler?.();
    await (url.pathname.endsWith('/ws') ? native() : raw());
  };

  const native = async () => {
    const room = url.searchParams.get('room');
    if (!room) throw new Error('initializeVideoCall: name the room in webSocketUrl: wss://host/ws?room=NAME');
    const token = url.searchParams.get('token') ?? undefined;
    url.search = '';
    const hub = new Hub({url: url.href, token});
    const call = new Call(hub, {media, limit: 2});
    end = () => { call.leave(); hub.close(); };
    call.on('peer', (peer) => peer.on('stream', show));
    call.on('peer-left', () => { remote.srcObject = null; });
    hub.on('error', (error) => handle.errorHandler(error));
    hub.on('closed', ({reason}) => { if (!ended) handle.errorHandler(new Error(reason)); });
    await hub.connect();
    await call.join(room);
  };

  const raw = async () => {
    const configuration = await fetchConfiguration(url);
    if (ended) return;
    const call = new RawCall(url.href, media, configuration);
    call.on('stream', show);
    call.on('error', (error) => handle.errorHandler(error));
    end = () => call.close();
  };

  /** @type {VideoCall} */
  const handle = {
    toggleTrack(kind) {
      media.toggle(kind);
      return media.enabled[kind] && !(kind in media.problems);
    },
    endCall() {
      if (ended) return;
      ended = true;
      end();
      media.close();
      local.srcObject = remote.srcObject = null;
    },
    errorHandler(error) {
      console.error('video call:', error);
    },
    ready: Promise.resolve(),
  };
  handle.ready = start().catch((error) => handle.errorHandler(error));
  return handle;
}

/**
 * The relay's `/config` beside a raw relay socket; without one the call is direct or not at all.
 * @param {URL} url @returns {Promise<RTCConfiguration>}
 */
async function fetchConfiguration(url) {
  const config = new URL(/^.*\/(?=ws$|relay\/)/.exec(url.pathname)?.[0] ?? '/', url);
  config.pathname += 'config';
  config.protocol = url.protocol === 'wss:' ? 'https:' : 'http:';
  const token = url.searchParams.get('token');
  if (token) config.searchParams.set('token', token);
  const asked = await ask(config);
  return asked?.answer.ok && asked.said || {}; // some other relay has no /config
}
