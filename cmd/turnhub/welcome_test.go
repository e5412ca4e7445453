package main

import (
	"strings"
	"testing"

	"rsc.io/qr"

	"turnhub/internal/config"
)

// TestQRCode reads the drawing back, module by module.
func TestQRCode(t *testing.T) {
	environ := []string{"TERM=xterm-256color", "LANG=en_GB.UTF-8"}
	const url = "https://192.168.1.5:8080/"
	want, err := qr.Encode(url, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(qrCode(url, environ), "\n"), "\n")
	if len(lines) != (want.Size+2*quiet+1)/2 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		body, ok := strings.CutPrefix(line, "\x1b[30;107m")
		body, ends := strings.CutSuffix(body, "\x1b[0m")
		modules := []rune(body)
		if !ok || !ends || len(modules) != want.Size+2*quiet {
			t.Fatalf("line %d: %q", i, line)
		}
		for x, r := range modules {
			upper, lower := r == '█' || r == '▀', r == '█' || r == '▄'
			if upper != want.Black(x-quiet, 2*i-quiet) || lower != want.Black(x-quiet, 2*i+1-quiet) {
				t.Fatalf("module %d of line %d is wrong", x, i)
			}
		}
	}
	for _, environ := range [][]string{nil, {"TERM=dumb", "LANG=C.UTF-8"}, {"TERM=xterm", "LANG=en_GB.UTF-8", "LC_ALL=C"}, {"TERM=xterm"}} {
		if code := qrCode(url, environ); code != "" {
			t.Errorf("%v: a terminal that cannot show it gets a code", environ)
		}
	}
}

// TestWelcome: the last line says what to open, and the code leads to where a
// phone gets in.
func TestWelcome(t *testing.T) {
	environ := []string{"TERM=xterm", "LC_ALL=C.UTF-8"}
	for _, tc := range []struct {
		tls, access, open string
		code              bool
		says              string
	}{
		{config.TLSOff, config.AccessOpen, "http://localhost:8080/", false, "TURNHUB_TLS_MODE=self-signed"},
		{config.TLSSelfSigned, config.AccessOpen, "https://192.168.1.5:8080/", true, "install the authority"},
		{config.TLSSelfSigned, config.AccessOpen, "https://127.0.0.1:8080/", false, "on no network"},
		{config.TLSSelfSigned, config.AccessOpen, "https://[::1]:8080/", false, "on no network"},
		{config.TLSACME, config.AccessOpen, "https://calls.example.org/", true, "A phone scans the code"},
		{config.TLSACME, config.AccessToken, "https://calls.example.org/", false, "turnhub help token"},
	} {
		cfg := config.Default()
		cfg.TLS.Mode, cfg.Access.Mode = tc.tls, tc.access
		var b strings.Builder
		welcome(&b, cfg, tc.open, environ)
		text := b.String()
		if !strings.HasSuffix(text, "\nOpen this: "+tc.open+"\n") || strings.Contains(text, "█") != tc.code || !strings.Contains(text, tc.says) {
			t.Errorf("%+v:\n%s", tc, text)
		}
	}
}
