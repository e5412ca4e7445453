package config

import (
	"fmt"
	neturl "net/url"
	"slices"
	"strings"
)

// Cluster makes this server one node of several, which find each other on NATS.
type Cluster struct {
	NATS      []string // URLs of its servers; empty: this server is alone
	CredsFile string
	TLS       ClusterTLS
	Node      string // this node's name
	URL       string // where clients reach this node and no other
	Region    string
}

// ClusterTLS is how NATS is spoken to over TLS.
type ClusterTLS struct {
	CAFile, CertFile, KeyFile string
}

// On reports whether there may be other nodes.
func (c *Cluster) On() bool { return len(c.NATS) > 0 }

// maxClusterName bounds the names of nodes and regions, in characters.
const maxClusterName = 32

// natsURLs is a list of NATS servers.
func natsURLs(p *[]string) value {
	return sequence(p, "list of NATS URLs, such as nats://10.0.0.5:4222", func(s string) (string, error) {
		u, err := neturl.Parse(s)
		switch {
		case err != nil || u.Host == "":
			return "", fmt.Errorf("%q is not the URL of a NATS server; write one, such as nats://10.0.0.5:4222", s)
		case u.Scheme != "nats" && u.Scheme != "tls":
			return "", fmt.Errorf("%q does not begin with nats:// or tls://; write one of the two", s)
		case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
			return "", fmt.Errorf("%q has something behind the port; remove it", s)
		}
		return s, nil
	}, same)
}

// clusterName is the name of a node or a region: it is part of subjects and labels.
func clusterName(p *string, what, example string) value {
	return scalar(p, what, func(s string) (string, error) {
		bad := func(r rune) bool {
			return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-')
		}
		if len(s) > maxClusterName || strings.ContainsFunc(s, bad) {
			return "", fmt.Errorf("%q is no name here; write 1 to %d characters of a-z 0-9 -, such as %s", s, maxClusterName, example)
		}
		return s, nil
	}, same)
}

// siteURL is where the pages are: http or https, without a query.
func siteURL(p *string) value {
	return scalar(p, "https URL", func(s string) (string, error) {
		u, err := neturl.Parse(s)
		switch {
		case s == "":
			return "", nil
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			return "", fmt.Errorf("%q is not the URL of a node's pages; write one, such as https://a.example.org", s)
		case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(s, " \t\r\n\"<>"):
			return "", fmt.Errorf("%q holds more than a scheme, a host, a port and a path; remove the rest", s)
		}
		return strings.TrimRight(s, "/"), nil
	}, same)
}

// checkCluster finds what keeps a node from being one.
func (c *Config) checkCluster(blame func(complaint string, keys ...string)) {
	if !c.Cluster.On() {
		return
	}
	if c.Cluster.Node == "" {
		blame("cluster.nats needs it; write a name that no other node has, such as a", "cluster.node", "cluster.nats")
	}
	if c.Cluster.URL == "" {
		blame("cluster.nats needs it; write the URL at which clients reach this node and no other, such as https://a.example.org", "cluster.url", "cluster.nats")
	}
	if len(c.Credentials.Secrets) == 0 && c.Credentials.SecretsFile == "" {
		blame("cluster.nats needs the same secret on every node: by it they know each other, and credentials of one open all; make one with `openssl rand -hex 32` and write it here, or its file in credentials.secrets_file", "credentials.secrets", "credentials.secrets_file", "cluster.nats")
	}
	if (c.Cluster.TLS.CertFile == "") != (c.Cluster.TLS.KeyFile == "") {
		blame("cert_file and key_file go together; write both, or neither", "cluster.tls.cert_file", "cluster.tls.key_file")
	}
}

// doubtsOfCluster are what has no effect without cluster.nats.
func (c *Config) doubtsOfCluster(doubt func(key, problem, remedy string), written func(key string) bool) {
	if c.Cluster.On() {
		return
	}
	for _, key := range []string{"cluster.creds_file", "cluster.tls.ca_file", "cluster.tls.cert_file", "cluster.tls.key_file", "cluster.node", "cluster.url", "cluster.region"} {
		options := c.options()
		at := slices.IndexFunc(options, func(o option) bool { return o.key == key })
		if written(key) && !slices.Equal(options[at].value.get(), []string{""}) {
			doubt(key, "has no effect: cluster.nats is empty, so this server is alone", "name the NATS servers there, or remove it")
		}
	}
}
