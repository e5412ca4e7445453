package access

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOrigin(t *testing.T) {
	for _, x := range []struct {
		origin  string
		allowed []string
		want    bool
	}{
		{"", []string{"same"}, true},
		{"https://any.example", []string{"*"}, true},
		{"http://hub.example", []string{"same"}, true},
		{"https://HUB.example", []string{"same"}, true},
		{"https://hub.example.evil", []string{"same"}, false},
		{"null", []string{"same"}, false},
		{"https://a.example", []string{"same", "https://a.example"}, true},
		{"https://a.example:444", []string{"https://a.example"}, false},
		{"same", []string{"same"}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://hub.example/ws", nil)
		if x.origin != "" {
			r.Header.Set("Origin", x.origin)
		}
		if got := AllowOrigin(r, x.allowed); got != x.want {
			t.Errorf("%q by %q: %v", x.origin, x.allowed, got)
		}
	}
}
