package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"turnhub/internal/access"
)

// maxURLs is how many URLs one configuration names: browsers warn from five on,
// since each slows the gathering of candidates.
const maxURLs = 4

// iceServer is an RTCIceServer.
type iceServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// rtcConfiguration is an RTCConfiguration with members that browsers ignore.
type rtcConfiguration struct {
	ICEServers []iceServer `json:"iceServers"`
	TTL        int64       `json:"ttl"`                 // seconds
	Expires    time.Time   `json:"expires"`             // RFC 3339
	Signaling  string      `json:"signaling,omitempty"` // wss URL
	// Signalings are those of all nodes of a cluster, the best first.
	Signalings []string `json:"signalings,omitempty"`
	Client     string   `json:"client,omitempty"` // the address at which the server believes the asker to be
	// Range says for "ipv4" and "ipv6" whether the relay's ports are "open" to packets
	// from outside or "closed", which is the normal case.
	Range map[string]string `json:"range,omitempty"`
}

// RTCConfiguration returns an RTCConfiguration as JSON with fresh credentials
// for a TURN user who has come by a port, and for how long they are good.
func (s *Server) RTCConfiguration(user string, port uint16) (json.RawMessage, time.Duration) {
	c := s.rtcConfiguration(user, port)
	out, _ := json.Marshal(c) // it has no type that can fail
	return out, time.Duration(c.TTL) * time.Second
}

func (s *Server) rtcConfiguration(user string, port uint16) rtcConfiguration {
	c := NewRTCConfiguration(s.cfg.URLs(port), s.cfg.Mint, user, s.settings.Load().TTL)
	if s.cfg.Range != nil {
		c.Range = s.cfg.Range()
	}
	if s.cfg.Place != nil {
		c.Signalings = s.cfg.Place(context.Background(), "").Signalings
	}
	return c
}

// NewRTCConfiguration makes a configuration of the best of urls. STUN URLs,
// which take no credentials, get an entry of their own.
func NewRTCConfiguration(urls []string, mint func(string, time.Time) (string, string), user string, ttl time.Duration) rtcConfiguration {
	ttl = ttl.Truncate(time.Second)
	c := rtcConfiguration{
		ICEServers: []iceServer{},
		TTL:        int64(ttl / time.Second),
		Expires:    time.Now().Add(ttl).UTC().Truncate(time.Second),
	}
	var stun, turn []string
	for _, u := range urls[:min(len(urls), maxURLs)] {
		if strings.HasPrefix(u, "stun") {
			stun = append(stun, u)
		} else {
			turn = append(turn, u)
		}
	}
	if stun != nil {
		c.ICEServers = append(c.ICEServers, iceServer{URLs: stun})
	}
	if turn != nil {
		username, password := mint(user, c.Expires)
		c.ICEServers = append(c.ICEServers, iceServer{turn, username, password})
	}
	return c
}

// config answers GET /config.
func (s *Server) config(w http.ResponseWriter, r *http.Request) {
	claims, err := s.cfg.Access.Verify(r)
	if err != nil {
		access.Deny(w, err)
		return
	}
	user, ok := s.user(w, claims, r.URL.Query().Get("user"), "user")
	if !ok {
		return
	}
	c, ok := s.placed(w, r, claims, user)
	if !ok {
		return
	}
	if len(c.ICEServers) == 0 {
		s.unproved(w)
		return
	}
	if c.Signaling == "" {
		c.Signaling = s.signalingURL(r)
	}
	if client, _ := s.cfg.Proxies.ClientAddress(r); client.IsValid() {
		c.Client = client.Addr().String()
	}
	if claims.Revoked() { // meanwhile
		access.Deny(w, access.ErrRevoked)
		return
	}
	s.stats.credentials.Add(1)
	reply(w, http.StatusOK, c)
}

// turn answers GET /turn in the shape of draft-uberti-behave-turn-rest-00,
// section 2.2. In access.mode token, key may be the token.
func (s *Server) turn(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	token := access.FromRequest(r)
	if token == "" {
		token = query.Get("key")
	}
	claims, err := s.cfg.Access.Check(token)
	if err != nil {
		access.Deny(w, err)
		return
	}
	if query.Get("service") != "turn" {
		fail(w, http.StatusBadRequest, "service", "the only service here is turn: ask for /turn?service=turn&username=NAME")
		return
	}
	user, ok := s.user(w, claims, query.Get("username"), "username")
	if !ok {
		return
	}
	c := s.rtcConfiguration(user, s.cfg.Proxies.Port(r))
	if len(c.ICEServers) == 0 {
		s.unproved(w)
		return
	}
	answer := struct {
		Username string   `json:"username"`
		Password string   `json:"password"`
		TTL      int64    `json:"ttl"`
		URIs     []string `json:"uris"`
	}{TTL: c.TTL}
	for _, server := range c.ICEServers {
		answer.URIs = append(answer.URIs, server.URLs...)
		if server.Username != "" {
			answer.Username, answer.Password = server.Username, server.Credential
		}
	}
	if claims.Revoked() { // meanwhile
		access.Deny(w, access.ErrRevoked)
		return
	}
	s.stats.credentials.Add(1)
	reply(w, http.StatusOK, answer)
}

// unproved says that there is nothing to hand out that works.
func (s *Server) unproved(w http.ResponseWriter) {
	s.stats.unproved.Add(1)
	w.Header().Set("Retry-After", "1")
	fail(w, http.StatusServiceUnavailable, "no-working-url", "no TURN URL of this server has been proved to work yet: ask again in a second; the operator runs `turnhub check` for the reason")
}

// user decides for whom credentials are: the token's user, else the name asked
// for, else a stranger, each one another, since equal users may relay to each
// other.
func (s *Server) user(w http.ResponseWriter, claims access.Claims, asked, parameter string) (string, bool) {
	if claims.User != "" {
		if asked != "" && asked != claims.User {
			fail(w, http.StatusForbidden, "user", "the access token is for "+claims.User+": omit "+parameter+", or get a token for the other name")
			return "", false
		}
		return claims.User, true
	}
	if asked == "" {
		return "anon-" + strings.ToLower(rand.Text()[:10]), true
	}
	if !access.ValidUser(asked) {
		fail(w, http.StatusBadRequest, "user", parameter+" must have 1 to 64 characters of A-Z a-z 0-9 _ . @ - and not begin with s_")
		return "", false
	}
	if err := s.cfg.Access.Barred(asked); err != nil {
		fail(w, http.StatusForbidden, "revoked", err.Error())
		return "", false
	}
	return asked, true
}

// signalingURL returns the URL of /ws at the address under which the client has
// come, the one that is known to lead here.
func (s *Server) signalingURL(r *http.Request) string {
	if r.Host == "" || strings.ContainsAny(r.Host, "/?#@\\\"<> ") {
		return ""
	}
	scheme := "ws"
	if s.cfg.Proxies.Secure(r) {
		scheme = "wss"
	}
	return scheme + "://" + r.Host + s.cfg.PublicPath + "/ws"
}
