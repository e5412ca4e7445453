package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// flagsOf returns the flags that a command parses, as its help shows them.
func flagsOf(t *testing.T, c command) []string {
	t.Helper()
	status, out, errs := try(nil, "help", c.name)
	if status != 0 || errs != "" {
		t.Fatalf("help %s: status %d, %s", c.name, status, errs)
	}
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^  (--[a-z-]+)`).FindAllStringSubmatch(out, -1) {
		all = append(all, m[1])
	}
	return all
}

// TestHelp: every command explains itself, with the flags that it parses, in
// whatever way it is asked.
func TestHelp(t *testing.T) {
	for _, c := range commands() {
		_, want, _ := try(nil, "help", c.name)
		for _, args := range [][]string{{c.name, "--help"}, {c.name, "-h"}, {c.name, "-help"}} {
			if status, out, errs := try(nil, args...); status != 0 || out != want || errs != "" {
				t.Errorf("turnhub %v: status %d\n%s%s", args, status, out, errs)
			}
		}
		flags := flagsOf(t, c)
		for _, f := range regexp.MustCompile(`--[a-z-]+`).FindAllString(c.usage+strings.Join(c.examples, " "), -1) {
			if !slices.Contains(flags, f) {
				t.Errorf("turnhub %s does not know %s", c.name, f)
			}
		}
		for _, text := range append([]string{"usage: turnhub " + c.name, "exits with 0"}, c.examples...) {
			if !strings.Contains(want, text) {
				t.Errorf("help %s lacks %q:\n%s", c.name, text, want)
			}
		}
		if c.name != "version" && len(c.examples) == 0 {
			t.Errorf("%s has no example", c.name)
		}
	}
	for _, tc := range []struct {
		args   string
		status int
		out    string
		err    string
	}{
		{"help token", 0, "(default 1h)", ""},
		{"help token", 0, "every room", ""},
		{"token --user x --help", 0, "usage: turnhub token", ""},
		{"check https://a.example --help", 0, "usage: turnhub check", ""},
		{"help help", 0, "turnhub serve", ""},
		{"help dance", 2, "", `there is no command "dance"`},
		{"help serve check", 2, "", "turnhub help [COMMAND]"},
		{"token --rom x", 2, "", "there is no flag --rom; write: turnhub token"},
		{"config a", 2, "", `"a" is one argument too many`},
		{"check a b", 2, "", `"b" is one argument too many`},
		{"config --config", 2, "", "flag needs an argument"},
	} {
		status, out, errs := try(nil, strings.Fields(tc.args)...)
		out = strings.Join(strings.Fields(out), " ")
		if status != tc.status || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.err) {
			t.Errorf("turnhub %s: status %d\nstdout: %s\nstderr: %s", tc.args, status, out, errs)
		}
	}
}

// TestManPage: the manual has every command with its flags.
func TestManPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/turnhub.1")
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.ReplaceAll(string(text), `\-`, "-")
	_, body, _ := strings.Cut(plain, ".SH COMMANDS")
	body, _, _ = strings.Cut(body, ".SH SIGNALS")
	sections := strings.Split(body, "\n.TP\n.B ")
	for _, c := range commands() {
		i := slices.IndexFunc(sections, func(s string) bool { return strings.HasPrefix(s, c.name+"\n") })
		if i < 0 {
			t.Errorf("the manual has no command %s", c.name)
			continue
		}
		for _, f := range flagsOf(t, c) {
			if !strings.Contains(sections[i], f) {
				t.Errorf("the manual's %s lacks %s", c.name, f)
			}
		}
	}
}

// TestCompletion asks the shells themselves what they offer.
func TestCompletion(t *testing.T) {
	ask := map[string]func(line string) *exec.Cmd{
		"bash": func(line string) *exec.Cmd {
			return exec.Command("bash", "-c", `source ../../systemd/completion/turnhub.bash; COMP_WORDS=($1); [[ $1 == *" " ]] && COMP_WORDS+=("")
				COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _turnhub; printf '%s\n' "${COMPREPLY[@]}"`, "bash", line)
		},
		"fish": func(line string) *exec.Cmd {
			return exec.Command("fish", "--no-config", "-c", `source ../../systemd/completion/turnhub.fish; complete -C $argv[1]`, line)
		},
		"zsh": func(string) *exec.Cmd { return exec.Command("cat", "../../systemd/completion/_turnhub") },
	}
	for shell, command := range ask {
		if _, err := exec.LookPath(shell); err != nil && shell != "zsh" {
			t.Logf("%s is not installed", shell)
			continue
		}
		offers := func(line string, want ...string) {
			out, err := command(line).CombinedOutput()
			for _, w := range want {
				if err != nil || !strings.Contains(string(out), w) {
					t.Errorf("%s offers for %q not %q: %s (%v)", shell, line, w, out, err)
				}
			}
		}
		offers("turnhub ", "help")
		offers("turnhub token --ttl ", "720h")
		offers("turnhub check h", "https")
		for _, c := range commands() {
			offers("turnhub ", c.name)
			offers("turnhub help ", c.name)
			offers("turnhub "+c.name+" --", "--help")
			for _, f := range flagsOf(t, c) {
				offers("turnhub "+c.name+" --", f)
			}
		}
	}
	if _, err := exec.LookPath("zsh"); err == nil {
		if out, err := exec.Command("zsh", "-n", "../../systemd/completion/_turnhub").CombinedOutput(); err != nil {
			t.Errorf("zsh: %s", out)
		}
	}
}
