// "WebRTC: making an application with blackjack and video calls". The document's code as it stands; what it leaves
// open (the JSON, who is called, how the answer to a call looks) is filled in.

const page = new URLSearchParams(location.search);
const server = page.get('server');
const me = page.get('me'); // Vasya or Petya

let connection = new WebSocket(server.replace(/^http/, 'ws')); // the document's ws://127.0.0.1:1337
connection.onopen = function () {
  document.title = `${me} is online`;
};
connection.onerror = function (error) {
  console.error(error);
};

let other; // with whom we speak
let pc;
let early = []; // ice packets that come before the description

function addEarly() {
  early.splice(0).forEach((ice) => pc.addIceCandidate(new RTCIceCandidate(ice)));
}

function tell(to, what) {
  connection.send(JSON.stringify({ from: me, to, ...what }));
}

connection.onmessage = function (message) {
  let self = JSON.parse(message.data);
  if (self.to !== me) return;
  if (self.event === 'call') {
    tell(self.from, { event: 'accept' }); // "decided that both users are ready"
  } else if (self.event === 'accept') {
    other = self.from;
    makeOffer();
  } else if (self.offer) {
    other = self.from;
    makeAnswer(self);
  } else if (self.answer) {
    pc.setRemoteDescription(new RTCSessionDescription(self.answer), addEarly, error);
  } else if (self.ice) {
    if (pc && pc.remoteDescription) pc.addIceCandidate(new RTCIceCandidate(self.ice));
    else early.push(self.ice);
  }
};

/** We send a JSON that we want to call. */
function call(name) {
  tell(name, { event: 'call' });
}

let peerConnectionConfig;
const configured = fetch(`${server}/config`)
  .then((response) => response.json())
  .then((config) => (peerConnectionConfig = config));

// We generate and send offer
async function makeOffer() {
  await configured;
  pc = new RTCPeerConnection(peerConnectionConfig);
  pc.onicecandidate = function (event) {
    console.log('new ice candidate', event.candidate);

    if (event.candidate !== null) {
      tell(other, { ice: event.candidate });
    }
  };

  navigator.getUserMedia = navigator.getUserMedia ||
                           navigator.webkitGetUserMedia ||
                           navigator.mozGetUserMedia;

  navigator.getUserMedia({video: true,audio:true}, function(stream) {
    var my_video = document.getElementById('my')
    my_video.srcObject = stream

    pc.onaddstream = e => {
      document.getElementById('not_my').srcObject = e.stream;
      console.log('not stream is added')
    }
    pc.addStream(stream);

    pc.createOffer(function(offer) {
      pc.setLocalDescription(offer, function() {
        tell(other, { offer });
      }, e=> console.log(e));
    }, e=> console.log(e));
  },function (){console.warn("Error getting audio stream from getUserMedia")});
}

// We process offer and generate answer
async function makeAnswer(data) {
  await configured;
  pc = new RTCPeerConnection(peerConnectionConfig);
  pc.onicecandidate = function (event) {
    console.log('new ice candidate', event.candidate);

    if (event.candidate !== null) {
      tell(other, { ice: event.candidate });
    }
  };

  navigator.getUserMedia = navigator.getUserMedia ||
                           navigator.webkitGetUserMedia ||
                           navigator.mozGetUserMedia;

  navigator.getUserMedia({video: true,audio:true}, function(stream) {
    var my_video = document.getElementById('my')
    my_video.srcObject = stream
    console.log('stream is added while offering')

    pc.onaddstream = e => {
      console.log('not my stream is added while offering')
      document.getElementById('not_my').srcObject = e.stream;

    }
    pc.addStream(stream);

    pc.setRemoteDescription(new RTCSessionDescription(data.offer), function() {
      addEarly();
      pc.createAnswer(function(answer) {
        pc.setLocalDescription(answer, function() {
          tell(other, { answer });
        }, e => console.log(e));
      }, e => console.log(e));
    }, e => console.log(e));
  },function (){console.warn("Error getting audio stream from getUserMedia")});
}

function endCall() {
  var videos = document.getElementsByTagName("video");
  for (var i = 0; i < videos.length; i++) {
    videos[i].pause();
  }

  pc.close();
}

function error(err) {
  endCall();
}
