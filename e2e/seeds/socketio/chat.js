// "Video Chat": the document's fragments in the order in which it explains them.

const localVideo = document.getElementById('localVideo');
const remoteVideo = document.getElementById('remoteVideo');
const socket = io(server);
let peerConnection;
let isOfferer = false;
let otherPersonReady = false;
let offered = false;

socket.on('created', () => { isOfferer = true; });
socket.on('full', () => { document.title = 'the room is full'; });
socket.on('bye', () => { document.title = 'the other has left'; });
if (page.get('room')) socket.emit('join', page.get('room'));
else isOfferer = page.has('offerer');

(async () => {
  /** @type {RTCConfiguration} */
  const peerConnectionConfig = await (await fetch(`${server}/config`)).json();

  /** @type {RTCPeerConnection} */
  peerConnection = new RTCPeerConnection(peerConnectionConfig);
  peerConnection.onicecandidate = handleIceCandidate;
  peerConnection.onaddstream = handleRemoteStreamAdded; // deprecated but well supported

  /** @type {MediaStreamConstraints} */
  const mediaConstraints = {
    video: {
      facingMode: "user" // "user" | "environment"
    },
    audio: true
  };

  navigator.mediaDevices.getUserMedia(mediaConstraints)
  .then(getUserMediaSuccess)
  .catch(getUserMediaError);
})();

function getUserMediaSuccess(stream) {
  if (localVideo instanceof HTMLVideoElement) {
    localVideo.srcObject = stream;
  }
  peerConnection.addStream(stream);
  socket.emit('message', 'ready');
}

function getUserMediaError(e) {
  console.error(e);
}

socket.on('message', function (message) {
  if (message === 'ready') {
    otherPersonReady = true;
    if (everythingReady()) {
      offer();
      offered = true;
    }
  }
});

function everythingReady() {
  return Boolean(otherPersonReady && peerConnection && peerConnection.getLocalStreams().length && isOfferer && !offered);
}

function offer() {
  peerConnection.createOffer()
  .then(x => peerConnection.setLocalDescription(x))
  .then(() => socket.emit('message', peerConnection.localDescription))
  .catch(e => console.error(e));
}

socket.on('message', function (message) {
  if (message.type === 'offer') {
    offered = true;
    peerConnection.setRemoteDescription(message)
    .then(() => peerConnection.createAnswer())
    .then(x => peerConnection.setLocalDescription(x))
    .then(() => socket.emit('message', peerConnection.localDescription))
    .catch(e => console.error(e));
  }
});

socket.on('message', function (message) {
  if (message.type === 'answer' && offered) {
    peerConnection.setRemoteDescription(message)
    .catch(e => console.error(e));
  }
});

function handleRemoteStreamAdded(event) {
  if (remoteVideo instanceof HTMLVideoElement) {
    remoteVideo.srcObject = event.stream;
  }
}

function handleIceCandidate(event) {
  if (event.candidate) {
    socket.emit('message', {
      type: 'candidate',
      label: event.candidate.sdpMLineIndex,
      id: event.candidate.sdpMid,
      candidate: event.candidate.candidate});
  }
}

socket.on('message', function (message) {
  if (message.type === 'candidate') {
    peerConnection.addIceCandidate(new RTCIceCandidate({
      sdpMLineIndex: message.label,
      candidate: message.candidate
    }))
    .catch(e => console.error(e));
  }
});
