// Package config reads turnhub's configuration: built-in defaults, one YAML
// file, and environment variables TURNHUB_<PATH> or TURNHUB_<PATH>_FILE, in this
// order.
//
// Every option is described once, in options.go. The commented config.yaml and
// docs/configuration.md are written from there (go test ./internal/config
// -update) and a test holds them to it.
package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"
)

// Config is the whole configuration, checked: a value that Load returns is
// usable as it is.
type Config struct {
	PublicHost     string // DNS name or IP; empty: the external IP
	PublicPath     string // where a reverse proxy serves it below, as /calls; empty: at the root
	Listen         Listen
	TLS            TLS
	Relay          Relay
	Credentials    Credentials
	Access         Access
	Signaling      Signaling
	Cluster        Cluster
	Limits         Limits
	Events         Events
	Push           Push
	Log            Log
	DrainTimeout   time.Duration
	UpgradeTimeout time.Duration
	StateDir       string // never empty after Load

	file    string            // the file read, or ""
	origins map[string]string // key → where its value came from

	warnings []Warning
}

// Listen is where the server listens: addresses as for net.Listen.
type Listen struct {
	TCP            []string
	UDP            []string       // or auto alone: see UDPAddresses
	Admin          string         // empty: no admin listener
	AdminTokenFile string         // empty: no token is asked for
	TrustedProxies []netip.Prefix // whose forwarding and PROXY headers are believed
	Forward        []Forward      // names of other servers
}

const listenAutoWord = "auto"

// UDPAddresses are the addresses to listen on over UDP: those that must be had, and those
// that auto adds where they can be had.
func (l *Listen) UDPAddresses() (must, may []string) {
	if !slices.Equal(l.UDP, []string{listenAutoWord}) {
		return l.UDP, nil
	}
	for _, address := range l.TCP {
		switch host, port, _ := net.SplitHostPort(address); port { // it has been read before
		case "3478":
			must = append(must, address)
		case "443":
			if ip, _ := netip.ParseAddr(host); host != "localhost" && !ip.IsLoopback() { // where nobody but a proxy comes
				may = append(may, address)
			}
		}
	}
	if must == nil {
		must = []string{":3478"}
	}
	return must, may
}

// Forward passes on what comes for the names of another server.
type Forward struct {
	Host          string // a DNS name in lower case, or *.example.org
	To            string // host:port for TLS
	HTTP          string // host:port for plain HTTP; empty: a redirect to https
	ProxyProtocol string // v1, v2, or empty for none
}

// The values of tls.mode.
const (
	TLSOff        = "off"
	TLSSelfSigned = "self-signed"
	TLSFiles      = "files"
	TLSACME       = "acme"
)

// TLS says where the certificate comes from.
type TLS struct {
	Mode              string
	CertFile, KeyFile string
	ACME              ACME
}

// ACME says how certificates are obtained (RFC 8555).
type ACME struct {
	Email, Directory, CAFile, CacheDir string
}

// Relay describes the relayed transport addresses.
type Relay struct {
	Realm            string
	ExternalIP       []ExternalIP // empty: detect
	STUNServers      []string     // host or host:port
	BindIP           []netip.Addr // empty: all
	PortMin, PortMax uint16
	Range            string // one of the Range constants
	Sockets          string // one of the Sockets constants
	Driver           string // one of the Driver constants
	Kernel           string // one of the Kernel constants
	WebSocketMedia   string // one of the WebSocketMedia constants
	Peers            string // as policy.ParseMode reads it
	AllowPeers       []netip.Prefix
	DenyPeers        []netip.Prefix
}

// The values of relay.range.
const (
	RangeAuto   = "auto"
	RangeOpen   = "open"
	RangeClosed = "closed"
)

// The values of relay.sockets.
const (
	SocketsAuto = "auto"
	SocketsOn   = "on"
	SocketsOff  = "off"
)

// The values of relay.driver.
const (
	DriverAuto     = "auto"
	DriverRing     = "io_uring"
	DriverEpoll    = "epoll"
	DriverPortable = "portable"
)

