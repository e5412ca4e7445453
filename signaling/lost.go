package signaling

// NodeLost says that the stream to a node is over: who is there is as good as gone, unless
// it is back, or another one goes on with them. What was said to a room there and not handled
// is answered as perhaps lost, unless they have ended for certain.
func (h *Hub) NodeLost(node string, how Loss) {
	if h.directory.nodes == nil {
		return
	}
	h.enter()
	defer h.leave()
	p := h.lose(node, how)
	if h.second == nil {
		return
	}
	if p != nil && how == Ended {
		h.decide(p)
	}
	h.second.choose()
}

// lose is NodeLost in a step. It returns what the node was; nil: nothing.
func (h *Hub) lose(node string, how Loss) *peer {
	x := h.directory.nodes
	x.mu.Lock()
	p := x.by[node]
	delete(x.by, node)
	if p != nil {
		for room := range p.meets {
			x.unmeet(p, room)
		}
	}
	x.mu.Unlock()
	if p == nil {
		return nil
	}
	p.in.Lock()
	defer p.in.Unlock()
	p.lost.Store(true)
	waits := h.second != nil && p.run != ""
	if waits {
		if how != Void {
			h.wanted.loses(processOf(node, p.run), how, h.now())
		}
		h.directory.beUnsure(how)
	} else if h.second != nil {
		h.directory.lostAgain(node, how)
		h.directory.beUnsure(how)
	}
	for _, r := range h.directory.rooms.All() {
		if !waits {
			h.directory.dropPart(r, p)
		}
		r.forgets(p)
		if r.home() == node {
			h.directory.opened(r.name) // it gets another node at once, where whoever comes is found
		}
	}
	if waits {
		p.mu.Lock()
		p.orphan, p.sent = true, p.number
		p.mu.Unlock()
	}
	h.directory.namesLost(p, waits)
	h.directory.hostingsLost(p, waits)
	p.mu.Lock()
	left := p.pending
	if p.orphan = waits; !waits {
		p.pending, p.over, p.how = nil, true, how
	}
	p.mu.Unlock()
	h.directory.asksLost(p, waits)
	if h.second != nil {
		h.second.lost(p)
	}
	if waits {
		h.directory.orphans(p, how)
		h.imageEnds(node)
		return p
	}
	for _, w := range left {
		h.directory.settled(w.wait, w.wait.fate(how))
	}
	return p
}
