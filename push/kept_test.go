package push

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain also runs the child of TestKilled, which subscribes as fast as it can and says
// each name once it has been told that it is kept.
func TestMain(m *testing.M) {
	dir := os.Getenv("PUSH_TEST_CHILD")
	if dir == "" {
		os.Exit(m.Run())
	}
	key, err := OpenKey(filepath.Join(dir, "push-key"))
	if err == nil {
		var s *Store
		if s, err = Open(context.Background(), Config{Dir: dir, Key: key, Services: []string{"push.example.org"}}); err == nil {
			go s.Serve(context.Background())
			for i := 0; ; i++ {
				done := make(chan error)
				s.Subscribe(fmt.Sprint("user", i), proof, netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}), []byte(subscriptionOf(i)), func(err error) { done <- err })
				if err = <-done; err != nil {
					break
				}
				fmt.Println("user", i)
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// subscriptionOf is one at push.example.org.
func subscriptionOf(i int) string {
	return fmt.Sprintf(`{"endpoint":"https://push.example.org/%d","keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`, i)
}

// keeping is a configuration with nobody to send to.
func keeping(dir string) Config {
	return Config{Dir: dir, Services: []string{"push.example.org"}}
}

// TestKilled at any moment: who was told that he is kept is.
func TestKilled(t *testing.T) {
	for _, after := range []int{0, 3, 60} {
		dir := t.TempDir()
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), "PUSH_TEST_CHILD="+dir)
		process.Stderr = os.Stderr
		out, err := process.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for lines := bufio.NewScanner(out); lines.Scan(); n++ {
			if n == after {
				_ = process.Process.Kill()
			}
		}
		_ = process.Wait()
		r := serve(t, keeping(dir))
		for i := range n {
			if got, kept := r.Keeper(fmt.Sprint("user", i)); !kept || got != proof || !r.Reachable(fmt.Sprint("user", i)) {
				t.Errorf("of %d number %d is lost", n, i)
			}
		}
		if extra := r.Stats().Users - n; extra < 0 || extra > 1 {
			t.Errorf("%d users of %d", r.Stats().Users, n)
		}
	}
}

