package web

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"turnhub/internal/access"
)

// TestRevokedWhileCredentialsAreMade: a revocation between the check of the token and the
// making of the credentials leaves none in anybody's hands.
func TestRevokedWhileCredentialsAreMade(t *testing.T) {
	for _, path := range []string{"/config?token=", "/turn?service=turn&key="} {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := access.NewVerifier(access.Config{SecretFile: file})
		if err != nil {
			t.Fatal(err)
		}
		token, err := access.Mint(file, "anna", nil, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		revoke := false
		s := server(func(c *Config, _ *Settings) {
			c.Access = v
			c.Mint = func(user string, expires time.Time) (string, string) {
				if revoke {
					v.Mark("anna")
				}
				return mint(user, expires)
			}
		})
		if w := get(s, path+token); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		revoke = true
		if w := get(s, path+token); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "credential\"") || strings.Contains(w.Body.String(), "password") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
