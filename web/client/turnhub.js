/**
 * turnhub: video calls that connect. Zero dependencies; import it as it is:
 *
 *     import {Hub, Call, LocalMedia} from '/client/turnhub.js';
 *
 * @module turnhub
 */
export {Hub} from './session/hub.js';
export {Invitation} from './session/invitation.js';
export {randomRoom} from './session/roomname.js';
export {hostedRoom, isHosted, opensAsHost, titleOfRoom} from './session/hosted.js';
export {Call} from './call/call.js';
export {Hosting} from './call/hosting.js';
export {Peer} from './call/peer.js';
export {LocalMedia, levelOf} from './call/media/media.js';
export {Transfer} from './call/data/transfer.js';
export {HubError, closeCodes} from './base/codes.js';
export {Meter, describePath} from './call/path/stats.js';
export {budget, meshLimit} from './call/path/bitrate.js';
export {CallFrame} from './frame/frame.js';
export {Emitter} from './base/emitter.js';
export {initializeVideoCall} from './call/videocall.js';
export {checkUrl, kindOf, natKind, relayLoop, secondMapping, single} from './check/nat.js';
export {verdict} from './check/verdict.js';
