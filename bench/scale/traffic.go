package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"turnhub/cluster"
)

// What a node sends is sealed: a line before the JSON (cluster/seal.go).
const seal = len("turnhub1 01234567 ") + 43 + 1

// beatBytes is the size of a beat as nodes send it.
func beatBytes() int {
	digests := make(map[string]string)
	for _, name := range []string{"credentials.secrets", "credentials.ttl", "access keys", "allowed_origins", "relay.peers", "limits", "public_path"} {
		digests[name] = "0123456789ab"
	}
	host := "r01-001.calls.example.org"
	body, err := json.Marshal(cluster.Record{
		Version: 1, Node: "r01-001", Run: "ABCDEFGHIJKL", Since: 1764360000000, Seq: 100000, At: 1764360000000, URL: "https://" + host, Region: "r01", Software: "0.1.0",
		URLs:  []string{"turn:" + host + ":3478?transport=udp", "turn:" + host + ":3478?transport=tcp", "turns:" + host + ":443?transport=tcp"},
		Range: map[string]string{"ipv4": "open"}, Load: cluster.Load{Processors: 16, CPU: 0.53, Sessions: 10000, Allocations: 1200, Rooms: 3000}, Digests: digests,
	})
	if err != nil {
		panic(err)
	}
	return seal + len(body)
}

// roomBytes is what one room takes in the store's memory: its subject, the header of an
// update, the value, and 16 of the server's own.
func roomBytes() int {
	subject := "$KV.turnhub-rooms." + base64.RawURLEncoding.EncodeToString([]byte("blue-fox-jumps-42-ab"))
	header := "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 12345678\r\n\r\n"
	value := fmt.Sprintf(`{"node":"r01-001","at":%d}`, time.Now().UnixMilli())
	return len(subject) + len(header) + seal + len(value) + 16
}

// bucketBytes is MaxBytes of the bucket of rooms, and refresh how often each room is
// written anew (cluster/store.go).
const (
	bucketBytes = 256 << 20
	refresh     = 60
)

// traffic is what goes through NATS at the peak, by what it is for.
func traffic(p plan) string {
	var b strings.Builder
	beat, room := beatBytes(), roomBytes()
	nodes := float64(p.nodes)
	begun := float64(p.calls) / float64(p.talk) // calls a second
	row := func(what string, in, out, bytes float64) {
		fmt.Fprintf(&b, "%-36s %12.0f %12.0f %10.1f\n", what, in, out, bytes/1e6)
	}
	fmt.Fprintf(&b, "\n%-36s %12s %12s %10s\n", "through NATS at the peak, a second", "published", "delivered", "MB out")
	row("beats, every node to every other", nodes, nodes*nodes, nodes*nodes*float64(beat))
	row("rooms asked for, two people each", 2*begun, 2*begun, 2*begun*float64(room))
	row("rooms begun", begun, begun, begun*float64(room))
	row("rooms kept", float64(p.calls)/refresh, float64(p.calls)/refresh, float64(p.calls)/refresh*float64(room))
	inRegion := nodes / float64(p.regions)
	row("beats, if they stayed in a region", nodes, nodes*inRegion, nodes*inRegion*float64(beat))
	fmt.Fprintf(&b, "\na beat has %d bytes; a node hears %.1f MB of them a second\n", beat, nodes*float64(beat)/1e6)
	fmt.Fprintf(&b, "a room takes %d bytes of the store, which holds %d rooms in its %d MiB; the peak has %d\n", room, bucketBytes/room, bucketBytes>>20, p.calls)
	return b.String()
}
