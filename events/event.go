// Package events tells programs what happens in calls, and remembers it for a while.
//
// Three things pass through here, each bounded and none of them ever waited for:
//
//	Journal  takes events from the hub and the relay of one process, and appends
//	    them to a file of this process in the state directory. It is the only part that
//	    the hub and the relay touch: a full queue drops and counts.
//	Store    reads the journals of all processes of a server, since an upgrade
//	    leaves older ones behind, and enters each event once: into the history, the usage
//	    of users by day, the operator's file, and a queue for each webhook. One process at
//	    a time has it.
//	sender   empties one webhook's queue.
//
// What has been written to a journal or a queue outlives a process that is killed. What
// is sent is signed along Standard Webhooks 1.0 (sign.go).
package events

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"
)

// Version is the highest form of events that this package knows. Members may be added
// without a new one.
const Version = 1

// The types of events.
const (
	CallBegan         = "call.began"         // two people are there
	CallJoined        = "call.joined"        // somebody takes part: each of the first two, too
	CallLeft          = "call.left"          // somebody no longer does, or the call has ended
	CallEnded         = "call.ended"         // fewer than two are left
	CallMissed        = "call.missed"        // a call by name that nobody has taken
	AllocationEnded   = "allocation.ended"   // of the relay
	AllocationRefused = "allocation.refused" // of the relay, with the reason
	Test              = "webhook.test"       // sent by `turnhub check`
)

// Types are those that a webhook may ask for.
var Types = []string{CallBegan, CallJoined, CallLeft, CallEnded, CallMissed, AllocationEnded, AllocationRefused}

// Event is one thing that has happened. As JSON it is a line of the operator's file, and
// the body of a webhook's request.
type Event struct {
	ID   string    `json:"id"` // the same in every copy, so that a receiver can tell them
	Type string    `json:"type"`
	Time time.Time `json:"timestamp"`
	Node string    `json:"node,omitempty"` // of a cluster
	Data Data      `json:"data"`
}

// Data is what an event says; which members are there depends on its type.
type Data struct {
	Call    *Call     `json:"call,omitempty"`
	Person  *Person   `json:"person,omitempty"`  // who has joined or left
	People  []Person  `json:"people,omitempty"`  // of a call that has ended: who was in it
	Others  int       `json:"others,omitempty"`  // how many more than People there were
	From    *Person   `json:"from,omitempty"`    // of a missed call: who has called
	To      string    `json:"to,omitempty"`      // of a missed call: the name that was called
	Reason  string    `json:"reason,omitempty"`  // why it ended, was missed or refused
	Seconds float64   `json:"seconds,omitempty"` // how long it went on or rang
	Path    string    `json:"path,omitempty"`    // the hardest that anybody's media had to take
	Bytes   uint64    `json:"bytes,omitempty"`   // received by all browsers, as they report
	Relayed uint64    `json:"relayed,omitempty"` // payload that the relay has passed for these people meanwhile
	Relay   *Relaying `json:"relay,omitempty"`   // of the relay's events
}

// Call is a call by name, or people who have met in a room.
type Call struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // call, room
	Room string `json:"room,omitempty"`
}

// Person is one session in a call.
type Person struct {
	Session string   `json:"session"`
	User    string   `json:"user,omitempty"` // the user name, in access.mode token a proved one
	Name    string   `json:"name,omitempty"` // what the person calls himself
	Seconds float64  `json:"seconds,omitempty"`
	Reason  string   `json:"reason,omitempty"` // why he left
	Path    string   `json:"path,omitempty"`
	Bytes   uint64   `json:"bytes,omitempty"`
	Relayed uint64   `json:"relayed,omitempty"`
	Quality *Quality `json:"quality,omitempty"` // by the browser's last report
}

// Quality is what a browser has last said of its media.
type Quality struct {
	RTT        float64 `json:"rtt"`                  // seconds
	Loss       float64 `json:"loss"`                 // fraction
	Bitrate    float64 `json:"bitrate"`              // received, bits per second
	FirstFrame float64 `json:"firstFrame,omitempty"` // milliseconds from join or accept to the first picture
	Line       string  `json:"line,omitempty"`       // narrow, no-picture
}

// Relaying is an allocation that has ended, or was refused.
type Relaying struct {
	User      string `json:"user,omitempty"`    // who answers for it; empty: not known by name
	Session   string `json:"session,omitempty"` // the user part of the TURN username
	Address   string `json:"address,omitempty"` // of a refused one
	Transport string `json:"transport"`
	ToPeer    uint64 `json:"toPeer,omitempty"`   // payload bytes
	ToClient  uint64 `json:"toClient,omitempty"` // payload bytes
	Times     int    `json:"times,omitempty"`    // of a refusal: since the last event about the same address and reason
}

// newID returns an id that no other event has.
func newID() string {
	b := make([]byte, 15)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return "evt_" + base64.RawURLEncoding.EncodeToString(b)
}

// line is an event as one line of JSON with its line break.
func (e *Event) line() ([]byte, error) {
	text, err := json.Marshal(e)
	return append(text, '\n'), err
}
