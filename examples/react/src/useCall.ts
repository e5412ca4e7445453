import {useEffect, useState} from 'react';
import {Call, Hub, LocalMedia, type CallPhase, type Peer} from 'turnhub';

export interface CallState {
  phase: CallPhase;
  own: MediaStream | null;
  peers: readonly Peer[];
  /** Why there is no call, where there is none. */
  error: string;
}

/** Everyone in a room, for as long as the component is there. */
export function useCall(url: string, room: string, name: string): CallState {
  const [state, setState] = useState<CallState>({phase: 'idle', own: null, peers: [], error: ''});
  useEffect(() => {
    const hub = new Hub({url, name});
    const media = new LocalMedia();
    const call = new Call(hub, {media});
    let here = true; // React's strict mode leaves at once and comes again
    const show = (error = '') => {
      if (here) setState({phase: call.phase, own: media.stream, peers: [...call.peers], error});
    };
    call.on('phase', () => show());
    call.on('peer', (peer) => {
      peer.on('stream', () => show());
      show();
    });
    call.on('peer-left', () => show());
    call.on('ended', ({reason}) => show(reason));
    hub.on('closed', ({reason}) => show(reason));
    const begin = async () => {
      await Promise.all([hub.connect(), media.open()]);
      if (here) await call.join(room);
    };
    begin().catch((error: Error) => show(error.message));
    return () => {
      here = false;
      call.leave();
      hub.close();
      media.close();
    };
  }, [url, room, name]);
  return state;
}
