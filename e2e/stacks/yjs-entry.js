export { Doc } from 'yjs';
export { WebrtcProvider } from 'y-webrtc';
