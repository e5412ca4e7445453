package signaling

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"testing"
)

// handling is a node that has handled every message at once, on a goroutine of its own.
type handling struct{ numbers chan uint64 }

func (n handling) Send(_ string, _ uint64, frames ...[]byte) bool {
	for _, f := range frames {
		if f[0] == kindOne {
			number, _ := binary.Uvarint(f[1:])
			n.numbers <- number
		}
	}
	return true
}

func (handling) Roomy(string) bool        { return true }
func (handling) Void(string)              {}
func (handling) Suspect(string) NodeState { return NodeLives }
func (handling) Deaf() bool               { return false }

// TestAcknowledgedFromElsewhere: what other nodes have handled is acknowledged by their
// goroutines, while the event loop reads more from the same socket. Both write.
func TestAcknowledgedFromElsewhere(t *testing.T) {
	const messages = 20_000
	other := handling{make(chan uint64, messages)}
	h, url := newTLSServer(t, Config{Nodes: other, Node: "a", Limits: Limits{MessagesPerSecond: 1 << 20}})
	h.NodeUp("b", 1)
	c := openClient(t, url, `{"type":"hello"}`)
	c.join("blue")
	part, err := json.Marshal(partFrame{Room: "blue", People: []*person{{Ref: 1, ID: SessionPrefix + "there", Opener: netip.IPv6Loopback()}}})
	if err != nil {
		t.Fatal(err)
	}
	h.FromNode("b", [][]byte{append([]byte{kindPart}, part...)})
	c.expect("peer-joined")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range messages {
			h.FromNode("b", [][]byte{binary.AppendUvarint([]byte{kindDone}, <-other.numbers)})
		}
	}()
	go func() {
		for range messages {
			c.say(`{"type":"signal","to":"` + SessionPrefix + `there","data":1`)
		}
	}()
	for last := 0; last < messages+1; {
		last = max(last, c.expect("ack").num("ack"))
	}
	<-done
}
