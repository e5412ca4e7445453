package probe

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// proxyOf names the reverse proxy that shows itself in a response, as in remedies; empty
// for one that does not, as HAProxy and Traefik.
func proxyOf(h http.Header) string {
	said := strings.ToLower(h.Get("Server") + " " + h.Get("Via"))
	for _, name := range []string{"nginx", "Caddy", "Apache", "HAProxy", "Traefik"} {
		if strings.Contains(said, strings.ToLower(name)) {
			return name
		}
	}
	if strings.Contains(said, "openresty") || strings.Contains(said, "tengine") {
		return "nginx"
	}
	return ""
}

// A fault is what a reverse proxy does wrong.
type fault int

const (
	noUpgrade  fault = iota // WebSockets are not passed on
	onlyHTTP2               // no HTTP/1.1, over which browsers open WebSockets
	quietEnds               // a quiet connection is ended early
	noClient                // it does not say who came
	believes                // it passes on what the client says of that
	noName                  // it does not say under which name, and by TLS
	noHeader                // nor does one that passes TCP on
	notTurnhub              // something else answers
	buffers                 // it keeps answers back until they have ended
)

// missing are the lines that mend a fault, by proxy; that of "" is for those that do not
// show themselves. docs/front.md has them in their places.
var missing = map[fault]map[string]string{
	noUpgrade: {
		"nginx":  "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;",
		"Apache": "ProxyPass / http://127.0.0.1:8080/ upgrade=websocket",
		"Caddy":  "reverse_proxy passes them on by itself: take away the header_up that removes Connection or Upgrade",
		"":       "pass the headers Upgrade and Connection on (HAProxy: take away what removes them, such as http-request del-header Upgrade)",
	},
	onlyHTTP2: {
		"": "HAProxy: bind :443 ssl crt FILE alpn h2,http/1.1, without proto h2; others: switch HTTP/1.1 on beside HTTP/2",
	},
	quietEnds: {
		"nginx":  "proxy_read_timeout 60s; (and proxy_send_timeout)",
		"Apache": "ProxyTimeout 60, or timeout=60 on the ProxyPass line",
		"":       "HAProxy: timeout tunnel 1h; others: an idle time-out of 60 s or more",
	},
	noClient: {
		"nginx":  "proxy_set_header X-Forwarded-For $remote_addr;",
		"Apache": "RequestHeader unset X-Forwarded-For, so that mod_proxy's own is the only one",
		"Caddy":  "reverse_proxy sets it by itself: take away header_up -X-Forwarded-For",
		"":       "HAProxy: http-request set-header X-Forwarded-For %[src]; Traefik sets it by itself",
	},
	believes: {
		"nginx":  `proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Forwarded "";`,
		"Apache": "RequestHeader unset X-Forwarded-For and RequestHeader unset Forwarded",
		"Caddy":  "header_up -Forwarded in the reverse_proxy block, and no trusted_proxies that are not yours",
		"":       "HAProxy: http-request set-header X-Forwarded-For %[src] and http-request del-header Forwarded; Traefik: no forwardedHeaders.insecure, no trustedIPs that are not yours, and a middleware with customRequestHeaders: {Forwarded: \"\"}",
	},
	noName: {
		"nginx":  "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;",
		"Apache": "ProxyPreserveHost On and RequestHeader set X-Forwarded-Proto https",
		"Caddy":  "reverse_proxy sets X-Forwarded-Proto and passes Host on by itself: take away the header_up that changes them",
		"":       "HAProxy: http-request set-header X-Forwarded-Proto https, and no line that changes Host; Traefik: passHostHeader, which is its default",
	},
	noHeader: {
		"": "HAProxy: send-proxy-v2 on the server line; nginx: proxy_protocol on; Traefik: proxyProtocol: {version: 2}; others: the PROXY protocol, with the proxy in listen.trusted_proxies",
	},
	notTurnhub: {
		"nginx":  "location / { proxy_pass http://127.0.0.1:8080; }",
		"Apache": "ProxyPass / http://127.0.0.1:8080/ upgrade=websocket",
		"Caddy":  "reverse_proxy 127.0.0.1:8080",
		"":       "default_backend turnhub (HAProxy), a router whose rule fits the name (Traefik)",
	},
	buffers: {
		"nginx":  "proxy_buffering off;",
		"Apache": "flushpackets=on on the ProxyPass line",
		"Caddy":  "flush_interval -1 in the reverse_proxy block",
		"":       "HAProxy: take option http-buffer-request and filters for compression away; Traefik: take the buffering middleware away; others: switch the buffering of answers off",
	},
}

// line is what is missing in a proxy's configuration, with the proxy's name.
func line(f fault, proxy string) string {
	text, known := missing[f][proxy]
	if !known {
		return missing[f][""] + " (docs/front.md)"
	}
	if proxy != "" {
		text = proxy + ": " + text
	}
	return text + " (docs/front.md)"
}

// of says whose answer something is.
func of(proxy string) string {
	if proxy == "" {
		return ""
	}
	return " (" + proxy + ")"
}

// http2Alone reports whether a server that has not answered HTTP/1.1 agrees on HTTP/2.
func (c *checker) http2Alone(ctx context.Context, s site) bool {
	if s.base.Scheme != "https" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, eachTimeout)
	defer cancel()
	server := s.server()
	raw, err := c.connect(ctx, "tcp", net.JoinHostPort(server.Host, strconv.Itoa(int(server.Port))))
	if err != nil {
		return false
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12, ServerName: server.Host, NextProtos: []string{"h2"}})
	return conn.HandshakeContext(ctx) == nil && conn.ConnectionState().NegotiatedProtocol == "h2"
}
