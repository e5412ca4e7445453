// Package hub loads signaling servers: turnhub's own dialect and PeerJS, the
// same messages for both. All clients live in one thread with one epoll, so that
// tens of thousands of them cost the machine little beside the server.
package hub
