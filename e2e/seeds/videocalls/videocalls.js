// "videocalls.js: video chat via WebSocket + WebRTC. You just need the WebSocket server logic."
// The numbers are the document's communication steps.

let webSocketConnection;
let RTCConnection;
let localStream;
let options;

async function initializeVideoCall(
  webSocketUrl,
  onlyAudioHandler,
  userMediaErrorHandler,
  userNoAudioErrorHandler,
  localVideoElement,
  remoteVideoElement,
  maxVideoWidth,
  maxVideoHeight,
  maxFrameRate,
) {
  options = { onlyAudioHandler, userMediaErrorHandler, userNoAudioErrorHandler, localVideoElement, remoteVideoElement };
  webSocketConnection = new WebSocket(webSocketUrl); // 1
  webSocketConnection.onmessage = gotDataFromServer; // 7
  await new Promise((resolve) => (webSocketConnection.onopen = resolve));
  const video = { width: { max: maxVideoWidth }, height: { max: maxVideoHeight }, frameRate: { max: maxFrameRate } };
  try {
    getUserMediaSuccess(await navigator.mediaDevices.getUserMedia({ video, audio: true }));
  } catch (error) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      onlyAudioHandler();
      getUserMediaSuccess(stream);
    } catch {
      if (error.name === 'NotFoundError') userNoAudioErrorHandler(error);
      else userMediaErrorHandler(error);
    }
  }
}

// 2
function getUserMediaSuccess(stream) {
  localStream = stream;
  sendLocalStream();
  start();
}

function start() {
  RTCConnection = new RTCPeerConnection(RTCConnectionConfig); // 3
  RTCConnection.onicecandidate = gotIceCandidate;
  RTCConnection.onaddstream = gotRemoteStream;
  RTCConnection.addStream(localStream); // 4
  RTCConnection.createOffer().then(sendDescription).catch(errorHandler); // 5
}

function gotIceCandidate(event) {
  if (event.candidate !== null) webSocketConnection.send(JSON.stringify({ ice: event.candidate }));
}

// 6
function sendDescription(description) {
  RTCConnection.setLocalDescription(description)
    .then(() => webSocketConnection.send(JSON.stringify({ sdp: RTCConnection.localDescription })))
    .catch(errorHandler);
}

// 8
function gotDataFromServer(message) {
  const signal = JSON.parse(message.data);
  if (!RTCConnection) return;
  if (signal.sdp) {
    RTCConnection.setRemoteDescription(new RTCSessionDescription(signal.sdp)) // 9
      .then(() => {
        if (signal.sdp.type === 'offer') RTCConnection.createAnswer().then(sendDescription).catch(errorHandler); // 10
      })
      .catch(errorHandler);
  } else if (signal.ice) {
    RTCConnection.addIceCandidate(new RTCIceCandidate(signal.ice)).catch(errorHandler);
  }
}

// 12
function sendLocalStream() {
  options.localVideoElement.srcObject = localStream;
}

function gotRemoteStream(event) {
  options.remoteVideoElement.srcObject = event.stream;
}

function errorHandler(error) {
  console.error(error);
}

function toggleTrack(type) {
  const tracks = type === 'audio' ? localStream.getAudioTracks() : localStream.getVideoTracks();
  for (const track of tracks) track.enabled = !track.enabled;
}

function endCall() {
  RTCConnection.close();
  webSocketConnection.close();
  for (const track of localStream.getTracks()) track.stop();
}
