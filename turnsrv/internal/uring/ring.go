//go:build linux && (amd64 || arm64)

// Package uring is io_uring(7) for datagram sockets, as far as the relay needs it: one
// system call carries the sends of any number of sockets and brings what any number
// have received. It knows nothing of TURN.
//
// A Ring belongs to one thread. It is made with SINGLE_ISSUER and DEFER_TASKRUN: the
// kernel completes requests only while that thread is inside of Submit or Wait, so
// nothing interrupts it, and it refuses every other thread. A goroutine that uses a
// ring calls runtime.LockOSThread before Enable and stays locked until Close.
//
// # Memory ordering
//
// The rings are memory that the kernel and this process share. Each index has one
// writer: we write the submission queue's tail, the completion queue's head and the
// tail of the ring of buffers; the kernel writes the others. Whoever fills an entry
// publishes it by a store with release semantics of the index behind it, and whoever
// takes entries loads that index with acquire semantics first. Go's atomic loads and
// stores are sequentially consistent, which is more than that. A plain load would do
// for the indexes that we write ourselves: they are kept in fields. Requests are made
// with plain stores before the tail's.
//
// What a request points to (a msghdr, its vectors, names and payloads) the kernel
// reads while it starts it, which is in Submit or Wait. A multishot receive copies its
// msghdr then. Nothing else than the provided buffers is used by the kernel
// afterwards, because every send has MSG_DONTWAIT: it is carried out or refused at
// once.
package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Config is how large a ring is.
type Config struct {
	Entries     uint32 // requests that wait for Submit; a power of two
	Completions uint32 // that fit without the kernel's overflow list; a power of two
	Files       int    // slots for sockets
	Buffers     int    // provided to receives; a power of two, at most 32768
	BufferBytes int    // of each
}

// Ring is one io_uring.
type Ring struct {
	fd       int
	features uint32
	memory   []byte // both queues
	requests []byte // of sqes

	sqHead  *uint32 // the kernel's
	sqTail  *uint32 // ours
	sqFlags *uint32 // the kernel's
	sqMask  uint32
	sqSize  uint32
	tail    uint32 // of the submission queue, with what is not published yet
	sent    uint32 // how far the kernel has taken it
	// held keeps what the queued requests point to, by their place: the collector does
	// not see the addresses in them, and what is held here is on no stack, which moves.
	held []*unix.Msghdr

	cqHead *uint32 // ours
	cqTail *uint32 // the kernel's
	cqMask uint32
	cqes   *cqe
	head   uint32

	buffers buffers
	wait    *struct { // what Wait points the kernel to, on the heap: stacks move
		arg     waitArg
		timeout unix.Timespec
		update  filesUpdate
		file    int32
	}
}

// New makes a ring that may do only what this package does, and does nothing before
// Enable. An error names the step that the system refuses; Explain says why.
func New(cfg Config) (*Ring, error) {
	p := &params{
		flags:     setupCQSize | setupClamp | setupDisabled | setupSubmitAll | setupSingleIssuer | setupDeferTaskrun,
		cqEntries: cfg.Completions,
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_IO_URING_SETUP, uintptr(cfg.Entries), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return nil, &Refused{"io_uring_setup", errno}
	}
	r := &Ring{fd: int(fd), features: p.features}
	unix.CloseOnExec(r.fd)
	r.wait = new(struct {
		arg     waitArg
		timeout unix.Timespec
		update  filesUpdate
		file    int32
	})
	if err := r.prepare(p, cfg); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Ring) prepare(p *params, cfg Config) error {
	const needed = featSingleMmap | featNoDrop | featExtArg | featSkip
	if p.features&needed != needed {
		return &Refused{"io_uring_setup: features", unix.ENOSYS}
	}
	if err := r.mapQueues(p); err != nil {
		return err
	}
	files := &filesRegister{number: uint32(cfg.Files), flags: filesSparse}
	if err := register(r.fd, registerFiles2, unsafe.Pointer(files), int(unsafe.Sizeof(*files))); err != nil {
		return &Refused{"IORING_REGISTER_FILES2", err}
	}
	if err := r.buffers.provide(r.fd, cfg.Buffers, cfg.BufferBytes); err != nil {
		return err
	}
	if err := r.restrict(); err != nil {
		return &Refused{"IORING_REGISTER_RESTRICTIONS", err}
	}
	return nil
}

