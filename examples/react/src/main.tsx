import {StrictMode, useEffect, useRef} from 'react';
import {createRoot} from 'react-dom/client';
import {useCall} from './useCall';

function Video({stream, muted = false}: {stream: MediaStream | null, muted?: boolean}) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current) video.current.srcObject = stream;
  }, [stream]);
  return <video ref={video} width={320} autoPlay playsInline muted={muted} />;
}

function Room({room}: {room: string}) {
  const {phase, own, peers, error} = useCall('wss://calls.example.org/ws', room, 'Visitor');
  return (
    <>
      <Video stream={own} muted />
      {peers.map((peer) => <Video key={peer.id} stream={peer.stream} />)}
      <p id="state">{error || phase}</p>
    </>
  );
}

const root = document.querySelector('#root');
if (root) createRoot(root).render(<StrictMode><Room room={decodeURIComponent(location.hash.slice(1)) || 'react'} /></StrictMode>);
