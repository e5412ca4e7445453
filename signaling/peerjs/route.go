package peerjs

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	"turnhub/internal/handshake"
)

// kinds of request.
const (
	routeNone   = iota
	routeInfo   // GET P/
	routeID     // GET P/{key}/id
	routePeers  // GET P/{key}/peers
	routePost   // POST P/{key}/{id}/{token}/{offer|candidate|answer|leave}
	routeSocket // WebSocket P/peerjs
	routeStream // POST P/{key}/{id}/{token}/id: the answer of 0.3.16's stream, which is 404
)

// route is a request taken apart. P, the client's option path, is whatever
// stands before what the client appends, so it is found from the end.
type route struct {
	kind      int
	mount     string // P without slashes around it; "" for "/" and "/peerjs"
	id, token string // of a POST
	verb      string // of a POST, in upper case
}

// Route reports whether a request is one for a PeerJS server, at any mount path.
func Route(r *http.Request) bool {
	return parse(r).kind != routeNone || r.URL.Path == "/peerjs" || strings.HasPrefix(r.URL.Path, "/peerjs/")
}

func parse(r *http.Request) route {
	path := strings.TrimPrefix(r.URL.Path, "/")
	segments := strings.Split(path, "/")
	n := len(segments)
	last := segments[n-1]
	switch {
	case handshake.IsWebSocket(r):
		if last == "peerjs" {
			return route{kind: routeSocket, mount: mount(segments[:n-1])}
		}
	case n >= 2 && (last == "id" || last == "peers") && segments[n-2] == key && r.Method != http.MethodPost:
		kind := routeID
		if last == "peers" {
			kind = routePeers
		}
		return route{kind: kind, mount: mount(segments[:n-2])}
	case n >= 4 && isVerb(last) && segments[n-4] == key && (r.Method == http.MethodPost || r.Method == http.MethodOptions):
		return route{kind: routePost, mount: mount(segments[:n-4]), id: segments[n-3], token: segments[n-2], verb: strings.ToUpper(last)}
	case n >= 4 && last == "id" && segments[n-4] == key && (r.Method == http.MethodPost || r.Method == http.MethodOptions):
		return route{kind: routeStream, mount: mount(segments[:n-4])}
	case segments[0] == key && (n == 1 || last == "") && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return route{kind: routeInfo, mount: mount(segments)}
	}
	return route{}
}

func isVerb(name string) bool {
	switch name {
	case "offer", "candidate", "answer", "leave":
		return true
	}
	return false
}

// mount is the name of the realm: the mount path's segments, without the
// "peerjs" under which every server of this kind is found.
func mount(segments []string) string {
	return strings.Trim(strings.TrimPrefix(strings.Trim(strings.Join(segments, "/"), "/")+"/", key+"/"), "/")
}

// newUUID is a random UUID, RFC 9562 section 5.4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
