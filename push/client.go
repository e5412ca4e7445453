package push

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"turnhub/internal/outbound"
)

const (
	maxAnswer = 512 // bytes of an answer that are read: a word about what is wrong
	maxWait   = time.Hour
)

// newClient returns the client for all push services. A push service does
// not redirect: RFC 8030 knows it not.
func newClient(cfg Config) *http.Client {
	transport := cfg.transport
	if transport == nil {
		transport = outbound.Transport(netip.Addr{}, cfg.Allow, cfg.tune.timeout, 8)
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
		outcome = outbound.Failure(err)
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
