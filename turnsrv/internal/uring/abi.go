//go:build linux && (amd64 || arm64)

package uring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's interface, as include/uapi/linux/io_uring.h has it. All of it exists in
// Linux 6.1, except where a later version is named.

// sqe is struct io_uring_sqe: a request.
type sqe struct {
	opcode   uint8
	flags    uint8
	ioprio   uint16 // of receives: recvMultishot
	fd       int32  // with fixedFile: a slot
	off      uint64
	addr     uint64
	len      uint32
	opFlags  uint32 // msg_flags, poll32_events or cancel_flags
	userData uint64
	group    uint16 // of provided buffers
	_        uint16
	_        int32
	_        [2]uint64
}

// cqe is struct io_uring_cqe: a completion.
type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

type sqOffsets struct {
	head, tail, mask, entries, flags, dropped, array, _ uint32
	_                                                   uint64
}

type cqOffsets struct {
	head, tail, mask, entries, overflow, cqes, flags, _ uint32
	_                                                   uint64
}

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, _, _, features, _ uint32
	_                                              [3]uint32
	sq                                             sqOffsets
	cq                                             cqOffsets
}

// waitArg is struct io_uring_getevents_arg.
type waitArg struct {
	sigmask     uint64
	sigmaskSize uint32
	minWait     uint32 // microseconds, since Linux 6.12
	timeout     uint64 // of a struct __kernel_timespec
}

// restriction is struct io_uring_restriction.
type restriction struct {
	kind uint16
	op   uint8
	_    uint8
	_    [3]uint32
}

// filesRegister is struct io_uring_rsrc_register.
type filesRegister struct {
	number, flags uint32
	_             uint64
	data, tags    uint64
}

// filesUpdate is struct io_uring_rsrc_update.
type filesUpdate struct {
	offset, _ uint32
	data      uint64
}

// bufferRegister is struct io_uring_buf_reg.
type bufferRegister struct {
	address uint64
	entries uint32
	group   uint16
	flags   uint16
	_       [3]uint64
}

// bufferEntry is struct io_uring_buf. In the first, the last two bytes are the tail of
// the ring of buffers.
type bufferEntry struct {
	address uint64
	len     uint32
	id      uint16
	_       uint16
}

// messageHeader is struct io_uring_recvmsg_out, in front of what a multishot receive
// has put into a buffer.
type messageHeader struct {
	namelen, controllen, payloadlen, flags uint32
}

const (
	opPollAdd     = 6
	opSendmsg     = 9
	opRecvmsg     = 10
	opAsyncCancel = 14

	fixedFile    = 1 << 0
	bufferSelect = 1 << 5
	skipSuccess  = 1 << 6

	recvMultishot = 1 << 1

	setupCQSize       = 1 << 3
	setupClamp        = 1 << 4
	setupDisabled     = 1 << 6
	setupSubmitAll    = 1 << 7
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13

	featSingleMmap = 1 << 0
	featNoDrop     = 1 << 1
	featExtArg     = 1 << 8
	featSkip       = 1 << 11
	featMinTimeout = 1 << 15 // since Linux 6.12

	enterGetEvents = 1 << 0
	enterExtArg    = 1 << 3

	offsetRing = 0
	offsetSQEs = 0x10000000

	sqOverflow = 1 << 1 // completions wait in the kernel for room

	cqeBuffer      = 1 << 0
	cqeMore        = 1 << 1
	cqeBufferShift = 16

	registerRestrictions = 11
	registerEnable       = 12
	registerFiles2       = 13
	registerFilesUpdate2 = 14
	registerBufferRing   = 22

	filesSparse = 1 << 0

	restrictRegisterOp = 0
	restrictSQEOp      = 1
	restrictSQEFlags   = 2
)

func register(fd int, op uintptr, arg unsafe.Pointer, n int) error {
	if _, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_REGISTER, uintptr(fd), op, uintptr(arg), uintptr(n), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
