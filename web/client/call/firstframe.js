import {hasPicture} from './path/stats.js';
import {callTimes as times} from '../base/times.js';

/**
 * Looks for the first decoded picture of a connection, for some fifteen seconds after it is first asked.
 * @param {() => RTCPeerConnection | null} connection the one in use; null: nobody waits any more
 * @param {() => boolean} connected whether there can be any yet
 * @param {() => void} found
 */
export function watchFirstFrame(connection, connected, found) {
  let left = times.firstFrameWithin / times.firstFrameLook;
  const look = async () => {
    const pc = connection();
    if (!pc || --left < 0) return;
    if (connected() && await hasPicture(pc)) {
      if (connection()) found();
      return;
    }
    setTimeout(look, times.firstFrameLook);
  };
  look();
}
