//go:build linux && (amd64 || arm64)

package uring

import "golang.org/x/sys/unix"

// Receive begins a multishot recvmsg on a slot: each datagram completes with a buffer
// of its own (Ring.Message), until a completion without More. Of form the lengths of
// name and control data count: so much room each has in a buffer. Form must stay as
// it is until Submit.
//
// It ends by Cancel, by an error of the socket (an ICMP error: ECONNREFUSED), with
// ENOBUFS when no buffer is left, and with a datagram when completions overflow or the
// datagram is empty, which the kernel takes for the end of a stream. In every case but
// the first it is begun anew.
func (r *Ring) Receive(slot int, form *unix.Msghdr, key uint64) error {
	e, err := r.next(form)
	if err != nil {
		return err
	}
	e.opcode, e.flags, e.ioprio = opRecvmsg, fixedFile|bufferSelect, recvMultishot
	e.fd, e.group, e.userData = int32(slot), bufferGroup, key
	return nil
}

// Send sends a message from a slot. It is carried out or refused (EAGAIN, ENOBUFS, an
// ICMP error) at once when it is submitted; only refusals have a completion. What it
// points to must stay as it is until Submit.
func (r *Ring) Send(slot int, message *unix.Msghdr, key uint64) error {
	e, err := r.next(message)
	if err != nil {
		return err
	}
	e.opcode, e.flags = opSendmsg, fixedFile|skipSuccess
	e.fd, e.opFlags, e.userData = int32(slot), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, key
	return nil
}

// Poll completes once when the file in a slot is readable.
func (r *Ring) Poll(slot int, key uint64) error {
	e, err := r.next(nil)
	if err != nil {
		return err
	}
	e.opcode, e.flags = opPollAdd, fixedFile
	e.fd, e.opFlags, e.userData = int32(slot), unix.POLLIN, key
	return nil
}

// Cancel ends the request with a key, which then completes with ECANCELED. It completes
// itself only when there is none (ENOENT) or it cannot be ended any more (EALREADY).
func (r *Ring) Cancel(request, key uint64) error {
	e, err := r.next(nil)
	if err != nil {
		return err
	}
	e.opcode, e.flags = opAsyncCancel, skipSuccess
	e.fd, e.addr, e.userData = -1, request, key
	return nil
}