// mapQueues maps the memory that is shared with the kernel.
func (r *Ring) mapQueues(p *params) (err error) {
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{})))
	const access, kind = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.memory, err = unix.Mmap(r.fd, offsetRing, int(size), access, kind); err != nil {
		return fmt.Errorf("map the queues of an io_uring: %w", err)
	}
	if r.requests, err = unix.Mmap(r.fd, offsetSQEs, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})), access, kind); err != nil {
		return fmt.Errorf("map the requests of an io_uring: %w", err)
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.memory[offset])) }
	r.sqHead, r.sqTail, r.sqFlags = at(p.sq.head), at(p.sq.tail), at(p.sq.flags)
	r.sqMask, r.sqSize = *at(p.sq.mask), p.sqEntries
	r.cqHead, r.cqTail, r.cqMask = at(p.cq.head), at(p.cq.tail), *at(p.cq.mask)
	r.cqes = (*cqe)(unsafe.Pointer(&r.memory[p.cq.cqes]))
	r.held = make([]*unix.Msghdr, p.sqEntries)
	// The queue names requests by their place in another array. Ours are taken in order.
	for i := range p.sqEntries {
		*at(p.sq.array + 4*i) = i
	}
	return nil
}

// restrict allows what this package does and nothing else, whatever may come to write
// into the ring's memory.
func (r *Ring) restrict() error {
	list := []restriction{
		{kind: restrictRegisterOp, op: registerFilesUpdate2},
		{kind: restrictSQEFlags, op: fixedFile | bufferSelect | skipSuccess},
	}
	for _, op := range []uint8{opPollAdd, opSendmsg, opRecvmsg, opAsyncCancel} {
		list = append(list, restriction{kind: restrictSQEOp, op: op})
	}
	return register(r.fd, registerRestrictions, unsafe.Pointer(&list[0]), len(list))
}

// Enable makes the calling thread the ring's own.
func (r *Ring) Enable() error {
	if err := register(r.fd, registerEnable, nil, 0); err != nil {
		return &Refused{"IORING_REGISTER_ENABLE_RINGS", err}
	}
	return nil
}

// Close ends the ring and all of its requests. The sockets in its slots stay open where
// they are open elsewhere; the kernel lets go of them soon, not at once.
func (r *Ring) Close() {
	unix.Close(r.fd)
	if r.memory != nil {
		unix.Munmap(r.memory)
	}
	if r.requests != nil {
		unix.Munmap(r.requests)
	}
	r.buffers.close()
}

// SetFile puts a socket into a slot; -1 takes it out. A request that has begun keeps
// the socket that was there then.
func (r *Ring) SetFile(slot, fd int) error {
	w := r.wait
	w.file = int32(fd)
	// The last word of the structure is the number of files: struct io_uring_rsrc_update2.
	arg := &struct {
		filesUpdate
		tags uint64
		n    uint32
		_    uint32
	}{filesUpdate: filesUpdate{offset: uint32(slot), data: uint64(uintptr(unsafe.Pointer(&w.file)))}, n: 1}
	if err := register(r.fd, registerFilesUpdate2, unsafe.Pointer(arg), int(unsafe.Sizeof(*arg))); err != nil {
		return fmt.Errorf("register a socket with an io_uring: %w", err)
	}
	return nil
}

// next returns an empty request, which points to m. When the queue is full, what is in
// it is submitted first.
func (r *Ring) next(m *unix.Msghdr) (*sqe, error) {
	if r.tail-r.sent == r.sqSize {
		if err := r.Submit(); err != nil {
			return nil, err
		}
		if r.tail-r.sent == r.sqSize {
			return nil, unix.EBUSY
		}
	}
	at := r.tail & r.sqMask
	e := (*sqe)(unsafe.Pointer(&r.requests[uintptr(at)*unsafe.Sizeof(sqe{})]))
	*e = sqe{}
	r.held[at] = m
	if m != nil {
		e.addr, e.len = uint64(uintptr(unsafe.Pointer(m))), 1
	}
	r.tail++
	return e, nil
}

// Queued is how many requests wait for Submit.
func (r *Ring) Queued() int { return int(r.tail - r.sent) }

