package push

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"turnhub/internal/outbound"
)

const (
	maxHeader = 16 << 10 // bytes of an answer's header
	maxAnswer = 512      // bytes of an answer that are read: a word about what is wrong
	maxWait   = time.Hour
)

// newClient returns the client for all push services. It looks at each address after the
// name has been resolved; a push service does not redirect (RFC 8030 knows it not), and no
// proxy, which would resolve names itself, is used.
func newClient(cfg Config) *http.Client {
	transport := cfg.transport
	if transport == nil {
		transport = &http.Transport{
			DialContext:            outbound.Dialer(netip.Addr{}, cfg.Allow, cfg.tune.timeout).DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    cfg.tune.timeout,
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConns:           8,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true, // an answer must not grow here
		}
	}
	return &http.Client{
		Timeout: cfg.tune.timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (sub *subscription) receiver() (*ecdh.PublicKey, error) {
	return ecdh.P256().NewPublicKey(sub.Public)
}

// post makes one request (RFC 8030, 5). It returns what came of it, and for how long the
// service wants to be left alone.
func (s *Store) post(ctx context.Context, m *message, sub subscription) (outcome string, wait time.Duration) {
	r, err := s.request(ctx, m, sub)
	if err != nil {
		s.log.Error("a push cannot be made", "error", err)
		return sentRefused, 0
	}
	answer, err := s.client.Do(r)
	if err != nil {
		outcome = failure(err)
		if where := new(url.Error); errors.As(err, &where) {
			err = where.Err // the URL is a secret
		}
		s.log.Debug("a push service was not reached", "host", r.URL.Host, "error", err)
		return outcome, 0
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	outcome = judged(answer.StatusCode)
	if outcome == sentBusy {
		wait = retryAfter(answer.Header.Get("Retry-After"), time.Now())
	}
	if outcome != sentOK {
		s.log.Debug("a push was not taken", "host", r.URL.Host, "status", answer.StatusCode,
			slog.String("answer", strings.ToValidUTF8(strings.TrimSpace(string(text)), "?")))
	}
	return outcome, wait
}

func (s *Store) request(ctx context.Context, m *message, sub subscription) (*http.Request, error) {
	receiver, err := sub.receiver()
	if err != nil {
		return nil, err
	}
	sealed, err := encrypt(m.body(), receiver, sub.Auth)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.Endpoint, bytes.NewReader(sealed))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	authorization, err := s.cfg.Key.authorization(r.URL, s.cfg.Contact(), now)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", authorization)
	r.Header.Set("Content-Encoding", "aes128gcm")
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("TTL", strconv.Itoa(int(max(m.until.Sub(now), time.Second)/time.Second)))
	r.Header.Set("Urgency", "high") // it rings: RFC 8030, 5.3
	r.Header.Set("Topic", m.topic())
	r.Header.Set("User-Agent", "turnhub")
	return r, nil
}

// judged says what an answer means (RFC 8030, 5 and 7.3).
func judged(status int) string {
	switch {
	case status/100 == 2:
		return sentOK
	case status == http.StatusNotFound, status == http.StatusGone:
		return sentGone
	case status/100 == 3:
		return sentRedirect
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status/100 == 5:
		return sentBusy
	}
	return sentRefused
}

// failure says why there was no answer.
func failure(err error) string {
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.Is(err, outbound.ErrInside):
		return sentAddress
	case errors.As(err, &certificate), errors.As(err, &unknown), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return sentTLS
	case errors.As(err, &timeout) && timeout.Timeout():
		return sentTimeout
	}
	return sentNetwork
}

// retryAfter reads a header of RFC 9110, 10.2.3.
func retryAfter(s string, now time.Time) time.Duration {
	d := time.Duration(0)
	if seconds, err := strconv.Atoi(s); err == nil && seconds > 0 {
		d = time.Duration(min(seconds, int(maxWait/time.Second))) * time.Second
	} else if at, err := http.ParseTime(s); err == nil {
		d = at.Sub(now)
	}
	return max(0, min(d, maxWait))
}
