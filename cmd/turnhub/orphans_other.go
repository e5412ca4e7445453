//go:build !linux

package main

// adoptGrandchildren is for Linux only.
func adoptGrandchildren() {}
