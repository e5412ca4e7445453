package boltfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// sound looks through a store before it is used: bbolt maps the file into memory and
// believes what it finds there, and a file that lost its end, or a page, would end the
// process at any later moment. The error is a *Damage.
func sound(path string) error {
	if err := whole(path); err != nil {
		return err
	}
	return guarded(func(r any) error { return fmt.Errorf("%v", r) }, func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Millisecond})
		if errors.Is(err, berrors.ErrTimeout) {
			return nil // another process works with it
		}
		if errors.Is(err, os.ErrPermission) {
			return err
		}
		if err != nil {
			return &Damage{err}
		}
		defer db.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return db.View(func(tx *bbolt.Tx) error {
			return walk(ctx, func(f func(name []byte, b *bbolt.Bucket) error) error { return tx.ForEach(f) })
		})
	})
}

// walk reads every entry, in the calling goroutine, where a fault can be caught. What
// takes longer than ctx is believed.
func walk(ctx context.Context, each func(func(name []byte, b *bbolt.Bucket) error) error) error {
	return each(func(_ []byte, b *bbolt.Bucket) error {
		n := 0
		last := []byte(nil)
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if last != nil && string(last) >= string(k) {
				return &Damage{errors.New("its entries are out of order")}
			}
			last = append(last[:0], k...)
			if v == nil {
				inner := b.Bucket(k)
				if inner == nil {
					return &Damage{errors.New("a part of it is missing")}
				}
				if err := walk(ctx, func(f func([]byte, *bbolt.Bucket) error) error { return f(k, inner) }); err != nil {
					return err
				}
			}
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return nil
			}
		}
		return nil
	})
}

// whole reports a file that is shorter than its newest sound first page says. The two
// pages at its start hold magic (4), version (4), page size (4), flags (4), root (16),
// freelist (8), pages in use (8), behind a header of 16 bytes.
func whole(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, 16+64)
	if _, err := f.ReadAt(head, 0); err != nil {
		return &Damage{fmt.Errorf("it has %d bytes", info.Size())}
	}
	size := int64(binary.NativeEndian.Uint32(head[16+8:]))
	if size < 512 || size > 1<<20 {
		size = int64(os.Getpagesize())
	}
	most := int64(0)
	for _, at := range []int64{0, size} {
		if _, err := f.ReadAt(head, at); err != nil {
			return &Damage{fmt.Errorf("it has %d bytes", info.Size())}
		}
		if binary.NativeEndian.Uint32(head[16:]) == 0xED0CDAED {
			most = max(most, int64(binary.NativeEndian.Uint64(head[16+40:]))*size)
		}
	}
	if info.Size() < most {
		return &Damage{fmt.Errorf("it has %d bytes of %d", info.Size(), most)}
	}
	return nil
}
