/**
 * turnhub: video calls that connect. Zero dependencies; import it as it is:
 *
 *     import {Hub, Call, LocalMedia} from '/client/turnhub.js';
 *
 * @module turnhub
 */
export {Hub, Invitation, randomRoom} from './hub.js';
export {Call} from './call.js';
export {Peer} from './peer.js';
export {LocalMedia, levelOf} from './media.js';
export {Transfer} from './transfer.js';
export {HubError, closeCodes} from './codes.js';
export {Meter, describePath} from './stats.js';
export {budget, meshLimit} from './bitrate.js';
export {Emitter} from './emitter.js';
export {initializeVideoCall} from './videocall.js';
export {checkUrl, kindOf, natKind, relayLoop, secondMapping, single} from './network.js';
export {natWords, reportText, verdict} from './verdict.js';
