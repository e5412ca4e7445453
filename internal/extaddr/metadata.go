package extaddr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
)

// metadataBody bounds an answer of a metadata service in bytes.
const metadataBody = 64 << 10

// A cloud is one way in which a provider tells a machine its public address.
// Only those are here whose machines have a private address on the interface;
// where the interface has the public one (Hetzner, DigitalOcean, Vultr, Linode)
// nobody needs to be asked.
type cloud struct {
	name string
	base string // where its metadata service is
	// ask returns the pairs of private and public addresses of this machine. A
	// pair without private address belongs to the default route's.
	ask func(ctx context.Context, s service) ([]mapping, error)
}

// mapping says that public reaches private through the provider's 1:1 NAT.
type mapping struct{ private, public netip.Addr }

// linkLocalMetadata is where nearly all providers have the service.
const linkLocalMetadata = "http://169.254.169.254"

// clouds are asked all at once: one answer is enough, and a machine is in one
// cloud only.
var clouds = []cloud{
	{"AWS", linkLocalMetadata, askAWS},
	{"EC2-compatible (OpenStack, Exoscale)", linkLocalMetadata, askEC2Compatible},
	{"Google Cloud", linkLocalMetadata, askGoogle},
	{"Azure", linkLocalMetadata, askAzure},
	{"Azure load balancer", linkLocalMetadata, askAzureBalancer},
	{"Alibaba Cloud", "http://100.100.100.200", askAlibaba},
	{"Tencent Cloud", "http://169.254.0.23", askTencent},
	{"Scaleway", "http://169.254.42.42", askScaleway},
}

// service is the HTTP side of one metadata service.
type service struct {
	client *http.Client
	base   string
}

// get fetches a path and returns its body without blanks around it. Headers come
// as name, value, name, value.
func (s service) get(ctx context.Context, method, path string, headers ...string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.base+path, nil)
	if err != nil {
		return "", err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
			continue
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, metadataBody))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s", path, response.Status)
	}
	return strings.TrimSpace(string(body)), nil
}

// one fetches a path that holds a single public address.
func (s service) one(ctx context.Context, path string, headers ...string) ([]mapping, error) {
	text, err := s.get(ctx, http.MethodGet, path, headers...)
	if err != nil {
		return nil, err
	}
	public, err := netip.ParseAddr(text)
	if err != nil {
		return nil, fmt.Errorf("%s holds no address", path)
	}
	return []mapping{{public: public}}, nil
}

// askAWS speaks IMDSv2: a session token first. Each address of each network
// interface can have a public one of its own (Elastic IP).
func askAWS(ctx context.Context, s service) ([]mapping, error) {
	token, err := s.get(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return nil, err
	}
	const header = "X-aws-ec2-metadata-token"
	const macs = "/latest/meta-data/network/interfaces/macs/"
	list, err := s.get(ctx, http.MethodGet, macs, header, token)
	if err != nil {
		return s.one(ctx, "/latest/meta-data/public-ipv4", header, token)
	}
	var found []mapping
	for _, mac := range first(strings.Fields(list), 8) {
		dir := macs + strings.TrimSuffix(mac, "/") + "/ipv4-associations/"
		publics, err := s.get(ctx, http.MethodGet, dir, header, token)
		if err != nil {
			continue // no public address on this interface
		}
		for _, text := range first(strings.Fields(publics), 8) {
			public, err := netip.ParseAddr(strings.TrimSuffix(text, "/"))
			if err != nil {
				continue
			}
			local, _ := s.get(ctx, http.MethodGet, dir+text, header, token)
			private, _ := netip.ParseAddr(first(append(strings.Fields(local), ""), 1)[0])
			found = append(found, mapping{private, public})
		}
	}
	if len(found) == 0 {
		return nil, errors.New("this instance has no public IPv4 address")
	}
	return found, nil
}

func askEC2Compatible(ctx context.Context, s service) ([]mapping, error) {
	return s.one(ctx, "/latest/meta-data/public-ipv4")
}

func askGoogle(ctx context.Context, s service) ([]mapping, error) {
	text, err := s.get(ctx, http.MethodGet, "/computeMetadata/v1/instance/network-interfaces/?recursive=true", "Metadata-Flavor", "Google")
	if err != nil {
		return nil, err
	}
	var interfaces []struct {
		IP            netip.Addr `json:"ip"`
		AccessConfigs []struct {
			ExternalIP string `json:"externalIp"`
		} `json:"accessConfigs"`
	}
	if err := json.Unmarshal([]byte(text), &interfaces); err != nil {
		return nil, err
	}
	var found []mapping
	for _, i := range interfaces {
		for _, access := range i.AccessConfigs {
			if public, err := netip.ParseAddr(access.ExternalIP); err == nil {
				found = append(found, mapping{i.IP, public})
			}
		}
	}
	return found, nil
}

