package events

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk: while the disk is full events are lost and counted, nothing hangs or ends,
// and once there is room it goes on, with whatever was there before.
func TestFullDisk(t *testing.T) {
	dir := os.Getenv("EVENTS_TEST_DISK")
	if dir == "" {
		// In a process with mounts of its own, which end with it.
		again := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
		again.Env = append(os.Environ(), "EVENTS_TEST_DISK="+t.TempDir())
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		text, err := again.CombinedOutput()
		switch {
		case again.ProcessState == nil:
			t.Skip("this needs mounts of its own: ", err)
		case err != nil:
			t.Errorf("%v\n%s", err, text)
		case strings.Contains(string(text), "--- SKIP"):
			t.Skipf("%s", text)
		}
		return
	}
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700")
	}
	if err != nil {
		t.Skip("this needs to mount a small file system: ", err)
	}
	var log lockedBuilder
	r := newReceiver(t, nil)
	s := serve(t, Config{Dir: dir, History: time.Hour, Webhooks: []Webhook{r.hook()}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.emit(0, 10)
	r.until(t, "ten", func(ids []string) bool { return len(ids) == 10 })
	eventually(t, "an empty queue", func() bool { return s.Store.Stats().Waiting == 0 })

	ballast := filepath.Join(dir, "ballast")
	_ = os.WriteFile(ballast, make([]byte, 2<<20), 0o600) // as much as there is room for
	for i := 10; s.Journal.Stats().Dropped[dropDisk] == 0; i++ {
		if i == 5000 {
			t.Fatal("the disk does not become full")
		}
		s.Emit(CallMissed, Data{Reason: fmt.Sprint(i), Path: strings.Repeat("x", 8000)})
		<-time.After(time.Millisecond)
	}
	eventually(t, "a word of it in the log", func() bool { return strings.Contains(log.String(), "events are lost") })
	if _, err := s.History(Query{}); err != nil {
		t.Error(err)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "events again", func() bool {
		s.Emit(CallMissed, Data{Reason: "again"})
		<-time.After(10 * time.Millisecond)
		return strings.Contains(strings.Join(r.ids(), " "), "again")
	})
	page, err := s.History(Query{})
	if err != nil || page.Rows[len(page.Rows)-1].Data.Reason != "0" {
		t.Error(len(page.Rows), err)
	}
	s.stop()
	again, err := Open(context.Background(), Config{Dir: dir, History: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	again.db.Close()
	if strings.Contains(log.String(), "damaged") {
		t.Error(log.String())
	}
}
