package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A View is what somebody who is no node hears of a cluster.
type View struct {
	Members []Member
	// Strangers are nodes whose secrets are none of those known here, by the names that
	// they give themselves.
	Strangers []string
	// Others are nodes of another version, whose beats this one cannot read, by the names that
	// they give themselves.
	Others []string
	// Refused says of other messages why they were not heard.
	Refused map[string]int
	Store   error // why the store cannot be used; nil: it can
	// Denied are rights that a node needs, and NATS does not give, as `publish SUBJECT` or
	// `subscribe SUBJECT`.
	Denied []string
	Server string
}

// maxStrangers bounds how many of them are told of.
const maxStrangers = 16

// Look listens for as long as every node needs to be heard, and on while one is settling.
// digests are what all must have.
func Look(ctx context.Context, cfg Config, secrets []string, digests map[string]string) (View, error) {
	v := View{Refused: make(map[string]int)}
	opts, err := options(cfg)
	if err != nil {
		return v, err
	}
	conn, err := nats.Connect(strings.Join(cfg.NATS, ","), append(opts, nats.Name("turnhub check"), nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...) // else it prints what is told below
	if err != nil {
		return v, fmt.Errorf("connect to NATS: %w", err)
	}
	defer conn.Close()
	v.Server = conn.ConnectedServerVersion()
	heard := make(chan *nats.Msg, 4*maxNodes)
	if _, err := conn.ChanSubscribe(beatSubject("*"), heard); err != nil {
		return v, fmt.Errorf("listen on NATS: %w", err)
	}
	keys, began := newKeyring(secrets), time.Now()
	beat := cmp.Or(cfg.beat, beatTime)
	b := newBook(beat * 7 / 2)
	enough := time.NewTimer(beat * 5 / 2)
	defer enough.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-enough.C:
			now := time.Since(began)
			b.tick(now)
			if done = now > settles || !slices.ContainsFunc(b.list(now), func(m Member) bool { return !m.Gone && m.settling() }); !done {
				enough.Reset(beat)
			}
		case m := <-heard:
			r, why := readBeat(keys, m)
			who := strings.TrimPrefix(m.Subject, beatSubject(""))
			switch {
			case why == "":
				_, why = b.hear(r, time.Since(began), wall())
			case why == badSecret && validName(who) && !slices.Contains(v.Strangers, who) && len(v.Strangers) < maxStrangers:
				v.Strangers = append(v.Strangers, who)
			case why == badVersion && validName(who) && !slices.Contains(v.Others, who) && len(v.Others) < maxStrangers:
				v.Others = append(v.Others, who)
			}
			if why != "" {
				v.Refused[why]++
			}
		}
	}
	v.Members = b.list(time.Since(began))
	for i := range v.Members {
		v.Members[i].Differs = differs(digests, v.Members[i].Digests)
	}
	slices.Sort(v.Strangers)
	slices.Sort(v.Others)
	js, err := jetstream.New(conn)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	v.Store = err
	v.Denied, err = denied(conn)
	return v, err
}
