// Command bot-pion joins a room of a turnhub server as one more person: it plays a VP8 file and an Opus file to everybody
// there, and can write what it receives to files. It is written from signaling/protocol.md alone.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/webrtc/v4"
)

// message is a message of turnhub.v1, in either direction.
type message struct {
	Type      string                      `json:"type"`
	Seq       int                         `json:"seq,omitempty"`
	Ack       int                         `json:"ack,omitempty"`
	Name      string                      `json:"name,omitempty"`
	Room      string                      `json:"room,omitempty"`
	Peer      string                      `json:"peer,omitempty"`
	Polite    bool                        `json:"polite,omitempty"`
	Peers     []struct{ Peer string }     `json:"peers,omitempty"`
	To        string                      `json:"to,omitempty"`
	From      string                      `json:"from,omitempty"`
	Data      *signal                     `json:"data,omitempty"`
	First     json.RawMessage             `json:"first,omitempty"` // in peer-joined signaling data, in joined a session's id
	Session   string                      `json:"session,omitempty"`
	Resume    *resume                     `json:"resume,omitempty"`
	Resumed   bool                        `json:"resumed,omitempty"`
	Code      string                      `json:"code,omitempty"`
	Message   string                      `json:"message,omitempty"`
	Heartbeat struct{ Call, Timeout int } `json:"heartbeat,omitzero"` // milliseconds
	Config    *webrtc.Configuration       `json:"config,omitempty"`
}

type resume struct {
	Session string `json:"session,omitempty"`
	Token   string `json:"token"`
	Seq     int    `json:"seq"`
}

// bot is in one room; its lock is held by whoever handles a message or an event of a connection.
type bot struct {
	mu                  sync.Mutex
	address, room, name string
	policy              webrtc.ICETransportPolicy
	media               *played
	config              webrtc.Configuration
	resume              *resume          // of the last session; its Seq is the last number that was handled
	peers               map[string]*peer // by session and name of the connection
	socket              *websocket.Conn
}

func main() {
	server := flag.String("server", "http://localhost:8080", "base `URL` of the server")
	room := flag.String("room", "", "`name` of the room to join")
	name := flag.String("name", "pion bot", "what others see")
	token := flag.String("token", "", "access `token`, where the server wants one")
	video := flag.String("video", "picture.ivf", "VP8 `file` (IVF) to play")
	audio := flag.String("audio", "sound.ogg", "Opus `file` (OGG) to play")
	record := flag.String("record", "", "write what comes into this `folder`")
	relay := flag.Bool("relay", false, "go through the relay only")
	flag.Parse()
	if *room == "" {
		log.Fatal("name the room to join: -room NAME")
	}
	files, err := play(*video, *audio, *record)
	if err != nil {
		log.Fatal(err)
	}
	address := "ws" + strings.TrimPrefix(strings.TrimSuffix(*server, "/"), "http") + "/ws"
	if *token != "" {
		address += "?token=" + url.QueryEscape(*token)
	}
	b := &bot{address: address, room: *room, name: *name, media: files, peers: map[string]*peer{}}
	if *relay {
		b.policy = webrtc.ICETransportPolicyRelay
	}
	for {
		err := b.run()
		log.Print(err)
		// The close codes of protocol.md that say: do not come back.
		if websocket.IsCloseError(err, 4000, 4001, 4003, 4004, 4007, 4009) {
			log.Fatal("ended by the server")
		}
		time.Sleep(time.Second)
	}
}

// run is one socket, from hello to its end.
func (b *bot) run() error {
	dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 10 * time.Second}
	socket, _, err := dialer.Dial(b.address, nil)
	if err != nil {
		return err
	}
	defer socket.Close()
	b.mu.Lock()
	b.socket = socket
	b.send(message{Type: "hello", Name: b.name, Resume: b.resume})
	b.mu.Unlock()
	beat := time.NewTicker(time.Second) // as often as heartbeat.call says
	defer beat.Stop()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-beat.C:
			case <-done:
				return
			}
			b.mu.Lock()
			if b.resume != nil {
				b.send(message{Type: "ping", Ack: b.resume.Seq})
			}
			b.mu.Unlock()
		}
	}()
	for patience := 10 * time.Second; ; {
		_ = socket.SetReadDeadline(time.Now().Add(patience)) // a dead path says nothing
		var m message
		if err := socket.ReadJSON(&m); err != nil {
			return err
		}
		if m.Type == "welcome" {
			patience = time.Duration(m.Heartbeat.Call+m.Heartbeat.Timeout) * time.Millisecond
		}
		b.mu.Lock()
		b.handle(m)
		b.mu.Unlock()
	}
}

// send writes to the socket; where that fails, the reader hears of it.
func (b *bot) send(m message) {
	_ = b.socket.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_ = b.socket.WriteJSON(m)
}

func (b *bot) handle(m message) {
	if m.Seq > 0 {
		if m.Seq <= b.resume.Seq {
			return // handled before the socket was lost
		}
		b.resume.Seq = m.Seq
	}
	if m.Config != nil {
		b.config = *m.Config
		b.config.ICETransportPolicy = b.policy
	}
	switch m.Type {
	case "welcome":
		if m.Resumed {
			return // rooms and connections are as before
		}
		// The server has forgotten us, and everybody else. What goes through its relay is dead, and who is there is told anew.
		b.resume = &resume{Session: m.Session, Token: m.Resume.Token}
		for _, p := range b.peers {
			b.drop(p)
		}
		b.send(message{Type: "join", Room: b.room})
		log.Printf("in session %s", m.Session)
	case "joined":
		for _, other := range m.Peers { // the newcomer offers to each
			b.offer(other.Peer)
		}
	case "peer-joined":
		if m.Polite { // we are the newcomer: two nodes had a part of the room each
			b.offer(m.Peer)
			break
		}
		var first signal
		if json.Unmarshal(m.First, &first) == nil {
			b.signaled(m.Peer, first)
		}
	case "signal":
		if m.Data != nil {
			b.signaled(m.From, *m.Data)
		}
	case "peer-left":
		for _, p := range b.peers {
			if p.session == m.Peer {
				b.drop(p)
			}
		}
	case "error":
		log.Printf("%s: %s", m.Code, m.Message)
	}
}
