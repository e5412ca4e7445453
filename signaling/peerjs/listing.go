package peerjs

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// Where signaling.peerjs_discovery lets anybody list the ids of a realm, and there are several
// nodes, those that have peers of it meet under its name and ask each other.

const (
	saidList = 'q' // a number: which ids are there?
	saidIDs  = 'l' // the node that asked, the number, and the ids as JSON

	listTime = 500 * time.Millisecond // for the answers
	listAge  = time.Second            // for which a list is good enough
	listID   = 16                     // bytes of a number
)

// listing is what this node has to do with the lists of a realm.
type listing struct {
	asking sync.Mutex // one asks at a time

	// The realm's lock guards these.
	users  int // peers and questions
	number string
	await  map[string]bool
	ids    []string
	all    chan struct{}

	// asking guards these.
	last []string
	at   time.Time
}

func (r *realm) listTopic() string { return "peerjs-ids\x00" + r.name }

// listedLocked counts somebody who needs the realm's topic, or no longer does.
func (r *realm) listedLocked(n int) {
	if r.server.topics == nil || !r.server.discovery {
		return
	}
	switch before := r.list.users; {
	case before == 0:
		r.server.topics.Open(r.listTopic(), nil, r.heardList, func() {})
	case before+n == 0:
		r.server.topics.Close(r.listTopic())
	}
	r.list.users += n
}

// allIDs lists who is there on all nodes.
func (r *realm) allIDs() []string {
	l := &r.list
	l.asking.Lock()
	defer l.asking.Unlock()
	if time.Since(l.at) < listAge {
		return l.last
	}
	r.mu.Lock()
	r.listedLocked(1)
	r.mu.Unlock()
	settled := make(chan struct{})
	timer := time.NewTimer(listTime)
	defer timer.Stop()
	if !r.server.topics.Settled(r.listTopic(), func() { close(settled) }) {
		select {
		case <-settled:
		case <-timer.C:
		}
	}
	r.mu.Lock()
	l.number, l.ids, l.await, l.all = rand.Text()[:listID], nil, make(map[string]bool), make(chan struct{})
	for node := range r.server.topics.Others(r.listTopic()) {
		l.await[node] = true
	}
	asked, all := len(l.await) > 0 && r.server.topics.Say(r.listTopic(), append([]byte{saidList}, l.number...)), l.all
	r.mu.Unlock()
	if asked {
		timer.Reset(listTime)
		select {
		case <-all:
		case <-timer.C:
		}
	}
	ids := r.ids()
	r.mu.Lock()
	ids = append(ids, l.ids...)
	l.number, l.ids = "", nil
	r.listedLocked(-1)
	r.mu.Unlock()
	slices.Sort(ids)
	l.last, l.at = slices.Compact(ids), time.Now()
	return l.last
}

// heardList takes in what another node says of lists.
func (r *realm) heardList(node string, body []byte) {
	if len(body) == 0 {
		return
	}
	kind, rest := body[0], body[1:]
	if kind == saidList && len(rest) == listID {
		ids, _ := json.Marshal(r.ids())
		r.server.topics.Say(r.listTopic(), append(append(appendText([]byte{saidIDs}, node), rest...), ids...))
		return
	}
	to, ok := cutText(&rest)
	if kind != saidIDs || !ok || to != r.server.topics.Node() || len(rest) < listID {
		return
	}
	var ids []string
	if json.Unmarshal(rest[listID:], &ids) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := &r.list; l.number == string(rest[:listID]) && l.await[node] {
		l.ids = append(l.ids, ids...)
		if delete(l.await, node); len(l.await) == 0 {
			close(l.all)
		}
	}
}
