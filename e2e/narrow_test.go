package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNarrowLine has a peer send twice what the line of a TCP or TLS client takes:
// what arrives is fresh, the line is used, and the sound beside it comes through. So it
// is where the line becomes narrow in the middle of a call, before which TCP has learned
// that it takes much more, and where it is from the beginning, of which TCP knows nothing;
// and with each driver of the relay. The bounds are twice what
// the relay aims at, 250 ms in the median and 700 ms for 99 of 100, since the machine may
// be busy.
func TestNarrowLine(t *testing.T) {
	cells := []trial{
		{transport: "tcp", kbit: 480, over: 2, lasts: 6 * time.Second},
		{transport: "tls", kbit: 480, over: 2, lasts: 6 * time.Second},
		{transport: "tls", kbit: 130, over: 0.8, wide: 3 * time.Second, lasts: 9 * time.Second},
		{transport: "tls", kbit: 130, over: 2, start: true, lasts: 6 * time.Second},
	}
	for _, driver := range []string{"auto", "epoll", "portable"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			n := newNarrows(t)
			trials := make([]func() (outcome, error), len(cells))
			for i, c := range cells {
				client, address := n.link(c.kbit)
				if c.wide > 0 {
					client, address = n.link(0)
				}
				trials[i] = func() (outcome, error) { return n.run(client, address, 3478, c) }
			}
			n.serve("", driver)
			outcomes, errs := together(trials)
			for i, c := range cells {
				if errs[i] != nil {
					t.Errorf("%+v: %v", c, errs[i])
				} else {
					c.judge(t, outcomes[i])
				}
			}
			if n.counted("turnhub_relay_stream_late_total") == 0 {
				t.Error("nothing is counted as dropped for its age")
			}
		})
	}
}

// judge holds what arrived over a narrow line to twice the aims, and as much more as the machine
// did not run what sends and listens here.
func (c trial) judge(t *testing.T, o outcome) {
	t.Helper()
	name := fmt.Sprintf("%s, %d kbit/s", c.transport, c.kbit)
	t.Logf("%s: %s", name, o)
	if c.start && o.silent > time.Second+o.stalled {
		t.Errorf("%s: nothing comes at first: %s", name, o)
	}
	// Of a line of 130 kbit/s a packet takes 80 ms, and sound with its headers two thirds.
	old, heard := 500*time.Millisecond, 9
	if c.kbit < 300 {
		old, heard = 800*time.Millisecond, 6
	}
	if c.start { // the peer sends twice what the line takes
		heard = 4
	}
	if at(o.large, 0.5) > old || at(o.large, 0.99) > 1400*time.Millisecond+o.stalled {
		t.Errorf("%s: what arrives is old: %s", name, o)
	}
	if o.used < 0.8 {
		t.Errorf("%s: the line is not used: %s", name, o)
	}
	if o.soundHeard*10 < o.soundSent*heard {
		t.Errorf("%s: the sound does not come through: %s", name, o)
	}
}

// TestOrdinaryLine has a peer send what a call sends, whole pictures of 48 kB among it,
// to a TLS client whose line takes it: nothing is dropped for its age.
func TestOrdinaryLine(t *testing.T) {
	t.Parallel()
	n := newNarrows(t)
	client, address := n.link(0)
	n.serve("", "")
	o, err := n.run(client, address, 3478, trial{transport: "tls", kbit: 1000, over: 1, wide: 4 * time.Second, lasts: 4 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(o)
	if late := n.counted("turnhub_relay_stream_late_total"); late != 0 || o.largeSent == 0 || o.largeHeard < o.largeSent || o.soundHeard < o.soundSent {
		t.Errorf("%d dropped for their age, %d of %d large packets came: %s", late, o.largeHeard, o.largeSent, o)
	}
}

func together(trials []func() (outcome, error)) ([]outcome, []error) {
	outcomes, errs := make([]outcome, len(trials)), make([]error, len(trials))
	var running sync.WaitGroup
	for i, f := range trials {
		running.Go(func() { outcomes[i], errs[i] = f() })
	}
	running.Wait()
	return outcomes, errs
}

// TestNarrowLineTable measures the rows of the table in docs/sizing.md, turnhub, coturn
// where that is installed, and another one where COTURN_NEW names it, one after the
// other (make soak).
func TestNarrowLineTable(t *testing.T) {
	if long(true, false) {
		t.Skip("a table of two minutes: E2E_LONG=1 (make soak)")
	}
	var table strings.Builder
	table.WriteString("| server | link, kbit/s | the peer sends | transport | age of pictures: median / 99 of 100 / worst, ms | sound: median / 99 of 100, ms | sound heard | link used |\n|---|--:|--:|---|--:|--:|--:|--:|\n")
	coturns := map[string]string{"coturn": "turnserver", "coturn (COTURN_NEW)": os.Getenv("COTURN_NEW")}
	for _, name := range []string{"turnhub", "coturn", "coturn (COTURN_NEW)"} {
		t.Run(name, func(t *testing.T) {
			coturn := coturns[name]
			if _, err := exec.LookPath(coturn); name != "turnhub" && err != nil {
				t.Skip("SKIPPED: it is not installed")
			}
			n := newNarrows(t)
			var cells []trial
			var trials []func() (outcome, error)
			add := func(c trial) {
				client, address := n.link(c.kbit)
				port := 3478
				if coturn != "" && c.transport == "tcp" {
					port = 3479
				}
				cells = append(cells, c)
				trials = append(trials, func() (outcome, error) { return n.run(client, address, port, c) })
			}
			for _, kbit := range []int{1000, 480, 300, 130, 80} {
				for _, transport := range []string{"tcp", "tls"} {
					for _, over := range []float64{2, 1.1} {
						if name == "turnhub" || kbit >= 480 {
							add(trial{transport: transport, kbit: kbit, over: over, lasts: 30 * time.Second})
						}
					}
				}
			}
			add(trial{transport: "tcp", over: 2, lasts: 30 * time.Second, reads: 60_000})
			n.serve(coturn, "")
			outcomes, errs := together(trials)
			for i, c := range cells {
				o := outcomes[i]
				if errs[i] != nil {
					t.Errorf("%+v: %v", c, errs[i])
					continue
				}
				ms := func(d time.Duration) int64 { return d.Milliseconds() }
				link := fmt.Sprint(c.kbit)
				if c.reads > 0 {
					link = fmt.Sprintf("the client reads only %d kB/s (at most %d KB lay in its own buffer)", c.reads/1000, o.buffered>>10)
				}
				fmt.Fprintf(&table, "| %s | %s | × %.1f | %s | %d / %d / %d | %d / %d | %d %% | %.0f %% |\n", name, link, c.over, strings.ToUpper(c.transport),
					ms(at(o.large, 0.5)), ms(at(o.large, 0.99)), ms(at(o.large, 1)), ms(at(o.sound, 0.5)), ms(at(o.sound, 0.99)), 100*o.soundHeard/max(o.soundSent, 1), 100*o.used)
				if name == "turnhub" && c.kbit >= 300 && (at(o.large, 0.5) > 500*time.Millisecond || at(o.large, 0.99) > 1400*time.Millisecond || o.used < 0.8) {
					t.Errorf("%+v: %s", c, o)
				}
				own := time.Duration(o.buffered) * time.Second / time.Duration(max(c.reads, 1))
				if name == "turnhub" && c.reads > 0 && at(o.large, 0.99) > own+600*time.Millisecond {
					t.Errorf("%+v: its own buffer explains %v: %s", c, own, o)
				}
			}
		})
	}
	fmt.Print(table.String())
}
