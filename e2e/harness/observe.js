/**
 * @typedef {object} Narrowing
 * @property {'all' | 'relay'} [policy] iceTransportPolicy of every connection
 * @property {boolean} [clean] clean the microphone's sound as the page asks: with that the fake one's beeps are as loud as speech
 * @property {'udp' | 'tcp' | 'tls' | 'nothing'} [only] drop all ICE servers but TURN URLs of this transport; `nothing`: no way
 *   out at all for connections, until the test sets `window.wayOut`
 */

/**
 * Runs in every page before the page's own scripts: keeps each RTCPeerConnection in `window.calls`, notes when
 * remote video shows its first frame, has `window.statsOf` answer for each in any case, leaves the microphone's sound as
 * it is unless the test asks for it clean, and narrows the configuration where the test asks for it. The page under test
 * goes through its own code all the way; it only finds fewer servers, as on a network that blocks the rest.
 * @param {Narrowing} narrowing
 */
export function observeCalls({ policy, only, clean } = {}) {
  // The fake microphone seldom needs cleaning, which takes as much of a processor as the pictures do.
  const devices = navigator.mediaDevices;
  const ask = devices?.getUserMedia?.bind(devices);
  const uncleaned = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  if (ask && !clean) {
    devices.getUserMedia = (constraints) => ask(constraints?.audio
      ? { ...constraints, audio: { ...(constraints.audio === true ? {} : constraints.audio), ...uncleaned } } : constraints);
  }
  const Native = window.RTCPeerConnection;
  if (!Native) return;
  const page = /** @type {any} */ (window);
  /** @type {RTCPeerConnection[]} */
  page.calls = [];
  /** Those that wait for the end of a connection. @type {WeakMap<RTCPeerConnection, Promise<void>>} */
  const ends = new WeakMap();
  // Firefox never says anything of one that is closed meanwhile: who waited for that would see no picture of the next one.
  page.statsOf = (/** @type {RTCPeerConnection} */ call) => Promise.race([call.getStats(), ends.get(call)?.then(() => new Map()),
    new Promise((resolve) => { setTimeout(() => resolve(new Map()), 3000); })].filter(Boolean));
  /** when each remote video track showed its first frame, in milliseconds since 1970 */
  page.firstFrames = [];

  /** @param {RTCConfiguration} [config] */
  const narrow = (config) => {
    const narrowed = { ...config };
    if (only === 'nothing') return page.wayOut ? narrowed : { ...narrowed, iceServers: [], iceTransportPolicy: /** @type {const} */ ('relay') };
    if (policy) narrowed.iceTransportPolicy = policy;
    if (only && config?.iceServers) {
      const wanted = { udp: /^turn:.*transport=udp|^turn:[^?]*$/, tcp: /^turn:.*transport=tcp/, tls: /^turns:/ }[only];
      narrowed.iceServers = config.iceServers
        .map((server) => ({ ...server, urls: [server.urls].flat().filter((url) => wanted.test(url)) }))
        .filter((server) => server.urls.length > 0);
    }
    return narrowed;
  };

  class ObservedPeerConnection extends Native {
    /** @type {() => void} */ ended = () => {};

    /** @param {RTCConfiguration} [config] */
    constructor(config) {
      super(narrow(config));
      page.calls.push(this);
      ends.set(this, new Promise((resolve) => { this.ended = resolve; }));
      this.addEventListener('track', ({ track }) => {
        if (track.kind !== 'video') return;
        const video = document.createElement('video');
        video.muted = true;
        video.srcObject = new MediaStream([track]);
        video.requestVideoFrameCallback(() => {
          page.firstFrames.push(Date.now());
          video.srcObject = null;
        });
        video.play().catch(() => {});
      });
    }

    close() {
      super.close();
      this.ended();
    }

    /** @param {RTCConfiguration} [config] */
    setConfiguration(config) {
      super.setConfiguration(narrow(config));
    }
  }
  page.RTCPeerConnection = ObservedPeerConnection;
  if (page.webkitRTCPeerConnection) page.webkitRTCPeerConnection = ObservedPeerConnection;
}
