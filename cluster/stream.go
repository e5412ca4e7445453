package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamConfig is what a Stream is made of.
type StreamConfig struct {
	Name, About string // of the stream, which takes turnhub.<Name>
	MaxAge      time.Duration
	MaxBytes    int64
	Most        int64 // messages; the oldest make room
}

// Stream is a stream of JetStream that all nodes write to and read. What is in it is about
// people: it is encrypted (box.go).
type Stream struct {
	c   *Cluster
	cfg StreamConfig

	mu     sync.Mutex
	stream jetstream.Stream
	js     jetstream.JetStream
}

// Stream returns one. It is opened when it is needed.
func (c *Cluster) Stream(cfg StreamConfig) *Stream { return &Stream{c: c, cfg: cfg} }

// once is for how long something that is published again is known to be the same.
const onceWithin = 10 * time.Minute

func (s *Stream) subject() string { return "turnhub." + s.cfg.Name }

// open returns the stream, and makes it where there is none.
func (s *Stream) open(ctx context.Context) (jetstream.JetStream, jetstream.Stream, error) {
	conn := s.c.connection()
	if conn == nil {
		return nil, nil, ErrNoStore
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != nil {
		return s.js, s.stream, nil
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, nil, err
	}
	name := "turnhub-" + s.cfg.Name
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		for _, replicas := range []int{3, 1} {
			stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
				Name: name, Description: s.cfg.About, Subjects: []string{s.subject()}, MaxAge: s.cfg.MaxAge, MaxBytes: s.cfg.MaxBytes, MaxMsgs: s.cfg.Most,
				MaxMsgSize: maxPacket * 2, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage, Replicas: replicas, Duplicates: onceWithin,
			})
			if err == nil {
				break
			}
			if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was quicker
				stream, err = js.Stream(ctx, name)
				break
			}
		}
	}
	if err != nil {
		return nil, nil, err
	}
	s.js, s.stream = js, stream
	return js, stream, nil
}

// Publish adds something, once for each id.
func (s *Stream) Publish(ctx context.Context, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	js, _, err := s.open(ctx)
	if err != nil {
		return err
	}
	_, err = js.Publish(ctx, s.subject(), s.c.keys.Load().box(s.cfg.Name, s.subject(), body), jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
	s.forgetIf(err)
	return err
}

// forgetIf has the stream opened anew where it is not there any more.
func (s *Stream) forgetIf(err error) {
	if err != nil {
		s.mu.Lock()
		s.stream = nil
		s.mu.Unlock()
	}
}

// Last is the number of what was published last, and the name of the stream: one that is made
// anew has another.
func (s *Stream) Last(ctx context.Context) (number uint64, name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	js, _, err := s.open(ctx)
	if err != nil {
		return 0, "", err
	}
	stream, err := js.Stream(ctx, "turnhub-"+s.cfg.Name) // of its own: two cannot ask for its state at once
	s.forgetIf(err)
	if err != nil {
		return 0, "", err
	}
	info := stream.CachedInfo()
	return info.State.LastSeq, info.Created.UTC().Format(time.RFC3339Nano), nil
}

// Follow hears of everything after a number until ctx ends or heard returns an error. What
// cannot be opened is heard as nil: its number counts.
func (s *Stream) Follow(ctx context.Context, after uint64, heard func(number uint64, body []byte) error) error {
	opening, cancel := context.WithTimeout(ctx, 5*time.Second)
	js, _, err := s.open(opening)
	defer cancel()
	if err != nil {
		return err
	}
	consumer, err := js.OrderedConsumer(opening, "turnhub-"+s.cfg.Name, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		s.forgetIf(err)
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(256))
	if err != nil {
		return err
	}
	ended := context.AfterFunc(ctx, messages.Stop)
	defer ended()
	defer messages.Stop()
	for {
		m, err := messages.Next()
		if err != nil {
			s.forgetIf(err)
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		body, why := s.c.keys.Load().unbox(s.cfg.Name, s.subject(), m.Data())
		if why != "" {
			s.c.refuse(why, s.cfg.Name, explanations[why])
			body = nil
		}
		if err := heard(meta.Sequence.Stream, body); err != nil {
			return err
		}
	}
}

// holder is a process that has a lease.
type holder struct {
	Node string `json:"node"`
	Run  string `json:"run"`
	// Beat is another one each time: to have it, a process has to be able to write, which
	// one that is cut off with a part of the store is not.
	Beat uint64 `json:"beat"`
}

// Lease is a thing that one process at a time has, of those that ask for it: by an entry on a
// shelf, which another one takes over, by the revision of the entry, when its process is dead.
// Who has it knows that only for as long as it has been sure of it lately, which is shorter
// than the silence after which it counts as dead.
type Lease struct {
	shelf *Shelf
	key   string
	mu    sync.Mutex
	sure  time.Duration // when it was last known to be this process's; 0: it is not
}

// Lease returns one, which nobody has before Hold is called.
func (s *Shelf) Lease(key string) *Lease { return &Lease{shelf: s, key: key} }

// Held reports whether this process has it now.
func (l *Lease) Held() bool {
	c := l.shelf.c
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sure != 0 && c.now()-l.sure < 2*c.cfg.beat && c.connection() != nil
}

// Hold has it, when nobody else does, until ctx ends.
func (l *Lease) Hold(ctx context.Context) {
	c := l.shelf.c
	tick := time.NewTicker(c.cfg.beat / 2)
	defer tick.Stop()
	for {
		at, mine := c.now(), false
		err := error(ErrNoStore)
		if c.speaks() {
			err = l.shelf.Change(ctx, l.key, func(old []byte) []byte {
				mine = false
				var h holder
				if old != nil && json.Unmarshal(old, &h) == nil && h.Node != "" && (h.Node != c.cfg.Node || h.Run != c.run) {
					if lives, sure := c.Lives(h.Node, h.Run); lives || !sure {
						return old
					}
				}
				mine = true
				text, _ := json.Marshal(holder{c.cfg.Node, c.run, h.Beat + 1})
				return text
			})
		}
		l.mu.Lock()
		if err == nil && mine {
			l.sure = at
		} else if err == nil {
			l.sure = 0
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			l.give()
			return
		case <-tick.C:
		}
	}
}

// give gives it up.
func (l *Lease) give() {
	c := l.shelf.c
	l.mu.Lock()
	held := l.sure != 0
	l.sure = 0
	l.mu.Unlock()
	if !held {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), storePatience)
	defer cancel()
	_ = l.shelf.Change(ctx, l.key, func(old []byte) []byte {
		var h holder
		if json.Unmarshal(old, &h) == nil && h.Node == c.cfg.Node && h.Run == c.run {
			return nil
		}
		return old
	})
}
