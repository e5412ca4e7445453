package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	roomsBucket   = "turnhub-rooms"
	revokedBucket = "turnhub-revoked"

	// roomTime is for how long a room without anybody keeps its node.
	roomTime = 3 * time.Minute
	// refreshTime is when the node of a room says again that it has it.
	refreshTime = roomTime / 3
	// revokedTime is the longest that anything revoked may be good otherwise, see
	// access.MaxLife.
	revokedTime = 367 * 24 * time.Hour

	storePatience = 700 * time.Millisecond
	storeRetry    = 10 * time.Second
	maxEntry      = 2 << 10 // bytes of a value
)

// store is JetStream's key-value store as nodes use it.
type store struct {
	rooms, revoked, seconds jetstream.KeyValue
}

// keepStore opens the store, as often as it takes, and follows the revocations in it.
// It opens it anew when NATS is back, and when something in it fails: a bucket that is
// kept in memory alone may be gone.
func (c *Cluster) keepStore(ctx context.Context, conn *nats.Conn) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-retry.C:
		}
		select {
		case <-c.reopen:
		default:
		}
		pause := c.cfg.beat
		if conn.IsConnected() {
			s, err := openStore(ctx, conn)
			if err == nil {
				c.store.Store(s)
				c.once("store", func() { c.log.Info("the cluster's store is open") })
				c.look()
				err = c.followRevoked(ctx, s)
			} else {
				c.store.Store(nil)
				pause = min(storeRetry, 10*c.cfg.beat)
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil && conn.IsConnected() {
				c.once("no store "+err.Error(), func() {
					c.log.Warn("NATS has no key-value store for us: rooms get their nodes by their names alone, and revocations are kept on each node's own disk only", "error", err, "remedy", "switch JetStream on in the NATS servers, and allow this node $JS.API.> and $KV.turnhub-*.>; see docs/cluster.md")
				})
			}
		}
		retry.Reset(pause)
	}
}

// look has rooms compared with the store.
func (c *Cluster) look() { wake(c.relook) }

// wake asks for something that is done once, however often it is asked for.
func wake(asked chan struct{}) {
	select {
	case asked <- struct{}{}:
	default: // asked already
	}
}

func openStore(ctx context.Context, conn *nats.Conn) (*store, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	s := &store{}
	if s.rooms, err = bucket(ctx, js, jetstream.KeyValueConfig{
		Bucket: roomsBucket, Description: "which turnhub node has which room", TTL: roomTime,
		MaxValueSize: maxEntry, MaxBytes: 256 << 20, Storage: jetstream.MemoryStorage,
	}); err != nil {
		return nil, err
	}
	if s.seconds, err = bucket(ctx, js, jetstream.KeyValueConfig{
		Bucket: secondsBucket, Description: "which turnhub node may go on with another one's sessions", TTL: secondsTime,
		MaxValueSize: maxEntry, MaxBytes: 16 << 20, Storage: jetstream.FileStorage,
	}); err != nil {
		return nil, err
	}
	s.revoked, err = bucket(ctx, js, jetstream.KeyValueConfig{
		Bucket: revokedBucket, Description: "whom the operator of turnhub has revoked", TTL: revokedTime,
		MaxValueSize: maxEntry, MaxBytes: 64 << 20, Storage: jetstream.FileStorage,
	})
	return s, err
}

// bucket opens a bucket, or makes it with as many copies as there can be, up to three.
func bucket(ctx context.Context, js jetstream.JetStream, cfg jetstream.KeyValueConfig) (kv jetstream.KeyValue, err error) {
	if kv, err = js.KeyValue(ctx, cfg.Bucket); !errors.Is(err, jetstream.ErrBucketNotFound) {
		return kv, err
	}
	for _, cfg.Replicas = range []int{3, 1} {
		if kv, err = js.CreateKeyValue(ctx, cfg); err == nil {
			return kv, nil
		}
		if errors.Is(err, jetstream.ErrBucketExists) { // another node was quicker
			return js.KeyValue(ctx, cfg.Bucket)
		}
	}
	return nil, err
}

// keyOf makes a key of any text; textOf undoes it.
func keyOf(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func textOf(key string) (string, bool) {
	text, err := base64.RawURLEncoding.DecodeString(key)
	return string(text), err == nil
}

// sealed makes a value of a bucket, which opens under its own key only.
func (c *Cluster) sealed(bucket, key string, value any) ([]byte, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return c.keys.Load().seal("$KV."+bucket+"."+key, body), nil
}

func (c *Cluster) opened(bucket string, e jetstream.KeyValueEntry, value any) bool {
	body, why := c.keys.Load().open("$KV."+bucket+"."+e.Key(), e.Value())
	if why == "" && json.Unmarshal(body, value) != nil {
		why = badForm
	}
	if why != "" {
		c.refuse(why, bucket, explanations[why])
	}
	return why == ""
}

// revocation is a value of the bucket of the revoked.
type revocation struct {
	At time.Time `json:"at"`
}

// KeepRevoked puts a revocation into the store, where every node finds it that comes
// later.
func (c *Cluster) KeepRevoked(ctx context.Context, name string, at time.Time) error {
	s := c.store.Load()
	if s == nil || c.connection() == nil {
		return errors.New("the cluster's store cannot be used now; this node puts it there when it can")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	value, err := c.sealed(revokedBucket, keyOf(name), revocation{at})
	if err != nil {
		return err
	}
	_, err = s.revoked.Put(ctx, keyOf(name), value)
	return err
}

// followRevoked hears of all revocations, those in the store first, until the store
// cannot be used any more.
func (c *Cluster) followRevoked(ctx context.Context, s *store) error {
	w, err := s.revoked.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	stored := make(map[string]time.Time)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.reopen:
			return nil
		case e, open := <-w.Updates():
			if !open {
				return errors.New("the store has ended the watch")
			}
			if e == nil { // that was all that is in it
				if c.cfg.Revoked != nil {
					c.cfg.Revoked(stored)
				}
				c.putMissing(ctx, stored)
				stored = nil
				continue
			}
			name, ok := textOf(e.Key())
			var r revocation
			if e.Operation() != jetstream.KeyValuePut || !ok || !c.opened(revokedBucket, e, &r) {
				continue
			}
			if stored != nil {
				if len(stored) < maxStored {
					stored[name] = r.At
				}
			} else if c.cfg.Revoked != nil {
				c.cfg.Revoked(map[string]time.Time{name: r.At})
			}
		}
	}
}

// maxStored bounds what is remembered of the bucket; access.MaxRevoked are never more.
const maxStored = 20_000

// putMissing puts into the store what was revoked on this node while there was none.
func (c *Cluster) putMissing(ctx context.Context, stored map[string]time.Time) {
	if c.cfg.Revocations == nil {
		return
	}
	for name, at := range c.cfg.Revocations() {
		if at.After(stored[name]) {
			if err := c.KeepRevoked(ctx, name, at); err != nil {
				c.once("keep revoked", func() { c.log.Error("a revocation could not be put into the cluster's store", "error", err) })
				return
			}
		}
	}
}
