package events

import (
	"testing"
)

// BenchmarkEmit is what the hub and the relay pay for an event.
func BenchmarkEmit(b *testing.B) {
	s := &server{Journal: NewJournal(b.TempDir(), "", nil)}
	ctx := b.Context()
	go s.Journal.Serve(ctx)
	data := Data{Call: &Call{ID: "c_4VY0iZfQq2xW7uJd", Kind: "room", Room: "blue-fox"}, Person: &Person{Session: "s_9f2c41d0a1b2c3d4e5", User: "anna"}}
	b.ReportAllocs()
	for b.Loop() {
		s.Emit(CallJoined, data)
	}
}
