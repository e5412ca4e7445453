// Package boltfile opens the embedded stores of the state directory. bbolt reads its file
// as memory and believes what it finds: here a file is looked through before it is used,
// a damaged one is set aside and begun anew, and damage that shows later is an error, not
// the end of the process.
package boltfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// DB is an open store. One process at a time has it.
type DB struct{ db *bbolt.DB }

// Damage is the error of a file that holds something else than it should.
type Damage struct{ error }

// Open opens the store at path, and waits for another process to leave it until ctx ends.
// damaged is told of a file that was set aside, and where to; a new one is begun then.
func Open(ctx context.Context, path string, damaged func(err error, aside string)) (*DB, error) {
	db, err := open(ctx, path)
	if damage := new(Damage); errors.As(err, &damage) {
		aside := path + ".damaged"
		damaged(err, aside)
		if err := os.Rename(path, aside); err != nil {
			return nil, err
		}
		db, err = open(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	return &DB{db}, nil
}

func open(ctx context.Context, path string) (*bbolt.DB, error) {
	if f, err := os.Stat(path); err == nil && f.Size() > 0 {
		if err := sound(path); err != nil {
			return nil, err
		}
	}
	for {
		db, err := try(path)
		if !errors.Is(err, berrors.ErrTimeout) {
			return db, err
		}
		if ctx.Err() != nil {
			return nil, errors.New("another process has it")
		}
	}
}

// try turns what a broken file does to bbolt into an error: it reads the file as memory,
// and trusts it.
func try(path string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, &Damage{fmt.Errorf("%v", r)}
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 250 * time.Millisecond, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch) {
		err = &Damage{err}
	}
	return db, err
}

// Update is bbolt's, in which damage that opening has not seen is an error.
func (d *DB) Update(f func(*bbolt.Tx) error) error {
	return d.guarded(func() error { return d.db.Update(f) })
}

// View is bbolt's, likewise.
func (d *DB) View(f func(*bbolt.Tx) error) error {
	return d.guarded(func() error { return d.db.View(f) })
}

func (d *DB) guarded(f func() error) error {
	return guarded(func(r any) error {
		return fmt.Errorf("%s is damaged: %v; stop the server and remove the file", filepath.Base(d.db.Path()), r)
	}, f)
}

// Close closes the store.
func (d *DB) Close() error { return d.db.Close() }

func guarded(say func(r any) error, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &Damage{say(r)}
		}
	}()
	return f()
}
