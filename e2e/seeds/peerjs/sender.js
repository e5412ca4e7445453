// "Let's create the other end of the communication."
(async () => {
  const peer = new Peer('sender', await options());
  window.peer = peer;
  peer.on('error', (error) => { document.title = `error ${error.type}`; });
  // The document connects at once. 0.3.16 then sends its offer by POST; 1.5 drops what it has to say before its socket
  // is open, so there the program has to wait.
  if (page.has('wait')) await new Promise((resolve) => peer.on('open', resolve));
  const conn = peer.connect('receiver');
  conn.on('open', () => {
    conn.send('hi!');
    document.title = 'sent hi!';
  });
  if (!page.has('call')) return;

  const startChat = async () => {
    const localStream = await navigator.mediaDevices.getUserMedia({
      video: true
    })
    document.querySelector('video#local').srcObject = localStream
    const call = peer.call('receiver', localStream)
    call.on('stream', remoteStream => {
      document.querySelector('video#remote').srcObject = remoteStream
    })
  }
  startChat()
})();
