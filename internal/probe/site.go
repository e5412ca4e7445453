package probe

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// iceConfig is what /config answers, as far as a browser reads it.
type iceConfig struct {
	Servers []struct {
		URLs       urlList `json:"urls"`
		Username   string  `json:"username"`
		Credential string  `json:"credential"`
	} `json:"iceServers"`
	Signaling string            `json:"signaling"`
	Client    string            `json:"client"` // where the server believes us to be
	Range     map[string]string `json:"range"`  // open or closed, by ipv4 and ipv6

	fetched bool
	reasons string // of /readyz, when there are no servers
}

// urlList is a string or a list of them, as in RTCIceServer.
type urlList []string

func (l *urlList) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = urlList{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// site is where a server's pages are.
type site struct {
	base  *url.URL
	token string
}

// parseSite takes what a person would write: https is assumed, and a path to one
// of the pages is cut off.
func parseSite(text string) (site, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return site{}, fmt.Errorf("%q is no URL", text)
	}
	switch u.Scheme {
	case "http", "https":
	case "ws", "wss":
		u.Scheme = "http" + strings.TrimPrefix(u.Scheme, "ws")
	default:
		return site{}, fmt.Errorf("%q begins with neither https:// nor http://", text)
	}
	token := u.Query().Get("token")
	path := strings.TrimSuffix(u.Path, "/")
	for _, page := range []string{"/config", "/check", "/ws", "/healthz", "/readyz"} {
		path = strings.TrimSuffix(path, page)
	}
	return site{&url.URL{Scheme: u.Scheme, Host: u.Host, Path: path}, token}, nil
}

func (s site) page(path string) string {
	u := *s.base
	u.Path += path
	return u.String()
}

// socket is the URL of a WebSocket, with the token where there is one.
func (s site) socket(path string) string {
	u := *s.base
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	u.Path += path
	if s.token != "" {
		u.RawQuery = url.Values{"token": {s.token}}.Encode()
	}
	return u.String()
}

// server is the site as something to connect to, for the remedies.
func (s site) server() Server {
	port, transport := uint16(80), "tcp"
	if s.base.Scheme == "https" {
		port, transport = 443, "tls"
	}
	if n, err := strconv.ParseUint(s.base.Port(), 10, 16); err == nil {
		port = uint16(n)
	}
	return Server{Scheme: s.base.Scheme, Host: s.base.Hostname(), Port: port, Transport: transport}
}

// fetch gets /config. A TLS failure is judged as a browser would.
func (c *checker) fetch(ctx context.Context, s site) (iceConfig, Row) {
	var ice iceConfig
	subject := s.page("/config")
	begin := time.Now()
	body, status, err := c.get(ctx, s, "/config")
	switch {
	case err != nil:
		return ice, failureRow(subject, c.httpFailure(ctx, s, err))
	case status == http.StatusUnauthorized:
		return ice, Row{Verdict: Failed, Subject: subject, Detail: "401: the server wants an access token", Remedy: fmt.Sprintf("write turnhub check '%s?token=TOKEN' with one from `turnhub token`", s.base)}
	case status == http.StatusNotFound:
		return ice, Row{Verdict: Failed, Subject: subject, Detail: "404", Remedy: "no turnhub is there: correct the address, or the paths that the reverse proxy passes on: " + line(notTurnhub, c.proxy)}
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return ice, Row{Verdict: Failed, Subject: subject, Detail: strconv.Itoa(status), Remedy: "the reverse proxy does not reach turnhub: start it, and correct the address that the proxy passes on to"}
	case status != http.StatusOK:
		return ice, Row{Verdict: Failed, Subject: subject, Detail: strconv.Itoa(status) + ": " + strings.TrimSpace(string(body[:min(len(body), 100)])), Remedy: "look at the server's log"}
	}
	took := time.Since(begin)
	if err := json.Unmarshal(body, &ice); err != nil {
		return iceConfig{}, Row{Verdict: Failed, Subject: subject, Detail: "the answer is not an RTCConfiguration, but that of another server" + of(c.proxy), Remedy: "correct the address, or let what is there pass it on to turnhub: " + line(notTurnhub, c.proxy)}
	}
	ice.fetched = true
	count := 0
	for _, server := range ice.Servers {
		count += len(server.URLs)
	}
	if count == 0 {
		ice.reasons = c.reasons(ctx, s)
	}
	return ice, Row{Verdict: OK, Subject: subject, Took: took, Detail: fmt.Sprintf("%d URLs", count)}
}

