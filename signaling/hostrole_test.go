package signaling

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
)

// In access.mode token the operator says who is host; an invitation makes nobody one.
func TestHostByToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(strings.Repeat("k", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewVerifier(access.Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	_, url := newServer(t, Config{Access: verifier})
	room, err := HostedRoom("team")
	if err != nil || !isHosted(room) || !strings.HasPrefix(room, "team~host.") {
		t.Fatal(room, err)
	}
	if again, err := HostedRoom(room); again != room || err != nil {
		t.Fatal(again, err)
	}
	if _, err := HostedRoom(strings.Repeat("x", access.MaxRoomName)); err == nil {
		t.Fatal("such a long name has no place for a host")
	}
	token := func(mint func(string, string, []string, time.Time) (string, error), user string) string {
		text, err := mint(file, user, []string{room}, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	anna := token(access.MintHost, "anna")
	invitation, err := verifier.Invite(anna, room)
	if err != nil {
		t.Fatal(err)
	}
	host := openClient(t, url+"?token="+anna, `{"type":"hello"}`)
	host.join(room)
	only(t, host.expect("hosting"), "hosts", host.id)
	for _, text := range []string{invitation.Token, token(access.Mint, "vasya")} {
		guest := openClient(t, url+"?token="+text, `{"type":"hello"}`)
		host.admits(room, guest)
		guest.order(room, "lock", "")
		guest.until("error")
	}
	// It is none in rooms that the token does not open.
	other, _ := HostedRoom("other")
	stranger := openClient(t, url+"?token="+anna, `{"type":"hello"}`)
	stranger.say(`{"type":"join","room":"` + other + `","id":1`)
	stranger.expectError(wire.CodeForbidden)
}
