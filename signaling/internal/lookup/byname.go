// Package lookup finds sessions, members and rooms: by name, which comes from
// outside, and by number, which costs no more than a look into an array.
package lookup

import (
	"hash/maphash"
	"sync"
)

// shards is over how many locks names are spread: as many processors never wait
// for each other often.
const shards = 64

// ByName finds values by name. Make one with NewByName; safe for concurrent use.
type ByName[V any] struct {
	seed   maphash.Seed
	shards [shards]struct {
		mu sync.RWMutex
		m  map[string]*V
	}
}

// NewByName returns an empty one.
func NewByName[V any]() *ByName[V] {
	x := &ByName[V]{seed: maphash.MakeSeed()}
	for i := range x.shards {
		x.shards[i].m = make(map[string]*V)
	}
	return x
}

// Get returns the value of that name; nil: there is none.
func (x *ByName[V]) Get(name string) *V {
	s := &x.shards[maphash.String(x.seed, name)%shards]
	s.mu.RLock()
	v := s.m[name]
	s.mu.RUnlock()
	return v
}

// Find is Get for a name in a buffer, which it does not copy.
func (x *ByName[V]) Find(name []byte) *V {
	s := &x.shards[maphash.Bytes(x.seed, name)%shards]
	s.mu.RLock()
	v := s.m[string(name)]
	s.mu.RUnlock()
	return v
}

// Put gives the value that name.
func (x *ByName[V]) Put(name string, v *V) {
	s := &x.shards[maphash.String(x.seed, name)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[name] = v
}

// GetOrPut returns the value of that name, which fresh makes if there is none.
func (x *ByName[V]) GetOrPut(name string, fresh func() *V) *V {
	s := &x.shards[maphash.String(x.seed, name)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.m[name]
	if v == nil {
		v = fresh()
		s.m[name] = v
	}
	return v
}

// Remove takes the name from the value, unless another value has it by now.
func (x *ByName[V]) Remove(name string, v *V) {
	s := &x.shards[maphash.String(x.seed, name)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[name] == v {
		delete(s.m, name)
	}
}

// Len is how many names there are.
func (x *ByName[V]) Len() (n int) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		n += len(s.m)
		s.mu.RUnlock()
	}
	return n
}

// All returns the values of the moment, in no order.
func (x *ByName[V]) All() []*V {
	var list []*V
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		for _, v := range s.m {
			list = append(list, v)
		}
		s.mu.RUnlock()
	}
	return list
}
