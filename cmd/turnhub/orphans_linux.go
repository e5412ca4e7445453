package main

import "golang.org/x/sys/unix"

// adoptGrandchildren makes the children of a child that dies those of this process.
func adoptGrandchildren() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }
