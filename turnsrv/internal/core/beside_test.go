package core

import (
	"net/netip"
	"testing"
)

// TestBeside: a path beside the relay has the limits of an allocation in each direction,
// and one volume and one bandwidth with what its user relays.
func TestBeside(t *testing.T) {
	client := netip.MustParseAddr("192.0.2.1")
	many := func(n, size int, charge func(int) (string, bool)) (through int, limits map[string]int) {
		limits = make(map[string]int)
		for range n {
			if limit, ok := charge(size); ok {
				through++
			} else {
				limits[limit]++
			}
		}
		return through, limits
	}
	t.Run("its own", func(t *testing.T) {
		cfg := deskConfig(t)
		cfg.Limits.PacketsPerAllocation, cfg.Limits.BandwidthPerAllocation = 0, 20_000
		d := newDesk(t, cfg)
		b := d.shared.Beside("anna", client)
		for _, charge := range []func(int) (string, bool){b.From, b.To} {
			if n, limits := many(30, 10_000, charge); n != 2 || limits["bandwidth"] != 28 {
				t.Errorf("%d came through, %v", n, limits)
			}
		}
		cfg.Limits.PacketsPerAllocation, cfg.Limits.BandwidthPerAllocation = 1, 0
		d.shared.SetLimits(cfg.Limits)
		if n, limits := many(30, 10, d.shared.Beside("anna", client).From); n == 0 || n > 2 || limits["packets"] != 30-n {
			t.Errorf("%d came through, %v", n, limits)
		}
	})
	t.Run("its user's", func(t *testing.T) {
		cfg := deskConfig(t)
		cfg.Limits.VolumePerUserDay = 10_000
		d := newDesk(t, cfg)
		a, b := d.calling("anna", 1000), d.shared.Beside("anna", client)
		if n := a.through(6, 1000, true); n != 6 {
			t.Fatal(n)
		}
		if n, limits := many(6, 1000, b.To); n != 4 || limits["user_volume"] != 2 {
			t.Errorf("%d kB more, %v", n, limits)
		}
		if n := a.through(1, 1000, true); n != 0 {
			t.Error("the relay does not know of the path beside it")
		}
		b.End()
		if n, _ := many(1, 1000, d.shared.Beside("anna", client).From); n != 0 {
			t.Error("forgotten with the path")
		}
		if n, _ := many(1, 1000, d.shared.Beside("boris", client).From); n != 1 {
			t.Error("another user pays for it")
		}
	})
	t.Run("nothing is kept", func(t *testing.T) {
		d := newDesk(t, deskConfig(t))
		a, b := d.shared.Beside("anna", client), d.shared.Beside("anna", client)
		a.End()
		if len(d.shared.directory.usages) != 1 {
			t.Error("one that is held is forgotten")
		}
		b.End()
		if n := len(d.shared.directory.usages); n != 0 {
			t.Errorf("%d are kept", n)
		}
	})
}
