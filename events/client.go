package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"turnhub/internal/outbound"
)

const (
	maxAnswer    = 512 // bytes of an answer that are read: a word about what is wrong
	maxRedirects = 3
)

var (
	errRedirect = errors.New("it redirects to another server, or so that the event would be lost")
	errGone     = errors.New("it answers 410: it is gone for good")
)

// statusError is an answer that is no success.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("it answers %d", e.status)
	}
	return fmt.Sprintf("it answers %d: %q", e.status, e.text)
}

// newClient returns a client for one webhook. It follows redirects on the same
// server only.
func newClient(target string, allow []netip.Prefix, timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:   timeout,
		Transport: outbound.Transport(outbound.Named(target), allow, timeout, 2),
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			first := via[0]
			if len(via) > maxRedirects || r.Method != first.Method || r.URL.Host != first.URL.Host || r.URL.Scheme != first.URL.Scheme {
				return errRedirect
			}
			return nil
		},
	}
}

// send makes one attempt.
func (o *sender) send(ctx context.Context, body []byte) error {
	var e struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	return post(ctx, o.client, o.hook, e.ID, body)
}

// Try sends a webhook an event of type webhook.test. The error says what is wrong, and
// Remedy what to do.
func Try(ctx context.Context, hook Webhook, allow []netip.Prefix) error {
	client := newClient(hook.URL, allow, usualTuning.timeout)
	defer client.CloseIdleConnections()
	e := Event{ID: newID(), Type: Test, Time: time.Now().UTC().Truncate(time.Millisecond)}
	body, err := json.Marshal(&e)
	if err != nil {
		return err
	}
	return post(ctx, client, hook, e.ID, body)
}

func post(ctx context.Context, client *http.Client, hook Webhook, id string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "turnhub")
	hook.Secrets.Sign(r.Header, id, time.Now(), body)
	answer, err := client.Do(r)
	if err != nil {
		if where := new(url.Error); errors.As(err, &where) {
			err = where.Err // without the URL, which may be a secret
		}
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case answer.StatusCode/100 == 2:
		return nil
	case answer.StatusCode == http.StatusGone:
		return errGone
	case answer.StatusCode/100 == 3:
		return errRedirect
	}
	return &statusError{answer.StatusCode, strings.ToValidUTF8(strings.TrimSpace(string(text)), "?")}
}

// outcome is the label under which an attempt is counted.
func outcome(err error) string {
	var status *statusError
	switch {
	case err == nil:
		return sentOK
	case errors.As(err, &status), errors.Is(err, errGone):
		return sentStatus
	case errors.Is(err, errRedirect):
		return sentRedirect
	}
	return outbound.Failure(err)
}

// Remedy says what to do about an error of Try.
func Remedy(err error) string {
	switch outcome(err) {
	case sentStatus:
		return "It must answer 2xx once it has the event: look at its log, and whether it knows this secret."
	case sentRedirect:
		return "Write the URL to which it redirects in events.webhooks."
	case outbound.FailedAddress:
		return "If it is meant, name the address in events.allow, or write it into the URL in place of the name."
	case outbound.FailedTLS:
		return "Give it a certificate that this host believes, or add its authority to those of the system."
	case outbound.FailedTimeout:
		return "It must answer within ten seconds: let it queue the event and work later."
	}
	return "See that it runs, and that this host reaches it."
}