// TestKept over a restart: subscriptions, names and missed calls; and with the last
// subscription of a user everything goes.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, keeping(dir))
	for i := range 3 {
		if err := r.subscribe("petya", subscriptionOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.subscribe("vasya", subscriptionOf(3)); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		r.Miss("petya", Missed{Call: fmt.Sprint("c_", i), User: "vasya", Name: "Vasya", Reason: "timeout", At: int64(i)})
	}
	r.Miss("nobody", Missed{Call: "c_x"})
	r.Seen("petya", []string{"c_29", "c_0"})
	r.end()
	r = serve(t, keeping(dir))
	missed := r.Missed("petya")
	if len(missed) != 19 || missed[0].Call != "c_10" || missed[18].Call != "c_28" || missed[0].Name != "Vasya" || r.Missed("nobody") != nil {
		t.Errorf("%+v", missed)
	}
	if stats := r.Stats(); stats.Users != 2 || stats.Subscriptions != 4 {
		t.Errorf("%+v", stats)
	}
	// The browser of vasya is petya's now.
	if err := r.subscribe("petya", subscriptionOf(3)); err != nil {
		t.Fatal(err)
	}
	if _, kept := r.Keeper("vasya"); kept {
		t.Error("vasya is kept without a subscription")
	}
	for i := range 4 {
		done := make(chan error, 1)
		r.Unsubscribe("petya", fmt.Sprint("https://push.example.org/", i), func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, kept := r.Keeper("petya"); kept != (i < 3) {
			t.Errorf("after %d: kept %v", i, kept)
		}
	}
	r.end()
	if stats := serve(t, keeping(dir)).Stats(); stats.Users != 0 || stats.Subscriptions != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestBounds of one user, of one network, and of all.
func TestBounds(t *testing.T) {
	cfg := keeping(t.TempDir())
	cfg.tune = usualTuning
	cfg.tune.total = 12
	r := serve(t, cfg)
	from := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{1, 2, byte(i), 3}) }
	subscribe := func(user string, i int, from netip.Addr) error {
		done := make(chan error, 1)
		r.Subscribe(user, proof, from, []byte(subscriptionOf(i)), func(err error) { done <- err })
		return <-done
	}
	for i := range 15 {
		if err := subscribe("petya", i, from(i)); err != nil {
			t.Fatal(i, err)
		}
		r.mu.Lock()
		r.users["petya"].Subs[len(r.users["petya"].Subs)-1].Since += int64(i) // as if time passed
		r.mu.Unlock()
	}
	r.mu.Lock()
	var kept []string
	for _, sub := range r.users["petya"].Subs {
		kept = append(kept, strings.TrimPrefix(sub.Endpoint, "https://push.example.org/"))
	}
	r.mu.Unlock()
	if !slices.Equal(kept, strings.Fields("5 6 7 8 9 10 11 12 13 14")) {
		t.Error("kept", kept)
	}
	for i := range 3 {
		if err := subscribe(fmt.Sprint("user", i), 100+i, from(i)); (err == nil) != (i < 2) || i == 2 && !errors.Is(err, ErrFull) {
			t.Error(i, err)
		}
	}
	limited := 0
	for i := range 40 {
		if err := subscribe("petya", 200+i, from(200)); errors.Is(err, ErrRate) {
			limited++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if limited < 15 || limited > 20 {
		t.Errorf("%d of 40 from one network were too many", limited)
	}
	// Calls, too, are bounded: of one network, and to one user.
	rung := func(n int, from func(i int) netip.Addr) (k int) {
		for i := range n {
			if r.Ring(Call{ID: fmt.Sprint("c_", from(i), i), To: "petya", For: time.Second, From: from(i)}) {
				k++
			}
		}
		return k
	}
	if n := rung(15, func(int) netip.Addr { return from(1) }); n != 10 {
		t.Errorf("one network rang %d times", n)
	}
	if n := rung(15, from); n > 11 || n < 8 {
		t.Errorf("after that others rang %d times", n)
	}
}

// TestUnused names are free after 90 days, whichever way the clock was set meanwhile.
func TestUnused(t *testing.T) {
	r := serve(t, keeping(t.TempDir()))
	if err := r.subscribe("petya", subscriptionOf(0)); err != nil {
		t.Fatal(err)
	}
	age := func(d time.Duration) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.users["petya"].Used = time.Now().Add(-d).Unix()
	}
	age(-365 * 24 * time.Hour) // the clock was a year ahead
	r.Use("petya")
	r.mu.Lock()
	if used := time.Unix(r.users["petya"].Used, 0); time.Since(used).Abs() > time.Minute {
		t.Errorf("used at %v", used)
	}
	r.mu.Unlock()
	age(89 * 24 * time.Hour)
	r.prune(time.Now())
	if _, kept := r.Keeper("petya"); !kept {
		t.Error("free after 89 days")
	}
	age(91 * 24 * time.Hour)
	if _, kept := r.Keeper("petya"); kept {
		t.Error("taken after 91 days")
	}
	r.prune(time.Now())
	if stats := r.Stats(); stats.Users != 0 || stats.Subscriptions != 0 || stats.Deleted[deletedUnused] != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestVoid: with another key, or another way to prove names, nobody is kept.
func TestVoid(t *testing.T) {
	dir := t.TempDir()
	subscribed := func(cfg Config) *running {
		r := serve(t, cfg)
		if err := r.subscribe("petya", subscriptionOf(0)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	subscribed(keeping(dir)).end()
	token := keeping(dir)
	token.Proof = "token"
	r := serve(t, token)
	if r.Stats().Users != 0 {
		t.Error("kept where names are proved in another way")
	}
	r.end()
	subscribed(token).end()
	if err := os.Remove(filepath.Join(dir, "push-key")); err != nil {
		t.Fatal(err)
	}
	r = serve(t, token)
	if r.Stats().Users != 0 {
		t.Error("kept with another key")
	}
	r.end()
	subscribed(token).end()
	if r := serve(t, token); r.Stats().Users != 1 {
		t.Error("not kept")
	}
}

// TestDamaged: whatever is wrong with the file, the server goes on, with who can be read.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, keeping(dir))
	for i := range 200 {
		r.Subscribe(fmt.Sprint("user", i/8), proof, netip.AddrFrom4([4]byte{1, 2, byte(i), 3}), []byte(subscriptionOf(i)), func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	key := r.cfg.Key
	r.end()
	sound, err := os.ReadFile(filepath.Join(dir, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{
		"empty": {}, "half": sound[:len(sound)/2], "zeros": make([]byte, len(sound)), "text": []byte("this is no store"), "cut": sound[:len(sound)-1],
	} {
		bad := t.TempDir()
		if err := os.WriteFile(filepath.Join(bad, storeFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		cfg := keeping(bad)
		cfg.Key = key
		cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
		r := serve(t, cfg)
		// What was cut off may have been unused.
		if n := r.Stats().Users; n != 25 && what != "empty" && !strings.Contains(said.String(), "damaged and begun anew") {
			t.Errorf("%s: %d users, and the log says %q", what, n, said.String())
		}
		if err := r.subscribe("petya", subscriptionOf(1000)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		r.end()
		if r := serve(t, cfg); !r.Reachable("petya") {
			t.Errorf("%s: not kept", what)
		}
	}
}

// TestNoDisk: who cannot be written down is told so, and is, once the disk takes it.
func TestNoDisk(t *testing.T) {
	dir := t.TempDir()
	key, err := OpenKey(filepath.Join(dir, "push-key"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := keeping(filepath.Join(dir, "later"))
	cfg.Key = key
	r := serve(t, cfg)
	if err := os.WriteFile(cfg.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.subscribe("petya", subscriptionOf(0)); !errors.Is(err, ErrDisk) {
		t.Errorf("%v", err)
	}
	if err := os.Remove(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if err := r.subscribe("petya", subscriptionOf(1)); err != nil {
		t.Error(err)
	}
	r.end()
	if stats := serve(t, cfg).Stats(); stats.Subscriptions != 2 {
		t.Errorf("%+v", stats)
	}
}