func askAzure(ctx context.Context, s service) ([]mapping, error) {
	text, err := s.get(ctx, http.MethodGet, "/metadata/instance/network/interface?api-version=2021-02-01", "Metadata", "true")
	if err != nil {
		return nil, err
	}
	type address struct {
		Private string `json:"privateIpAddress"`
		Public  string `json:"publicIpAddress"`
	}
	var interfaces []struct {
		IPv4 struct {
			Addresses []address `json:"ipAddress"`
		} `json:"ipv4"`
	}
	if err := json.Unmarshal([]byte(text), &interfaces); err != nil {
		return nil, err
	}
	var found []mapping
	for _, i := range interfaces {
		for _, a := range i.IPv4.Addresses {
			found = appendMapping(found, a.Private, a.Public)
		}
	}
	return found, nil
}

// askAzureBalancer is where Azure tells of public addresses of the standard
// kind, which the instance document leaves empty.
func askAzureBalancer(ctx context.Context, s service) ([]mapping, error) {
	text, err := s.get(ctx, http.MethodGet, "/metadata/loadbalancer?api-version=2020-10-01", "Metadata", "true")
	if err != nil {
		return nil, err
	}
	var document struct {
		Balancer struct {
			Addresses []struct {
				Private string `json:"privateIpAddress"`
				Public  string `json:"frontendIpAddress"`
			} `json:"publicIpAddresses"`
		} `json:"loadbalancer"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return nil, err
	}
	var found []mapping
	for _, a := range document.Balancer.Addresses {
		found = appendMapping(found, a.Private, a.Public)
	}
	return found, nil
}

func askAlibaba(ctx context.Context, s service) ([]mapping, error) {
	return s.one(ctx, "/latest/meta-data/eipv4")
}

func askTencent(ctx context.Context, s service) ([]mapping, error) {
	return s.one(ctx, "/latest/meta-data/public-ipv4", "Host", "metadata.tencentyun.com")
}

func askScaleway(ctx context.Context, s service) ([]mapping, error) {
	text, err := s.get(ctx, http.MethodGet, "/conf?format=json")
	if err != nil {
		return nil, err
	}
	var document struct {
		Private string `json:"private_ip"`
		Public  struct {
			Address string `json:"address"`
		} `json:"public_ip"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return nil, err
	}
	return appendMapping(nil, document.Private, document.Public.Address), nil
}

// appendMapping appends a pair whose public side is an address; a private side
// that is none stays open.
func appendMapping(list []mapping, private, public string) []mapping {
	p, err := netip.ParseAddr(public)
	if err != nil {
		return list
	}
	l, _ := netip.ParseAddr(private)
	return append(list, mapping{l, p})
}

func first[T any](list []T, n int) []T { return list[:min(n, len(list))] }

// askClouds asks every metadata service at once and returns what the first
// useful answer says, with the cloud's name. It ends with ctx at the latest, or
// as soon as all have failed.
func askClouds(ctx context.Context, list []cloud) ([]mapping, string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := &http.Client{
		// No proxy: the service is on this link, and its answer is about it.
		Transport:     &http.Transport{Proxy: nil, MaxResponseHeaderBytes: 16 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	type answer struct {
		name  string
		pairs []mapping
	}
	answers := make(chan answer, len(list))
	for _, c := range list {
		go func() {
			pairs, err := c.ask(ctx, service{client, c.base})
			if err != nil {
				pairs = nil
			}
			answers <- answer{c.name, usable(pairs)}
		}()
	}
	var pairs []mapping
	var name string
	for range list {
		// Every goroutine ends with ctx, so waiting for all leaves none behind.
		a := <-answers
		if len(a.pairs) > 0 && pairs == nil {
			pairs, name = a.pairs, a.name
			cancel()
		}
	}
	return pairs, name
}

// usable drops what no client outside could reach. Addresses from the ranges for
// documentation pass: a lab has nothing better to play the internet with.
func usable(pairs []mapping) []mapping {
	var kept []mapping
	for _, m := range pairs {
		m.public, m.private = m.public.Unmap(), m.private.Unmap()
		if !m.public.IsValid() {
			continue
		}
		if why := reserved(m.public); why == "" || why == "documentation" {
			kept = append(kept, m)
		}
	}
	return kept
}
