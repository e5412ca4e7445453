package signaling

// Topics are what the dialects of several nodes say to each other by: publish and subscribe,
// by names. package cluster has them. Where this server is alone there are none: a dialect's
// Topics is nil.
type Topics interface {
	// Node is this node's name.
	Node() string
	// Open has heard called with what other nodes say on a topic, which is heard's to keep,
	// and changed when Others has changed, and says this node's state there. It must not be
	// open. The calls come one after the other.
	Open(name string, state []byte, heard func(node string, body []byte), changed func())
	// Close ends Open.
	Close(name string)
	// State changes this node's state on an open topic.
	State(name string, state []byte)
	// Others are the states of the other nodes that have the topic open, as far as is known.
	Others(name string) map[string][]byte
	// Say says something, which it keeps, to the other nodes that have a topic open; this one
	// need not. False: it is known to reach nobody.
	Say(name string, body []byte) bool
	// Settled reports whether the others have been asked for their states. If not, done is
	// called when they have; unless this node ends before that.
	Settled(name string, done func()) bool
}
