package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Options say what a run does.
type Options struct {
	Server Server
	Secret string // the server's shared secret (TURN REST credentials)
	PID    int    // the server's process, to read what it uses; 0: unknown

	Pair      bool   // the far end is a client of the same server too, not a plain UDP peer
	Direction string // up: client to peer; down: peer to client; both
	Method    string // channel: ChannelData; send: Send and Data indications; raw: to Forward, UDP, up only; direct: from client to peer without a server
	Clients   int    // sending clients; in pairs each has a partner besides
	Size      int    // payload bytes
	Greet     bool   // each client sends a byte first, as in calls, where nobody only listens
	Idle      int    // further clients with allocations that carry nothing

	Burst   int           // packets that a client hands over at once
	BurstBy string        // gso: UDP_SEGMENT; mmsg: sendmmsg. Streams: one write
	GRO     bool          // the generator's UDP sockets take trains (UDP_GRO)
	Rate    float64       // packets per second over all clients; 0: closed loop
	Tick    time.Duration // with a rate: what falls due within a tick leaves together; 0: each when it is due
	Window  int           // closed loop: packets in flight over all clients

	Warmup, Duration time.Duration
	CPUs             []int        // one shard on each; empty: one shard, not pinned
	Spin             bool         // poll without sleeping, so that the server pays for no wake-up; without, with a rate: sleep from tick to tick, whatever comes
	Peer             netip.Addr   // where UDP peers live
	Sources          []netip.Addr // addresses the clients use in turn; empty: the kernel's choice

	ClientNamespace string // where clients live, see Within
	PeerNamespace   string // where peers live, and the far clients of pairs

	softirqs []int
}

// Defaults returns the options of the plainest run: 16 clients, 172-byte
// payloads (G.711 at 20 ms in RTP) as ChannelData to a UDP peer, saturating.
func Defaults() Options {
	return Options{
		Direction: "up", Method: "channel", Clients: 16, Size: 172,
		Burst: 1, BurstBy: "gso", Window: 256,
		Warmup: 500 * time.Millisecond, Duration: 3 * time.Second,
		Spin: true, Peer: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
	}
}

func (o *Options) check() error {
	switch {
	case o.Direction != "up" && o.Direction != "down" && o.Direction != "both":
		return fmt.Errorf("direction %q is not up, down or both", o.Direction)
	case o.Method != "channel" && o.Method != "send" && o.Method != "raw" && o.Method != "direct":
		return fmt.Errorf("method %q is not channel, send, raw or direct", o.Method)
	case o.Method == "raw" && (o.Pair || o.Direction != "up" || o.Server.Transport != "udp"):
		return errors.New("a forwarder takes packets over UDP from clients to peers only")
	case o.Method == "direct" && o.Pair:
		return errors.New("without a server there are no pairs")
	case o.BurstBy != "gso" && o.BurstBy != "mmsg":
		return fmt.Errorf("bursts by %q: write gso or mmsg", o.BurstBy)
	case o.Clients < max(1, len(o.CPUs)):
		return errors.New("there must be a client for each shard")
	case o.Size < minPayload || o.Size > 1400:
		return fmt.Errorf("payloads of %d bytes: write %d to 1400", o.Size, minPayload)
	case o.Burst < 1 || o.Burst > 32:
		return errors.New("a burst has 1 to 32 packets")
	case o.Window < o.Burst:
		return errors.New("the window is smaller than a burst")
	}
	return nil
}

// A Result is what a run has measured.
type Result struct {
	Seconds   float64 `json:"seconds"`
	Sent      uint64  `json:"sent"`     // over the whole run, warm-up and all
	Received  uint64  `json:"received"` // of them
	Loss      float64 `json:"loss"`     // fraction of Sent
	Reordered uint64  `json:"reordered"`
	Bad       uint64  `json:"bad"` // arrived, but not as it was sent

	Relayed   uint64  `json:"relayed"` // within Seconds
	PerSecond float64 `json:"per_second"`
	ServerCPU float64 `json:"server_cpu"` // seconds of processor time within Seconds
	PerCPU    float64 `json:"per_cpu"`    // packets relayed per second of the server's processor time
	LoadCPU   float64 `json:"load_cpu"`   // the generator's own processor time
	SystemCPU float64 `json:"system_cpu"` // of the whole machine, see SystemBusy
	// InvolvedCPU is that of the generator, the server and the kernel's threads for softirqs:
	// of the whole machine where nobody else uses it.
	InvolvedCPU float64 `json:"involved_cpu"`
	ServerBusy  float64 `json:"server_busy"`

	P50  float64 `json:"p50"` // one-way latency, microseconds
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`

	RSS     int64     `json:"rss"` // the server's resident memory at the end, bytes
	Threads []float64 `json:"threads,omitempty"`
}
