/** @typedef {import('./data/transfer.js').Transfer} Transfer */
/** @typedef {import('./path/received.js').Trouble} Trouble */
/** @typedef {import('./path/line.js').LineState} LineState */
/** @typedef {import('./path/stats.js').Quality} Quality */
/** @typedef {import('./data/channel.js').Sending} Sending */
/** @typedef {import('./peer.js').PeerState} PeerState */

/**
 * @typedef {object} PeerEvents
 * @property {PeerState} state
 * @property {string} name the peer's name is known, or another
 * @property {void} returned the peer has come back with another session, or we have
 * @property {MediaStream} stream a track of the peer has come
 * @property {MediaStream} screen a track of the screen that the peer shares beside the camera has come
 * @property {RTCPeerConnection} replaced another connection is in use, and `stream`, the same object, has its tracks
 * @property {Sending} media what the peer says that it sends
 * @property {Quality} quality once a second
 * @property {{ours: LineState, theirs: LineState}} line what of the call fits the line has changed
 * @property {number[] | null} authentication-string see Peer.authenticationString
 * @property {Trouble | ''} trouble what is wrong between the two programs has changed
 * @property {{text: string, at: number}} chat
 * @property {import('./wishes.js').Reaction} reaction the peer reacts to what is said; at most one a second, after five at once
 * @property {Transfer} file the peer offers a file
 * @property {number} firstFrame milliseconds from join or accept to the first decoded frame
 */

/**
 * What a peer needs of its call.
 * @typedef {object} PeerHost
 * @property {import('./media/media.js').LocalMedia} media
 * @property {string} instance
 * @property {number} size how many others there are
 * @property {boolean} online whether the hub is connected
 * @property {boolean} screens whether a screen is shown beside the camera
 * @property {boolean} recordings whether the visitor is told who records
 * @property {boolean} recording whether the call is recorded here
 * @property {boolean} hand whether the visitor raises a hand
 * @property {import('./wishes.js').Wish} quality how much the visitor wants to receive, and sends
 * @property {import('./connections.js').Connections} connections
 * @property {import('./thrift.js').Thrift} thrift
 * @property {() => RTCPeerConnection} connection a connection that answers, with candidates gathered ahead
 * @property {(to: string, data: any) => void} signal
 * @property {string} browser this browser and its major version, as it is told to the others
 * @property {Pick<import('../session/hub.js').Hub, 'passesMedia' | 'mediaSocket' | 'mediaNear'>} hub
 */

export {};
