// What a call is asked for, and what it tells.

/**
 * @typedef {object} CallOptions
 * @property {import('./media/media.js').LocalMedia | MediaStream} [media] what is sent; default: nothing
 * @property {RTCIceTransportPolicy} [iceTransportPolicy] "relay": never directly
 * @property {import('./path/connection.js').Transport} [transport] only relays over this, for troubleshooting
 * @property {boolean} [screens] the page shows a screen beside the camera of who shares it (`peer.screen`); without it the screen comes in place of the camera
 * @property {boolean} [recordings] the page tells its visitor who records the call (`peer.media.recording`): who does so may record this end
 * @property {number} [limit] the most people, oneself included; at most 6
 */

/** @typedef {'idle' | 'joining' | 'knocking' | 'calling' | 'ringing' | 'active' | 'ended'} CallPhase */

/**
 * @typedef {object} CallEvents
 * @property {CallPhase} phase
 * @property {import('./peer.js').Peer} peer somebody is there
 * @property {import('./peer.js').Peer} peer-left
 * @property {{peer: import('./peer.js').Peer, text: string, at: number}} chat
 * @property {{peer: import('./peer.js').Peer, reaction: import('./wishes.js').Reaction}} reaction
 * @property {{peer: import('./peer.js').Peer, transfer: import('./data/transfer.js').Transfer}} file
 * @property {Ended} ended the call is over, by `leave` or for a reason of protocol.md
 */

/**
 * @typedef {object} Ended
 * @property {string} reason of protocol.md; by the host of the room: `removed`, `ended`, or in front of it `declined`, `locked`, `door-full`
 * @property {string} detail what the other side wrote when it declined
 * @property {'self' | 'peer' | 'server' | 'host'} by
 * @property {import('../base/codes.js').HubErrorCode} [code] why it could not begin
 */

export {};
