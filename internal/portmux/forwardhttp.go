package portmux

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"time"
)

// forwardHTTP answers requests for the names of other servers; false: it is ours. In
// plain HTTP they are passed on, so that the other server gets its certificates, or
// sent to https. In TLS they have come by our name, and are sent back to say theirs.
func (m *Mux) forwardHTTP(w http.ResponseWriter, r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	to := m.forwards.Load().find(host)
	switch {
	case to == nil:
		return false
	case r.TLS != nil:
		w.Header().Set("Connection", "close")
		http.Error(w, "another server answers under this name: connect to it by its own name", http.StatusMisdirectedRequest)
	case to.HTTP == "":
		http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect)
	default:
		// The context ends the waiting for the other server, and the connection that a request
		// becomes by an upgrade; the deadlines end the waiting for the client, a little later,
		// so that it is told.
		until := time.Now().Add(m.cfg.Pass.HTTP)
		ctx, cancel := context.WithDeadline(r.Context(), until)
		defer cancel()
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(until.Add(tellPatience))
		_ = control.SetWriteDeadline(until.Add(tellPatience))
		proxy := httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) {
				p.Out.URL.Scheme, p.Out.URL.Host = "http", to.HTTP
				p.Out.Host = p.In.Host
				p.SetXForwarded()
			},
			Transport: m.upstreams,
			ErrorLog:  log.New(io.Discard, "", 0),
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				if !errors.Is(r.Context().Err(), context.Canceled) { // else the client has gone
					m.mu.Lock()
					m.refused["forward_down"]++
					m.mu.Unlock()
					m.upstreamDown(to, err)
				}
				w.Header().Set("Connection", "close")
				http.Error(w, "the server of this name does not answer", http.StatusBadGateway)
			},
		}
		proxy.ServeHTTP(w, r.WithContext(ctx))
	}
	return true
}

// newUpstreams makes the connections to the other servers' plain HTTP.
func newUpstreams() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialPatience}).DialContext,
		ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout:       30 * time.Second,
		MaxConnsPerHost:       256,
		DisableCompression:    true,
	}
}

// upstreamDown says in the log, at most once a minute, that another server does not
// take what is passed on.
func (m *Mux) upstreamDown(to *Forward, err error) {
	m.mu.Lock()
	due := m.toldDown == 0 || m.clock()-m.toldDown >= time.Minute
	if due {
		m.toldDown = m.clock()
	}
	m.mu.Unlock()
	if due {
		m.log.Warn("connections cannot be passed on; start the server there, or correct listen.forward", "host", to.Host, "error", err)
	}
}
