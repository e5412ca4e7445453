package cluster

import "sync"

// refusedNames bounds whose messages the log says that they are not heard: anybody with
// access to NATS may write any name, and must not use up what else is said once.
type refusedNames struct {
	mu sync.Mutex
	by map[string]map[string]bool // names by reason, which come from a small fixed set
}

// maxRefusedNames bounds them for each reason.
const maxRefusedNames = 8

// take reports whether a name may be said for a reason, as one of the first.
func (r *refusedNames) take(why, who string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = make(map[string]map[string]bool)
	}
	names := r.by[why]
	if names == nil {
		names = make(map[string]bool)
		r.by[why] = names
	}
	if len(names) < maxRefusedNames {
		names[who] = true
	}
	return names[who]
}
