package events

import (
	"bytes"
	"fmt"
	"os"
)

// lineFile is the operator's file of JSON lines. It goes on in a new file where the old
// one has been renamed, as logrotate does, and sets one that is too large aside itself.
type lineFile struct {
	path string
	most int64 // bytes
	file *os.File
}

func (l *lineFile) write(lines [][]byte) error {
	if err := l.ready(); err != nil {
		return err
	}
	text := bytes.Join(lines, nil)
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if n, err := l.file.Write(text); err != nil {
		if n > 0 {
			_ = l.file.Truncate(info.Size()) // half a line would spoil the next one too
		}
		l.close()
		return err
	}
	return nil
}

// ready opens the file of that name, unless it is open.
func (l *lineFile) ready() error {
	if l.file != nil {
		open, err := l.file.Stat()
		named, nerr := os.Stat(l.path)
		if err == nil && nerr == nil && os.SameFile(open, named) && open.Size() < l.most {
			return nil
		}
		l.close()
	}
	switch info, err := os.Stat(l.path); { // before it is opened: opening a pipe would wait
	case err != nil:
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no ordinary file (%v)", l.path, info.Mode().Type())
	case info.Size() >= l.most:
		if err := os.Rename(l.path, l.path+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	l.file = f
	return nil
}

func (l *lineFile) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
