package cluster

import (
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// A node needs these rights of NATS, see docs/cluster.md: to hear what others say, to say so, and
// to write into streams.
var (
	heardSubjects  = []string{"turnhub.beat.*", "turnhub.ask.*", "turnhub.link.*.*", "turnhub.datagram.*.*", "turnhub.topic.*", "_INBOX.>"}
	saidSubjects   = heardSubjects[1:] // a beat that is none would be heard by all
	stowedSubjects = []string{
		"$JS.API.>", "$KV.turnhub-rooms.>", "$KV.turnhub-revoked.>", "$KV.turnhub-seconds.>", "$KV.turnhub-push.>", "$KV.turnhub-rings.>", "$KV.turnhub-keys.>",
		"$KV.turnhub-leases.>", "turnhub.events",
	}
)

// answerTime is for how long NATS is waited for that says whether it allows something.
const answerTime = 5 * time.Second

// denied returns which of its rights a node has not, as `publish SUBJECT` or `subscribe SUBJECT`.
// Nobody hears what it tries, and no stream keeps it.
func denied(conn *nats.Conn) (list []string, err error) {
	try := func(what string, subjects []string, do func(subject string) error) {
		for _, right := range subjects {
			if err != nil {
				return
			}
			before := conn.LastError()
			err = errors.Join(do(strings.NewReplacer("*", "check", ">", "check").Replace(right)), conn.FlushTimeout(answerTime))
			if last := conn.LastError(); last != before && errors.Is(last, nats.ErrPermissionViolation) {
				list = append(list, what+" "+right)
			}
		}
	}
	try("subscribe", heardSubjects, func(subject string) error {
		sub, err := conn.SubscribeSync(subject)
		if err != nil {
			return err
		}
		return sub.Unsubscribe()
	})
	try("publish", saidSubjects, func(subject string) error { return conn.Publish(subject, nil) })
	try("publish", stowedSubjects, func(subject string) error {
		m := nats.NewMsg(subject)
		m.Header.Set(nats.ExpectedStreamHdr, "none") // so a stream that has the subject does not take it
		return conn.PublishMsg(m)
	})
	return list, err
}