// reasons asks /readyz why there is no URL.
func (c *checker) reasons(ctx context.Context, s site) string {
	body, _, err := c.get(ctx, s, "/readyz")
	if err != nil {
		return ""
	}
	var state struct {
		Reasons []string `json:"reasons"`
	}
	if json.Unmarshal(body, &state) != nil || len(state.Reasons) == 0 {
		return ""
	}
	return ": " + strings.ReplaceAll(strings.Join(state.Reasons, "; "), "\n", "; ")
}

// get fetches one page with the token in a header, where it is not logged.
func (c *checker) get(ctx context.Context, s site, path string) ([]byte, int, error) {
	return c.ask(ctx, s, path, nil)
}

// ask is get with further headers.
func (c *checker) ask(ctx context.Context, s site, path string, headers http.Header) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(ctx, eachTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.page(path), nil)
	if err != nil {
		return nil, 0, err
	}
	for name, values := range headers {
		request.Header[name] = values
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	transport := c.transport()
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	if proxy := proxyOf(response.Header); proxy != "" {
		c.proxy = proxy
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return body, response.StatusCode, err
}

// transport goes to the server as a browser would.
func (c *checker) transport() *http.Transport {
	return &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		DialContext:     c.dial,
		TLSClientConfig: &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12},
	}
}

// dial connects for HTTP and WebSocket, on the server itself by the local side of
// the NAT.
func (c *checker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.connect(ctx, network, address)
	if err == nil && c.first != nil {
		_, _ = conn.Write(c.first) // who does not take it answers nothing
	}
	return conn, err
}

func (c *checker) connect(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	host, port, err := net.SplitHostPort(address)
	if c.cfg.Side == nil || err != nil {
		return dialer.DialContext(ctx, network, address)
	}
	addresses, err := Lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	for _, a := range addresses {
		var at netip.Addr
		at, _ = c.cfg.Side(a)
		if conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(at.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// httpFailure is httpFailure, and tells a server that speaks HTTP/2 alone from one that
// does not answer.
func (c *checker) httpFailure(ctx context.Context, s site, err error) *Failure {
	f := httpFailure(s, err)
	if f.Stage != StageDNS && f.Stage != StageConnect && c.http2Alone(ctx, s) {
		return &Failure{Stage: StageTLS, Err: errors.New("HTTP/2 alone is spoken there"), Remedy: "browsers open WebSockets over HTTP/1.1: " + line(onlyHTTP2, "")}
	}
	return f
}

// httpFailure explains why a page could not be had.
func httpFailure(s site, err error) *Failure {
	server := s.server()
	var lookup *net.DNSError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &lookup):
		return dnsFailure(server, err)
	case errors.As(err, &verification), errors.As(err, &record),
		errors.As(err, &op) && op.Op == "remote error":
		return tlsFailure(server, err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return &Failure{Stage: StageTLS, Err: errors.New("the port speaks no TLS"), Remedy: "switch on tls.mode, or write http:// instead of https:// (browsers then give a page no camera, localhost excepted)"}
	case errors.As(err, &op) && op.Op == "dial", isTimeout(err):
		return connectFailure(server, err)
	case server.Transport == "tls":
		return tlsFailure(server, err)
	}
	return &Failure{Stage: StageConnect, Err: shorten(err), Remedy: "no web server answers there: correct the address"}
}
