package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestProgramIsBuilt holds that the object is what its source gives. Another compiler makes
// another one of it: only the one that has made it can tell.
func TestProgramIsBuilt(t *testing.T) {
	const loudly = "######## NOT TESTED: THE PROGRAM FOR THE KERNEL IS WHAT ITS SOURCE GIVES: %s ########"
	version, err := exec.Command("clang", "--version").Output()
	if err != nil {
		t.Skipf(loudly, "there is no clang")
	}
	if _, err := os.Stat("/usr/include/bpf/bpf_helpers.h"); err != nil {
		t.Skipf(loudly, "there is no libbpf-dev")
	}
	made, err := os.ReadFile("program/compiler")
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := bytes.Cut(version, []byte("\n")); !bytes.Equal(first, bytes.TrimSpace(made)) {
		t.Skipf(loudly, "it was made by "+string(bytes.TrimSpace(made))+", here is "+string(first))
	}
	want := filepath.Join(t.TempDir(), "relay.o")
	if out, err := exec.Command("program/generate.sh", want).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	built, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("program/relay.o")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(built, committed) {
		t.Error("program/relay.o is not what program/relay.c gives: run `make generate-kernel`")
	}
}
