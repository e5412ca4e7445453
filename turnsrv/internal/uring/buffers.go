//go:build linux && (amd64 || arm64)

package uring

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bufferGroup is the only group of provided buffers.
const bufferGroup = 0

// buffers are the buffers that receives take from a ring shared with the kernel. Their
// memory is outside of the Go heap, and only pages that packets have touched exist.
type buffers struct {
	ring    []byte // of bufferEntry
	memory  []byte
	size    int // bytes of each
	entries int
	tail    uint16
}

// provide registers the ring of buffers, with all of them in it.
func (b *buffers) provide(fd, entries, size int) (err error) {
	const access, kind = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	if b.ring, err = unix.Mmap(-1, 0, entries*int(unsafe.Sizeof(bufferEntry{})), access, kind); err != nil {
		return fmt.Errorf("map a ring of buffers: %w", err)
	}
	if b.memory, err = unix.Mmap(-1, 0, entries*size, access, kind); err != nil {
		return fmt.Errorf("map receive buffers: %w", err)
	}
	unix.Madvise(b.memory, unix.MADV_NOHUGEPAGE)
	b.size, b.entries = size, entries
	reg := &bufferRegister{address: uint64(uintptr(unsafe.Pointer(&b.ring[0]))), entries: uint32(entries), group: bufferGroup}
	if err := register(fd, registerBufferRing, unsafe.Pointer(reg), 1); err != nil {
		return &Refused{"IORING_REGISTER_PBUF_RING", err}
	}
	for i := range entries {
		b.put(i)
	}
	return nil
}

func (b *buffers) entry(i int) *bufferEntry {
	return (*bufferEntry)(unsafe.Pointer(&b.ring[i*int(unsafe.Sizeof(bufferEntry{}))]))
}

// put gives a buffer to the kernel. Go has no atomic store of 16 bits: the tail is
// published together with the two bytes in front of it, the id in the first entry,
// which only we write.
func (b *buffers) put(id int) {
	e := b.entry(int(b.tail) & (b.entries - 1))
	e.address = uint64(uintptr(unsafe.Pointer(&b.memory[id*b.size])))
	e.len, e.id = uint32(b.size), uint16(id)
	b.tail++
	first := b.entry(0)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&first.id)), uint32(first.id)|uint32(b.tail)<<16)
}

func (b *buffers) close() {
	if b.ring != nil {
		unix.Munmap(b.ring)
	}
	if b.memory != nil {
		unix.Munmap(b.memory)
	}
}

// Buffer is the memory of a provided buffer.
func (r *Ring) Buffer(id int) []byte {
	b := &r.buffers
	return b.memory[id*b.size : (id+1)*b.size : (id+1)*b.size]
}

// Recycle gives a buffer back. The kernel sees it in the next Submit or Wait.
func (r *Ring) Recycle(id int) { r.buffers.put(id) }

// Message is a datagram in a provided buffer.
type Message struct {
	Name    []byte // a raw socket address
	Control []byte // control messages, see cmsg(3)
	Lo, Hi  int    // where in the buffer the payload is
	Flags   int    // MSG_TRUNC: it was longer; MSG_CTRUNC
}

// PayloadOffset is where in a buffer the payload of a receive of that form begins.
func PayloadOffset(form *unix.Msghdr) int {
	return int(unsafe.Sizeof(messageHeader{})) + int(form.Namelen) + int(form.Controllen)
}

// Message reads the first n bytes of a buffer that a receive of that form has filled.
func (r *Ring) Message(id, n int, form *unix.Msghdr) (m Message, err error) {
	b := r.Buffer(id)
	m.Lo = PayloadOffset(form)
	if n < m.Lo || n > len(b) {
		return m, errShort
	}
	h := (*messageHeader)(unsafe.Pointer(&b[0]))
	name := int(unsafe.Sizeof(*h))
	control := name + int(form.Namelen)
	m.Name = b[name : name+min(int(h.namelen), int(form.Namelen))]
	m.Control = b[control : control+min(int(h.controllen), int(form.Controllen))]
	m.Hi = min(m.Lo+int(h.payloadlen), n)
	m.Flags = int(h.flags)
	return m, nil
}
