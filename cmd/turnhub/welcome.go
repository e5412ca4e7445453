package main

import (
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"rsc.io/qr"

	"turnhub/internal/config"
)

// terminal returns where a person is reading: standard output, else standard
// error; nil: nobody is.
func (in invocation) terminal() *os.File {
	for _, w := range []io.Writer{in.stdout, in.stderr} {
		if f, ok := w.(*os.File); ok && isTerminal(f) {
			return f
		}
	}
	return nil
}

// isTerminal reports whether a person looks at f.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// welcome tells a person what to open, in its last line, and how a phone joins.
func welcome(w io.Writer, cfg *config.Config, open string, environ []string) {
	fmt.Fprintln(w)
	switch {
	case cfg.TLS.Mode == config.TLSOff:
		fmt.Fprintln(w, "Only this machine's browser may use its camera without TLS. For a phone, end this (Ctrl-C) and run")
		fmt.Fprintln(w, "    TURNHUB_TLS_MODE=self-signed turnhub serve        (or: TURNHUB_TLS_MODE=self-signed make run)")
	case onThisMachineOnly(open):
		fmt.Fprintln(w, "This machine is on no network that a phone could reach it by.")
	case cfg.Access.Mode == config.AccessToken: // a link without a token leads to nothing
		fmt.Fprintln(w, "Who comes needs a token: `turnhub help token`.")
	default:
		text := "Another machine or a phone opens the same address."
		if code := qrCode(open, environ); code != "" {
			fmt.Fprint(w, code)
			text = "A phone scans the code, or opens the same address."
		}
		if cfg.TLS.Mode == config.TLSSelfSigned {
			text += " It warns of the certificate, once:\ngo on (\"Advanced\"), or install the authority " + cfg.StateDir + "/tls/ca.pem on it."
		}
		fmt.Fprintln(w, text)
	}
	fmt.Fprintf(w, "\nOpen this: %s\n", open)
}

// onThisMachineOnly reports whether a URL leads nowhere from another machine.
func onThisMachineOnly(open string) bool {
	u, err := url.Parse(open)
	if err != nil {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// quiet is how many light modules a QR code has around it (ISO/IEC 18004 section
// 5.3.8).
const quiet = 4

// qrCode draws text for a terminal, two modules in each character, black on white
// whatever the terminal's colours are; empty when the terminal cannot show it.
func qrCode(text string, environ []string) string {
	if !drawsBlocks(environ) {
		return ""
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m")
		for x := -quiet; x < code.Size+quiet; x++ {
			switch upper, lower := code.Black(x, y), code.Black(x, y+1); {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String()
}

// drawsBlocks reports whether a terminal has colours and UTF-8, as far as the
// environment tells (POSIX: LC_ALL goes before LC_CTYPE and LANG).
func drawsBlocks(environ []string) bool {
	value := make(map[string]string)
	for _, entry := range environ {
		name, v, _ := strings.Cut(entry, "=")
		value[name] = v
	}
	if term := value["TERM"]; term == "" || term == "dumb" {
		return false
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(value[name]); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}
