package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A command of the documents is run here as it stands there, with the names of hosts and files replaced by ours;
// or another test runs it, or it belongs to somebody else's program.
type documented struct {
	run       string // what it becomes
	says      string // a part of what it prints
	serves    bool   // it goes on until it is ended
	elsewhere string // "FILE: TEXT": the test that runs it, and how it stands there
	foreign   string // why nobody can run it here
}

const (
	ofDeb   = "e2e/deb/deb_test.go: "
	notOurs = "a command of another program, on a machine that has it"
)

var commands = map[string]documented{
	"turnhub check https://calls.example.org":                    {run: "turnhub check $SITE", says: "two sessions met in a room"},
	"turnhub check https://turn.example.org":                     {run: "turnhub check $SITE", says: "two sessions met in a room"},
	"turnhub check":                                              {run: "turnhub check $SITE", says: "two sessions met in a room"},
	"turnhub check --config /etc/turnhub/config.yaml":            {run: "turnhub check --config $CONFIG", says: "ok"},
	"go run ./bench/scale":                                       {run: "cd $TOP && go run ./bench/scale -nodes 20 -regions 2 -sessions 10000 -calls 2000 -weight 10 -to 100", says: "through NATS"},
	"turnhub drain":                                              {elsewhere: `e2e/cluster_roll_test.go: "drain", "--config"`},
	"turnhub drain --config /etc/turnhub/config.yaml":            {elsewhere: `e2e/cluster_roll_test.go: "drain", "--config"`},
	"turnhub detach":                                             {elsewhere: `cmd/turnhub/kernel_test.go: exec.Command(poor, "detach")`},
	"ss -xl":                                                     {foreign: notOurs},
	"docker compose stop":                                        {foreign: notOurs},
	"turnhub config":                                             {run: "turnhub config", says: "port_min: 49152"},
	"turnhub config --config FILE":                               {run: "turnhub config --config $CONFIG", says: `secrets: ["********"]`},
	"turnhub config --from-turnserver-conf FILE":                 {run: "turnhub config --from-turnserver-conf turnserver.conf", says: "from-coturn"},
	"turnhub config --from-turnserver-conf /etc/turnserver.conf": {run: "turnhub config --from-turnserver-conf turnserver.conf", says: "from-coturn"},
	"turnhub config --from-turnserver-conf /etc/turnserver.conf > config.yaml": {
		run: "turnhub config --from-turnserver-conf turnserver.conf > config.yaml && turnhub config --config config.yaml", says: "peers: public"},
	"turnhub credentials --config /etc/turnhub/config.yaml --user asterisk --ttl 8760h": {
		run: "turnhub credentials --config $CONFIG --user asterisk --ttl 8760h", says: ":asterisk"},
	"turnhub token": {run: "openssl rand -hex 32 > key && TURNHUB_ACCESS_TOKEN_SECRET_FILE=key turnhub token --user anna", says: "eyJ"},
	"turnhub token --user anna --room blue-fox --ttl 2h": {
		run: "openssl rand -hex 32 > key && TURNHUB_ACCESS_TOKEN_SECRET_FILE=key turnhub token --user anna --room blue-fox --ttl 2h", says: "eyJ"},
	"turnhub token --user anna --room team --host --ttl 2h": {
		run: "openssl rand -hex 32 > key && TURNHUB_ACCESS_TOKEN_SECRET_FILE=key turnhub token --user anna --room team --host --ttl 2h", says: "eyJ"},
	"turnhub serve":               {run: "turnhub serve --config own.yaml", serves: true, says: "ready"},
	"turnhub serve --config FILE": {run: "turnhub serve --config own.yaml", serves: true, says: "ready"},

	"make run":      {run: "make -C $TOP run", serves: true, says: "ready"},
	"make build":    {run: "make -C $TOP -n build", says: "go build"},
	"make test":     {run: "make -C $TOP -n test", says: "race-test"},
	"make deb":      {elsewhere: ofDeb + `"systemd/package", "deb"`},
	"make fast":     {run: "make -C $TOP -n fast", says: "run --silent fast"},
	"make heal":     {run: "make -C $TOP -n heal", says: "run --silent heal"},
	"make narrow":   {run: "make -C $TOP -n narrow", says: "run --silent narrow"},
	"make vuln":     {run: "make -C $TOP -n vuln", says: "govulncheck"},
	"make browsers": {run: "make -C $TOP -n browsers", says: "netlab/record.js"},
	"make stacks":   {run: "make -C $TOP -n stacks", says: "stacks/*.test.js"},
	"make soak":     {run: "make -C $TOP -n soak", says: "TestNarrowLine"},
	"make deb-test": {run: "make -C $TOP -n deb-test", says: "TestDebianPackage"},

	"sudo apt install ./dist/turnhub_*_amd64.deb": {elsewhere: ofDeb + `"dpkg", "-i"`},
	"sudo install -D -m 644 -t /etc/systemd/system/turnhub.service.d /usr/share/turnhub/kernel.conf && sudo systemctl daemon-reload && sudo systemctl restart turnhub": {
		elsewhere: `e2e/deb/kernel_test.go: "install", "-D", "-m", "644", "-t", "/etc/systemd/system/turnhub.service.d", "/usr/share/turnhub/kernel.conf"`},
	"sudo systemctl restart turnhub":                                   {elsewhere: ofDeb + `"systemctl", "restart", "turnhub"`},
	"systemctl restart turnhub":                                        {elsewhere: ofDeb + `"systemctl", "restart", "turnhub"`},
	"systemctl reload turnhub":                                         {elsewhere: ofDeb + `"systemctl", "reload", "turnhub"`},
	"systemctl status turnhub":                                         {elsewhere: ofDeb + `"systemctl", "status", "turnhub"`},
	"systemctl stop turnhub":                                           {elsewhere: ofDeb + `"systemctl", "stop", "turnhub"`},
	"systemctl kill --kill-who=main --signal=USR2 turnhub":             {elsewhere: ofDeb + `"systemctl", "kill", "--kill-who=main", "--signal=USR2", "turnhub"`},
	"systemd-analyze security":                                         {run: "systemd-analyze security --offline=true --threshold=16 $TOP/systemd/turnhub.service", says: "exposure level"},
	"go test ./internal/coturnconf -update":                            {elsewhere: `internal/coturnconf/convert_test.go: flag.Bool("update"`},
	"ss -lntp":                                                         {run: "ss -lntp", says: "LISTEN"},
	"setcap cap_net_bind_service=+ep":                                  {run: "cp $(command -v turnhub) low && setcap cap_net_bind_service=+ep low && getcap low", says: "cap_net_bind_service"},
	"ufw allow 80,443,3478/tcp":                                        {run: "ufw --dry-run allow 80,443,3478/tcp", says: "--dports 80,443,3478"},
	"ufw allow 443,3478/udp":                                           {run: "ufw --dry-run allow 443,3478/udp", says: "--dports 443,3478"},
	"ufw allow 49152:65535/udp":                                        {run: "ufw --dry-run allow 49152:65535/udp", says: "--dports 49152:65535"},
	"docker build -t turnhub --build-arg VERSION=$(systemd/version) .": {elsewhere: `e2e/image_build_test.go: "buildah", "bud"`},
	"docker run -d -p 80:80 -p 443:443 -p 443:443/udp -v turnhub:/state -e TURNHUB_PUBLIC_HOST=calls.example.org turnhub": {elsewhere: `e2e/image_test.go: "TURNHUB_PUBLIC_HOST=203.0.113.7"`},
	"turnhub check --self":                            {elsewhere: `e2e/check_test.go: "check", "--self"`},
	"turnhub check --idle":                            {elsewhere: `e2e/front_wrong_test.go: []string{"--idle"}`},
	"openssl rand -hex 32 > /etc/turnhub/admin-token": {run: "openssl rand -hex 32 > admin-token && TURNHUB_LISTEN_ADMIN_TOKEN_FILE=admin-token turnhub config", says: "admin_token_file: admin-token"},
	"docker stop":                                     {foreign: "sends SIGTERM, which e2e does too"},
	"sudo apt install make git":                       {foreign: "installs what building this needs: it is here"},
	"ssh -L 9478:127.0.0.1:9478 HOST":                 {foreign: notOurs},
	"systemctl restart prosody":                       {foreign: notOurs},
	"systemctl disable --now coturn":                  {foreign: notOurs},
	"occ talk:stun:add turn.example.org:443":          {foreign: notOurs},
	`occ talk:turn:add --secret="the shared secret" turn,turns turn.example.org:443 udp,tcp`: {foreign: notOurs},
}

