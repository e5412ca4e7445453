//go:build linux && (amd64 || arm64)

package epoll

import (
	"net"

	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/backlog"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// streamClient is a TCP or TLS client whose socket is in a worker's loop.
type streamClient struct {
	client  core.Client
	conn    *stream.Conn
	partial []byte // the beginning of a message
	queue   backlog.Queue
	line    line

	whole    int64 // second of the last whole message
	progress int64 // second since which the client has read nothing, 0: it reads
	closing  bool  // when everything is written
	dead     bool
}

// streamState is what a worker needs for all its streams.
type streamState struct {
	all   map[*streamClient]struct{}
	arena []byte      // plain text of this round
	shell wire.Buffer // over arena
	used  int
	plain []byte // messages joined for one write
}

// Serve takes over the socket of a TCP or TLS connection.
func (w *Worker) Serve(conn net.Conn, transport wire.Transport) bool {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	k := new(streamClient)
	k.client = core.StreamClient(conn, remote.AddrPort(), transport, k)
	taken, err := stream.Take(conn)
	if err != nil {
		return false
	}
	taken.KeepWhole()
	k.conn = taken
	w.Post(func(*core.Shard) { w.adopt(k) })
	return true
}

// adopt enters a stream into the loop, which then handles what was read of it before.
func (w *Worker) adopt(k *streamClient) {
	st := &w.stream
	if w.ended.Load() || k.conn.Attach(w.loop, &watched{w, k}) != nil {
		k.conn.Close()
		return
	}
	if st.all == nil {
		st.all = make(map[*streamClient]struct{})
		st.arena = make([]byte, streamArena)
		st.shell.Mem = st.arena
	}
	st.all[k] = struct{}{}
	k.line.open(k.conn.FD())
	k.queue.Age, k.queue.Waited = k.line.age, w.shard.Waited(k.client.Transport)
	w.shard.Streams(1)
	k.whole = w.shard.Second()
}

// readable handles what a stream's client has sent.
func (k *streamClient) readable(w *Worker, events stream.Events) {
	if events&stream.Writable != 0 {
		w.drain(k)
	}
	if k.dead || events == stream.Writable {
		return
	}
	st := &w.stream
	if len(st.arena)-st.used < wire.Headroom+len(k.partial)+streamRead+wire.Tailroom {
		w.turnOver()
	}
	start := st.used + wire.Headroom
	at := start + copy(st.arena[start:], k.partial)
	limit := min(at+streamRead, len(st.arena)-wire.Tailroom)
	n, err := k.conn.Receive(st.arena[at:limit])
	end := at + n
	rest := w.frames(k, start, end)
	if k.dead {
		return
	}
	if rest < end {
		k.partial = append(k.partial[:0], st.arena[rest:end]...)
	} else if cap(k.partial) > 2048 {
		k.partial = nil
	} else {
		k.partial = k.partial[:0]
	}
	st.used = (end + wire.Tailroom + 63) &^ 63
	if err != nil {
		w.closeStream(k)
	}
}

// frames handles the whole messages in the arena from start to end and returns
// where the first that is not whole begins.
func (w *Worker) frames(k *streamClient, start, end int) int {
	arena := w.stream.arena
	free := wire.Headroom
	for start < end {
		length, message, err := wire.Frame(arena[start:end])
		if err != nil {
			w.shard.Drop(core.DropMalformed, 1)
			w.closeStream(k)
			return end
		}
		if length == 0 || start+length > end {
			break
		}
		k.whole = w.shard.Second()
		w.shard.FromClient(&k.client, wire.Segment{
			Buf: &w.stream.shell, Lo: start, Hi: start + message, Free: free, Spare: length - message,
		})
		if k.dead {
			return end
		}
		start += length
		free = 0
	}
	return start
}

// flush writes what a round has queued for a stream client, several messages with
// one write and in one TLS record.
func (st *streamState) flush(w *Worker, c *core.Client) {
	k := c.Handle.(*streamClient)
	t := &w.tx
	head := c.Queued.Head
	c.Queued = core.Queued{}
	if k.dead {
		return
	}
	if !k.queue.Empty() || k.conn.Waiting() > 0 {
		for at := head; at != 0; at = t.items[at-1].next {
			w.enqueue(k, t.items[at-1].buf, t.items[at-1].drop)
		}
		return
	}
	st.plain = st.plain[:0]
	for at := head; at != 0; at = t.items[at-1].next {
		b := t.items[at-1].buf
		if len(st.plain) > 0 && len(st.plain)+len(b) > k.line.AtOnce() {
			w.transmit(k, st.plain)
			st.plain = st.plain[:0]
			if k.conn.Waiting() > 0 {
				for ; at != 0; at = t.items[at-1].next {
					w.enqueue(k, t.items[at-1].buf, t.items[at-1].drop)
				}
				return
			}
		}
		st.plain = append(st.plain, b...)
	}
	w.transmit(k, st.plain)
}

func (w *Worker) enqueue(k *streamClient, b []byte, media bool) {
	if k.dead {
		return
	}
	if k.progress == 0 { // what waits is an answer of TLS itself
		k.progress = w.shard.Second()
	}
	dropped, ok := k.queue.Push(b, media, w.shard.Now())
	w.shard.Drop(core.DropQueueFull, dropped)
	if !ok {
		w.closeStream(k)
	}
}

// transmit sends whole messages. What the socket does not take is never dropped.
func (w *Worker) transmit(k *streamClient, plain []byte) {
	if len(plain) == 0 || k.dead {
		return
	}
	if k.conn.Send(plain) != nil {
		w.closeStream(k)
		return
	}
	if k.conn.Waiting() > 0 {
		k.line.Full()
	}
	if k.progress == 0 {
		if k.conn.Waiting() > 0 {
			k.progress = w.shard.Second()
		}
		k.line.look(k.conn.FD(), w.shard.Now())
	}
}

// drain goes on sending to a client that reads again.
func (w *Worker) drain(k *streamClient) {
	for {
		waiting := k.conn.Waiting()
		left, err := k.conn.Flush()
		if err != nil {
			w.closeStream(k)
			return
		}
		if left < waiting {
			k.progress = w.shard.Second()
		}
		if left > 0 {
			return
		}
		if k.queue.Empty() {
			break
		}
		k.line.look(k.conn.FD(), w.shard.Now())
		k.queue.Age = k.line.age
		w.stream.plain = k.queue.Pop(w.stream.plain[:0], k.line.Bytes(), w.shard.Now())
		w.transmit(k, w.stream.plain)
		if k.dead || k.conn.Waiting() > 0 {
			return
		}
	}
	k.progress = 0
	k.conn.Await(false)
	if k.closing {
		w.closeStream(k)
	}
}

// CloseClient ends a stream when what is queued for it has been written.
func (w *Worker) CloseClient(c *core.Client) {
	k := c.Handle.(*streamClient)
	if k.dead {
		return
	}
	if c.Queued.Head != 0 {
		w.Flush()
	}
	if k.conn.Waiting() > 0 || !k.queue.Empty() {
		k.closing = true
		return
	}
	w.closeStream(k)
}

// closeStream ends a stream now.
func (w *Worker) closeStream(k *streamClient) {
	if k.dead {
		return
	}
	k.dead = true
	w.shard.ClientGone(&k.client)
	k.conn.Close()
	delete(w.stream.all, k)
	w.shard.Streams(-1)
}

// sweep cuts off the clients that say or read nothing.
func (st *streamState) sweep(w *Worker) {
	now := w.shard.Second()
	for k := range st.all {
		silent := now-k.whole > core.StreamPatience && (!k.client.Allocated() || len(k.partial) > 0)
		stalled := k.progress != 0 && now-k.progress > core.StreamStall
		if silent || stalled {
			w.closeStream(k)
		}
	}
}

func (st *streamState) closeAll(w *Worker) {
	for k := range st.all {
		w.closeStream(k)
	}
}
