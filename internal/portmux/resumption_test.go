package portmux

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

// comeBack connects, takes the ticket that the server sends, and returns the handshake.
func (b bench) comeBack(t *testing.T, cfg *tls.Config) tls.ConnectionState {
	t.Helper()
	conn, err := tls.Dial("tcp", b.addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := ask(t, conn, 12, string(binding)); got != "secure=true " {
		t.Fatalf("got %q", got)
	}
	return conn.ConnectionState()
}

// TestResumption: a session that was made with ML-KEM is resumed without, as often as its
// client comes back; every other one is made or resumed with it, where a client can.
func TestResumption(t *testing.T) {
	b := start(t, nil)
	keys := [][32]byte{{1}}
	b.SetTicketKeys(keys)
	client := func(curves ...tls.CurveID) *tls.Config {
		cfg := b.tls.Clone()
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		cfg.CurvePreferences = curves
		return cfg
	}
	check := func(what string, cfg *tls.Config, resumes bool, curve tls.CurveID) {
		t.Helper()
		if state := b.comeBack(t, cfg); state.DidResume != resumes || state.CurveID != curve {
			t.Errorf("%s: resumed %v with %v", what, state.DidResume, state.CurveID)
		}
	}
	usual := client()
	check("at first", usual, false, tls.X25519MLKEM768)
	for range 3 {
		check("with a ticket", usual, true, tls.X25519)
	}
	b.SetTicketKeys([][32]byte{{2}})
	check("with a ticket that nobody can open", usual, false, tls.X25519MLKEM768)
	check("with the next one", usual, true, tls.X25519)
	b.SetTicketKeys([][32]byte{{3}, {2}})
	check("after a new key", usual, true, tls.X25519)

	old := client(tls.X25519)
	check("a client without ML-KEM", old, false, tls.X25519)
	newer := old.Clone()
	newer.CurvePreferences = nil
	check("which has learned it", newer, true, tls.X25519MLKEM768)
	check("when it comes again", newer, true, tls.X25519)

	other := client(tls.X25519MLKEM768)
	check("a client with ML-KEM alone", other, false, tls.X25519MLKEM768)
	check("when it comes again", other, true, tls.X25519MLKEM768)
	twelve := client()
	twelve.MaxVersion = tls.VersionTLS12
	if first, second := b.comeBack(t, twelve), b.comeBack(t, twelve); first.DidResume || !second.DidResume {
		t.Error("TLS 1.2 does not resume")
	}
}

// resuming returns a ClientHello with a ticket.
func (b bench) resuming(t testing.TB) []byte {
	cfg := b.tls.Clone()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	conn, err := tls.Dial("tcp", b.addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(binding); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil { // the ticket comes before
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer far.Close()
	go tls.Client(near, cfg).Handshake()
	hello := make([]byte, 16<<10)
	n, err := io.ReadAtLeast(far, hello, recordHeader)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

// TestOffer: the ticket is found in a whole ClientHello, and nothing in any part of it.
func TestOffer(t *testing.T) {
	b := start(t, nil)
	hello := b.resuming(t)
	ticket, x25519 := offer(hello)
	if len(ticket) < 100 || !x25519 || !bytes.Contains(hello, ticket) || !marked(b.cfg.TLS, hello) {
		t.Fatalf("a ticket of %d bytes, X25519 %v", len(ticket), x25519)
	}
	for n := range hello {
		if marked(b.cfg.TLS, hello[:n]) && n < len(hello)-200 {
			t.Fatalf("%d of %d bytes are enough", n, len(hello))
		}
	}
	if ticket, _ := offer(records(hello, 100)); ticket != nil {
		t.Error("a ticket in many records")
	}
	if ticket, _ := offer(clientHello(t, "a")); ticket != nil {
		t.Error("a ticket of nobody's")
	}
	changed := bytes.Clone(hello)
	changed[bytes.Index(hello, ticket)+20] ^= 1
	if marked(b.cfg.TLS, changed) {
		t.Error("a ticket that was changed")
	}
}

func FuzzOffer(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"))
	f.Add(append([]byte("\x16\x03\x01\x00\x50\x01\x00\x00\x4c\x03\x03"), make([]byte, 80)...))
	f.Fuzz(func(t *testing.T, hello []byte) {
		if ticket, _ := offer(hello); !bytes.Contains(hello, ticket) {
			t.Error("a ticket from elsewhere")
		}
	})
}
