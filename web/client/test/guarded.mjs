/**
 * What the client or the pages use although not every browser that docs/browsers.md promises has it: what happens there.
 * Interface.member as the compiler's library names it. `remove` takes it away in a page, so that e2e/browser/without.long.js
 * can make a call without it; absent where its absence shows nowhere: a property that is only set, an event that only does
 * not come.
 * @type {Record<string, {why: string, remove?: string}>}
 */
export const guarded = {
  'MediaDevices.getDisplayMedia': {why: 'phones cannot share a screen: the button is hidden', remove: 'delete MediaDevices.prototype.getDisplayMedia'},
  'MediaStreamTrack.contentHint': {why: 'only set: a shared screen is encoded like a film', remove: 'delete MediaStreamTrack.prototype.contentHint'},
  'MediaDevices.ondevicechange': {why: 'only listened to: what is plugged in is taken up when it is asked for'},
  'RTCDtlsTransport.iceTransport': {why: 'a change of path is seen by the clock instead', remove: 'delete RTCDtlsTransport.prototype.iceTransport'},
  'RTCIceTransport.onselectedcandidatepairchange': {why: 'the same', remove: 'delete RTCIceTransport.prototype.onselectedcandidatepairchange'},
  'RTCPeerConnection.onicecandidateerror': {why: 'only listened to: a URL that fails is given up by its time', remove: 'delete RTCPeerConnection.prototype.onicecandidateerror'},
  'RTCPeerConnectionIceErrorEvent.errorCode': {why: 'the event does not come there'},
  'RTCPeerConnectionIceErrorEvent.errorText': {why: 'the event does not come there'},
  'HTMLVideoElement.playsInline': {why: 'only set; phones of Apple need it, and have it'},
  'RTCRtpTransceiver.setCodecPreferences': {why: 'sound that is lost is not sent twice', remove: 'delete RTCRtpTransceiver.prototype.setCodecPreferences'},
  'Navigator.vibrate': {why: 'it rings without', remove: 'delete Navigator.prototype.vibrate'},
  'WakeLock.request': {why: 'the screen goes dark as it would without us', remove: 'delete Navigator.prototype.wakeLock'},
  'Navigator.wakeLock': {why: 'the same', remove: 'delete Navigator.prototype.wakeLock'},
  'WakeLockSentinel.release': {why: 'there is none then'},
  'WakeLockSentinel.onrelease': {why: 'there is none then'},
  'Segmenter.segment': {why: 'an avatar takes code points for letters', remove: 'delete Intl.Segmenter'},
  'HTMLElement.oncontextmenu': {why: 'only listened to: a phone that has a menu for a button that is held does without it'},
  'DocumentOrShadowRoot.pictureInPictureElement': {why: 'the browser has a button of its own, ours is hidden'},
  'HTMLVideoElement.onleavepictureinpicture': {why: 'the same'},
  'Document.pictureInPictureEnabled': {why: 'the same', remove: 'delete Document.prototype.pictureInPictureEnabled'},
  'Document.exitPictureInPicture': {why: 'the same'},
  'HTMLVideoElement.requestPictureInPicture': {why: 'the same', remove: 'delete HTMLVideoElement.prototype.requestPictureInPicture'},
  'StorageManager.getDirectory': {why: 'a recording is kept in memory, up to a limit', remove: 'delete StorageManager.prototype.getDirectory'},
  'FileSystemDirectoryHandle.getFileHandle': {why: 'the same'},
  'FileSystemDirectoryHandle.removeEntry': {why: 'the same'},
  'FileSystemFileHandle.getFile': {why: 'the same'},
  'Navigator.share': {why: 'the link is copied', remove: 'delete Navigator.prototype.share'},
};

/** Interfaces that stand behind one check as a whole. */
const codecs = 'without WebCodecs there is no way through the WebSocket: see call/websocket/path.js, abilities';
/** @type {Record<string, {why: string, remove: string}>} */
export const interfaces = Object.fromEntries(['VideoEncoder', 'VideoDecoder', 'VideoFrame', 'EncodedVideoChunk', 'AudioEncoder', 'AudioDecoder',
  'AudioData', 'EncodedAudioChunk'].map((name) => [name, {why: codecs, remove: `delete globalThis.${name}`}]));

/** What stands in the browsers that are promised and does harm in one of them: nothing of ours uses it. */
export const harmful = {
  'AudioContext.outputLatency': 'Firefox waits for the sound server with the lock of the graph in its hand, which that server waits for: the page stands still for ever',
  'AudioContext.getOutputTimestamp': 'the same',
};
