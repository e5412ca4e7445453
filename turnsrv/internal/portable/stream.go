package portable

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/backlog"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// streamClient is a TCP or TLS client of a portable shard: the goroutine that
// brought it reads, another one writes.
type streamClient struct {
	client core.Client
	conn   net.Conn
	shard  *core.Shard
	whole  int64 // second of the last whole message
	middle bool  // in the middle of a message

	mu      sync.Mutex
	changed *sync.Cond
	queue   backlog.Queue
	waited  backlog.Waited // not yet counted by the shard
	closed  bool           // at once
	ending  bool           // when the queue is empty
}

func newStreamClient(conn net.Conn, shard *core.Shard) *streamClient {
	k := &streamClient{conn: conn, queue: backlog.Queue{Age: backlog.AgeFor(assumedRoundTrip)}, shard: shard}
	k.queue.Waited = &k.waited
	k.changed = sync.NewCond(&k.mu)
	return k
}

// Serve runs a stream until it ends.
func (p *Worker) Serve(conn net.Conn, transport wire.Transport) bool {
	conn = stream.KeepWhole(conn)
	k := newStreamClient(conn, p.shard)
	var from netip.AddrPort
	if remote, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		from = remote.AddrPort()
	}
	k.client = core.StreamClient(conn, from, transport, k)
	if tcp := stream.TCP(conn); tcp != nil {
		limitUnsent(tcp, writtenAhead)
	}
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		conn.Close()
		return true
	}
	p.streams[k] = struct{}{}
	p.shard.Streams(1)
	k.whole = p.shard.Shared().Clock() / 1e9
	p.mu.Unlock()

	var writing sync.WaitGroup
	writing.Go(k.write)
	p.readStream(k)
	p.round(func(s *core.Shard) {
		s.ClientGone(&k.client)
		delete(p.streams, k)
		s.Streams(-1)
	})
	k.close()
	writing.Wait()
	p.round(func(s *core.Shard) { s.Waited(transport).Add(&k.waited) })
	return true
}

func (p *Worker) readStream(k *streamClient) {
	buf := make([]byte, wire.Headroom+2*wire.MaxFrame+wire.Tailroom)
	shell := &wire.Buffer{Mem: buf}
	start, end := wire.Headroom, wire.Headroom
	for {
		n, err := k.conn.Read(buf[end : len(buf)-wire.Tailroom])
		end += n
		p.mu.Lock()
		p.shard.Tick()
		bad := false
		free := wire.Headroom
		for start < end {
			length, message, frameErr := wire.Frame(buf[start:end])
			if frameErr != nil {
				p.shard.Drop(core.DropMalformed, 1)
				bad = true
				break
			}
			if length == 0 || start+length > end {
				break
			}
			k.whole = p.shard.Second()
			p.shard.FromClient(&k.client, wire.Segment{Buf: shell, Lo: start, Hi: start + message, Free: free, Spare: length - message})
			start += length
			free = 0
		}
		k.middle = start < end
		p.shard.Reclaim()
		p.shard.WakeOthers()
		p.mu.Unlock()
		if err != nil || bad {
			return
		}
		end = wire.Headroom + copy(buf[wire.Headroom:], buf[start:end])
		start = wire.Headroom
	}
}

// push queues a message for the writer, and counts what has waited until now.
func (k *streamClient) push(b []byte, media bool, now int64, count *backlog.Waited) (dropped int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return 0, true
	}
	dropped, ok = k.queue.Push(b, media, now)
	count.Add(&k.waited)
	k.waited = backlog.Waited{}
	k.changed.Signal()
	return dropped, ok
}

// write writes what is queued, as much at once as the line takes in a moment.
func (k *streamClient) write() {
	var b []byte
	var ahead stream.Ahead
	raw, bytes, roundTrip := rawOf(k.conn), writtenAhead, int64(assumedRoundTrip)
	look := func(fd uintptr) {
		if least, ok := ahead.Look(int(fd), k.shard.Shared().Clock()); ok {
			bytes, roundTrip = ahead.Bytes(), min(least, mostRoundTrip)
		}
	}
	if raw != nil {
		_ = raw.Control(func(fd uintptr) { ahead.Open(int(fd)) })
		bytes = min(bytes, ahead.Bytes())
	}
	for {
		k.mu.Lock()
		for k.queue.Empty() && !k.closed && !k.ending {
			k.changed.Wait()
		}
		if k.closed || k.queue.Empty() {
			k.mu.Unlock()
			k.close()
			return
		}
		k.mu.Unlock()
		if raw != nil {
			_ = raw.Control(look)
		}
		k.mu.Lock()
		k.queue.Age = backlog.AgeFor(roundTrip)
		b = k.queue.Pop(b[:0], bytes, k.shard.Shared().Clock())
		if !k.queue.Empty() {
			ahead.Full()
		}
		k.mu.Unlock()
		if len(b) == 0 { // all of it had become too old
			continue
		}
		k.conn.SetWriteDeadline(time.Now().Add(core.StreamStall * time.Second))
		if _, err := k.conn.Write(b); err != nil {
			k.close()
			return
		}
	}
}

// rawOf gives the descriptor below a connection, nil where it has none.
func rawOf(conn net.Conn) syscall.RawConn {
	tcp := stream.TCP(conn)
	if tcp == nil {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// finish ends the stream when what is queued has been written.
func (k *streamClient) finish() {
	k.mu.Lock()
	k.ending = true
	k.changed.Signal()
	k.mu.Unlock()
}

// close ends the stream. It does not wait.
func (k *streamClient) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	k.closed = true
	k.changed.Signal()
	go k.conn.Close() // of a TLS connection it may wait for a peer that does not read
}

// sweepStreams cuts off the clients that say nothing.
func (p *Worker) sweepStreams() {
	for k := range p.streams {
		if p.shard.Second()-k.whole > core.StreamPatience && (!k.client.Allocated() || k.middle) {
			k.close()
		}
	}
}
