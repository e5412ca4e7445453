package main

import (
	"encoding/json"
	"log"

	"github.com/pion/webrtc/v4"
)

// signal is what clients tell each other (protocol.md, "Signaling data").
type signal struct {
	Connection  string                     `json:"connection"`
	Description *webrtc.SessionDescription `json:"description,omitempty"`
	Round       int                        `json:"round,omitempty"`
	Refused     int                        `json:"refused,omitempty"`
	Candidate   *webrtc.ICECandidateInit   `json:"candidate,omitempty"`
	Candidates  []webrtc.ICECandidateInit  `json:"candidates,omitempty"`
	Anew        bool                       `json:"anew,omitempty"`
	Rejoin      string                     `json:"rejoin,omitempty"`
	Rejoined    json.RawMessage            `json:"rejoined,omitempty"`
}

// peer is one connection with somebody: the first, or one that is to take its place.
type peer struct {
	session, connection string
	pc                  *webrtc.PeerConnection
	early               []webrtc.ICECandidateInit // candidates that came before their description
}

// signaled handles what another client says.
func (b *bot) signaled(from string, s signal) {
	p := b.peers[from+" "+s.Connection]
	switch {
	case s.Rejoin != "": // somebody is back with a new session; we remember nobody, so let them offer
		b.signal(from, signal{Rejoined: json.RawMessage("null")})
		return
	case s.Anew, string(s.Rejoined) == "null":
		b.offer(from)
		return
	case s.Description == nil:
	case s.Description.Type == webrtc.SDPTypeOffer:
		if p == nil {
			if p = b.connect(from, s.Connection); p == nil {
				return
			}
		}
		if err := p.answer(b, s); err != nil {
			log.Print("an offer was not taken: ", err)
			b.signal(from, signal{Connection: s.Connection, Refused: s.Round})
			return
		}
	case p != nil:
		logged(p.pc.SetRemoteDescription(*s.Description))
	}
	if s.Candidate != nil {
		s.Candidates = append(s.Candidates, *s.Candidate)
	}
	if p == nil {
		return
	}
	if p.early = append(p.early, s.Candidates...); p.pc.RemoteDescription() == nil {
		p.early = p.early[:min(len(p.early), 64)]
		return
	}
	for _, candidate := range p.early {
		logged(p.pc.AddICECandidate(candidate))
	}
	p.early = nil
}

// connect makes a connection with a session, with our picture and sound; nil where that is impossible.
func (b *bot) connect(session, connection string) *peer {
	pc, err := b.media.api.NewPeerConnection(b.config)
	if err != nil {
		log.Print(err)
		return nil
	}
	p := &peer{session: session, connection: connection, pc: pc}
	b.peers[session+" "+connection] = p
	for _, track := range b.media.tracks {
		_, err := pc.AddTrack(track)
		logged(err)
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { b.media.record(pc, track, session) })
	pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate == nil {
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		found := candidate.ToJSON()
		b.signal(session, signal{Connection: connection, Candidate: &found})
	})
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		log.Printf("%s: %s", session, state)
		if state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateClosed {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.drop(p)
		}
	})
	return p
}

// offer makes the first connection with a session.
func (b *bot) offer(session string) {
	if old := b.peers[session+" "]; old != nil {
		b.drop(old)
	}
	p := b.connect(session, "")
	if p == nil {
		return
	}
	description, err := p.pc.CreateOffer(nil)
	if err == nil {
		err = p.pc.SetLocalDescription(description)
	}
	logged(err)
	b.signal(session, signal{Description: &description, Round: 1})
}

func (p *peer) answer(b *bot, s signal) error {
	if err := p.pc.SetRemoteDescription(*s.Description); err != nil {
		return err
	}
	description, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := p.pc.SetLocalDescription(description); err != nil {
		return err
	}
	b.signal(p.session, signal{Connection: p.connection, Description: &description, Round: s.Round})
	return nil
}

func (b *bot) signal(to string, s signal) {
	b.send(message{Type: "signal", To: to, Data: &s})
}

// drop ends a connection.
func (b *bot) drop(p *peer) {
	if key := p.session + " " + p.connection; b.peers[key] == p {
		delete(b.peers, key)
	}
	go func() { logged(p.pc.Close()) }() // it may wait for those who wait for us
}

func logged(err error) {
	if err != nil {
		log.Print(err)
	}
}