// The values of relay.kernel.
const (
	KernelAuto = "auto"
	KernelOn   = "on"
	KernelOff  = "off"
	// KernelClsact is KernelOn in the way of kernels without tcx.
	KernelClsact = "clsact"
)

// The values of relay.websocket_media.
const (
	WebSocketMediaOn  = "on"
	WebSocketMediaOff = "off"
)

// ExternalIP is an address that clients see, and where 1:1 NAT stands between,
// the local address that it is translated to (else the zero Addr).
type ExternalIP struct {
	Local, External netip.Addr
}

func (e ExternalIP) String() string {
	if e.Local.IsValid() {
		return e.Local.String() + "=" + e.External.String()
	}
	return e.External.String()
}

// Credentials says how TURN credentials are signed.
type Credentials struct {
	Secrets     []string
	SecretsFile string // empty: DefaultSecretsFile
	TTL         time.Duration
}

// The values of access.mode.
const (
	AccessOpen  = "open"
	AccessToken = "token"
)

// Access says who may use the server.
type Access struct {
	Mode            string
	TokenSecretFile string
	TokenJWKSFile   string
	AllowedOrigins  []string
	EmbedOrigins    []string
}

// Signaling holds the options of the signaling dialects.
type Signaling struct {
	RelayAtRoot     bool
	PeerJSDiscovery bool
}

// Limits bounds what one client can take from the others.
type Limits struct {
	AllocationsPerUser       int
	AllocationsPerIP         int
	AllocationsTotal         int // 0: what the port range holds
	PermissionsPerAllocation int
	BandwidthPerAllocation   int64   // bytes per second, 0: none
	PacketsPerAllocation     float64 // per second, 0: none
	NewPeersPerAllocation    float64 // per second after a burst, 0: none
	BandwidthPerUser         int64   // bytes per second, 0: none
	VolumePerUserDay         int64   // bytes, 0: none
	UnauthenticatedPerPrefix float64 // answers per second
	ConnectionsPerIP         int
	MessageSize              int64   // bytes
	MessagesPerSecond        float64 // per socket
}

// Log says what is logged and how.
type Log struct {
	Level, Format string
}

// Default returns the built-in configuration, with which `turnhub serve` is a
// working system on one machine. StateDir is still empty.
func Default() *Config {
	return &Config{
		Listen: Listen{
			TCP:   []string{":8080", ":3478"},
			UDP:   []string{":3478"},
			Admin: "127.0.0.1:9478",
		},
		TLS: TLS{Mode: TLSOff},
		Relay: Relay{
			Realm:   "turnhub",
			PortMin: 49152,
			PortMax: 65535,
			Range:   RangeAuto,
			Sockets: SocketsAuto,
			Driver:  DriverAuto,
			Kernel:  KernelOff,
			Peers:   "calls",

			WebSocketMedia: WebSocketMediaOn,
		},
		Credentials: Credentials{TTL: 12 * time.Hour},
		Access:      Access{Mode: AccessOpen, AllowedOrigins: []string{"*"}},
		Limits: Limits{
			AllocationsPerUser:       64,
			AllocationsPerIP:         128,
			PermissionsPerAllocation: 128,
			BandwidthPerAllocation:   8_000_000,
			PacketsPerAllocation:     10_000,
			NewPeersPerAllocation:    5,
			UnauthenticatedPerPrefix: 50,
			ConnectionsPerIP:         64,
			MessageSize:              256 << 10,
			MessagesPerSecond:        100,
		},
		Events:         Events{History: 30 * 24 * time.Hour},
		Push:           Push{Mode: PushOn, Services: slices.Clone(usualPushServices)},
		Log:            Log{Level: "info", Format: "text"},
		UpgradeTimeout: time.Hour,
	}
}

// File returns the path of the configuration file, empty when there is none.
func (c *Config) File() string { return c.file }

// SecretsPath returns where the TURN secrets are kept: credentials.secrets_file
// or its default in the state directory.
func (c *Config) SecretsPath() string {
	if c.Credentials.SecretsFile != "" {
		return c.Credentials.SecretsFile
	}
	return filepath.Join(c.StateDir, "turn-secrets")
}