var (
	programs = strings.Fields("turnhub make sudo systemctl systemd-analyze ss ufw ssh setcap occ go promtool openssl ip nft journalctl apt docker dpkg curl npm")
	fence    = regexp.MustCompile("(?ms)^( *)```(\\w*)\n(.*?)^ *```")
	span     = regexp.MustCompile("`(" + strings.Join(programs, "|") + ") [^`]+`")
	indented = regexp.MustCompile("(?m)^    (" + strings.Join(programs, "|") + ") .*$")
	remark   = regexp.MustCompile(`\s+# .*`)
)

// block is fenced text of a document.
type block struct{ file, language, text string }

// read returns the blocks and the commands of the documents for users and operators.
func read(t *testing.T) (blocks []block, found map[string][]string) {
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found = make(map[string][]string)
	for _, file := range append(files, "../README.md", "../SECURITY.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		note := func(line string) {
			if line = strings.TrimSpace(remark.ReplaceAllString(line, "")); line != "" && !strings.HasPrefix(line, "#") {
				found[line] = append(found[line], filepath.Base(file))
			}
		}
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			inner := strings.ReplaceAll("\n"+m[3], "\n"+m[1], "\n")
			blocks = append(blocks, block{filepath.Base(file), m[2], inner})
			if slices.Contains([]string{"sh", "bash", "console"}, m[2]) {
				for _, line := range strings.Split(inner, "\n") {
					note(line)
				}
			}
		}
		prose := fence.ReplaceAllString(string(text), "")
		for _, m := range indented.FindAllString(prose, -1) {
			note(m)
		}
		for _, m := range span.FindAllString(indented.ReplaceAllString(prose, ""), -1) {
			note(strings.Trim(m, "`"))
		}
	}
	return blocks, found
}

