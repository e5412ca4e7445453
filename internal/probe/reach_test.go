package probe

import (
	"net/netip"
	"strings"
	"testing"
)

// TestRangeVerdict calls nothing failed because the range is closed, and warns where the
// server believes that it is open.
func TestRangeVerdict(t *testing.T) {
	relayed := netip.MustParseAddrPort("203.0.113.7:50000")
	for _, x := range []struct {
		both    bool
		foreign string // "": none
		said    string
		want    Verdict
		says    string
	}{
		{true, "", "closed", OK, "both ways, though /config says that the range is closed"},
		{true, "", "open", OK, "both ways"},
		{true, "", "", OK, "both ways"},
		{false, "", "closed", Noted, "range is closed, as is normal"},
		{false, "", "", Noted, "range is closed, as is normal"},
		{false, "", "open", Warned, "let UDP relay.port_min to relay.port_max in"},
		{false, "203.0.113.7:1024", "closed", Noted, "comes from port 1024"},
		{false, "203.0.113.7:1024", "open", Warned, "comes from port 1024"},
		{false, "203.0.113.8:50000", "closed", Warned, "write relay.external_ip: auto, or 203.0.113.8"},
		{false, "203.0.113.8:50000", "open", Warned, "write relay.external_ip: auto, or 203.0.113.8"},
	} {
		var foreign netip.AddrPort
		if x.foreign != "" {
			foreign = netip.MustParseAddrPort(x.foreign)
		}
		verdict, detail, remedy := rangeVerdict(x.both, relayed, foreign, x.said)
		if verdict != x.want || !strings.Contains(detail+"; "+remedy, x.says) || (remedy != "") != (verdict == Warned) {
			t.Errorf("%+v: %s %q %q", x, verdict, detail, remedy)
		}
	}
}
