import {partsOf} from '../../base/candidate.js';
import {improvingTimes as times} from '../../base/times.js';

/**
 * Where the server answers over UDP: a STUN URL, or the UDP side of its relay, which answers the same.
 * @param {RTCConfiguration} configuration @returns {string} '' where it does not
 */
export function udpOf({iceServers = []}) {
  const urls = iceServers.flatMap(({urls}) => urls);
  const found = urls.find((url) => url.startsWith('stun:')) ?? urls.find((url) => url.startsWith('turn:') && !url.includes('transport=tcp'));
  return found?.replace(/^turn:/, 'stun:').replace(/\?.*$/, '') ?? '';
}

/**
 * Whether UDP gets from here to the server and back. It asks by STUN alone, so it takes no relay.
 * @param {RTCConfiguration} configuration
 * @returns {Promise<boolean>}
 */
export async function reachesUDP(configuration) {
  const url = udpOf(configuration);
  if (!url) return false;
  const pc = new RTCPeerConnection({iceServers: [{urls: url}]});
  /** @type {any} */ let timer;
  try {
    pc.createDataChannel('probe');
    let asked = true;
    const answered = new Promise((resolve) => {
      pc.onicecandidateerror = () => { asked = false; };
      pc.onicecandidate = ({candidate}) => {
        if (candidate && partsOf(candidate).type === 'srflx') resolve(true);
        // Gathering that ends early and without an error: the server has seen an address that is our own.
        if (!candidate) resolve(asked);
      };
      timer = setTimeout(() => resolve(false), times.probe);
    });
    await pc.setLocalDescription();
    return await answered;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
    pc.close();
  }
}