// TestDocuments runs every command that the documents tell a reader to run.
func TestDocuments(t *testing.T) {
	blocks, found := read(t)
	if len(found) < 20 {
		t.Fatalf("only %d commands were found", len(found))
	}
	for command, files := range found {
		if _, ok := commands[command]; !ok {
			t.Errorf("%v: nobody runs %q; say in this test how", files, command)
		}
	}
	s := start(t, nil)
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(dir, "turnhub")); err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintf(`{"listen": {"tcp": [":%d"], "udp": [], "admin": ""}, "relay": {"external_ip": "127.0.0.1"}, "state_dir": "state"}`, freePort(t))
	for name, text := range map[string]string{
		"turnserver.conf": "use-auth-secret\nstatic-auth-secret=from-coturn\nrealm=example.org\n",
		"own.yaml":        own,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environ := append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH")+":/usr/sbin:/sbin", "TOP="+top, fmt.Sprintf("SITE=https://localhost:%d", s.port),
		"CONFIG="+filepath.Join(s.directory(t), "config.yaml"), "SSL_CERT_FILE="+s.caFile, "SSL_CERT_DIR=/nonexistent")

	for name, c := range commands {
		t.Run(name, func(t *testing.T) {
			if found[name] == nil {
				t.Fatal("no document has this command any more")
			}
			switch {
			case c.foreign != "":
				return
			case c.elsewhere != "":
				file, text, _ := strings.Cut(c.elsewhere, ": ")
				if source, err := os.ReadFile(filepath.Join(top, file)); err != nil || !strings.Contains(string(source), text) {
					t.Errorf("%s does not run %s (%v)", file, text, err)
				}
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			shell := exec.CommandContext(ctx, "bash", "-euc", c.run)
			shell.Dir, shell.Env = dir, environ
			shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
			if c.serves {
				serves(t, shell, c.says, freePort(t), freePort(t))
				return
			}
			output, err := shell.CombinedOutput()
			if shell.ProcessState != nil && shell.ProcessState.ExitCode() == 127 {
				t.Skipf("the program is not on this machine: %s", output)
			}
			if err != nil || !strings.Contains(string(output), c.says) {
				t.Errorf("%s: %v\n%s", c.run, err, output)
			}
		})
	}

	for _, b := range blocks {
		if b.language != "yaml" || strings.Contains(b.text, "turn_shared_secret") || strings.Contains(b.text, "turn_servers") { // Synapse's, LiveKit's
			continue
		}
		t.Run("configuration in "+b.file, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if output, status := runTurnhub(t, nil, "config", "--config", file); status != 0 {
				t.Errorf("%s\n%s", b.text, output)
			}
		})
	}
}

// serves runs a server until it says that it is ready, and ends it in order.
func serves(t *testing.T, shell *exec.Cmd, says string, port, admin int) {
	shell.Env = append(shell.Env, "TURNHUB_STATE_DIR="+t.TempDir(), fmt.Sprintf("TURNHUB_LISTEN_TCP=:%d", port),
		fmt.Sprintf("TURNHUB_LISTEN_UDP=:%d", port), fmt.Sprintf("TURNHUB_LISTEN_ADMIN=127.0.0.1:%d", admin))
	out, err := shell.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	lines := bufio.NewScanner(io.TeeReader(out, &log))
	ready := false
	for !ready && lines.Scan() {
		ready = strings.Contains(lines.Text(), "msg="+says)
	}
	syscall.Kill(-shell.Process.Pid, syscall.SIGTERM)
	for lines.Scan() {
	}
	err = shell.Wait()
	if !ready {
		t.Errorf("it did not say %q (%v):\n%s", says, err, &log)
	}
}
