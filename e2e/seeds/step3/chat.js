// "Establish a WebRTC connection: video call with WebRTC, step 3": the steps of Alice and of Bob.

const MESSAGE_TYPE = { SDP: 'SDP', CANDIDATE: 'CANDIDATE' };
const server = new URLSearchParams(location.search).get('server');

document.getElementById('start').addEventListener('click', startChat);

async function startChat() {
  // 1. join the communication channel
  const signaling = new WebSocket(server.replace(/^http/, 'ws')); // the document's ws://127.0.0.1:1337
  await new Promise((resolve) => (signaling.onopen = resolve));

  // 2. the peer connection; the document's iceServers come from /config
  const peerConnection = new RTCPeerConnection(await (await fetch(`${server}/config`)).json());

  peerConnection.onicecandidate = (iceEvent) => {
    signaling.send(
      JSON.stringify({
        message_type: MESSAGE_TYPE.CANDIDATE,
        content: iceEvent.candidate,
      })
    )
  }

  peerConnection.ontrack = (event) => {
    const video = document.getElementById("remote-view")
    if (!video.srcObject) {
      video.srcObject = event.streams[0]
    }
  }

  signaling.onmessage = async (message) => {
    const { message_type, content } = JSON.parse(message.data);
    if (message_type === MESSAGE_TYPE.CANDIDATE) {
      if (content) await peerConnection.addIceCandidate(content);
      return;
    }
    await peerConnection.setRemoteDescription(content);
    if (content.type !== 'offer') return;
    // Bob's steps 2 to 4
    const answerFromBob = await peerConnection.createAnswer();
    await peerConnection.setLocalDescription(answerFromBob);
    signaling.send(
      JSON.stringify({
        message_type: MESSAGE_TYPE.SDP,
        content: answerFromBob,
      })
    )
  };

  // 3. the tracks
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: true,
    video: true,
  })
  document.getElementById('self-view').srcObject = stream;
  stream.getTracks().forEach((track) => peerConnection.addTrack(track, stream));

  // 4. to 6. the offer
  const offer = await peerConnection.createOffer();
  await peerConnection.setLocalDescription(offer);
  signaling.send(
    JSON.stringify({
      message_type: MESSAGE_TYPE.SDP,
      content: offer,
    })
  )
  document.title = 'offered';
}
