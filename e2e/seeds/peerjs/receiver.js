// "First we create the receiver, which connects to our PeerJS server, and listens for data coming in to it."
(async () => {
  const peer = new Peer('receiver', await options());
  window.peer = peer;
  peer.on('open', () => { document.title = 'receiver is open'; });
  peer.on('connection', (conn) => {
    conn.on('data', (data) => {
      console.log(data);
      document.title = `received ${data}`;
    });
  });
  peer.on('call', call => {
    const startChat = async () => {
      const localStream = await navigator.mediaDevices.getUserMedia({
        video: true
      })
      document.querySelector('video#local').srcObject = localStream
      call.answer(localStream)
      call.on('stream', remoteStream => {
        document.querySelector('video#remote').srcObject = remoteStream
      })
    }
    startChat()
  });
})();