// Submit starts what is queued. What the kernel does not take, because completions
// overflow, stays queued: take some with Next, and go on.
func (r *Ring) Submit() error {
	if r.tail == r.sent && !r.Overflown() {
		return nil
	}
	return r.enter(0, 0, nil, false)
}

// Wait starts what is queued and waits until there is a completion, or as long as
// timeout; 0 looks only. For gather at first, where the kernel has that (Gathers),
// it waits until there are many, so that they come in one round. With raw the Go
// scheduler does not know of it: the thread keeps its P, so the timeout must be short.
func (r *Ring) Wait(timeout, gather time.Duration, raw bool) error {
	w := r.wait
	least := uint32(1)
	w.arg.minWait = 0
	if timeout <= 0 || r.ready() {
		least, timeout = 0, 0
	} else if gather > 0 && r.Gathers() {
		least, w.arg.minWait = gatherMany, uint32(gather.Microseconds())
	}
	w.timeout = unix.NsecToTimespec(int64(timeout))
	w.arg.timeout = uint64(uintptr(unsafe.Pointer(&w.timeout)))
	return r.enter(least, enterGetEvents|enterExtArg, &w.arg, !raw)
}

// gatherMany completions end the first part of a Wait.
const gatherMany = 128

// Gathers reports whether Wait can wait for many completions first (Linux 6.12).
func (r *Ring) Gathers() bool { return r.features&featMinTimeout != 0 }

// ready reports whether Next has something without asking the kernel.
func (r *Ring) ready() bool { return atomic.LoadUint32(r.cqTail) != r.head }

// enter is io_uring_enter(2).
func (r *Ring) enter(least uint32, flags uintptr, arg *waitArg, known bool) error {
	atomic.StoreUint32(r.sqTail, r.tail)
	call := unix.RawSyscall6
	if known {
		call = unix.Syscall6
	}
	var size uintptr
	if arg != nil {
		size = unsafe.Sizeof(*arg)
	}
	if atomic.LoadUint32(r.sqFlags)&sqOverflow != 0 {
		flags |= enterGetEvents // which moves them into the queue, as far as there is room
	}
	// arg is on the heap and held by the ring: through a function's value the compiler
	// would not see that a stack must not move.
	_, _, errno := call(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.tail-r.sent), uintptr(least), flags, uintptr(unsafe.Pointer(arg)), size)
	r.sent = atomic.LoadUint32(r.sqHead)
	switch errno {
	case 0, unix.ETIME, unix.EINTR:
		return nil
	case unix.EBUSY, unix.EAGAIN: // completions must be taken first, or memory is short
		return nil
	}
	return fmt.Errorf("io_uring_enter: %w", errno)
}

// Overflown reports whether completions wait in the kernel because the queue was full.
// They come with the next Submit or Wait after Next has made room.
func (r *Ring) Overflown() bool { return atomic.LoadUint32(r.sqFlags)&sqOverflow != 0 }

// Completion is what has become of a request.
type Completion struct {
	Key    uint64     // of the request
	N      int        // bytes, where there is no error
	Err    unix.Errno // 0: none
	More   bool       // a multishot request goes on; without it, it has ended
	Buffer int        // provided buffer that is ours until Recycle, -1: none
}

// Next takes a completion, if there is one.
func (r *Ring) Next() (c Completion, ok bool) {
	if !r.ready() {
		return c, false
	}
	e := (*cqe)(unsafe.Add(unsafe.Pointer(r.cqes), uintptr(r.head&r.cqMask)*unsafe.Sizeof(cqe{})))
	c = Completion{Key: e.userData, More: e.flags&cqeMore != 0, Buffer: -1}
	if e.res < 0 {
		c.Err = unix.Errno(-e.res)
	} else {
		c.N = int(e.res)
	}
	if e.flags&cqeBuffer != 0 {
		c.Buffer = int(e.flags >> cqeBufferShift)
	}
	r.head++
	atomic.StoreUint32(r.cqHead, r.head) // the entry has been read: it may be filled anew
	return c, true
}

// Refused is a step of making a ring that the system does not allow or know.
type Refused struct {
	Step string
	Err  error
}

func (e *Refused) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *Refused) Unwrap() error { return e.Err }

var errShort = errors.New("a message that is shorter than its header")
