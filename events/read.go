package events

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
)

const readAtOnce = 512 << 10 // bytes of a journal in one transaction

// readAll reads what has been added to the journals, and removes those that are
// complete.
func (s *Store) readAll(ctx context.Context) {
	files, err := journals(s.cfg.Dir)
	if err != nil {
		s.tell("the journals of events cannot be listed", err)
		return
	}
	for _, f := range files {
		for ctx.Err() == nil {
			more, err := s.readSome(f.name)
			if err != nil {
				s.tell("a journal of events cannot be read into the store", err)
				return // later ones wait, so that the order stays
			}
			if !more {
				break
			}
		}
	}
}

// readSome reads on in one journal. It reports whether there is more.
func (s *Store) readSome(name string) (more bool, err error) {
	f, err := os.Open(filepath.Join(s.cfg.Dir, name))
	if err != nil {
		return false, err
	}
	defer f.Close()
	position := int64(0)
	err = s.view(func(tx *bbolt.Tx) error {
		if v := tx.Bucket(bucketPositions).Get([]byte(name)); len(v) == 8 {
			position = int64(binary.BigEndian.Uint64(v))
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	// Whether it is complete is asked first: what is there then is all.
	complete := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil
	text := make([]byte, readAtOnce)
	n, err := f.ReadAt(text, position)
	if err != nil && err != io.EOF {
		return false, err
	}
	text = text[:n]
	end := bytes.LastIndexByte(text, '\n') + 1
	if end == 0 {
		switch {
		case n == readAtOnce:
			end = n // no line of ours is that long
		case !complete:
			return false, nil
		default:
			if n > 0 {
				s.dropped.add(dropForm, 1) // its process was killed while it wrote
			}
			return false, s.finish(name)
		}
	}
	var events []*Event
	var lines [][]byte
	for line := range bytes.Lines(text[:end]) {
		e, ok := decode(line)
		if !ok {
			s.dropped.add(dropForm, 1)
			continue
		}
		events, lines = append(events, e), append(lines, line)
	}
	if err := s.enter(name, position+int64(end), events, lines); err != nil {
		return false, err
	}
	return true, nil
}

// finish removes a journal that has been read, and then what is known of it: the other
// way round a crash in between would have it read again.
func (s *Store) finish(name string) error {
	if err := os.Remove(filepath.Join(s.cfg.Dir, name)); err != nil {
		return err
	}
	return s.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketPositions).Delete([]byte(name)) })
}
