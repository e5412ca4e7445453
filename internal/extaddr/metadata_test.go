package extaddr

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// cloudServer plays one provider's metadata service as its documentation
// describes it: paths, and the headers without which it refuses.
func cloudServer(name string) http.Handler {
	mux := http.NewServeMux()
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) }
	}
	with := func(header, value string, next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(header) != value && !(header == "Host" && r.Host == value) {
				http.Error(w, "missing "+header, http.StatusUnauthorized)
				return
			}
			next(w, r)
		}
	}
	switch name {
	case "AWS", "AWS without public address":
		mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "" {
				http.Error(w, "no ttl", http.StatusBadRequest)
				return
			}
			w.Write([]byte("TOKEN=="))
		})
		const macs = "/latest/meta-data/network/interfaces/macs/"
		aws := func(path, body string) {
			mux.HandleFunc("GET "+path, with("X-aws-ec2-metadata-token", "TOKEN==", func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != path { // a path that ends in / matches all below it
					http.NotFound(w, r)
					return
				}
				w.Write([]byte(body))
			}))
		}
		aws(macs, "02:00:00:00:00:01/\n02:00:00:00:00:02/")
		if name == "AWS" {
			aws(macs+"02:00:00:00:00:01/ipv4-associations/", "8.8.4.7")
			aws(macs+"02:00:00:00:00:01/ipv4-associations/8.8.4.7", "10.0.0.5")
			aws(macs+"02:00:00:00:00:02/ipv4-associations/", "8.8.4.8\n8.8.4.9")
			aws(macs+"02:00:00:00:00:02/ipv4-associations/8.8.4.8", "10.0.1.5")
			aws(macs+"02:00:00:00:00:02/ipv4-associations/8.8.4.9", "10.0.1.6")
		}
	case "OpenStack":
		mux.HandleFunc("GET /latest/meta-data/public-ipv4", text("8.8.4.7"))
	case "Google":
		mux.HandleFunc("GET /computeMetadata/v1/instance/network-interfaces/", with("Metadata-Flavor", "Google",
			text(`[{"accessConfigs":[{"externalIp":"8.8.4.7","type":"ONE_TO_ONE_NAT"}],"ip":"10.0.0.5","mtu":1460},{"accessConfigs":[{"externalIp":""}],"ip":"10.0.1.5"}]`)))
	case "Azure":
		mux.HandleFunc("GET /metadata/instance/network/interface", with("Metadata", "true",
			text(`[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.5","publicIpAddress":"8.8.4.7"}],"subnet":[]},"ipv6":{"ipAddress":[]},"macAddress":"0"}]`)))
	case "Azure balancer":
		mux.HandleFunc("GET /metadata/instance/network/interface", with("Metadata", "true",
			text(`[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.5","publicIpAddress":""}]}}]`)))
		mux.HandleFunc("GET /metadata/loadbalancer", with("Metadata", "true",
			text(`{"loadbalancer":{"publicIpAddresses":[{"frontendIpAddress":"8.8.4.7","privateIpAddress":"10.0.0.5"}]}}`)))
	case "Alibaba":
		mux.HandleFunc("GET /latest/meta-data/eipv4", text("8.8.4.7"))
	case "Tencent":
		mux.HandleFunc("GET /latest/meta-data/public-ipv4", with("Host", "metadata.tencentyun.com", text("8.8.4.7")))
	case "Scaleway":
		mux.HandleFunc("GET /conf", text(`{"private_ip":"10.0.0.5","public_ip":{"address":"8.8.4.7","dynamic":false}}`))
	case "private answer":
		mux.HandleFunc("GET /latest/meta-data/public-ipv4", text("10.0.0.5"))
	case "page instead":
		mux.HandleFunc("/", text("<html>Welcome to the hotel's network</html>"))
	case "redirect":
		mux.Handle("/", http.RedirectHandler("http://192.0.2.1/", http.StatusFound))
	case "endless":
		mux.HandleFunc("/", text(strings.Repeat("8", 10<<20)))
	}
	return mux
}

func TestClouds(t *testing.T) {
	for _, test := range []struct{ provider, pairs string }{
		{"AWS", "10.0.0.5=8.8.4.7 10.0.1.5=8.8.4.8 10.0.1.6=8.8.4.9"},
		{"AWS without public address", ""},
		{"OpenStack", "any=8.8.4.7"},
		{"Google", "10.0.0.5=8.8.4.7"},
		{"Azure", "10.0.0.5=8.8.4.7"},
		{"Azure balancer", "10.0.0.5=8.8.4.7"},
		{"Alibaba", "any=8.8.4.7"},
		{"Tencent", "any=8.8.4.7"},
		{"Scaleway", "10.0.0.5=8.8.4.7"},
		{"private answer", ""},
		{"page instead", ""},
		{"redirect", ""},
		{"endless", ""},
		{"nothing there", ""},
	} {
		t.Run(test.provider, func(t *testing.T) {
			server := httptest.NewServer(cloudServer(test.provider))
			defer server.Close()
			pairs, _ := askClouds(t.Context(), all(server.URL))
			var words []string
			for _, m := range pairs {
				private := "any"
				if m.private.IsValid() {
					private = m.private.String()
				}
				words = append(words, private+"="+m.public.String())
			}
			if got := strings.Join(words, " "); got != test.pairs {
				t.Errorf("pairs %q, want %q", got, test.pairs)
			}
		})
	}
}

// all is every way of asking, against one address.
func all(base string) []cloud {
	list := make([]cloud, len(clouds))
	for i, c := range clouds {
		c.base = base
		list[i] = c
	}
	return list
}

// A service that takes the connection and says nothing costs no more than the
// caller's patience.
func TestSilentMetadata(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if pairs, name := askClouds(ctx, all(server.URL)); pairs != nil {
		t.Errorf("got %v from %s", pairs, name)
	}
}

func TestChoose(t *testing.T) {
	addr := netip.MustParseAddr
	h := host{addresses: []netip.Addr{addr("10.0.0.5"), addr("10.0.1.6")}}
	for _, test := range []struct {
		name  string
		pairs []mapping
		want  string
	}{
		{"its own", []mapping{{addr("10.0.1.6"), addr("8.8.4.9")}, {addr("10.0.0.5"), addr("8.8.4.7")}}, "10.0.0.5=8.8.4.7"},
		{"any", []mapping{{netip.Addr{}, addr("8.8.4.7")}}, "10.0.0.5=8.8.4.7"},
		{"another of this host", []mapping{{addr("10.0.1.6"), addr("8.8.4.9")}}, "10.0.1.6=8.8.4.9"},
		{"somebody else's", []mapping{{addr("10.0.9.9"), addr("8.8.4.9")}}, ""},
	} {
		got := ""
		if pair, ok := choose(test.pairs, h, addr("10.0.0.5")); ok {
			got = pair.Bind.String() + "=" + pair.Advertise.String()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
