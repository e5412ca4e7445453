package e2e

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// starter is a thread that lives as long as this process.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// startBound starts a program that the kernel kills when this process ends, however it
// ends. The kernel's rule (prctl(2), PR_SET_PDEATHSIG) is about the thread that started
// it, and tests end threads that were in a network namespace; so it is always the same
// thread, which does not end.
func startBound(command *exec.Cmd) error {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	starter() <- func() { started <- command.Start() }
	return <-started
}

// TestStartBound ends threads under programs: none of them may end for it.
func TestStartBound(t *testing.T) {
	var programs [8]*exec.Cmd
	for i := range programs {
		programs[i] = exec.Command("sleep", "60")
		started := make(chan error)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			started <- startBound(programs[i])
		}()
		if err := <-started; err != nil {
			t.Fatal(err)
		}
	}
	for range 8 { // the threads have ended when as many others have come and gone
		done := make(chan struct{})
		go func() { runtime.LockOSThread(); close(done) }()
		<-done
	}
	for i, p := range programs {
		var status syscall.WaitStatus
		if pid, err := syscall.Wait4(p.Process.Pid, &status, syscall.WNOHANG, nil); pid != 0 || err != nil {
			t.Errorf("program %d has ended with its starter: %v %v", i, status.Signal(), err)
			continue
		}
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}
