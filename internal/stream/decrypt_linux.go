package stream

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"reflect"
	"unsafe"
)

const (
	recordBuffer = 32 << 10 // bytes of one read under TLS
	maxRecord    = 17 << 10 // bytes of a record of TLS, and more: RFC 8446 section 5.2, RFC 5246 section 6.2.3
)

// decrypt reads what the socket has and decrypts all of it that fits into b. What is
// read lies in a buffer that all connections of the loop have in turn, and TLS decrypts it
// where it lies, so that a connection from which nothing is awaited holds none. Whoever has
// no room in b for all of it keeps the buffer until there was, and the loop makes another.
func (c *Conn) decrypt(b []byte) (n int, err error) {
	raw := unread(c.tls)
	if len(c.input) == 0 && !c.holds && !c.eof {
		if err := c.fetch(raw); err != nil {
			return 0, err
		}
	}
	for n < len(b) && err == nil {
		var got int
		got, err = c.tls.Read(b[n:])
		n += got
	}
	switch {
	case err == nil: // b is full
		if raw == nil {
			c.input = bytes.Clone(c.input) // the buffer is the next one's
		} else if l := c.loop(); l != nil && !c.holds {
			c.holds, l.records = true, nil
		}
		c.Rouse() // there may be more, in TLS's hands too
		return n, nil
	case errors.Is(err, errNothing):
		err = nil
	}
	c.input, c.holds = nil, false // all of it is in TLS's hands, or there was none
	keep(c.tls)
	return n, err
}

// fetch reads from the socket into the loop's buffer, behind the beginning of a record
// that TLS has already, and hands that to TLS: as its own buffer, or where raw is nil by
// bottom's Read. There is nothing to fetch while TLS has a whole record: it had no loop
// when it read so much.
func (c *Conn) fetch(raw *bytes.Buffer) error {
	if raw != nil && raw.Len() >= maxRecord {
		return nil
	}
	l := c.loop()
	if l == nil {
		return net.ErrClosed
	}
	if l.records == nil {
		l.records = make([]byte, recordBuffer+maxRecord)
	}
	have := 0
	if raw != nil {
		have = copy(l.records[:maxRecord], raw.Bytes())
	}
	got, err := c.readSocket(l.records[have : have+recordBuffer])
	if err != nil {
		c.eof, c.fail = true, err
	}
	if raw == nil {
		c.input = l.records[:got]
	} else {
		*raw = *bytes.NewBuffer(l.records[:have+got])
	}
	return nil
}

// buffers is where a tls.Conn has the two buffers that it never gives back: one of what
// it has read and not decrypted, one of messages of a handshake. Each is as large as the
// largest that it was needed for, which for most is the ClientHello, so that they are more
// than half of what crypto/tls keeps of a connection that waits.
//
// Its Read alone uses them, and the loop's goroutine alone calls that. Where crypto/tls is
// another than the one that is known here, it keeps them: known is false then, and all that
// is lost is memory.
type buffers struct {
	unread, messages uintptr
	known            bool
}

var inside = look(reflect.TypeFor[tls.Conn]())

// look finds the buffers by name and type.
func look(conn reflect.Type) (b buffers) {
	unread, ok := conn.FieldByName("rawInput")
	messages, too := conn.FieldByName("hand")
	buffer := reflect.TypeFor[bytes.Buffer]()
	if ok && too && unread.Type == buffer && messages.Type == buffer {
		b = buffers{unread.Offset, messages.Offset, true}
	}
	return b
}

// unread is the buffer of what conn has read and not decrypted; nil: it is not known where.
func unread(conn *tls.Conn) *bytes.Buffer {
	if !inside.known {
		return nil
	}
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(conn), inside.unread))
}

// keep leaves conn nothing but what is in its buffers, in memory of its own.
func keep(conn *tls.Conn) {
	if !inside.known {
		return
	}
	for _, offset := range [...]uintptr{inside.unread, inside.messages} {
		b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(conn), offset))
		if b.Len() > 0 {
			*b = *bytes.NewBuffer(bytes.Clone(b.Bytes()))
		} else if b.Cap() > 0 {
			*b = bytes.Buffer{}
		}
	}
}
